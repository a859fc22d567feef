"""invdesign: from a target response to a verified structure."""

from importlib.metadata import PackageNotFoundError, version

from invdesign.budget import Budget
from invdesign.evaluator import Evaluator
from invdesign.executors import InProcess, Processes
from invdesign.problem import Problem, Scenario
from invdesign.records import Candidate, Record
from invdesign.result import Result
from invdesign.run import Strategy, run
from invdesign.spaces import (
    Border,
    Connected,
    CutGrid,
    DensitySpace,
    DesignSpace,
    DiscreteSpace,
    LevelSetSpace,
    LineCuts,
    Listed,
    MinimumFeature,
    RowCuts,
    ShapeSpace,
)
from invdesign.spaces.corners import fabrication_corners
from invdesign.store import Store, StoreError
from invdesign.strategies import (
    Adjoint,
    Bayesian,
    Drawn,
    Evolution,
    Hybrid,
    MapElites,
    Newton,
    Random,
    RandomCodes,
    Relay,
    StraightThrough,
    Surrogate,
    low_fidelity,
)
from invdesign.targets import CustomTarget, Target
from surrogates import fixed, search

# Lower case, so that a script reads `run(problem, hybrid(...), ...)`; each call gives a frozen value.
adjoint = Adjoint
bayesian = Bayesian
drawn = Drawn
evolution = Evolution
hybrid = Hybrid
map_elites = MapElites
newton = Newton
relay = Relay
straight_through = StraightThrough
random_codes = RandomCodes
random_designs = Random
surrogate = Surrogate

try:
    __version__ = version("invdesign")
except PackageNotFoundError:
    __version__ = "0+unknown"

__all__ = [
    "Border",
    "Budget",
    "Candidate",
    "Connected",
    "CustomTarget",
    "CutGrid",
    "DensitySpace",
    "DesignSpace",
    "DiscreteSpace",
    "Evaluator",
    "InProcess",
    "LevelSetSpace",
    "LineCuts",
    "Listed",
    "MinimumFeature",
    "Problem",
    "Processes",
    "Record",
    "Result",
    "RowCuts",
    "Scenario",
    "ShapeSpace",
    "Store",
    "StoreError",
    "Strategy",
    "Target",
    "adjoint",
    "bayesian",
    "drawn",
    "evolution",
    "fabrication_corners",
    "fixed",
    "hybrid",
    "low_fidelity",
    "map_elites",
    "newton",
    "random_codes",
    "random_designs",
    "relay",
    "run",
    "search",
    "straight_through",
    "surrogate",
]
