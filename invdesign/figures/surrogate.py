"""How good the networks were: errors beside baselines, predicted against actual gain, gradients."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from invdesign.figures.style import GRID, INK, MUTED, colour, marker, new_figure, styled
from invdesign.figures.values import baselines, cosines, gains, number, trainings
from invdesign.result import Result

BARS = (
    ("value_error", "Value error on held-out designs", "normalised RMSE, lower is better"),
    ("gradient_cosine", "Gradient cosine on held-out designs", "against the adjoint, 1 is perfect"),
)
# Gains this many decades below the largest are drawn as nothing.
DECADES = 5


@styled
def surrogate_figure(results: Sequence[Result]) -> Figure | None:
    """Up to four panels, those that the notes have something for; None if there are none."""
    panels: list[Callable[[Axes], None]] = []
    for key, title, axis in BARS:
        if heights := _latest(results, key):
            named = not panels
            panels.append(lambda axes, h=heights, t=title, a=axis, n=named: _bars(axes, h, t, a, n))  # type: ignore[misc]
    steps = [(model, p, a, accepted) for r in results for model, p, a, accepted, _ in gains(r)]
    pointed = cosines(results)
    # A model has one colour in both panels.
    tints = {model: i for i, model in enumerate(dict.fromkeys([*pointed, *(model for model, *_ in steps)]))}
    if steps:
        panels.append(lambda axes: _gains(axes, steps, tints))
    if pointed:
        panels.append(lambda axes: _cosines(axes, pointed, tints))
    if not panels:
        return None
    columns = 1 if len(panels) == 1 else 2
    rows = -(-len(panels) // columns)
    figure, axes = new_figure(5.3 * columns + (1.5 if columns == 1 else 0), 3.9 * rows, rows, columns)
    for panel, draw in zip(axes, panels, strict=False):
        draw(panel)
    for spare in axes[len(panels) :]:
        spare.remove()
    return figure


def _latest(results: Sequence[Result], key: str) -> dict[tuple[int, str], dict[str, float]]:
    """(place of the strategy, its name) -> network and baselines, of the last training that measured this."""
    found = {}
    for place, result in enumerate(results):
        measured = [n.content for n in trainings(result) if number(n.content, key) is not None]
        if measured:
            own = number(measured[-1], key)
            found[place, result.strategy] = {"network": own or 0.0, **baselines(measured[-1], key)}
    return found


def _bars(
    axes: Axes, heights: Mapping[tuple[int, str], Mapping[str, float]], title: str, axis: str, named: bool
) -> None:
    """A group of bars a model, a bar a strategy: the network's full, the baselines' pale."""
    names = list(dict.fromkeys(name for each in heights.values() for name in each))
    thick = 0.75 / len(heights)
    for nth, ((place, _), each) in enumerate(heights.items()):
        for row, name in enumerate(names):
            if name not in each:
                continue
            y, value = -row - (nth - (len(heights) - 1) / 2) * thick, each[name]
            alpha = 1.0 if name == "network" else 0.35
            axes.barh(y, value, color=colour(place), height=0.88 * thick, alpha=alpha)
            axes.annotate(
                signed(value, ".3g"),
                (max(value, 0.0), y),
                (4, 0),
                textcoords="offset points",
                va="center",
                fontsize=8.5,
            )
    axes.set_yticks(-np.arange(len(names)), [name.replace("mean of the", "mean of\nthe") for name in names])
    axes.set(title=title, xlabel=axis)
    axes.axvline(0, color=MUTED, lw=0.8)
    axes.margins(x=0.18)
    axes.grid(axis="x")
    axes.xaxis.set_major_locator(MaxNLocator(5))
    if named and len(heights) > 1:
        patches = [Patch(color=colour(place), label=strategy) for place, strategy in heights]
        axes.legend(handles=patches, loc="best")


def _gains(axes: Axes, steps: Sequence[tuple[str, float, float, bool]], tints: Mapping[str, int]) -> None:
    """Signed logarithmic axes: steps span decades, and a failed one loses more than a good one gains."""
    for model, index in tints.items():
        for accepted in (True, False):
            chosen = [(p, a) for m, p, a, taken in steps if m == model and taken is accepted]
            if chosen:
                x, y = zip(*chosen, strict=True)
                face = colour(index) if accepted else "none"
                axes.plot(
                    x, y, marker(index), color=colour(index), mfc=face, ms=4.5, mew=1.1, alpha=0.75, ls="none",
                    label=model + ("" if accepted else ", rejected"), zorder=3,
                )  # fmt: skip
    sizes = np.abs([v for _, p, a, _ in steps for v in (p, a)])
    top = 10.0 ** np.ceil(np.log10(sizes.max() or 1.0))
    smallest = np.quantile(sizes[sizes > 0], 0.1) if (sizes > 0).any() else top
    linear = max(10.0 ** np.floor(np.log10(smallest)), top / 10.0**DECADES)
    linear = min(linear, top / 10)
    x_low = -top if min(p for _, p, _, _ in steps) < 0 else -linear
    y_low = -top if min(a for _, _, a, _ in steps) < 0 else -linear
    axes.set_xscale("symlog", linthresh=linear, linscale=0.6)
    axes.set_yscale("symlog", linthresh=linear, linscale=0.6)
    axes.plot([min(x_low, y_low), top], [min(x_low, y_low), top], color=MUTED, lw=1, ls="--", zorder=2)
    axes.axhline(0, color=MUTED, lw=0.8)
    axes.set(title="Steps: predicted and actual", xlabel="predicted decrease", ylabel="actual decrease of the loss")
    axes.set(xlim=(x_low, top), ylim=(y_low, top))
    _signed_ticks(axes.xaxis, linear, top)
    _signed_ticks(axes.yaxis, linear, top)
    axes.set_aspect("equal", adjustable="box")
    axes.grid(color=GRID)
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8.5, handletextpad=0.2)


def signed(value: float, form: str) -> str:
    """A number with a typographic minus, as matplotlib's own ticks have it."""
    return format(value, form).replace("-", "−")


