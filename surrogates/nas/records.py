"""A search's trials as JSON, and as the records that a design loop shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from surrogates.architecture import Architecture
from surrogates.choice import TrialRecord
from surrogates.nas.lab import Trial
from surrogates.training import TrainingConfig


def told(trial: Trial) -> dict[str, Any]:
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


def trial_of(told: dict[str, Any]) -> Trial:
    """The inverse of ``told``."""
    error = np.inf if told["error"] is None else told["error"]
    rest = {"architecture": Architecture.from_json(told["architecture"]), "error": error}
    return Trial(**{**told, **rest, "curve": np.array(told["curve"], dtype=np.float64)})


def records(trials: Sequence[Trial], config: TrainingConfig, level: int, rungs: int) -> tuple[TrialRecord, ...]:
    """One a network: its highest rung, with the CPU seconds of all its trials."""
    by_network: dict[Architecture, list[Trial]] = {}
    for trial in trials:
        by_network.setdefault(trial.architecture, []).append(trial)
    records = []
    for number, own in enumerate(by_network.values()):
        highest = max(own, key=lambda trial: (trial.rung, -trial.error))
        total = sum(trial.cpu_seconds for trial in own)
        records.append(replace(record(number, highest, config, level, rungs), cpu_seconds=total))
    return tuple(records)


def record(number: int, trial: Trial, config: TrainingConfig, level: int, rungs: int) -> TrialRecord:
    """Of one trial on a ladder of so many rungs, its curve at a level; complete if at the last rung."""
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
