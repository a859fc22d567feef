"""How near to the targets each strategy was after so much cost."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from invdesign.figures.style import BAND, MUTED, colour, marker, new_figure, plain_ticks, styled
from invdesign.problem import Problem
from invdesign.result import Result
from invdesign.targets import CustomTarget, Target

# A span of costs beyond which a linear axis hides the beginning.
WIDE = 30.0


def has_bands(problem: Problem) -> bool:
    """Whether any target can be met, so that a distance says something."""
    return any(
        (isinstance(t, Target) and (t.lower is not None or t.upper is not None))
        or (isinstance(t, CustomTarget) and t.tolerance is not None)
        for t in problem.targets
    )


@styled
def convergence_figure(results: Sequence[Result]) -> Figure | None:
    """Distance and loss of the best verified design so far over CPU seconds; None where nothing was verified."""
    shown = [(number, result) for number, result in enumerate(results) if result.candidates]
    if not shown:
        return None
    banded = has_bands(shown[0][1].problem)
    figure, axes = new_figure(10.2 if banded else 6.8, 3.8, 1, 2 if banded else 1)
    if banded:
        _trace(axes[0], shown, "distance")
        axes[0].set(title="Distance to the targets", ylabel="largest miss (0 = all met)")
    _trace(axes[-1], shown, "loss")
    axes[-1].set(title="Loss of the best design", ylabel="loss")
    handles, names = axes[-1].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=min(5, len(names)))
    return figure


def _trace(panel: Axes, shown: Sequence[tuple[int, Result]], attribute: str) -> None:
    everything: list[float] = []
    costs: list[float] = []
    converged = False
    for number, result in shown:
        ordered = sorted(result.candidates, key=lambda c: c.cpu_seconds)
        best, x, y = None, [], []
        for candidate in ordered:
            if best is None or candidate.rank < best.rank:
                best = candidate
            x.append(candidate.cpu_seconds)
            y.append(float(getattr(best, attribute)))
        end = max(result.costs.cpu_seconds, x[-1])
        tint = colour(number)
        panel.step([*x, end], [*y, y[-1]], where="post", color=tint, label=result.strategy, zorder=3)
        changed = [0, *(i for i in range(1, len(y)) if y[i] != y[i - 1])]
        panel.plot([x[i] for i in changed], [y[i] for i in changed], marker(number), color=tint, ms=5, zorder=4)
        for note in result.notes:
            if note.kind == "converged":
                height = y[max(0, int(np.searchsorted(x, note.cpu_seconds, side="right")) - 1)]
                name = None if converged else "first start converged"
                converged = True
                panel.plot(
                    [note.cpu_seconds], [height], "*", color=tint, mec="white", ms=13, zorder=5, label=name, ls="none"
                )
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
        panel.axhline(0, color=BAND, lw=1.2, ls="--", zorder=2)
        panel.annotate(
            "all targets met", (0.99, 0), xycoords=("axes fraction", "data"), xytext=(0, 3),
            textcoords="offset points", ha="right", va="bottom", color=BAND, fontsize=9,
        )  # fmt: skip
    elif positive and len(positive) == len(finite) and max(positive) > WIDE * min(positive):
        panel.set_yscale("log")
        plain_ticks(panel.yaxis)
    panel.grid(axis="y")
    panel.set_xlabel("CPU seconds")
    panel.tick_params(which="minor", labelsize=8, labelcolor=MUTED)
