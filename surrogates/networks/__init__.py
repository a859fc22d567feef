"""Network families: density in, flat real vector out, smooth enough to differentiate twice."""

from surrogates.networks.common import SurrogateNetwork
from surrogates.networks.families import FAMILIES, Family

__all__ = ["FAMILIES", "Family", "SurrogateNetwork"]
