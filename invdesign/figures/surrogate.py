"""How good the networks were: errors beside baselines, calibration, predicted against actual gain, gradients."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from invdesign.evaluator import Note
from invdesign.figures.style import GRID, MUTED, colour, marker, new_figure, styled
from invdesign.result import Result

MODEL_NAMES = {"surrogate": "network", "low_fidelity": "low fidelity", "mean_gradient": "mean gradient"}


def number(content: Mapping[str, Any], key: str) -> float | None:
    """A finite number in a note, or None."""
    value = content.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not np.isfinite(value):
        return None
    return float(value)


def noted(results: Sequence[Result], kind: str) -> list[Note]:
    """Notes of a kind from all results, in their order."""
    return [note for result in results for note in result.notes if note.kind == kind]


@styled
def surrogate_figure(results: Sequence[Result]) -> Figure | None:
    """Up to four panels, those that the notes have something for; None if there are none."""
    trainings, steps = noted(results, "surrogate"), noted(results, "step")
    panels: list[Callable[[Axes], None]] = []
    if trainings:
        bars = [
            ("value_error", "Value error on held-out designs", "normalised RMSE, lower is better"),
            ("gradient_cosine", "Gradient cosine on held-out designs", "against the adjoint, 1 is perfect"),
        ]
        for key, title, axis in bars:
            if heights := _latest(trainings, key):
                panels.append(lambda axes, h=heights, t=title, a=axis: _bars(axes, h, t, a))  # type: ignore[misc]
    pairs = [(n, number(n.content, "predicted"), number(n.content, "actual")) for n in steps]
    complete = [(n, p, a) for n, p, a in pairs if p is not None and a is not None]
    if complete:
        panels.append(lambda axes: _gains(axes, complete))
    if any(isinstance(n.content.get("cosines"), Mapping) for n in steps):
        panels.append(lambda axes: _cosines(axes, steps))
    if not panels:
        return None
    columns = 1 if len(panels) == 1 else 2
    rows = -(-len(panels) // columns)
    figure, axes = new_figure(5.1 * columns + (1.5 if columns == 1 else 0), 3.5 * rows, rows, columns)
    for panel, draw in zip(axes, panels, strict=False):
        draw(panel)
    for spare in axes[len(panels) :]:
        spare.remove()
    return figure


def _latest(trainings: Sequence[Note], key: str) -> dict[str, float]:
    """Heights of the last training that measured this."""
    measured = [note.content for note in trainings if number(note.content, key) is not None]
    return _with_baselines(measured[-1], key) if measured else {}


def _with_baselines(content: Mapping[str, Any], key: str) -> dict[str, float]:
    heights = {}
    if (own := number(content, key)) is not None:
        heights["network"] = own
    baselines = content.get("baselines")
    for name, values in (baselines if isinstance(baselines, Mapping) else {}).items():
        if isinstance(values, Mapping) and (value := number(values, key)) is not None:
            heights[str(name)] = value
    return heights


def _bars(axes: Axes, heights: Mapping[str, float], title: str, axis: str) -> None:
    names, values = list(heights), list(heights.values())
    tints = [colour(0) if name == "network" else "#b8c4d0" for name in names]
    places = np.arange(len(names))[::-1]
    axes.barh(places, values, color=tints, height=0.6)
    for place, value in zip(places, values, strict=True):
        axes.annotate(f"{value:.3g}", (max(value, 0.0), place), (4, 0), textcoords="offset points", va="center")
    axes.set_yticks(places, names)
    axes.set(title=title, xlabel=axis)
    axes.axvline(0, color=MUTED, lw=0.8)
    axes.margins(x=0.15)
    axes.grid(axis="x")


def _gains(axes: Axes, complete: Sequence[tuple[Note, float, float]]) -> None:
    models = list(dict.fromkeys(str(n.content.get("model", "model")) for n, _, _ in complete))
    for index, model in enumerate(models):
        for accepted in (True, False):
            chosen = [
                (p, a)
                for n, p, a in complete
                if str(n.content.get("model", "model")) == model and bool(n.content.get("accepted", True)) is accepted
            ]
            if chosen:
                x, y = zip(*chosen, strict=True)
                name = MODEL_NAMES.get(model, model) + ("" if accepted else ", rejected")
                face = colour(index) if accepted else "none"
                axes.plot(x, y, marker(index), color=colour(index), mfc=face, ls="none", label=name, zorder=3)
    span = np.array([v for _, p, a in complete for v in (p, a)])
    pad = 0.08 * (np.ptp(span) or 1.0)
    ends = [span.min() - pad, span.max() + pad]
    axes.plot(ends, ends, color=MUTED, lw=1, ls="--", zorder=2)
    axes.set(title="Steps: predicted and actual", xlabel="predicted", ylabel="actual", xlim=ends, ylim=ends)
    axes.grid(color=GRID)
    axes.legend(loc="best")


def _cosines(axes: Axes, steps: Sequence[Note]) -> None:
    models = list(dict.fromkeys(str(m) for n in steps for m in (n.content.get("cosines") or {})))
    for index, model in enumerate(models):
        points = [(n.cpu_seconds, number(n.content.get("cosines") or {}, model)) for n in steps]
        kept = [(x, y) for x, y in points if y is not None]
        if kept:
            x, y = zip(*kept, strict=True)
            name = MODEL_NAMES.get(model, model)
            axes.plot(x, y, marker=marker(index), color=colour(index), label=name, ms=4.5, lw=1.3)
    axes.axhline(1, color=MUTED, lw=1, ls="--")
    axes.axhline(0, color=MUTED, lw=0.8)
    axes.set(title="Gradients along the run", xlabel="CPU seconds", ylabel="cosine with the adjoint")
    axes.grid(axis="y")
    axes.legend(loc="best")
