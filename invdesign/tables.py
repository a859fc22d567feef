"""Tables and lines that the command line prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rich.console import Console, JustifyMethod
from rich.markup import escape
from rich.table import Table

from invdesign.report import table as report
from invdesign.report.comparison import comparison_table, comparison_title
from invdesign.report.facts import overall_best, stand
from invdesign.report.lessons import learnt_table, lessons, steps_table
from invdesign.result import Result, solver_words
from physics.base import Array


def short(value: float) -> str:
    """A number as tables show it."""
    return "–" if not np.isfinite(value) else f"{value:.4g}"


def verdict(distance: float) -> str:
    """What a distance says."""
    return "met" if distance == 0 else "not met"


def printed(title: str, table: report.Table) -> Table:
    """A table of the report, for the terminal; its note below."""
    made = Table(title=title, title_justify="left", caption=escape(table.note) or None, caption_justify="left")
    for place, column in enumerate(table.columns):
        justify: JustifyMethod = "right" if place in table.numeric else "left"
        made.add_column(escape(column), justify=justify, style="bold" if place == 0 else None)
    for place, row in enumerate(table.rows):
        style = "bold" if place in table.strong else "dim" if place in table.pale else None
        made.add_row(*map(escape, row), style=style)
    return made


def print_results(screen: Console, results: Sequence[Result]) -> None:
    """The comparison, what the networks learnt and did, and the verified best."""
    screen.print(printed(comparison_title(results), comparison_table(results)))
    for title, table in (
        ("What the surrogate learnt", learnt_table(results)),
        ("What made the hybrid's steps", steps_table(results)),
    ):
        if table is not None:
            screen.print()
            screen.print(printed(title, table))
    screen.print()
    for line in (*lessons(results), best_line(results)):
        screen.print(line, markup=False, highlight=False, soft_wrap=True)


def best_line(results: Sequence[Result]) -> str:
    """The verified best in a sentence."""
    result = overall_best(results)
    if result is None or result.best is None:
        return "No design could be verified."
    best = result.best
    standings = stand(result.problem, best.responses)
    state = "meets all targets" if best.distance == 0 else f"misses its targets by {short(best.distance)}"
    if all(s.met is None for s in standings):
        state = "as good as was found (no band was set)"
    values = "; ".join(f"{s.name}: worst {short(s.worst)}" for s in standings)
    grey = bool(np.any((best.design > 0) & (best.design < 1)))
    made = "grey as drawn" if grey else "binarised"
    where = solver_words(result, result.problem.reference.name)
    text = f"Verified best: {result.strategy}, {made}, {state} at {where} ({values})."
    check = result.check
    if check is None:
        return text
    word = "converged" if check.converged else "NOT converged"
    return f"{text} On the refined {check.fidelity} the response moves by {short(check.drift)} at most: {word}."


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
    check_cpu_seconds = 0.0 if ending is None else ending["cpu_seconds_by_phase"].get("check", 0.0)
    found: dict[str, Any] = {
        "strategy": entry["name"],
        "run": entry["run"],
        "seed": entry["provenance"].get("seed"),
        "ended": ending is not None,
        "cpu_seconds": entry["cpu_seconds"] if ending is None else ending["cpu_seconds"] - check_cpu_seconds,
        "check_cpu_seconds": check_cpu_seconds,
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
