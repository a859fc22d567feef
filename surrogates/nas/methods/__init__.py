"""Methods of architecture search, one module each."""

from surrogates.nas.methods.bananas import Bananas
from surrogates.nas.methods.codeepneat import CoDeepNeat
from surrogates.nas.methods.confirmed import Confirmed
from surrogates.nas.methods.darts import Darts, DartsResult, darts
from surrogates.nas.methods.evolution import Evolution
from surrogates.nas.methods.evonorm import EvoNorm, Layers, evolve_layers
from surrogates.nas.methods.fixed_nets import FixedNets
from surrogates.nas.methods.freeze_thaw import FreezeThaw
from surrogates.nas.methods.gaussian_process import GaussianProcess
from surrogates.nas.methods.halving import AsynchronousHalving, Hyperband, SuccessiveHalving
from surrogates.nas.methods.local_search import LocalSearch
from surrogates.nas.methods.morphisms import Climb, Morphisms, climb
from surrogates.nas.methods.neat import Grown, Neat, grown
from surrogates.nas.methods.neat_evolution import evolve
from surrogates.nas.methods.proxies import Flops, OnData, Parameters, ProxyRanking
from surrogates.nas.methods.random_search import RandomSearch
from surrogates.nas.methods.supernet import Supernet
from surrogates.nas.methods.top_k import TopK
from surrogates.nas.methods.tpe_hyperband import TpeHyperband

__all__ = [
    "AsynchronousHalving",
    "Bananas",
    "Climb",
    "CoDeepNeat",
    "Confirmed",
    "Darts",
    "DartsResult",
    "EvoNorm",
    "Evolution",
    "FixedNets",
    "Flops",
    "FreezeThaw",
    "GaussianProcess",
    "Grown",
    "Hyperband",
    "Layers",
    "LocalSearch",
    "Morphisms",
    "Neat",
    "OnData",
    "Parameters",
    "ProxyRanking",
    "RandomSearch",
    "SuccessiveHalving",
    "Supernet",
    "TopK",
    "TpeHyperband",
    "climb",
    "darts",
    "evolve",
    "evolve_layers",
    "grown",
]
