"""What figures and tables alike read from results: costs, notes, names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from invdesign.problem import Problem
from invdesign.records import Note
from invdesign.result import Result
from invdesign.targets import CustomTarget, Target

MODEL_NAMES = {"surrogate": "network", "low_fidelity": "low fidelity", "mean_gradient": "mean gradient"}
BASELINE_NAMES = {
    "mean": "mean of the training set",
    "mean_gradient": "mean gradient",
    "nearest": "nearest neighbour",
}

UNITS = {"um": " µm", "nm": " nm", "deg": "°", "k": " K", "ghz": " GHz", "thz": " THz"}


def unit_of(axis: str) -> str:
    """What stands behind a number on an axis: " µm" for `wavelength_um`, "°" for `angle_deg`, else nothing."""
    return UNITS.get(axis.rpartition("_")[2], "") if "_" in axis else ""


def charged(result: Result) -> float:
    """CPU seconds that count against the budget: all but the refined check, which is alike for all."""
    return result.costs.cpu_seconds - check_cpu_seconds(result)


def check_cpu_seconds(result: Result) -> float:
    """CPU seconds of the refined check."""
    return result.costs.cpu_seconds_by_phase.get("check", 0.0)


def has_bands(problem: Problem) -> bool:
    """Whether any target can be met, so that a distance says something."""
    return any(
        (isinstance(t, Target) and (t.lower is not None or t.upper is not None))
        or (isinstance(t, CustomTarget) and t.tolerance is not None)
        for t in problem.targets
    )


def number(content: Mapping[str, Any], key: str) -> float | None:
    """A finite number in a note, or None."""
    value = content.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not np.isfinite(value):
        return None
    return float(value)


def noted(result: Result, kind: str) -> list[Note]:
    """Notes of a kind, in their order."""
    return [note for note in result.notes if note.kind == kind]


def trainings(result: Result) -> list[Note]:
    """Notes on networks trained for the reference; on any level where none says it was the reference."""
    found = noted(result, "surrogate")
    return [note for note in found if note.content.get("level") == result.problem.reference.name] or found


def baselines(training: Mapping[str, Any], key: str) -> dict[str, float]:
    """What the trivial models reached where the network reached `key`, by name."""
    given = training.get("baselines")
    found = {}
    for name, values in (given if isinstance(given, Mapping) else {}).items():
        if isinstance(values, Mapping) and (value := number(values, key)) is not None:
            found[BASELINE_NAMES.get(str(name), str(name).replace("_", " "))] = value
    return found


def model_name(model: object) -> str:
    """What a model of the steps is called."""
    return MODEL_NAMES.get(str(model), str(model).replace("_", " "))


def gains(result: Result) -> list[tuple[str, float, float, bool, Note]]:
    """Steps that told what they predicted: (model, predicted, actual, accepted, note)."""
    found = []
    for note in noted(result, "step"):
        predicted, actual = number(note.content, "predicted"), number(note.content, "actual")
        if predicted is not None and actual is not None:
            accepted = bool(note.content.get("accepted", actual > 0))
            found.append((model_name(note.content.get("model", "model")), predicted, actual, accepted, note))
    return found


def cosines(results: Sequence[Result]) -> dict[str, list[float]]:
    """Cosines between each model's own gradient and the adjoint's, at the centres of all steps, by model."""
    found: dict[str, list[float]] = {}
    for result in results:
        for note in noted(result, "step"):
            given = note.content.get("cosines")
            if not isinstance(given, Mapping):
                continue
            for model in given:
                if (value := number(given, model)) is not None:
                    found.setdefault(model_name(model), []).append(value)
    return found
