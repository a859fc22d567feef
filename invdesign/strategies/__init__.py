"""Design loops: each is plain sequential code that asks only the evaluator."""

from invdesign.strategies.adjoint import Adjoint, low_fidelity
from invdesign.strategies.drawn import Drawn
from invdesign.strategies.hybrid import Hybrid
from invdesign.strategies.network import Surrogate
from invdesign.strategies.newton import Newton
from invdesign.strategies.random_designs import Random

__all__ = ["Adjoint", "Drawn", "Hybrid", "Newton", "Random", "Surrogate", "low_fidelity"]
