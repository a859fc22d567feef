"""Absorbing layers deep enough for diffraction orders that run nearly along them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from physics.fdfd.grid import Pml, Real

ATTENUATION = 9.0  # nepers of every order's amplitude, through margin and layer and back
DEEPEST_WAVELENGTHS = 10.0


@dataclass(frozen=True)
class HalfSpace:
    """A uniform medium beyond a periodic cell at one wavelength and angle.

    Args:
        wavelength_um: in vacuum.
        permittivity: of the medium.
        transverse: wave number of order 0 along the period, in 1 / um.
    """

    wavelength_um: float
    permittivity: float | complex
    transverse: float


def deepened(pml: Pml, period_um: float, cell_um: float, margin_um: float, beyond: Iterable[HalfSpace]) -> Pml:
    """The layer, deeper where it and the margin would attenuate an order by less than :data:`ATTENUATION`.

    A layer absorbs a wave in proportion to its wave number across it, and lets evanescent ones fall off by themselves:
    both fail where that is nearly 0. Conductivity stays as it was, so that the nominal reflection falls with the depth.
    Layers end at :data:`DEEPEST_WAVELENGTHS`, or where they did.
    """
    factor, longest = 1.0, 0.0
    for medium in beyond:
        omega = 2 * math.pi / medium.wavelength_um
        across = _across(medium, period_um, cell_um)
        rate = 2 * across.imag * pml.thickness_um - pml.log_reflection * across.real / omega
        missing = ATTENUATION - 2 * across.imag * margin_um
        factor = max(factor, float((missing / np.maximum(rate, 1e-9)).max()))
        longest = max(longest, medium.wavelength_um)
    factor = min(factor, max(1.0, DEEPEST_WAVELENGTHS * longest / pml.thickness_um))
    return replace(pml, thickness_um=factor * pml.thickness_um, log_reflection=factor * pml.log_reflection)


def _across(medium: HalfSpace, period_um: float, cell_um: float) -> Real:
    """Wave numbers across the layers of all orders that a mesh holds, in 1 / um; imaginary where they fall off."""
    count = round(period_um / cell_um)
    along = medium.transverse * cell_um + 2 * math.pi * np.arange(count) / count
    squared = (2 * math.pi / medium.wavelength_um * cell_um) ** 2 * medium.permittivity / 4 - np.sin(along / 2) ** 2
    return 2 * np.arcsin(np.sqrt(squared.astype(np.complex128))) / cell_um
