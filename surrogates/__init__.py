"""Neural stand-ins for solvers: several fidelities, adjoint gradients, calibrated spread, architecture search."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from surrogates.regressor import Regressor

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
    "Regressor",
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


def __getattr__(name: str) -> Any:
    """``Regressor`` on first use: scikit-learn takes a second to import, and only it needs that."""
    if name == "Regressor":
        from surrogates.regressor import Regressor

        return Regressor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
