"""Neural stand-ins for solvers: several fidelities, adjoint gradients, calibrated spread, architecture search."""

from surrogates.architecture import Architecture, Block
from surrogates.choice import ArchitectureChoice, SearchError, SearchResult, TrialRecord, fixed
from surrogates.data import DataError, Dataset, LevelData
from surrogates.encoding import ResponseCodec
from surrogates.ensemble import DeepEnsemble
from surrogates.evaluation import BaselineScore, LevelScore, TrainingReport
from surrogates.memo import Memo, no_memo
from surrogates.persistence import CorruptSurrogateError
from surrogates.prediction import Prediction, Surrogate
from surrogates.search import Search, search
from surrogates.splitting import split
from surrogates.training import TrainingConfig, TrainingDiverged

__all__ = [
    "Architecture",
    "ArchitectureChoice",
    "Block",
    "BaselineScore",
    "CorruptSurrogateError",
    "DataError",
    "Dataset",
    "DeepEnsemble",
    "LevelData",
    "LevelScore",
    "Memo",
    "Prediction",
    "ResponseCodec",
    "Search",
    "SearchError",
    "SearchResult",
    "Surrogate",
    "TrainingConfig",
    "TrainingDiverged",
    "TrainingReport",
    "TrialRecord",
    "fixed",
    "no_memo",
    "search",
    "split",
]
