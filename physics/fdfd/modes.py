"""Guided modes of a straight guide on the solver's own grid, and analytic slabs for comparison.

Along a guide whose layers of cells are all equal, T the operator within a layer and C the couplings between two layers,
a field exp(i k n) phi in layer n solves the five-point equations where T phi = -2 cos(k) C phi.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh_tridiagonal, eigvals, solve_banded
from scipy.optimize import brentq

from physics.fdfd.grid import Complex, Real

DECAYED = 1e-2  # of its peak, at most, is a mode's field at the ends of its cross-section
POLARIZATIONS = ("Ez", "Hz")


@dataclass(frozen=True, eq=False)
class GuidedMode:
    """A guided mode of a layer of cells.

    Args:
        profile: ``n``, the field over the cross-section; sum of coupling times profile squared (not its modulus) is 1.
            Positive in the first lobe; real where the guide is lossless.
        phase: advance per cell in radians, ``k cell_um``, by the grid's own dispersion; complex in a lossy guide.
    """

    profile: Complex
    phase: complex


@dataclass(frozen=True, eq=False)
class SlabMode:
    """A guided mode of the discrete slab.

    Args:
        profile: Ez over the cross-section, sum of squares 1, positive in the first lobe.
        phase: advance per cell in radians, ``k cell_um``, by the grid's own dispersion.
        effective_index: phase / (omega cell_um); like the phase complex in a lossy guide.
    """

    profile: Complex
    phase: complex
    effective_index: complex


def guided_mode(diagonal: Complex, across: Complex, along: Complex, number: int = 0) -> GuidedMode:
    """The guided mode ``number`` (0 is the fundamental) of a layer, with zero field beyond its ends.

    Modes are counted from the largest real part of k downwards to that of a plane wave in the cladding at either end.
    Where the guide is lossless and every coupling positive the problem is real symmetric, else complex symmetric.

    Args:
        diagonal: ``n`` diagonal entries of a stencil.
        across: ``n - 1`` couplings between neighbours in the layer.
        along: ``n`` couplings to the next layer, equal to those of the layer before.
        number: of the mode.

    Raises:
        ValueError: if the guide does not carry that mode, its tail is cut by the ends of the cross-section, or the mesh
            does not resolve it.
    """
    # A field constant across the cladding: the couplings of the end cells to both their neighbours.
    clad = (diagonal[[0, -1]] + 2 * across[[0, -1]]) / along[[0, -1]]
    lossless = not any(np.imag(part).any() for part in (diagonal, across, along))
    value: complex
    if lossless and np.all(np.real(along) > 0):
        value, profile, guided = _real(np.real(diagonal), np.real(across), np.real(along), np.real(clad), number)
    else:
        value, profile, guided = _complex(diagonal, across, along, clad, number)
    if profile is None:
        raise ValueError(
            f"Expected a guide that carries mode {number}. Got {guided} guided mode(s) among the first {number + 1}; "
            "widen the guide, raise its permittivity or choose a lower mode."
        )
    peak = np.abs(profile).max()
    tail = max(abs(profile[0]), abs(profile[-1])) / peak
    if tail > DECAYED:
        raise ValueError(
            f"Expected the mode to have decayed to {DECAYED:g} at the ends of its cross-section. Got {tail:.2g}; "
            "widen the margins or move the ports apart."
        )
    if value.real >= 2:
        raise ValueError(
            "Expected a mesh that resolves the mode along the guide. Got fewer than two cells a wavelength."
        )
    lobe = profile[np.flatnonzero(np.abs(profile) > 0.5 * peak)[0]]
    sign = 1.0 if lobe.real >= 0 else -1.0
    return GuidedMode(sign * profile, _phase(value))


def _phase(value: complex) -> complex:
    """k of ``value = -2 cos(k)``, real part within 0 and pi; accurate for small k, where the cosine is not."""
    if isinstance(value, complex):
        return complex(2 * np.arcsin(np.sqrt(value + 2) / 2))
    return 2 * math.asin(math.sqrt(value + 2) / 2)


def _real(diagonal: Real, across: Real, along: Real, clad: Real, number: int) -> tuple[float, Real | None, int]:
    """Eigenvalue, eigenvector and number of guided modes found, by the symmetric form C^-1/2 T C^-1/2."""
    n, root = len(diagonal), np.sqrt(along)
    values, vectors = eigh_tridiagonal(
        diagonal / along,
        across / (root[1:] * root[:-1]),
        select="i",
        select_range=(max(0, n - 1 - max(number, 0)), n - 1),
    )
    guided = int((values > max(-2.0, *clad)).sum())
    return float(values[0]), vectors[:, 0] / root if 0 <= number < guided else None, guided


def _complex(
    diagonal: Complex, across: Complex, along: Complex, clad: Complex, number: int
) -> tuple[complex, Complex | None, int]:
    """As :func:`_real` for a complex symmetric layer: all eigenvalues, then inverse iteration for the one."""
    bands = np.zeros((3, len(diagonal)), dtype=np.complex128)
    bands[0, 1:], bands[1], bands[2, :-1] = across, diagonal, across
    dense = np.diag(bands[1]) + np.diag(bands[0, 1:], 1) + np.diag(bands[2, :-1], -1)
    values = eigvals(dense / np.asarray(along)[:, None], check_finite=True)
    k, k_clad = (2 * np.arcsin(np.sqrt(np.asarray(v, dtype=np.complex128) + 2) / 2) for v in (values, clad))
    held = (k.real > k_clad.real.max() + 1e-12) & (np.abs(k.imag) < k.real / 2)
    order = np.flatnonzero(held)[np.argsort(-k.real[held])]
    if not 0 <= number < len(order):
        return 0j, None, len(order)
    value = complex(values[order[number]])
    vector = np.exp(1j * np.arange(len(diagonal)) ** 2)
    for _ in range(4):
        shifted = bands.copy()
        shifted[1] -= value * (1 + 1e-14) * along  # never exactly singular
        vector = solve_banded((1, 1), shifted, along * vector)
        vector = vector / np.sqrt((along * vector**2).sum())
        value = complex((vector * (dense @ vector)).sum())
    return value, vector, len(order)


def slab_mode(permittivity: Real | Complex, cell_um: float, omega: float, number: int = 0) -> SlabMode:
    """The guided mode ``number`` (0 is the fundamental) of a cross-section in Ez, by the discrete eigenproblem.

    (D^2 + omega^2 eps) phi = beta^2 phi across the guide, with zero field beyond the ends; along the guide the same
    grid gives (2 sin(k cell / 2) / cell)^2 = beta^2.

    Raises:
        ValueError: if the guide does not carry that mode, or its tail is cut by the ends of the cross-section.
    """
    n = len(permittivity)
    mode = guided_mode((omega * cell_um) ** 2 * np.asarray(permittivity) - 4, np.ones(n - 1), np.ones(n), number)
    return SlabMode(mode.profile, mode.phase, mode.phase / (omega * cell_um))


def analytic_slab_index(
    width_um: float, core: float, cladding: float, wavelength_um: float, number: int = 0, polarization: str = "Ez"
) -> float:
    """Effective index of mode ``number`` of a symmetric slab, Ez or Hz parallel to the slab.

    Solves u = number pi / 2 + arctan(r w / u), u = kappa width / 2, w = gamma width / 2, with r = 1 for Ez (TE of a
    slab) and core / cladding for Hz (TM) (Snyder and Love, Optical Waveguide Theory, table 12-2).

    Raises:
        ValueError: below the mode's cut-off.
    """
    if polarization not in POLARIZATIONS:
        raise ValueError(f"Expected polarization Ez or Hz. Got {polarization!r}.")
    ratio = 1.0 if polarization == "Ez" else core / cladding
    radius = np.pi * width_um / wavelength_um * np.sqrt(core - cladding)
    if radius <= number * np.pi / 2:
        raise ValueError(f"Expected a slab that carries mode {number}. Got V = {2 * radius:.3g}, below its cut-off.")

    def mismatch(u: float) -> float:
        return u - number * np.pi / 2 - np.arctan2(ratio * np.sqrt(max(radius**2 - u**2, 0.0)), u)

    u = brentq(mismatch, number * np.pi / 2 + 1e-12, min(radius, (number + 1) * np.pi / 2), xtol=1e-14)
    return float(np.sqrt(core - (u * wavelength_um / (np.pi * width_um)) ** 2))
