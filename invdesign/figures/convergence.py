"""How near to the targets each strategy was after so much cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator

from invdesign.figures.style import (
    BAND,
    INK,
    MUTED,
    colour,
    dash,
    legend_below,
    marker,
    new_figure,
    plain_ticks,
    styled,
)
from invdesign.figures.values import charged, has_bands, noted
from invdesign.result import Result

# A span of costs beyond which a linear axis hides the beginning.
WIDE = 30.0


@styled
def convergence_figure(results: Sequence[Result]) -> Figure | None:
    """Distance and loss of the best verified design so far over CPU seconds; None where nothing was verified."""
    shown = [(number, result) for number, result in enumerate(results) if result.candidates]
    if not shown:
        return None
    banded = has_bands(shown[0][1].problem)
    figure, axes = new_figure(10.2 if banded else 6.8, 3.3, 1, 2 if banded else 1)
    if banded:
        _trace(axes[0], shown, "distance")
        axes[0].set(title="Distance to the targets", ylabel="largest miss (0 = all met)")
    _trace(axes[-1], shown, "loss")
    axes[-1].set(title="Loss of the best design", ylabel="loss")
    handles: dict[str, Any] = {
        result.strategy: Line2D([], [], color=colour(place), ls=dash(place), marker=marker(place), ms=5)
        for place, result in shown
    }
    if any(noted(result, "converged") for _, result in shown):
        handles["first start converged"] = Line2D([], [], color=INK, marker="*", ms=11, ls="none")
    legend_below(figure, handles)
    return figure


def _trace(panel: Axes, shown: Sequence[tuple[int, Result]], attribute: str) -> None:
    everything: list[float] = []
    costs: list[float] = []
    for place, result in shown:
        ordered = sorted(result.candidates, key=lambda c: c.cpu_seconds)
        best, x, y = None, [], []
        for candidate in ordered:
            if best is None or candidate.rank < best.rank:
                best = candidate
            x.append(candidate.cpu_seconds)
            y.append(float(getattr(best, attribute)))
        end = max(charged(result), x[-1])
        tint = colour(place)
        panel.step([*x, end], [*y, y[-1]], where="post", color=tint, ls=dash(place), zorder=3)
        changed = [0, *(i for i in range(1, len(y)) if y[i] != y[i - 1])]
        panel.plot([x[i] for i in changed], [y[i] for i in changed], marker(place), color=tint, ms=5, zorder=4)
        for note in noted(result, "converged"):
            height = y[max(0, int(np.searchsorted(x, note.cpu_seconds, side="right")) - 1)]
            panel.plot([note.cpu_seconds], [height], "*", color=tint, mec="white", ms=13, zorder=5, ls="none")
        everything += y
        costs += [c for c in [x[0], end] if c > 0]
    _scales(panel, everything, costs, attribute == "distance")


def _scales(panel: Axes, values: Sequence[float], costs: Sequence[float], is_distance: bool) -> None:
    if costs and max(costs) > WIDE * min(costs):
        panel.set_xscale("log")
        plain_ticks(panel.xaxis)
    finite = [v for v in values if np.isfinite(v)]
    positive = [v for v in finite if v > 0]
    if is_distance and positive:
        smallest = min(positive)
        panel.set_yscale("symlog", linthresh=smallest, linscale=0.5)
        panel.set_ylim(-0.15 * smallest, 2.5 * max(positive))
        plain_ticks(panel.yaxis)
        # A decade below the threshold would stand in the way of the zero.
        decades = 10.0 ** np.arange(np.ceil(np.log10(smallest)), np.ceil(np.log10(max(positive))) + 1)
        if decades[0] > panel.get_ylim()[1]:
            decades = np.unique([float(f"{value:.2g}") for value in (smallest, max(positive))])
        panel.yaxis.set_major_locator(FixedLocator([0.0, *decades]))
        panel.axhline(0, color=BAND, lw=1.2, ls="--", zorder=2)
        panel.annotate(
            "all targets met", (0.01, 0), xycoords=("axes fraction", "data"), xytext=(0, 3),
            textcoords="offset points", ha="left", va="bottom", color=BAND, fontsize=9,
        )  # fmt: skip
    elif positive and len(positive) == len(finite) and max(positive) > WIDE * min(positive):
        panel.set_yscale("log")
        plain_ticks(panel.yaxis)
    panel.grid(axis="y")
    panel.set_xlabel("CPU seconds")
    panel.tick_params(which="minor", labelsize=8, labelcolor=MUTED)
