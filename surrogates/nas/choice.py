"""Any method of architecture search as the way a design loop chooses its surrogate."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from surrogates.architecture import Architecture
from surrogates.choice import Progress, SearchError, SearchResult, TrialRecord
from surrogates.data import Dataset
from surrogates.ensemble import HELD_OUT, DeepEnsemble
from surrogates.memo import Memo, Payload, no_memo
from surrogates.nas.cache import TrialCache
from surrogates.nas.lab import Method, Rung, Trial, search_with
from surrogates.nas.live import LiveLab, Task
from surrogates.nas.space import ArchitectureSpace
from surrogates.splitting import split
from surrogates.training import TrainingConfig

RUNGS = (Rung(3), Rung(9), Rung(27))


@dataclass(frozen=True)
class ByMethod:
    """An ``ArchitectureChoice``. Made by ``by_method``.

    Args:
        method: proposes networks.
        space: of the networks.
        rungs: at which they are tried, on the reference's samples unless a rung says otherwise.
        budget_cpu_seconds: of the search.
        members: of the ensemble trained in the end.
        config: of that ensemble and, but for epochs and patience, of the trials.
        held_out: share of the samples, by groups, to judge on.
    """

    method: Method
    space: ArchitectureSpace
    rungs: tuple[Rung, ...]
    budget_cpu_seconds: float
    members: int
    config: TrainingConfig
    held_out: float

    def choose(
        self,
        data: Dataset,
        *,
        seed: int,
        memo: Memo = no_memo,
        journal_path: Path | None = None,
        progress: Progress | None = None,
    ) -> SearchResult:
        """Runs the method.

        After a kill, run it again: a finished search comes from the memo, and trials finished before the kill from the
        folder beside the journal, charged as when they were trained.

        Args:
            data: the split into training and held-out groups is made here, with ``seed``.
            seed: of the split, the method and every network.
            memo: the whole search goes through it, under the kind ``architecture-search``.
            journal_path: where trials are kept: in a folder of this name with ``.trials`` for its suffix.
            progress: called after each trial that was trained.

        Raises:
            SearchError: no network could be trained.
        """
        train, rest = split(data, self.held_out, seed)
        config = replace(self.config, epochs=max(rung.epochs for rung in self.rungs), patience=0)
        task = Task(train, rest.levels[data.reference], config, self.rungs)
        genes = {**self.space.genes, "one_width": self.space.one_width, "cap": repr(self.space.cap)}
        inputs = {
            "method": f"{type(self.method).__module__}: {self.method!r}",
            "genes": json.loads(json.dumps(genes)),
            "rungs": [rung.key for rung in self.rungs],
            "budget_cpu_seconds": self.budget_cpu_seconds,
            "config": config.to_json(),
            "made_by": config.made_by(),
            "train": train.key,
            "held_out": task.held_out.key,
            "seed": seed,
        }

        def compute() -> Payload:
            folder = journal_path.with_suffix(".trials") if journal_path is not None else None
            numbers: dict[Architecture, int] = {}

            def watch(trial: Trial) -> None:
                if progress is not None:
                    number = numbers.setdefault(trial.architecture, len(numbers))
                    progress(_record(number, trial, config, data.reference, len(self.rungs)))

            lab = LiveLab(self.space, task, self.budget_cpu_seconds, TrialCache(folder), watch=watch)
            try:
                found = search_with(self.method, lab, seed)
            except ValueError as error:
                raise SearchError(f"Expected {self.method.name} to find a network. {error}") from error
            told = {
                "best": found.best.to_json(),
                "learning_rate": found.learning_rate,
                "trials": [_told(trial) for trial in found.trials],
            }
            text = np.frombuffer(json.dumps(told).encode(), dtype=np.uint8)
            return {"told": text, "cpu_seconds": np.array(found.spent)}

        payload = memo("architecture-search", inputs, compute)
        told = json.loads(payload["told"].tobytes())
        rate = told["learning_rate"] or self.config.learning_rate
        records = _records([_trial(one) for one in told["trials"]], config, data.reference, len(self.rungs))
        return SearchResult(
            Architecture.from_json(told["best"]),
            replace(self.config, learning_rate=rate),
            records,
            float(payload["cpu_seconds"]),
        )

    def ensemble(self, result: SearchResult) -> DeepEnsemble:
        """An unfitted ensemble of the result."""
        return DeepEnsemble(result.architecture, self.members, result.config, self.held_out)


def by_method(
    method: Method,
    *,
    space: ArchitectureSpace | None = None,
    rungs: Sequence[Rung] = RUNGS,
    budget_cpu_seconds: float = 60.0,
    members: int = 4,
    config: TrainingConfig | None = None,
    held_out: float = HELD_OUT,
) -> ByMethod:
    """A search by any method of ``surrogates.nas.methods``, for strategies that take ``search(...)``.

    Args:
        method: e.g. ``GaussianProcess()``; see docs/search.md for which.
        space: of the networks; ``ArchitectureSpace()`` if left out.
        rungs: at which networks are tried.
        budget_cpu_seconds: of the search; a training that has begun is not cut off.
        members: of the ensemble trained in the end.
        config: of that ensemble; ``monitor`` says what the search minimises.
        held_out: share of the samples, by groups, to judge on.

    Raises:
        TypeError: for what is no method.
        ValueError: for a budget that is not above 0, or no rung.
    """
    if not callable(method) or not hasattr(method, "name"):
        raise TypeError(f"Expected a method of surrogates.nas.methods, e.g. GaussianProcess(). Got {method!r}.")
    if not budget_cpu_seconds > 0 or not rungs:
        raise ValueError(f"Expected a budget above 0 CPU s and a rung at least. Got {budget_cpu_seconds} and {rungs}.")
    return ByMethod(
        method, space or ArchitectureSpace(), tuple(rungs), budget_cpu_seconds, members, config or TrainingConfig(),
        held_out,
    )  # fmt: skip


def _told(trial: Trial) -> dict[str, Any]:
    """As JSON; a diverged trial's error is None."""
    return {
        "architecture": trial.architecture.to_json(),
        "rung": trial.rung,
        "seed": trial.seed,
        "error": trial.error if np.isfinite(trial.error) else None,
        "measures": {name: value for name, value in trial.measures.items() if np.isfinite(value)},
        "curve": [value if np.isfinite(value) else None for value in trial.curve.tolist()],
        "cpu_seconds": trial.cpu_seconds,
        "spent": trial.spent,
    }


