"""The power absorbed in a design region, with its derivatives.

Absorption sits where a stencil has imaginary parts (:mod:`physics.fdfd.monitors`): for Ez in the cells,
Im(diagonal_i) |f_i|^2, for Hz about the faces between cells, -Im(c) |f_j - f_i|^2. Both are f^H L f with L a real
stencil. Only cells and faces that the design region reaches count, not the absorbing layers or a mirror beside it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from physics.devices.open.covered_design import CoveredDesign
from physics.fdfd.grid import Complex, Real
from physics.fdfd.region import Coefficients, Region
from physics.fdfd.stencil import Stencil

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Absorbed:
    """Absorbed powers of fields in a window.

    Args:
        region: the window.
        cells: ``W x H``, the cells that count, none for Hz.
        east, north: ``W x H``, the faces that count, none for Ez.
    """

    region: Region
    cells: Mask
    east: Mask
    north: Mask

    @staticmethod
    def of(design: CoveredDesign, region: Region) -> Absorbed:
        """All that the design region reaches."""
        empty, full = (design.media.values(np.full(design.media.pixels, v)) for v in (0.0, 1.0))
        cells, east, north = (a != b for a, b in zip(empty, full, strict=True))
        if design.media.polarization == "Hz":
            cells = np.zeros_like(cells)
        return Absorbed(region, cells, east, north)

    def operator(self, coefficients: Coefficients) -> Stencil | None:
        """L, None where nothing absorbs."""
        parts = (coefficients.diagonal, coefficients.east, coefficients.north)
        if not any(np.iscomplexobj(part) for part in parts):
            return None
        cells, east, north = (
            np.where(mask, np.imag(part), 0.0)
            for mask, part in zip((self.cells, self.east, self.north), parts, strict=True)
        )
        inner = self.region.stencil(Coefficients(cells, east, north))
        around = inner.east + np.roll(inner.east, 1, axis=0) + inner.north + np.roll(inner.north, 1, axis=1)
        return Stencil(cells - around, inner.east, inner.north, inner.phase)

    def power(self, coefficients: Coefficients, field: Complex) -> Real:
        """``k`` powers of ``n x k`` fields, in the stencil's units."""
        operator = self.operator(coefficients)
        if operator is None:
            return np.zeros(field.shape[1])
        return np.einsum("nk,nk->k", field.conj(), operator.apply(field)).real

    def cotangent(self, coefficients: Coefficients, field: Complex) -> Complex:
        """2 L f, dP/dRe f + i dP/dIm f."""
        operator = self.operator(coefficients)
        return np.zeros_like(field) if operator is None else 2 * operator.apply(field)

    def explicit(self, field: Complex, weight: Real) -> Coefficients:
        """Derivative of the weighted sum of powers by the coefficients at a given field: d with Re sum(d * dA)."""
        f = field.reshape(*self.region.shape, -1)

        def total(squares: Real) -> Complex:
            return 1j * (squares @ weight)

        phases = self.region.phase
        ahead_x, ahead_y = np.roll(f, -1, axis=0), np.roll(f, -1, axis=1)
        ahead_x[-1] *= np.exp(1j * phases[0])
        ahead_y[:, -1] *= np.exp(1j * phases[1])
        return Coefficients(
            self.cells * -total(np.abs(f) ** 2),
            self.east * total(np.abs(ahead_x - f) ** 2),
            self.north * total(np.abs(ahead_y - f) ** 2),
        )
