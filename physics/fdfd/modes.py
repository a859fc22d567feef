"""Guided modes of a slab on the solver's own grid, and the analytic slab for comparison."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh_tridiagonal
from scipy.optimize import brentq

from physics.fdfd.grid import Real


@dataclass(frozen=True, eq=False)
class SlabMode:
    """A guided mode of the discrete slab.

    Args:
        profile: Ez over the cross-section, sum of squares 1, positive in the first lobe.
        phase: advance per cell in radians, ``k cell_um``, by the grid's own dispersion.
        effective_index: phase / (omega cell_um).
    """

    profile: Real
    phase: float
    effective_index: float


def slab_mode(permittivity: Real, cell_um: float, omega: float, number: int = 0) -> SlabMode:
    """The guided mode ``number`` (0 is the fundamental) of a cross-section, by the discrete eigenproblem.

    (D^2 + omega^2 eps) phi = beta^2 phi across the guide, with zero field beyond the ends; along the guide the same
    grid gives (2 sin(k cell / 2) / cell)^2 = beta^2.

    Raises:
        ValueError: if the guide does not carry that mode, or its tail is cut by the ends of the cross-section.
    """
    n = len(permittivity)
    diagonal = (omega * cell_um) ** 2 * permittivity - 2
    values, vectors = eigh_tridiagonal(
        diagonal, np.ones(n - 1), select="i", select_range=(max(0, n - 1 - number), n - 1)
    )
    cutoff = (omega * cell_um) ** 2 * max(permittivity[0], permittivity[-1])
    guided = int((values > cutoff).sum())
    if number < 0 or guided <= number:
        raise ValueError(
            f"Expected a guide that carries mode {number}. Got {guided} guided mode(s) among the first {number + 1}; "
            "widen the guide, raise its permittivity or choose a lower mode."
        )
    profile, squared = vectors[:, 0], values[0]
    peak = np.abs(profile).max()
    tail = max(abs(profile[0]), abs(profile[-1])) / peak
    if tail > 1e-2:
        raise ValueError(
            f"Expected the mode to have decayed to 1e-2 at the ends of its cross-section. Got {tail:.2g}; "
            "widen the margins or move the ports apart."
        )
    if squared >= 4:
        raise ValueError(
            "Expected a mesh that resolves the mode along the guide. Got fewer than two cells a wavelength."
        )
    first_lobe = np.flatnonzero(np.abs(profile) > 0.5 * peak)[0]
    phase = 2 * np.arcsin(np.sqrt(squared) / 2)
    return SlabMode(profile * np.sign(profile[first_lobe]), float(phase), float(phase / (omega * cell_um)))


def analytic_slab_index(width_um: float, core: float, cladding: float, wavelength_um: float, number: int = 0) -> float:
    """Effective index of mode ``number`` of a symmetric slab, Ez parallel to the slab.

    Solves u = number pi / 2 + arctan(w / u), u = kappa width / 2, w = gamma width / 2 (Snyder and Love, Optical
    Waveguide Theory, table 12-2).

    Raises:
        ValueError: below the mode's cut-off.
    """
    radius = np.pi * width_um / wavelength_um * np.sqrt(core - cladding)
    if radius <= number * np.pi / 2:
        raise ValueError(f"Expected a slab that carries mode {number}. Got V = {2 * radius:.3g}, below its cut-off.")

    def mismatch(u: float) -> float:
        return u - number * np.pi / 2 - np.arctan2(np.sqrt(max(radius**2 - u**2, 0.0)), u)

    u = brentq(mismatch, number * np.pi / 2 + 1e-12, min(radius, (number + 1) * np.pi / 2), xtol=1e-14)
    return float(np.sqrt(core - (u * wavelength_um / (np.pi * width_um)) ** 2))
