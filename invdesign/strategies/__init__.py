"""Design loops: each is plain sequential code that asks only the evaluator."""

from invdesign.strategies.adjoint import Adjoint, low_fidelity
from invdesign.strategies.bayesian import Bayesian
from invdesign.strategies.bayesian_ensembles import ExtraTrees, Networks
from invdesign.strategies.bayesian_gp import GaussianProcess
from invdesign.strategies.bayesian_inputs import LevelFeatures
from invdesign.strategies.drawn import Drawn
from invdesign.strategies.elites import MapElites
from invdesign.strategies.evolution import Evolution
from invdesign.strategies.hybrid import Hybrid
from invdesign.strategies.network import Surrogate
from invdesign.strategies.newton import Newton
from invdesign.strategies.random_codes import RandomCodes
from invdesign.strategies.random_designs import Random
from invdesign.strategies.relay import Relay
from invdesign.strategies.straight_through import StraightThrough

__all__ = [
    "Adjoint",
    "Bayesian",
    "Drawn",
    "Evolution",
    "ExtraTrees",
    "GaussianProcess",
    "Hybrid",
    "LevelFeatures",
    "MapElites",
    "Networks",
    "Newton",
    "Random",
    "RandomCodes",
    "Relay",
    "StraightThrough",
    "Surrogate",
    "low_fidelity",
]
