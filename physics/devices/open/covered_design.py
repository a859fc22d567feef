"""A design region of which fixed shapes cover a part."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from physics.fdfd.geometry import Shape, paint
from physics.fdfd.grid import Axis, Complex, Grid, Real
from physics.fdfd.media import DesignMap
from physics.fdfd.region import Coefficients
from physics.fdfd.stencil import Stencil


@dataclass(frozen=True, eq=False)
class CoveredDesign:
    """From a density to the coefficients of its window, under shapes that keep their permittivity.

    Each pixel is divided into ``finer x finer`` parts no larger than a cell. Where shapes cover a share of a part, its
    permittivity is the area mean of theirs and the density's, linear in the density: ``open`` times the density plus
    ``fixed`` is the density that has this permittivity.

    Args:
        media: the map of the finer pixels.
        finer: parts a pixel, along x and y.
        open: share of each part that no shape covers.
        fixed: what the shapes add; complex where they absorb.
    """

    media: DesignMap
    finer: int
    open: Real
    fixed: Real | Complex

    @staticmethod
    def of(
        grid_media: DesignMap, pixels: tuple[int, int], pixel_um: float, finer: int, frozen: Sequence[Shape]
    ) -> CoveredDesign:
        """The map for a density of ``pixels``.

        Args:
            grid_media: the map of the finer pixels.
            pixels: of the density.
            pixel_um: side of one.
            finer: parts a pixel.
            frozen: shapes of numeric permittivity over the design, later ones cover earlier ones.
        """
        low, high = grid_media.permittivity
        parts = Grid(*(Axis(finer * n, pixel_um / finer) for n in pixels))
        at_low, at_high = (paint(parts, value, tuple(frozen)) for value in (low, high))
        fixed = (at_low - low) / (high - low)
        fixed = fixed if np.imag(fixed).any() else np.real(fixed)
        return CoveredDesign(grid_media, finer, np.real((at_high - at_low) / (high - low)), fixed)

    @property
    def window(self) -> tuple[int, int, int, int]:
        """Cells ``[i0:i1, j0:j1]`` outside which no density changes the stencil."""
        return self.media.window

    def values(self, density: Real) -> Coefficients:
        """What a density makes of the window."""
        return Coefficients(*self.media.values(self._covered(density)))

    def pull_back(self, density: Real, d: Coefficients) -> Real:
        """dL/d(density) for dL = Re sum(d * dA) over the coefficients."""
        fine = self.open * self.media.pull_back(self._covered(density), d.diagonal, d.east, d.north)
        nx, ny = density.shape
        return fine.reshape(nx, self.finer, ny, self.finer).sum(axis=(1, 3))

    def stencil(self, density: Real) -> Stencil:
        """The operator of the whole domain with a density."""
        static, (i0, i1, j0, j1), inside = self.media.static, self.window, self.values(density)
        parts = [np.array(part) for part in (static.diagonal, static.east, static.north)]
        for part, values in zip(parts, (inside.diagonal, inside.east, inside.north), strict=True):
            part[i0:i1, j0:j1] = values
        diagonal, east, north = parts
        return Stencil(diagonal, east, north, static.phase)

    def permittivity(self, density: Real) -> Real | Complex:
        """``finer nx x finer ny`` permittivity of the parts, for pictures."""
        low, high = self.media.permittivity
        return low + (high - low) * self._covered(density)

    def _covered(self, density: Real) -> Real | Complex:
        return self.open * np.repeat(np.repeat(density, self.finer, axis=0), self.finer, axis=1) + self.fixed


def parts_of(pixel_um: float, cell_um: float) -> int:
    """Into how many parts a pixel is divided along each axis, so that none is larger than a cell."""
    return math.ceil(pixel_um / cell_um - 1e-6)
