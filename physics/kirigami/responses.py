"""The quantities that sheets answer, and what a stress-strain curve says about them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from physics.base import Array, Quantity

UNITS = {
    "modulus": "GPa",
    "poisson_ratio": "1",
    "yield_strain": "1",
    "rupture_strain": "1",
    "strength": "GPa",
    "toughness": "GPa",
    "yield_strain_estimate": "1",
    "strength_estimate": "GPa",
    "toughness_estimate": "GPa",
}
# Strain up to which the modulus is read.
MODULUS_STRAIN = 0.01


def scalar(name: str) -> Quantity:
    """A quantity of one number; ``KeyError`` if unknown."""
    return Quantity(name, {}, UNITS[name])


def curve(name: str, strain: Sequence[float], unit: str = "GPa") -> Quantity:
    """A quantity on a grid of strains."""
    return Quantity(name, {"strain": tuple(float(value) for value in strain)}, unit)


def curve_quantities(
    strain: Array,
    stress: Array,
    *,
    threshold_gpa: float = 1.0,
    rupture_share: float = 0.3,
    modulus_strain: float = 0.02,
) -> dict[str, float]:
    """Scalars of one stress-strain curve that starts at or after the origin.

    Yield is the first local maximum of the stress above the threshold, else the last point (Hanakata et al., Phys.
    Rev. Lett. 121, 255304 (2018)). Rupture is the first point after the maximum from which the stress stays below
    ``rupture_share`` of that maximum, else the last point.

    Args:
        strain: ``n`` ascending strains.
        stress: ``n`` stresses in GPa.
        threshold_gpa: below it a local maximum is noise.
        rupture_share: see above.
        modulus_strain: the modulus is the slope through the origin of the points up to here, at least of the first.

    Returns:
        "modulus", "yield_strain", "rupture_strain", "strength" (the highest stress), "toughness" (the integral of
        stress over strain up to yield).

    Raises:
        ValueError: for other shapes, fewer than two points, values not finite, or strains that do not ascend from
        above 0.
    """
    e, s = np.asarray(strain, dtype=float), np.asarray(stress, dtype=float)
    if e.ndim != 1 or e.shape != s.shape or len(e) < 2 or not (np.isfinite(e).all() and np.isfinite(s).all()):
        raise ValueError(f"Expected two or more finite strains and stresses alike. Got shapes {e.shape}, {s.shape}.")
    if e[0] == 0:
        e, s = e[1:], s[1:]
    if len(e) < 2 or e[0] <= 0 or (np.diff(e) <= 0).any():
        raise ValueError("Expected strains that ascend from 0 or above, two of them above 0.")
    early = e <= max(modulus_strain, e[0])
    modulus = float((e[early] * s[early]).sum() / (e[early] ** 2).sum())
    inner = np.flatnonzero((s[1:-1] > s[:-2]) & (s[1:-1] >= s[2:]) & (s[1:-1] > threshold_gpa)) + 1
    if s[0] > threshold_gpa and s[0] >= s[1]:
        inner = np.append(0, inner)
    at_yield = int(inner[0]) if len(inner) else len(e) - 1
    peak = int(np.argmax(s))
    alive = np.flatnonzero(s >= rupture_share * s[peak])
    ruptured = min(int(alive[-1]) + 1, len(e) - 1)
    rise_e, rise_s = np.append(0.0, e[: at_yield + 1]), np.append(0.0, s[: at_yield + 1])
    return {
        "modulus": modulus,
        "yield_strain": float(e[at_yield]),
        "rupture_strain": float(e[ruptured]),
        "strength": float(s[peak]),
        "toughness": float(np.trapezoid(rise_s, rise_e)),
    }