def _trial(told: dict[str, Any]) -> Trial:
    """The inverse of ``_told``."""
    error = np.inf if told["error"] is None else told["error"]
    rest = {"architecture": Architecture.from_json(told["architecture"]), "error": error}
    return Trial(**{**told, **rest, "curve": np.array(told["curve"], dtype=np.float64)})


def _records(trials: Sequence[Trial], config: TrainingConfig, level: int, rungs: int) -> tuple[TrialRecord, ...]:
    """One a network: its highest rung, with the CPU seconds of all its trials."""
    by_network: dict[Architecture, list[Trial]] = {}
    for trial in trials:
        by_network.setdefault(trial.architecture, []).append(trial)
    records = []
    for number, own in enumerate(by_network.values()):
        highest = max(own, key=lambda trial: (trial.rung, -trial.error))
        total = sum(trial.cpu_seconds for trial in own)
        records.append(replace(_record(number, highest, config, level, rungs), cpu_seconds=total))
    return tuple(records)


def _record(number: int, trial: Trial, config: TrainingConfig, level: int, rungs: int) -> TrialRecord:
    diverged = not np.isfinite(trial.error)
    complete = not diverged and trial.rung == rungs - 1
    rate = trial.measures.get("learning_rate", config.learning_rate)
    unknown = np.full(len(trial.curve), np.nan)
    return TrialRecord(
        number=number,
        architecture=trial.architecture,
        config=replace(config, learning_rate=rate),
        state="failed" if diverged else "complete" if complete else "pruned",
        curve=np.stack([np.full(len(trial.curve), float(level)), trial.curve, unknown, unknown], axis=1),
        value=trial.error if complete else float("nan"),
        cpu_seconds=trial.cpu_seconds,
        latency_ms=trial.measures.get("latency_ms", float("nan")) if complete else float("nan"),
        error="training diverged" if diverged else "",
    )
