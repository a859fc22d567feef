"""The strategies side by side, and what they cost."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from invdesign.figures.values import charged, check_cpu_seconds
from invdesign.report.facts import Row, compare
from invdesign.report.table import Table, fixed, show
from invdesign.result import Result
from invdesign.targets import Target

MOST_TARGETS = 3


def comparison_title(results: Sequence[Result]) -> str:
    """What the comparison is at."""
    comparison = compare(results)
    equal = comparison.cpu_seconds
    if comparison.limit:
        return f"Strategies at {comparison.limit} each"
    return "Strategies, each run to its end" if equal is None else f"Strategies at {equal:.4g} CPU seconds each"


def comparison_table(results: Sequence[Result]) -> Table:
    """The strategies at equal total CPU seconds; those that converged on the way have a line for that above."""
    comparison = compare(results)
    names = next((row.standings for row in comparison.rows if row.standings), ())[:MOST_TARGETS]
    scales = [t.scale if isinstance(t, Target) else "linear" for t in results[0].problem.targets][: len(names)]
    head = ("strategy", "targets", "distance", *(f"worst {s.name}" for s in names))
    columns = (*head, "CPU s used", "reference solves", "all solves", "verified designs")
    ranks = [row.best.rank if row.best else (np.inf, np.inf) for row in comparison.rows if not row.early]
    best = min(ranks) if ranks else None
    strong: set[int] = set()
    pale: set[int] = set()
    for place, row in enumerate(comparison.rows):
        if row.early:
            pale.add(place)
        elif not strong and row.best is not None and row.best.rank == best:
            strong.add(place)
    limit = f"had up to {comparison.limit}" if comparison.limit else "ran to its own end"
    if comparison.cpu_seconds is not None:
        limit = f"had up to {show(comparison.cpu_seconds)} CPU seconds in all"
    note = (
        f"Each {limit}. CPU seconds used count solves, gradients, training, search and verification; the last "
        f"verification is not cut off. {uncharged(results)}"
    )
    rows = tuple(_cells(row, scales) for row in comparison.rows)
    return Table(columns, rows, frozenset(range(2, len(columns))), frozenset(strong), frozenset(pale), note.strip())


def _cells(row: Row, scales: Sequence[str]) -> tuple[str, ...]:
    best = row.best
    worst = [fixed(s.worst, scale) for s, scale in zip(row.standings, scales, strict=False)] or ["–"] * len(scales)
    # With goals alone there is nothing to be met.
    met = "–" if all(s.met is None for s in row.standings) else "met"
    return (
        row.label,
        "none verified" if best is None else (met if best.distance == 0 else "not met"),
        "–" if best is None else show(best.distance),
        *worst,
        f"{row.cpu_seconds:.1f}",
        *("–" if count is None else str(count) for count in (row.reference_solves, row.solves)),
        str(row.verified),
    )


def uncharged(results: Sequence[Result]) -> str:
    """What is not in the CPU seconds used, in a sentence."""
    parts = []
    checks = [check_cpu_seconds(r) for r in results if check_cpu_seconds(r) > 0]
    if checks:
        low, high = f"{min(checks):.1f}", f"{max(checks):.1f}"
        each = low if low == high else f"{low} to {high}"
        parts.append(f"refined check of each best design {each} CPU s")
    setup = sum(r.costs.setup_cpu_seconds for r in results)
    if setup > 0:
        parts.append(f"solver set-up, shared, {setup:.1f} CPU s")
    return f"Not charged: {'; '.join(parts)}." if parts else ""


def costs_table(results: Sequence[Result]) -> Table:
    """CPU seconds by phase, a column a strategy; the refined check below the sum, for it is not charged."""
    totals: dict[str, float] = {}
    for result in results:
        for phase, cpu_seconds in result.costs.cpu_seconds_by_phase.items():
            totals[phase] = totals.get(phase, 0.0) + cpu_seconds
    totals.pop("check", None)
    rows = [
        (phase.replace("-", " ") if phase.startswith(("search", "surrogate")) else phase,
         *(f"{r.costs.cpu_seconds_by_phase.get(phase, 0.0):.2f}" for r in results))
        for phase in sorted(totals, key=lambda p: -totals[p])
    ]  # fmt: skip
    rows.append(("charged", *(f"{charged(r):.2f}" for r in results)))
    strong = frozenset({len(rows) - 1})
    if any(check_cpu_seconds(r) for r in results):
        rows.append(("refined check, not charged", *(f"{check_cpu_seconds(r):.2f}" for r in results)))
    columns = ("CPU seconds", *(r.strategy for r in results))
    pale = frozenset(range(max(strong) + 1, len(rows)))
    setup = sum(r.costs.setup_cpu_seconds for r in results)
    note = f"Solver set-up, shared and not charged: {setup:.1f} CPU s." if setup > 0 else ""
    return Table(columns, tuple(rows), frozenset(range(1, len(columns))), strong, pale, note)
