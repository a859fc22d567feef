"""What a report states in words and numbers, worked out from results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from invdesign.budget import Budget
from invdesign.figures.values import charged, unit_of
from invdesign.problem import Problem
from invdesign.records import Candidate
from invdesign.result import Result
from invdesign.targets import AnyTarget, CustomTarget, Target
from physics.base import Fidelity, Response

# A strategy that converges only at this share of what it spent has no line for its convergence.
WHOLE = 0.98


@dataclass(frozen=True)
class Standing:
    """One target and where a design stands with it, over all cases.

    Args:
        name: quantity and place.
        wanted: the band or goal in words.
        worst: the value nearest to, or farthest beyond, an edge.
        met: None for a mere goal.
    """

    name: str
    wanted: str
    worst: float
    met: bool | None


@dataclass(frozen=True)
class Row:
    """A strategy's line in the comparison: where it stood after so much.

    Args:
        label: name of the strategy, and at which of two stages where it has two lines.
        best: its best verified design then.
        standings: of that design.
        cpu_seconds: charged by then; the refined check is not among them.
        reference_solves, solves: by then; None where that was not counted.
        verified: designs verified by then.
        early: whether this is the line of its convergence, above that of its whole budget.
    """

    label: str
    best: Candidate | None
    standings: tuple[Standing, ...]
    cpu_seconds: float
    reference_solves: int | None
    solves: int | None
    verified: int
    early: bool = False


@dataclass(frozen=True)
class Comparison:
    """All strategies after the same CPU seconds, or each at the end of its budget.

    Args:
        cpu_seconds: that all are compared at; None where each is taken at its own end.
        rows: a line a strategy, or two.
        limit: the budget of each in words, where it is one of reference solves and the same for all.
    """

    cpu_seconds: float | None
    rows: tuple[Row, ...]
    limit: str = ""


def ended(result: Result) -> bool:
    """False where the result was replayed from a run that is not finished."""
    return bool(result.provenance.get("ended", True))


def overall_best(results: Sequence[Result]) -> Result | None:
    """The result with the best verified design."""
    having = [(r.best.rank, r) for r in results if r.best is not None]
    return min(having, key=lambda pair: pair[0])[1] if having else None


def compare(results: Sequence[Result]) -> Comparison:
    """The strategies at equal total CPU seconds, and those that converge on the way also at their convergence.

    Where all had one budget of reference solves alone, they are compared at that: it is what was asked to be equal.
    A strategy that ended by itself is given all the time the others had. Where all had the same CPU budget and used it
    up, each counts with its last verified design, which the evaluator meters but does not cut off.
    """
    cut = [r for r in results if not ended(r) or any(note.kind == "budget spent" for note in r.notes)]
    common = {r.budget.cpu_seconds for r in results}
    budget = next(iter(common)) if len(common) == 1 else None
    if budget is not None and all(charged(r) >= budget for r in cut):
        return Comparison(budget, tuple(row for r in results for row in _rows(r, None)))
    asked = {r.budget for r in results}
    most = results[0].budget.reference_solves if results else None
    if most is not None and asked == {Budget(reference_solves=most)}:
        whole = tuple(row for r in results for row in _rows(r, None))
        return Comparison(None, whole, f"{most} reference solves")
    if not cut:
        return Comparison(None, tuple(row for r in results for row in _rows(r, None)))
    equal = min(charged(r) for r in cut)
    return Comparison(equal, tuple(row for r in results for row in _rows(r, equal)))


def _rows(result: Result, equal: float | None) -> list[Row]:
    best = result.best if equal is None else result.best_within(equal)
    costs, early = result.costs, _at_convergence(result, equal)
    label = result.strategy if ended(result) else f"{result.strategy} (unfinished)"
    if early is not None:
        label += ", full budget" if equal is None else f", at {equal:.4g} CPU s"
    whole = Row(
        label,
        best,
        _standings(result, best),
        charged(result),
        costs.reference_solves,
        costs.solves,
        len(result.candidates),
    )
    return [whole] if early is None else [early, whole]


def _at_convergence(result: Result, equal: float | None) -> Row | None:
    """The line of a strategy's first convergence; None where there was none, or nothing to speak of after it."""
    note = next((note for note in result.notes if note.kind == "converged"), None)
    end = charged(result) if equal is None else min(equal, charged(result))
    if note is None or note.cpu_seconds > WHOLE * end:
        return None
    best = result.best_within(note.cpu_seconds)
    if best is None:
        return None
    by_then = [c for c in result.candidates if c.cpu_seconds <= note.cpu_seconds]
    solves = max(c.reference_solves for c in by_then)
    label = f"{result.strategy}, at its convergence"
    return Row(label, best, _standings(result, best), note.cpu_seconds, solves, None, len(by_then), early=True)


