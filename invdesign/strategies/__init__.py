"""Design loops: each is plain sequential code that asks only the evaluator."""

from invdesign.strategies.adjoint import Adjoint
from invdesign.strategies.drawn import Drawn
from invdesign.strategies.hybrid import Hybrid
from invdesign.strategies.random import Random
from invdesign.strategies.surrogate import Surrogate

__all__ = ["Adjoint", "Drawn", "Hybrid", "Random", "Surrogate"]
