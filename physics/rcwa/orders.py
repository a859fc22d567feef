"""Diffraction orders of a periodic cell: which there are, which propagate, and which stand at grazing."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np

from physics.base import Array

Pair = tuple[int, int]
GRAZING = 1e-9


@dataclass(frozen=True)
class Incidence:
    """A plane wave onto a cell: vacuum wavelength, polar angle in the incident medium, azimuth of its plane."""

    wavelength_um: float
    angle_deg: float
    azimuth_deg: float

    def transverse(self, permittivity: float, period_um: tuple[float, ...], orders: Array) -> Array:
        """In-plane wave vectors over the vacuum wavenumber, ``n x 2``, of ``n x 2`` orders.

        Args:
            permittivity: of the incident medium.
            period_um: of the cell; along y there is no period in a cell that has one only.
            orders: integers.
        """
        tangent = math.sqrt(permittivity) * math.sin(math.radians(self.angle_deg))
        azimuth = math.radians(self.azimuth_deg)
        steps = np.zeros(2)
        steps[: len(period_um)] = self.wavelength_um / np.asarray(period_um)
        return tangent * np.array([math.cos(azimuth), math.sin(azimuth)]) + orders * steps


def box(harmonics: Pair) -> Array:
    """All orders up to ``harmonics`` each way, ``n x 2``."""
    return np.array(list(itertools.product(*(range(-n, n + 1) for n in harmonics))))


def propagating(permittivity: complex, transverse: Array) -> Array:
    """Which in-plane wave vectors, ``n x 2``, propagate in a medium; none does in one that absorbs."""
    if complex(permittivity).imag != 0:
        return np.zeros(len(transverse), dtype=bool)
    return np.asarray((transverse**2).sum(axis=1) < complex(permittivity).real)


def grazing(permittivity: complex, transverse: Array) -> bool:
    """Whether an in-plane wave vector is that of a wave along the surface, where the equations are singular."""
    return bool((np.abs(permittivity - (transverse**2).sum(axis=1)) < GRAZING).any())
