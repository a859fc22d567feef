"""The search for an architecture: what each trial learned, and when it was given up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from invdesign.figures.style import colour, new_figure, styled


def trials_of(search: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The trials in a "search" note that are well-formed enough to show."""
    trials = search.get("trials")
    return [t for t in trials if isinstance(t, Mapping)] if isinstance(trials, (list, tuple)) else []


@styled
def search_figure(search: Mapping[str, Any]) -> Figure | None:
    """Validation curves coloured by family, pruned ones faint, the best heavy; None without a curve."""
    drawn = []
    for trial in trials_of(search):
        curve = np.asarray(trial.get("curve") or [], dtype=float).ravel()
        if np.isfinite(curve).any():
            drawn.append((trial, curve))
    if not drawn:
        return None
    families = list(dict.fromkeys(str(trial.get("family", "network")) for trial, _ in drawn))
    figure, (axes,) = new_figure(7.6, 3.9)
    named: set[str] = set()
    for trial, curve in drawn:
        family = str(trial.get("family", "network"))
        best = trial.get("number") is not None and trial.get("number") == search.get("best")
        complete = trial.get("state") == "complete"
        tint = colour(families.index(family))
        axes.plot(
            np.arange(1, len(curve) + 1), curve, color=tint, lw=2.8 if best else 1.3, alpha=1 if complete else 0.35,
            marker="." if len(curve) == 1 else None, zorder=4 if best else 3,
            label=family if complete and family not in named else None,
        )  # fmt: skip
        if complete:
            named.add(family)
        if best:
            axes.plot(
                [len(curve)], [curve[-1]], "*", color=tint, mec="white", ms=16, zorder=5, ls="none",
                label=f"best: trial {trial['number']}",
            )  # fmt: skip
    for family in families:
        if family not in named:
            axes.plot([], [], color=colour(families.index(family)), alpha=0.35, label=f"{family} (none finished)")
    values = np.concatenate([curve[np.isfinite(curve)] for _, curve in drawn])
    if values.min() > 0 and values.max() > 10 * values.min():
        axes.set_yscale("log")
    axes.set(xlabel="rung or epoch", ylabel=str(search.get("objective") or "validation error"))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="y")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure
