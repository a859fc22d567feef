"""Figures over draws of data, and their differences to a baseline's on the same draws, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

Real = NDArray[np.float64]


def interval(values: Real) -> tuple[float, float]:
    """90 % interval of the mean of ``n`` independent values, by Student's t; NaN below three.

    Of a handful of values a bootstrap interval is far too narrow.
    """
    if len(values) < 3:
        return float("nan"), float("nan")
    half = student.ppf(0.95, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean() - half), float(values.mean() + half)


def against(found: Mapping[str, Sequence[float | Sequence[float]]], baseline: str, figure: str) -> dict[str, Any]:
    """Prints a line for each name, and gives the same as JSON-able numbers.

    Args:
        found: name -> its figure at each draw, the same draws for all; several of one draw, by seeds, count as their
            mean, as they are not independent.
        baseline: whose figures to subtract.
        figure: what it is, for the heading and as a key.
    """
    print(f"\n  {'':26s}{figure:>14}{'interval':>20}{'less ' + baseline:>20}{'interval':>20}")
    result: dict[str, Any] = {}
    base = np.array([np.mean(one) for one in found[baseline]])
    for name, each in found.items():
        own = np.array([np.mean(one) for one in each])
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
