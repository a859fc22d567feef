"""Networks: density in, flat real vector out, smooth enough to differentiate twice."""

from surrogates.networks.common import SurrogateNetwork
from surrogates.networks.graph import Graph
from surrogates.networks.operations import IDENTITY, OPERATIONS, Operation

__all__ = ["IDENTITY", "OPERATIONS", "Graph", "Operation", "SurrogateNetwork"]
