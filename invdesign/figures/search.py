"""The search for an architecture: what each trial learned, and when it was given up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from invdesign.figures.style import MUTED, colour, legend_below, new_figure, styled
from physics.base import Array

OBJECTIVES = {
    "both": "validation error: mean of\nvalue error and 1 − gradient cosine",
    "value": "validation error: normalised RMSE",
    "gradient": "validation error: 1 − gradient cosine",
}


def trials_of(search: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The trials in a "search" note that are well-formed enough to show."""
    trials = search.get("trials")
    return [t for t in trials if isinstance(t, Mapping)] if isinstance(trials, (list, tuple)) else []


def level_of_epochs(trial: Mapping[str, Any], epochs: int) -> Array | None:
    """The level each epoch of a trial's curve was trained at, or None where the note does not say."""
    levels = trial.get("levels")
    if not isinstance(levels, (list, tuple)) or len(levels) != epochs:
        return None
    return np.asarray(levels, dtype=int)


@styled
def search_figure(search: Mapping[str, Any], fidelities: Sequence[str] = ()) -> Figure | None:
    """Validation curves coloured by family, pruned ones faint, the best heavy; None without a curve.

    Pretraining on cheaper levels is shaded, left of the first epoch at the reference: its errors are those at the
    cheaper level and do not compare.

    Args:
        search: content of the note.
        fidelities: names of the levels, cheapest first.
    """
    drawn = []
    for trial in trials_of(search):
        curve = np.asarray(trial.get("curve") or [], dtype=float).ravel()
        if np.isfinite(curve).any():
            drawn.append((trial, curve, level_of_epochs(trial, len(curve))))
    if not drawn:
        return None
    # Trials share their schedule: one that was pruned while pretraining begins where the others did.
    reference = max((int(levels.max()) for _, _, levels in drawn if levels is not None), default=0)
    pretraining = max((int((levels < reference).sum()) for _, _, levels in drawn if levels is not None), default=0)
    families = list(dict.fromkeys(str(trial.get("family", "network")) for trial, _, _ in drawn))
    figure, (axes,) = new_figure(7.6, 3.7)
    handles: dict[str, Any] = {}
    first = 1 - pretraining
    cheaper: set[int] = set()
    for trial, curve, levels in drawn:
        family = str(trial.get("family", "network"))
        best = trial.get("number") is not None and trial.get("number") == search.get("best")
        complete = trial.get("state") == "complete"
        tint = colour(families.index(family))
        reached = levels is None or int(levels.max()) == reference
        before = 0 if levels is None else int((levels < reference).sum()) if reached else pretraining
        epochs = np.arange(len(curve)) + 1 - before
        cheaper |= set() if levels is None else {int(v) for v in levels if v < reference}
        look: dict[str, Any] = {
            "color": tint,
            "lw": 2.8 if best else 1.3,
            "alpha": 1 if complete else 0.35,
            "zorder": 4 if best else 3,
        }
        for chosen in (epochs < 1, epochs >= 1):
            if chosen.any():
                # A lone epoch has no line.
                mark = "." if chosen.sum() == 1 else None
                (line,) = axes.plot(epochs[chosen], curve[chosen], marker=mark, **look)
        name = family if complete else f"{family}, pruned"
        if name not in handles:
            handles[name] = line
        if best:
            least = np.nanargmin(np.where(epochs >= 1, curve, np.nan)) if (epochs >= 1).any() else len(curve) - 1
            (star,) = axes.plot(
                [epochs[least]], [curve[least]], "*", color=tint, mec="white", ms=16, zorder=5, ls="none"
            )
            handles[f"best: trial {trial['number']}"] = star
    if first < 1:
        axes.axvspan(first - 0.5, 0.5, color="#eef1f5", zorder=0, lw=0)
        names = [fidelities[level] for level in sorted(cheaper) if level < len(fidelities)]
        text = "pretraining" + (f" at\n{', '.join(names)}" if names else "")
        axes.annotate(
            text, ((first - 0.2), 1), xycoords=("data", "axes fraction"), xytext=(2, -3), textcoords="offset points",
            va="top", color=MUTED, fontsize=8.5,
        )  # fmt: skip
    values = np.concatenate([curve[np.isfinite(curve)] for _, curve, _ in drawn])
    if values.min() > 0 and values.max() > 10 * values.min():
        axes.set_yscale("log")
    objective = str(search.get("objective") or "")
    where = f" ({fidelities[reference]})" if first < 1 and reference < len(fidelities) else ""
    axes.set(xlabel=f"epoch at the reference{where}" if first < 1 else "epoch")
    axes.set(ylabel=OBJECTIVES.get(objective, objective or "validation error"))
    axes.set_ylim(top=axes.get_ylim()[1] + 0.12 * float(np.ptp(axes.get_ylim()))) if first < 1 else None
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}" if value >= 1 else ""))
    axes.margins(x=0.02)
    axes.grid(axis="y")
    legend_below(figure, dict(sorted(handles.items(), key=lambda pair: pair[0].startswith("best:"))))
    return figure