def _signed_ticks(axis: Axis, linear: float, top: float) -> None:
    """Ticks at zero and, thinned out, at decades of both signs."""
    low, high = round(np.log10(linear)), round(np.log10(top))
    decades = 10.0 ** np.arange(high, low - 1, -(1 if high - low < 4 else 2))
    axis.set_major_locator(FixedLocator([*-decades, 0.0, *decades[::-1]]))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: signed(value, "g")))


def _cosines(axes: Axes, pointed: Mapping[str, Sequence[float]], tints: Mapping[str, int]) -> None:
    """A strip a model: every step's cosine, its quartiles as a box, its median in figures."""
    rng = np.random.default_rng(0)
    for row, (model, values) in enumerate(pointed.items()):
        low, median, high = np.quantile(values, [0.25, 0.5, 0.75])
        scatter = -row + rng.uniform(-0.28, 0.28, len(values))
        axes.plot(values, scatter, ".", color=colour(tints[model]), ms=5, alpha=0.5, mew=0, zorder=2)
        axes.barh(-row, high - low, left=low, height=0.62, facecolor="none", edgecolor=INK, lw=1.1, zorder=3)
        axes.plot([median, median], [-row - 0.31, -row + 0.31], color=INK, lw=2.6, solid_capstyle="butt", zorder=4)
        axes.annotate(signed(median, ".2f"), (median, -row + 0.33), ha="center", va="bottom", fontsize=9, weight="bold")
    names = [f"{model}\n{len(values)} centres" for model, values in pointed.items()]
    axes.set_yticks(-np.arange(len(names)), names)
    axes.axvline(1, color=MUTED, lw=1, ls="--")
    axes.axvline(0, color=MUTED, lw=0.8)
    axes.set(title="Gradients at the steps' centres", xlabel="cosine with the adjoint: median, quartiles, all")
    axes.set(xlim=(-1.03, 1.03), ylim=(0.55 - len(names), 0.62))
    axes.grid(axis="x")
