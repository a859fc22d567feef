"""Figures over repeats, and their differences to a baseline's on the same repeats, with bootstrap intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Real = NDArray[np.float64]


def interval(values: Real, resamples: int = 2000) -> tuple[float, float]:
    """90 % bootstrap interval of the mean of ``n`` values; NaN below three, of which nothing can be said."""
    if len(values) < 3:
        return float("nan"), float("nan")
    draws = np.random.default_rng(0).integers(len(values), size=(resamples, len(values)))
    low, high = np.quantile(values[draws].mean(axis=1), [0.05, 0.95])
    return float(low), float(high)


def against(found: Mapping[str, Sequence[float]], baseline: str, figure: str) -> dict[str, Any]:
    """Prints a line for each name, and gives the same as JSON-able numbers.

    Args:
        found: name -> its figure at each repeat, the same repeats for all.
        baseline: whose figures to subtract.
        figure: what it is, for the heading and as a key.
    """
    print(f"\n  {'':26s}{figure:>14}{'interval':>20}{'less ' + baseline:>20}{'interval':>20}")
    result: dict[str, Any] = {}
    base = np.array(found[baseline])
    for name, each in found.items():
        own = np.array(each)
        difference = own - base
        low, high = interval(own)
        below, above = interval(difference)
        print(
            f"  {name:26s}{own.mean():14.4f}  [{low:7.4f}, {high:7.4f}]"
            f"{difference.mean():20.4f}  [{below:7.4f}, {above:7.4f}]"
        )
        result[name] = {
            figure.replace(" ", "_"): rounded(float(own.mean())),
            "interval": [rounded(low), rounded(high)],
            "difference": rounded(float(difference.mean())),
            "difference_interval": [rounded(below), rounded(above)],
        }
    return result


def rounded(value: float, digits: int = 5) -> float | None:
    """For JSON: None where it is not finite."""
    return round(value, digits) if np.isfinite(value) else None
