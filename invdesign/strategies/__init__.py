"""Design loops: each is plain sequential code that asks only the evaluator."""

from invdesign.strategies.adjoint import Adjoint
from invdesign.strategies.drawn import Drawn
from invdesign.strategies.random import Random

__all__ = ["Adjoint", "Drawn", "Random"]
