"""invdesign: from a target response to a verified structure."""

from importlib.metadata import PackageNotFoundError, version

from invdesign.budget import Budget
from invdesign.evaluator import Evaluator
from invdesign.executors import InProcess, Processes
from invdesign.problem import Problem, Scenario
from invdesign.records import Candidate, Record
from invdesign.result import Result
from invdesign.run import Strategy, run
from invdesign.spaces import Border, Connected, DensitySpace, DesignSpace, LevelSetSpace, MinimumFeature, ShapeSpace
from invdesign.spaces.corners import fabrication_corners
from invdesign.store import Store, StoreError
from invdesign.strategies import Adjoint, Drawn, Hybrid, Newton, Random, Surrogate, low_fidelity
from invdesign.targets import CustomTarget, Target
from surrogates import fixed, search

# Lower case, so that a script reads `run(problem, hybrid(...), ...)`; each call gives a frozen value.
adjoint = Adjoint
drawn = Drawn
hybrid = Hybrid
newton = Newton
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
    "DensitySpace",
    "DesignSpace",
    "Evaluator",
    "InProcess",
    "LevelSetSpace",
    "MinimumFeature",
    "Problem",
    "Processes",
    "Record",
    "Result",
    "Scenario",
    "ShapeSpace",
    "Store",
    "StoreError",
    "Strategy",
    "Target",
    "adjoint",
    "drawn",
    "fabrication_corners",
    "fixed",
    "hybrid",
    "low_fidelity",
    "newton",
    "random_designs",
    "run",
    "search",
    "surrogate",
]
