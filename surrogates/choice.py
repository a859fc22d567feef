"""How an architecture is chosen: the contract, its records, and the choice that is no search."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from surrogates.architecture import Architecture
from surrogates.data import Dataset
from surrogates.ensemble import DeepEnsemble
from surrogates.families import baseline
from surrogates.memo import Memo, no_memo
from surrogates.training import TrainingConfig

if TYPE_CHECKING:
    from surrogates.nas.fidelity import RungReport


class SearchError(RuntimeError):
    """No trial gave a usable network."""


@dataclass(frozen=True, eq=False)
class TrialRecord:
    """One trial.

    Args:
        number: from 0.
        architecture, config: what was trained.
        state: ``complete``, ``pruned`` or ``failed``.
        curve: ``epochs x 4``: level, monitored value, value error, gradient cosine on the held-out groups.
        value: the best monitored value at the reference, lower is better; ``nan`` unless complete.
        cpu_seconds: of its training, as first run.
        latency_ms: CPU time of one design's gradient; ``nan`` unless complete.
        error: why it failed, or empty.
    """

    number: int
    architecture: Architecture
    config: TrainingConfig
    state: str
    curve: NDArray[np.float64]
    value: float
    cpu_seconds: float
    latency_ms: float
    error: str


@dataclass(frozen=True, eq=False)
class SearchResult:
    """The winner, ready to be trained in full, all trials, and the rungs of fidelity where these were measured."""

    architecture: Architecture
    config: TrainingConfig
    trials: tuple[TrialRecord, ...] = ()
    cpu_seconds: float = 0.0
    rungs: tuple[RungReport, ...] = ()


Progress = Callable[[TrialRecord], None]


class ArchitectureChoice(Protocol):
    """What ``search`` and ``fixed`` give: a way to an unfitted ensemble."""

    def choose(
        self,
        data: Dataset,
        *,
        seed: int,
        memo: Memo = no_memo,
        journal_path: Path | None = None,
        progress: Progress | None = None,
    ) -> SearchResult: ...
    def ensemble(self, result: SearchResult) -> DeepEnsemble: ...


@dataclass(frozen=True)
class Fixed:
    """One architecture, no search. Made by ``fixed``."""

    architecture: Architecture
    config: TrainingConfig
    members: int

    def choose(
        self,
        data: Dataset,
        *,
        seed: int,
        memo: Memo = no_memo,
        journal_path: Path | None = None,
        progress: Progress | None = None,
    ) -> SearchResult:
        """The given architecture, at no cost."""
        return SearchResult(self.architecture, self.config)

    def ensemble(self, result: SearchResult) -> DeepEnsemble:
        """An unfitted ensemble of the result."""
        return DeepEnsemble(result.architecture, self.members, result.config)


def fixed(architecture: Architecture | None = None, *, members: int = 4, config: TrainingConfig | None = None) -> Fixed:
    """No search: that architecture (the mlp baseline if left out), with the interface of ``search``."""
    if architecture is not None and not isinstance(architecture, Architecture):
        raise TypeError(f"Expected an Architecture, e.g. families.baseline('mlp'). Got {architecture!r}.")
    return Fixed(architecture or baseline("mlp"), config or TrainingConfig(), members)
