"""When material gives, read from a curve of local strain: estimates with their derivatives."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from physics.base import Array


@dataclass(frozen=True, eq=False)
class Estimates:
    """Where local strain first reaches what material bears, and derivatives in the curves.

    Args:
        values: "yield_strain_estimate", "strength_estimate" (GPa, the stress there), "toughness_estimate" (GPa, its
            integral over strain up to there).
        by_stress, by_local: name -> derivative in each point of the curve of stress and of local strain, ``n``.
    """

    values: dict[str, float]
    by_stress: dict[str, Array]
    by_local: dict[str, Array]


def estimates(strain: Array, stress: Array, local: Array, failure_strain: float) -> Estimates:
    """Estimates of a curve through the origin, linear between its points, each array ``n``.

    Where local strain stays below ``failure_strain`` it is taken to go on in proportion to the last point.
    """
    e, s, p = (np.append(0.0, values) for values in (strain, stress, local))
    n = len(e)
    reached = np.flatnonzero(p >= failure_strain)
    last = int(reached[0]) - 1 if len(reached) else n - 1
    d_share_low, d_share_high = np.zeros(n), np.zeros(n)
    if len(reached):
        rise, step, climb = p[last + 1] - p[last], e[last + 1] - e[last], s[last + 1] - s[last]
        share = (failure_strain - p[last]) / rise
        d_share_low[last], d_share_high[last + 1] = (share - 1) / rise, -share / rise
        by_low, by_high = 1 - share, share
    else:
        share = failure_strain / p[-1] - 1
        step, climb = e[-1], s[-1]
        d_share_low[-1] = -failure_strain / p[-1] ** 2
        by_low, by_high = 1 + share, 0.0
    by_share = d_share_low + d_share_high
    at, height = e[last] + share * step, s[last] + share * climb
    height_s = np.zeros(n)
    height_s[last] = by_low
    if len(reached):
        height_s[last + 1] = by_high
    before = float(np.trapezoid(s[: last + 1], e[: last + 1]))
    work = before + 0.5 * (s[last] + height) * share * step
    work_s = np.zeros(n)
    work_s[:last] += 0.5 * np.diff(e)[:last]
    work_s[1 : last + 1] += 0.5 * np.diff(e)[:last]
    work_s[last] += 0.5 * share * step
    work_s += 0.5 * share * step * height_s
    work_share = 0.5 * (s[last] + height) * step + 0.5 * climb * share * step
    return Estimates(
        {"yield_strain_estimate": at, "strength_estimate": height, "toughness_estimate": work},
        {
            "yield_strain_estimate": np.zeros(n - 1),
            "strength_estimate": height_s[1:],
            "toughness_estimate": work_s[1:],
        },
        {
            "yield_strain_estimate": (step * by_share)[1:],
            "strength_estimate": (climb * by_share)[1:],
            "toughness_estimate": (work_share * by_share)[1:],
        },
    )