def _standings(result: Result, best: Candidate | None) -> tuple[Standing, ...]:
    return () if best is None else tuple(stand(result.problem, best.responses))


def stand(problem: Problem, responses: Mapping[str, Response]) -> list[Standing]:
    """Where a design stands with each target, given the responses of its cases at the reference."""
    given = list(responses.values())
    short = [_standing(target, problem.reference, given, brief=True) for target in problem.targets]
    if len({standing.name for standing in short}) == len(short):
        return short
    return [_standing(target, problem.reference, given, brief=False) for target in problem.targets]


def _standing(target: AnyTarget, fidelity: Fidelity, responses: Sequence[Response], *, brief: bool) -> Standing:
    tensors = [{k: torch.as_tensor(np.array(v)) for k, v in response.items()} for response in responses]
    if isinstance(target, Target):
        values = np.stack([target.values(t, fidelity).numpy() for t in tensors])
        edges = [e is not None for e in (target.lower, target.upper)]
        met = None if not any(edges) else all(float(target.distance(t, fidelity)) == 0 for t in tensors)
        names, region = place_of(target, fidelity)
        limits = wanted(target, fidelity)
        where = f" {'over' if '–' in region else 'at'} {region}" if region else ""
        name, text = (names, limits + where) if brief else (names + where, limits)
        return Standing(name, text, _worst(target, values), met)
    losses = [float(target.loss(t, fidelity)) for t in tensors]
    tolerance = target.tolerance if isinstance(target, CustomTarget) else None
    name = getattr(getattr(target, "function", target), "__name__", type(target).__name__)
    text = "as small as can be" if tolerance is None else f"≤ {tolerance:g}"
    return Standing(f"custom loss {name}", text, max(losses), None if tolerance is None else max(losses) <= tolerance)


def _worst(target: Target, values: NDArray[np.float64]) -> float:
    excess = np.full(values.shape, -np.inf)
    if target.lower is not None:
        excess = np.maximum(excess, target.lower - values)
    if target.upper is not None:
        excess = np.maximum(excess, values - target.upper)
    if target.lower is None and target.upper is None:
        excess = -values if target.goal == "maximize" else values
    return float(values.ravel()[int(np.argmax(excess))])


def place_of(target: Target, fidelity: Fidelity) -> tuple[str, str]:
    """Quantity with its named places, and its region on axes of numbers: "transmission out", "1.53–1.57 µm"."""
    quantity = fidelity.quantity(target.quantity)
    names, regions = [], []
    for (axis, values), index in zip(quantity.coords.items(), target.indices(quantity), strict=True):
        chosen = [values[i] for i in index]
        if not all(isinstance(v, (int, float)) for v in chosen):
            names.append("/".join(map(str, chosen)))
            continue
        unit = unit_of(axis)
        span = f"{min(chosen):g}–{max(chosen):g}" if len(chosen) > 2 else ", ".join(f"{v:g}" for v in chosen)
        regions.append(span + unit)
    name = f"|{target.quantity}|" if quantity.dtype is complex else target.quantity
    return " ".join([name, *names]), ", ".join(regions)


def wanted(target: Target, fidelity: Fidelity) -> str:
    """The band and goal of a target: "≥ 0.95"."""
    unit = fidelity.quantity(target.quantity).unit
    suffix = " dB" if target.scale == "db" else ("" if unit == "1" else f" {unit}")
    low, high = (None if e is None else _span(np.asarray(e)) for e in (target.lower, target.upper))
    words = []
    if low is not None and high is not None:
        words.append(f"between {low} and {high}{suffix}")
    elif low is not None:
        words.append(f"≥ {low}{suffix}")
    elif high is not None:
        words.append(f"≤ {high}{suffix}")
    if target.goal is not None:
        words.append(f"{target.goal}d" if not words else target.goal)
    return ", ".join(words)


def _span(edge: NDArray[np.float64]) -> str:
    low, high = float(edge.min()), float(edge.max())
    return f"{low:g}" if low == high else f"({low:g} … {high:g})"


def versions(provenance: Mapping[str, Any]) -> str:
    """Package versions in a line, those that are installed."""
    found = provenance.get("versions", {})
    return ", ".join(f"{name} {number}" for name, number in found.items() if number != "not installed")
