"""How thresholds of a conic filter and lengths belong together."""

from __future__ import annotations

import math

from scipy.optimize import brentq


def edge_shift_threshold(shift_um: float, radius_um: float) -> float:
    """By how much a threshold differs from 1/2 where the filtered straight edge is met `shift_um` inside the edge.

    The share of a cone's volume between its axis and a plane parallel to it at the distance u R is

        (1 / pi) [2 u sqrt(1 - u^2) + asin(u) - u^3 arcosh(1 / u)],

    the integral of the cone's chords. Exact for a straight edge and a fine pixel; the sign is that of the shift.

    Raises:
        ValueError: for a radius that is not positive.
    """
    if not radius_um > 0:
        raise ValueError(f"Expected a filter radius > 0. Got {radius_um} um; without a filter edges cannot move.")
    u = min(abs(shift_um) / radius_um, 1.0)
    if u == 0:
        return 0.0
    share = (2 * u * math.sqrt(1 - u**2) + math.asin(u) - u**3 * math.acosh(1 / u)) / math.pi
    return math.copysign(share, shift_um)


def threshold_edge_shift(offset: float, radius_um: float) -> float:
    """Inverse of `edge_shift_threshold`: how far an edge moves inwards at the threshold 1/2 + `offset`, in um.

    Raises:
        ValueError: for an offset outside (-1/2, 1/2).
    """
    if not abs(offset) < 0.5:
        raise ValueError(f"Expected a threshold offset between -1/2 and 1/2. Got {offset}.")
    shift = brentq(lambda x: edge_shift_threshold(x, radius_um) - abs(offset), 0.0, radius_um)
    return math.copysign(float(shift), offset)


def eroded_threshold(length_um: float, radius_um: float) -> float:
    """Threshold at which the narrowest allowed feature vanishes, in [1/2, 1].

    A feature as wide as `length_um` at the threshold 1/2 just survives at the one given: Qian and Sigmund, CMAME 253,
    237 (2013), eqs. 17 and 18, for a hat of half width `radius_um`. The dilated threshold for a gap is 1 minus it.

    Raises:
        ValueError: for lengths or radii that are not positive, or a length of two radii and more, for which the filter
            has no threshold.
    """
    if not length_um > 0 or not radius_um > 0:
        raise ValueError(f"Expected a length and a filter radius > 0. Got {length_um} and {radius_um} um.")
    if length_um >= 2 * radius_um:
        raise ValueError(
            f"Expected a filter radius above half the length of {length_um} um. Got {radius_um} um; "
            "a filter_radius_um equal to the length serves well."
        )
    ratio = length_um / radius_um
    return 0.5 + ratio**2 / 4 if ratio < 1 else ratio - ratio**2 / 4
