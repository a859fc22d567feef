"""Tables and lines that the command line prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rich.table import Table

from invdesign.report.facts import Comparison, Row, overall_best, stand
from invdesign.result import Result
from physics.base import Array


def short(value: float) -> str:
    """A number as tables show it."""
    return "–" if not np.isfinite(value) else f"{value:.4g}"


def verdict(distance: float) -> str:
    """What a distance says."""
    return "met" if distance == 0 else "not met"


def comparison_table(comparison: Comparison) -> Table:
    """The strategies side by side."""
    equal = comparison.cpu_seconds
    title = "Strategies, each run to its end" if equal is None else f"Strategies at {equal:.4g} CPU seconds each"
    table = Table(title=title, title_justify="left")
    table.add_column("strategy", style="bold")
    table.add_column("targets")
    table.add_column("distance", justify="right")
    names = next((row.standings for row in comparison.rows if row.standings), ())
    for standing in names:
        table.add_column(f"worst {standing.name}", justify="right")
    for heading in ("CPU s used", "reference solves", "all solves", "verified"):
        table.add_column(heading, justify="right")
    for row in comparison.rows:
        table.add_row(*_cells(row, len(names)))
    return table


def _cells(row: Row, worst: int) -> list[str]:
    name = row.strategy if row.ended else f"{row.strategy} (unfinished)"
    best = row.best
    judged = ["nothing verified", "–"] if best is None else [verdict(best.distance), short(best.distance)]
    values = [short(s.worst) for s in row.standings] or ["–"] * worst
    costs = [f"{row.cpu_seconds:.1f}", str(row.reference_solves), str(row.solves), str(row.verified)]
    return [name, *judged, *values, *costs]


def best_line(results: Sequence[Result]) -> str:
    """The verified best in a sentence."""
    result = overall_best(results)
    if result is None or result.best is None:
        return "No design could be verified."
    best = result.best
    state = "meets all targets" if best.distance == 0 else f"misses its targets by {short(best.distance)}"
    values = "; ".join(f"{s.name}: worst {short(s.worst)}" for s in stand(result.problem, best.responses))
    text = f"Verified best: {result.strategy} {state} at {result.problem.reference.name} ({values})."
    check = result.check
    if check is None:
        return text
    word = "converged" if check.converged else "NOT converged"
    return f"{text} On {check.fidelity} the response moves by {short(check.drift)} at most: {word}."


def runs_table(runs: Sequence[Mapping[str, Any]]) -> Table:
    """What a store says of its runs, in the form of `plain_run`."""
    table = Table(title="Runs in the store", title_justify="left")
    table.add_column("strategy", style="bold")
    table.add_column("state")
    table.add_column("targets")
    for heading in ("distance", "loss", "CPU s", "reference solves", "drift"):
        table.add_column(heading, justify="right")
    for run in runs:
        best, check = run["best"], run["check"]
        table.add_row(
            run["strategy"],
            "ended" if run["ended"] else "unfinished",
            "nothing verified" if best is None else verdict(best["distance"]),
            "–" if best is None else short(best["distance"]),
            "–" if best is None else short(best["loss"]),
            f"{run['cpu_seconds']:.1f}",
            "–" if run["reference_solves"] is None else str(run["reference_solves"]),
            "–" if check is None else short(check["drift"]),
        )
    return table


def plain_run(entry: Mapping[str, Any], *, design: bool) -> dict[str, Any]:
    """One entry of `Store.runs` as JSON-able values."""
    best, ending = entry["best"], entry["ending"]
    found: dict[str, Any] = {
        "strategy": entry["name"],
        "run": entry["run"],
        "seed": entry["provenance"].get("seed"),
        "ended": ending is not None,
        "cpu_seconds": entry["cpu_seconds"] if ending is None else ending["cpu_seconds"],
        "reference_solves": None if ending is None else ending["reference_solves"],
        "solves": None if ending is None else ending["solves"],
        "check": None if ending is None else ending["check"],
        "best": None,
    }
    if best is not None:
        found["best"] = {
            "label": best["label"],
            "distance": best["distance"],
            "loss": best["loss"],
            "met": best["distance"] == 0,
            "cpu_seconds": best["cpu_seconds"],
            "reference_solves": best["reference_solves"],
            "response": {name: plain_array(array) for name, array in best["responses"].items()},
        }
        if design:
            found["best"]["design"] = None if best["design"] is None else best["design"].tolist()
    return found


def plain_array(array: Array) -> Any:
    """Nested lists; a complex array as its real and imaginary parts."""
    values = np.asarray(array)
    if np.iscomplexobj(values):
        return {"real": values.real.tolist(), "imag": values.imag.tolist()}
    return values.tolist()
