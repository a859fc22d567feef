"""The figures of a report, those that there is something for."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from invdesign.figures import (
    Picture,
    convergence_figure,
    design_figure,
    fields_figure,
    response_figure,
    save,
    search_figure,
    surrogate_figure,
)
from invdesign.figures.kirigami import deformed_figure, pattern_figure
from invdesign.figures.layout import layout_of
from invdesign.result import Result
from physics.base import HasFields, SimulationError
from physics.kirigami import KirigamiLadder

# A vector figure above this size is shown as its raster.
MOST_SVG_BYTES = 1_500_000


@dataclass(frozen=True)
class Inlined:
    """A figure as a page holds it."""

    caption: str
    alt: str
    source: str
    width: int


def pictures(results: Sequence[Result], best: Result | None) -> Iterator[tuple[str, Picture]]:
    """(section, picture) of everything there is to show."""
    if best is not None and best.best is not None:
        yield from _sheet(best)
        design = None if _is_sheet(best) else design_figure(best.problem, best.best.design)
        if design is not None:
            text = "The verified structure: dark is solid."
            if layout_of(best.problem).ports:
                text += " Arrows mark the ports, orange where light enters."
            if 1 in np.shape(best.best.design):
                text += " One row of pixels, stretched across."
            yield "design", Picture("design", text, design)
        if (picture := _fields(best)) is not None:
            yield "fields", picture
    drawn = (
        (
            "response",
            "Best design of each strategy against the wanted band (green). Open markers: the same design on the "
            "refined solver.",
            response_figure(results),
        ),
        (
            "convergence",
            "Best verified design so far against the cost of everything that is charged: solves, gradients, training, "
            "verification.",
            convergence_figure(results),
        ),
        (
            "surrogate",
            "Above: each run's last networks (full) and the trivial models (pale) on designs they were not trained on. "
            "Below: the steps of the hybrids, and how each model's own gradient pointed, whichever made the step.",
            surrogate_figure(results),
        ),
    )
    for name, caption, figure in drawn:
        if figure is not None:
            yield name, Picture(name, caption, figure)
    number = 0
    for result in results:
        for search in result.noted("search"):
            levels = [fidelity.name for fidelity in result.problem.simulator.fidelities]
            if (figure := search_figure(search, levels)) is not None:
                number += 1
                text = (
                    f"Validation curves of the trials ({result.strategy}), pruned ones faint. Errors before and after "
                    "the change of fidelity do not compare."
                )
                yield "search", Picture("search" if number == 1 else f"search-{number}", text, figure)


def _is_sheet(best: Result) -> bool:
    return isinstance(best.problem.simulator, KirigamiLadder)


def _sheet(best: Result) -> Iterator[tuple[str, Picture]]:
    """A sheet with cuts in its size, and as it stretches at the dearest level that shows it."""
    simulator = best.problem.simulator
    if best.best is None or not isinstance(simulator, KirigamiLadder):
        return
    pattern = pattern_figure(best.best.design, simulator.sheet)
    yield "design", Picture("design", "The verified sheet between its grips: dark is material.", pattern)
    for level in reversed(range(len(simulator.levels))):
        try:
            shape = simulator.deformed(best.best.design, level)
        except SimulationError:
            # A level that shows none, or finds no equilibrium at that strain.
            continue
        name = simulator.fidelities[level].name
        text = f"The sheet at a strain of {shape.strain:.3g} by the level {name}, where nothing tears; local strain."
        yield "fields", Picture("stretched", text, deformed_figure(shape))
        return


def _fields(best: Result) -> Picture | None:
    problem = best.problem
    if best.best is None or not isinstance(problem.simulator, HasFields):
        return None
    try:
        fields = problem.simulator.fields(best.best.design, problem.reference_level)
    except SimulationError:
        # The design's numbers are verified already; without its fields the report merely lacks a picture.
        return None
    figure = fields_figure(problem, fields)
    text = f"Field magnitude in the best design at {problem.reference.name}, the structure in white outline."
    return None if figure is None else Picture("fields", text, figure)


def inlined(picture: Picture, folder: Path) -> Inlined:
    """Saves the picture to the folder and gives it as a data URI."""
    vector, raster = save(picture, folder)
    # As an image, so that identifiers of several drawings cannot meet in one page.
    path, kind = (vector, "svg+xml") if vector.stat().st_size <= MOST_SVG_BYTES else (raster, "png")
    source = f"data:image/{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"
    return Inlined(picture.caption, picture.name, source, round(100 * picture.figure.get_figwidth()))
