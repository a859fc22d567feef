"""What the design does against what it should: one panel a target and place, band shaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from invdesign.figures.style import BAND, MUTED, colour, dash, legend_below, marker, new_figure, styled
from invdesign.figures.values import unit_of
from invdesign.problem import Problem
from invdesign.result import Result
from invdesign.targets import Target
from physics.base import Quantity, Response

MOST_PANELS = 6


@dataclass(frozen=True)
class Curve:
    """One target at one place: what to draw.

    Args:
        title: quantity and place.
        axis: name of the last axis.
        x: its values; positions where they are not numbers.
        labels: names of the positions, or None.
        chosen: indices along the axis in which the target holds.
        lower, upper: edges of the band at the chosen indices, or None.
        target: the target itself.
        place: index into the leading axes.
    """

    title: str
    axis: str
    x: NDArray[np.float64]
    labels: tuple[str, ...] | None
    chosen: list[int]
    lower: NDArray[np.float64] | None
    upper: NDArray[np.float64] | None
    target: Target
    place: tuple[int, ...]

    def values(self, problem: Problem, response: Response) -> NDArray[np.float64]:
        """The quantity along the whole axis, in the target's scale."""
        whole = replace(self.target, at={}, lower=None, upper=None, goal="maximize")
        tensors = {name: torch.as_tensor(np.array(array)) for name, array in response.items()}
        values = whole.values(tensors, problem.reference).numpy()
        return np.atleast_1d(np.asarray(values[self.place], dtype=np.float64))

    def fits(self, problem: Problem, response: Response) -> bool:
        """Whether a response of another solver has the quantity on the same axes."""
        name = self.target.quantity
        return name in response and np.shape(response[name]) == problem.reference.quantity(name).shape


def curves(problem: Problem) -> list[Curve]:
    """One curve a target and combination of its leading coordinates."""
    found = []
    for target in problem.targets:
        if not isinstance(target, Target):
            continue
        quantity = problem.reference.quantity(target.quantity)
        indices = target.indices(quantity)
        shape = tuple(len(index) for index in indices)
        lower, upper = (None if e is None else np.broadcast_to(e, shape) for e in (target.lower, target.upper))
        axis, x, labels = _last_axis(quantity)
        chosen = indices[-1] if indices else [0]
        for position in product(*(range(len(index)) for index in indices[:-1])):
            place = tuple(indices[axis][at] for axis, at in enumerate(position))
            edges = [None if e is None else np.atleast_1d(e[position]) for e in (lower, upper)]
            title = _title(target, quantity, place)
            found.append(Curve(title, axis, x, labels, list(chosen), edges[0], edges[1], target, place))
    return found


def _last_axis(quantity: Quantity) -> tuple[str, NDArray[np.float64], tuple[str, ...] | None]:
    if not quantity.coords:
        return "", np.zeros(1), (quantity.name,)
    name, values = list(quantity.coords.items())[-1]
    if all(isinstance(v, (int, float, np.number)) for v in values):
        return name, np.asarray(values, dtype=np.float64), None
    return name, np.arange(len(values), dtype=np.float64), tuple(str(v) for v in values)


def _title(target: Target, quantity: Quantity, place: tuple[int, ...]) -> str:
    leading = list(quantity.coords.items())[: len(place)]
    where = ", ".join(
        f"{values[at]:g}{unit_of(axis)}" if isinstance(values[at], float) else str(values[at])
        for (axis, values), at in zip(leading, place, strict=True)
    )
    name = f"|{target.quantity}|" if quantity.dtype is complex else target.quantity
    return f"{name} · {where}" if where else name


def label(axis: str) -> str:
    """`wavelength_um` -> `wavelength (µm)`."""
    stem, _, unit = axis.rpartition("_")
    return f"{stem} ({'µm' if unit == 'um' else unit})" if stem else axis


