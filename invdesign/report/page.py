"""What the page's template is given, section by section; empty sections are left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from invdesign.figures.response import curves
from invdesign.figures.search import trials_of
from invdesign.figures.values import number, unit_of
from invdesign.manufacture import FeatureCheck
from invdesign.report.facts import Standing, ended, overall_best, stand, versions
from invdesign.report.table import Table, fixed, show
from invdesign.result import DRIFT_TOLERANCE, Result, solver_words
from invdesign.targets import Target


@dataclass(frozen=True)
class Headline:
    """The answer in a line, its state ("good", "fair" or "poor"), sentences below, and key figures."""

    title: str
    state: str
    sentences: tuple[str, ...]
    figures: tuple[tuple[str, str, str], ...] = field(default=())


def headline(results: Sequence[Result]) -> Headline:
    """What a reader should know who reads nothing else."""
    result = overall_best(results)
    if result is None or result.best is None:
        return Headline("No design could be verified", "poor", ("Every solve failed, or the budget ended too early.",))
    best, check, problem = result.best, result.check, result.problem
    confirmed = check is not None and check.converged and check.distance == 0
    standings = stand(problem, best.responses)
    if all(s.met is None for s in standings):
        title, state = "Best verified design", "fair"
    elif best.distance > 0:
        title, state = f"Target not met: missed by {show(best.distance, 3)}", "poor"
    elif confirmed or check is None:
        title, state = "Target met", "good" if confirmed else "fair"
    else:
        title, state = "Target met, but not confirmed by the refined check", "fair"
    grey = bool(np.any((best.design > 0) & (best.design < 1)))
    how = "as it stands, grey pixels included (the GDSII file cuts them at 1/2)" if grey else "as it would be made"
    cases = f", in {len(best.responses)} cases" if len(best.responses) > 1 else ""
    sentences = [
        f"Found by “{result.strategy}” and verified at {solver_words(result, problem.reference.name)} {how}{cases}."
    ]
    if check is not None:
        verdict = "converged" if check.converged else f"not converged, more than {DRIFT_TOLERANCE:g}"
        there = f"; it misses by {show(check.distance, 3)} there" if check.distance > 0 else ""
        if check.distance == 0 and any(s.met is not None for s in standings):
            there = "; all targets are met there too"
        where = solver_words(result, check.fidelity)
        sentences.append(
            f"On the stricter solver {where} the response moves by at most {show(check.drift, 2)} ({verdict}){there}."
        )
    else:
        sentences.append("The result was not checked on a stricter solver.")
    unfinished = [r.strategy for r in results if not ended(r)]
    if unfinished:
        sentences.append(f"Not finished yet: {', '.join(unfinished)}.")
    return Headline(title, state, tuple(sentences), tuple(_key_figures(result, standings)))


def _key_figures(result: Result, standings: Sequence[Standing]) -> list[tuple[str, str, str]]:
    scales = [t.scale if isinstance(t, Target) else "linear" for t in result.problem.targets]
    figures = [
        (f"worst {s.name}", fixed(s.worst, scale), f"wanted {s.wanted}")
        for s, scale in list(zip(standings, scales, strict=True))[:3]
    ]
    if result.check is not None:
        figures.append(("drift on refinement", show(result.check.drift, 2), result.check.fidelity))
    figures += [
        (f"smallest {check.kind}", f"{1000 * check.measured_um:.0f} nm", feature_words(check))
        for check in result.features
        if check.measured_um is not None
    ]
    return figures


def feature_words(check: FeatureCheck) -> str:
    """What was asked of a width or spacing, by which means, and whether the measurement agrees."""
    words = []
    if check.constrained_um is not None:
        state = "" if check.constraint is None else (", met" if check.constraint <= 0 else ", not met")
        words.append(f"constrained to {1000 * check.constrained_um:.0f} nm{state}")
    if check.repaired_um is not None:
        words.append(f"repaired to {1000 * check.repaired_um:.0f} nm")
    if not words:
        return "measured; none asked for"
    return f"measured, {'as wanted' if check.met else 'less than wanted'}; {', '.join(words)}"


def response_table(result: Result | None) -> Table | None:
    """The best design's values, coordinate by coordinate, beside what is wanted, the corners and the refined check.

    With corners a row is met where it is met in every case; its worst corner is the one nearest to, or farthest
    beyond, an edge.
    """
    if result is None or result.best is None:
        return None
    rows = []
    corners = [response for case, response in result.best.responses.items() if case != "nominal"]
    for curve in curves(result.problem)[:12]:
        values = curve.values(result.problem, result.best.response)
        elsewhere = [curve.values(result.problem, response) for response in corners]
        refined = None
        if result.check is not None and curve.fits(result.problem, result.check.response):
            refined = curve.values(result.problem, result.check.response)
        unit = unit_of(curve.axis)
        for nth, index in enumerate(curve.chosen):
            low, high = (None if e is None else float(e[nth]) for e in (curve.lower, curve.upper))
            cases = [float(case[index]) for case in (values, *elsewhere)]
            inside = (low is None or min(cases) >= low) and (high is None or max(cases) <= high)
            met = "–" if low is None and high is None else ("met" if inside else "missed")
            limits = " and ".join(f"{sign} {edge:g}" for sign, edge in (("≥", low), ("≤", high)) if edge is not None)
            rows.append(
                (
                    curve.title,
                    curve.labels[index] if curve.labels else f"{curve.x[index]:g}{unit}",
                    limits or str(curve.target.goal),
                    fixed(cases[0], curve.target.scale),
                    *([fixed(_worst(cases[1:], low, high, curve.target.goal), curve.target.scale)] if corners else []),
                    "–" if refined is None else fixed(float(refined[index]), curve.target.scale),
                    met,
                )
            )
    columns = ("quantity", "at", "wanted", "verified", *(["worst corner"] if corners else []), "refined check", "")
    return Table(columns, tuple(rows), frozenset(range(3, len(columns) - 1))) if rows else None


def _worst(values: Sequence[float], low: float | None, high: float | None, goal: str | None) -> float:
    """The value nearest to, or farthest beyond, an edge; without edges the worst by the goal."""
    if low is None and high is None:
        return min(values) if goal == "maximize" else max(values)
    below, above = (-np.inf if low is None else low), (np.inf if high is None else high)
    return min(values, key=lambda value: min(value - below, above - value))


def training_table(results: Sequence[Result]) -> Table | None:
    """One row a training of a network."""
    keys = (
        "samples",
        "gradients",
        "value_error",
        "r2",
        "gradient_cosine",
        "coverage_90",
        "interval_width",
        "cpu_seconds",
    )
    rows = []
    for result in results:
        for content in result.noted("surrogate"):
            values = [show(number(content, key), 3) for key in keys]
            rows.append((result.strategy, str(content.get("level", "–")), *values))
    columns = (
        "strategy", "level", "samples", "gradients", "value error", "R²", "gradient cosine", "90 % interval covers",
        "interval width", "CPU s",
    )  # fmt: skip
    return Table(columns, tuple(rows), frozenset(range(2, len(columns)))) if rows else None


def trials_table(results: Sequence[Result], most: int = 12) -> Table | None:
    """The best trials of the searches."""
    rows: list[tuple[str, ...]] = []
    strong: set[int] = set()
    for result in results:
        for search in result.noted("search"):
            trials = trials_of(search)
            ordered = sorted(trials, key=lambda t: (t.get("state") != "complete", _finite(t)))
            for trial in ordered[:most]:
                if trial.get("number") is not None and trial.get("number") == search.get("best"):
                    strong.add(len(rows))
                cells = [str(trial.get(key, "–")) for key in ("number", "family", "describe")]
                counted = trial.get("parameters")
                rows.append(
                    (
                        *cells,
                        f"{counted:,}" if isinstance(counted, int) else "–",
                        str(trial.get("state", "–")),
                        show(number(trial, "value")),
                        show(number(trial, "cpu_seconds"), 3),
                    )
                )
    columns = ("trial", "family", "architecture", "parameters", "state", "error", "CPU s")
    return Table(columns, tuple(rows), frozenset({0, 3, 5, 6}), frozenset(strong)) if rows else None


def rungs_table(results: Sequence[Result]) -> Table | None:
    """What the pilots of searches measured of each rung of fidelity; those on the ladder are strong."""
    rows: list[tuple[str, ...]] = []
    strong: set[int] = set()
    for result in results:
        for search in result.noted("search"):
            reports = search.get("rungs")
            for report in reports if isinstance(reports, (list, tuple)) else ():
                if not isinstance(report, Mapping):
                    continue
                if report.get("admitted"):
                    strong.add(len(rows))
                interval = report.get("interval")
                ends = [show(float(end), 2) for end in interval] if isinstance(interval, (list, tuple)) else []
                correlation, seconds = number(report, "correlation"), number(report, "cpu_seconds")
                per_second = correlation / seconds if correlation is not None and seconds else None
                rows.append(
                    (
                        result.strategy,
                        str(report.get("rung", "–")),
                        str(report.get("networks", "–")),
                        show(seconds, 3),
                        show(correlation, 2),
                        " to ".join(ends) or "–",
                        show(per_second, 3),
                        "yes" if report.get("admitted") else "no",
                    )
                )
    columns = (
        "strategy", "rung", "networks", "CPU s a network", "rank correlation", "90 % interval", "per CPU s", "admitted",
    )  # fmt: skip
    note = (
        "Epochs (e), share of the samples (s), level (l) and resolution (r); ranked against the last with other seeds."
    )
    return Table(columns, tuple(rows), frozenset(range(2, 7)), frozenset(strong), note=note) if rows else None


def _finite(trial: Any) -> float:
    value = number(trial, "value")
    return np.inf if value is None else value


def gains_table(results: Sequence[Result], most: int = 12) -> Table | None:
    """Small dictionaries of numbers that strategies leave under "gain"."""
    notes = [content for result in results for content in result.noted("gain") if content]
    keys = list(dict.fromkeys(str(k) for content in notes for k in content))
    if not keys:
        return None
    shown = notes[-most:]
    rows = [tuple(_cell(content.get(key)) for key in keys) for content in shown]
    note = f"The last {most} of {len(notes)}." if len(notes) > most else ""
    return Table(tuple(k.replace("_", " ") for k in keys), tuple(rows), frozenset(range(len(keys))), note=note)


def _cell(value: Any) -> str:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return show(float(value))
    return "–" if value is None else str(value)


def provenance_table(results: Sequence[Result]) -> Table:
    """Where the numbers come from."""
    first = results[0]
    facts = first.provenance
    simulator = first.problem.simulator
    rows = [
        ("versions", versions(facts)),
        ("Python", str(facts.get("python", "–"))),
        ("machine", f"{facts.get('system', '')} {facts.get('machine', '')}".strip()),
        ("simulator", f"{type(simulator).__name__}, identity {simulator.identity}"),
        ("fidelities", ", ".join(f"{f.name} (cost {f.cost:.3g})" for f in simulator.fidelities)),
    ]
    rows += [(f"solver at {name}", words) for name, words in facts.get("solvers", {}).items()]
    if facts.get("store"):
        rows.append(("store", str(facts["store"])))
    for result in results:
        rows.append((f"run “{result.strategy}”", f"{result.run}, seed {result.seed}"))
    return Table(("", ""), tuple(rows))
