"""The report: one self-contained page, its figures, and the best design as files."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import jinja2
import numpy as np

from invdesign.export import write_gds
from invdesign.figures.layout import Layout, layout_of
from invdesign.report.comparison import comparison_table, costs_table
from invdesign.report.facts import overall_best
from invdesign.report.lessons import learnt_table, lessons, steps_table
from invdesign.report.page import (
    gains_table,
    headline,
    provenance_table,
    response_table,
    rungs_table,
    training_table,
    trials_table,
)
from invdesign.report.pictures import Inlined, inlined, pictures
from invdesign.result import Result

__all__ = ["write_report"]


def write_report(results: Sequence[Result], folder: str | Path) -> Path:
    """Writes `report.html`, `figures/*.svg`, `figures/*.png`, and of the best design `design.npy` and `design.gds`.

    The page needs no network and no scripts. Parts that there is nothing for are left out.

    Args:
        results: of one problem, a strategy each.
        folder: made if absent; files in it from before are overwritten.

    Returns:
        Path of the page.

    Raises:
        ValueError: without results.
    """
    if not results:
        raise ValueError("Expected at least one result to report. Got none.")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    best = overall_best(results)
    files_written = _write_design(best, folder)
    shown: dict[str, list[Inlined]] = {}
    for section, picture in pictures(results, best):
        shown.setdefault(section, []).append(inlined(picture, folder / "figures"))
    templates = files("invdesign") / "templates"
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    page = environment.from_string((templates / "report.html").read_text(encoding="utf-8")).render(
        style=(templates / "report.css").read_text(encoding="utf-8"),
        headline=headline(results),
        figures=shown,
        response=response_table(best),
        comparison=comparison_table(results),
        learnt=learnt_table(results),
        steps=steps_table(results),
        lessons=lessons(results),
        training=training_table(results),
        trials=trials_table(results),
        rungs=rungs_table(results),
        gains=gains_table(results),
        costs=costs_table(results),
        provenance=provenance_table(results),
        files=files_written,
    )
    path = folder / "report.html"
    path.write_text(page, encoding="utf-8")
    return path


def _write_design(best: Result | None, folder: Path) -> list[str]:
    """Writes the design's files: a layout only where its pixels have a size."""
    if best is None or best.best is None:
        return []
    design = best.best.design
    np.save(folder / "design.npy", design, allow_pickle=False)
    if design.ndim != 2:
        return ["design.npy"]
    layout: Layout = layout_of(best.problem)
    if layout.pixel_um is None:
        return ["design.npy"]
    write_gds(
        design,
        folder / "design.gds",
        pixel_um=layout.pixel_um,
        origin_um=layout.origin_um,
        ports={port.name: (port.x_um, port.y_um) for port in layout.ports},
    )
    return ["design.npy", "design.gds"]