@styled
def response_figure(results: Sequence[Result]) -> Figure | None:
    """The best design of each strategy against the bands, refined checks as open markers; None without such targets.

    Corners of the best design are dotted.
    """
    shown = [result for result in results if result.best is not None]
    if not shown:
        return None
    problem = shown[0].problem
    panels = curves(problem)[:MOST_PANELS]
    if not panels:
        return None
    columns = min(len(panels), 2)
    rows = -(-len(panels) // columns)
    figure, axes = new_figure(1.0 + (6.6 if columns == 1 else 4.6 * columns), 0.4 + 3.1 * rows, rows, columns)
    best = min(shown, key=lambda r: r.best.rank if r.best else (np.inf, np.inf))
    for panel, curve in zip(axes, panels, strict=False):
        _band(panel, curve)
        for number, result in enumerate(results):
            if result.best is not None:
                _draw(panel, curve, problem, result, number, corners=result is best)
        _decorate(panel, curve, problem)
    for spare in axes[len(panels) :]:
        spare.remove()
    handles: dict[str, Any] = {}
    for panel in axes[: len(panels)]:
        for handle, name in zip(*panel.get_legend_handles_labels(), strict=True):
            handles.setdefault(name, handle)
    if any(result.check is not None for result in shown):
        handles["on the refined solver"] = Line2D([], [], color=MUTED, marker="o", ls="none", ms=9, mfc="none", mew=1.5)
    # What is wanted comes last, after the strategies.
    names = sorted(handles, key=lambda name: name == "wanted")
    legend_below(figure, {name: handles[name] for name in names})
    return figure


def _draw(panel: Axes, curve: Curve, problem: Problem, result: Result, number: int, *, corners: bool) -> None:
    if result.best is None:
        return
    tint, shape = colour(number), marker(number)
    values = curve.values(problem, result.best.response)
    panel.plot(
        curve.x, values, color=tint, marker=shape, ls=dash(number), label=result.strategy, zorder=4 if corners else 3
    )
    if corners:
        for index, (case, response) in enumerate(result.best.responses.items()):
            if case != "nominal":
                name = "corners of the best" if index == 1 else None
                panel.plot(curve.x, curve.values(problem, response), color=tint, ls=":", lw=1.2, label=name)
    if result.check is not None and curve.fits(problem, result.check.response):
        panel.plot(
            curve.x, curve.values(problem, result.check.response), color=tint, marker=shape, ls="none", ms=10,
            mfc="none", mew=1.5, zorder=5,
        )  # fmt: skip


def _band(panel: Axes, curve: Curve) -> None:
    if curve.lower is None and curve.upper is None:
        return
    x = curve.x[curve.chosen]
    order = np.argsort(x)
    gap = np.diff(np.sort(curve.x)).min() if len(curve.x) > 1 else 1.0
    reach = 0.5 * gap if len(x) == 1 else 0.2 * gap
    stations = np.concatenate([[x.min() - reach], x[order], [x.max() + reach]])

    def along(edge: NDArray[np.float64] | None, far: float) -> NDArray[np.float64]:
        inner = np.full(len(x), far) if edge is None else np.asarray(edge, dtype=float)[order]
        return np.concatenate([inner[:1], inner, inner[-1:]])

    # An open side runs off the panel; the limits are set by the data afterwards.
    low, high = along(curve.lower, -1e6), along(curve.upper, 1e6)
    panel.fill_between(stations, low, high, color=BAND, alpha=0.13, lw=0, label="wanted", zorder=1)
    for edge, drawn in ((curve.lower, low), (curve.upper, high)):
        if edge is not None:
            panel.plot(stations, drawn, color=BAND, lw=1.2, ls="--", zorder=2)


def _decorate(panel: Axes, curve: Curve, problem: Problem) -> None:
    lines = [np.asarray(line.get_ydata(), dtype=float) for line in panel.get_lines()]
    data = np.concatenate(lines) if lines else np.zeros(1)
    data = data[np.isfinite(data) & (np.abs(data) < 1e5)]
    low, high = (float(data.min()), float(data.max())) if data.size else (0.0, 1.0)
    linear = curve.target.scale == "linear"
    pad = max(0.12 * (high - low), 0.02 * max(abs(low), abs(high)) if linear else 0.5)
    # What cannot be negative gets no room below zero.
    panel.set_ylim(max(low - pad, -0.3 * pad) if linear and low >= 0 else low - pad, high + pad)
    unit = problem.reference.quantity(curve.target.quantity).unit
    scale = "dB" if curve.target.scale == "db" else ("" if unit == "1" else unit)
    panel.set(title=curve.title, xlabel=label(curve.axis), ylabel=scale or None)
    panel.grid(axis="y")
    if curve.labels is not None:
        panel.set_xticks(curve.x, curve.labels)
    elif len(curve.x) <= 5:
        panel.set_xticks(curve.x)
    panel.margins(x=0.08)
    if curve.target.goal is not None:
        panel.text(0.99, 0.02, f"to {curve.target.goal}", transform=panel.transAxes, ha="right", color=MUTED)
