"""Five-point operators on a rectangle of cells."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp

from physics.fdfd.grid import Complex, Sparse


@dataclass(frozen=True, eq=False)
class Stencil:
    """A five-point operator: (A f)_i = diagonal_i f_i + sum of coupling times neighbour.

    Complex symmetric where nothing wraps around. Across a period, f(x + L) = exp(i phase) f(x), so that the
    transpose is the operator of the opposite phases.

    Args:
        diagonal: ``nx x ny``.
        east: ``nx x ny``; ``east[i, j]`` couples (i, j) with (i + 1, j), the last row with the first one across the
            period (0 where x is not periodic).
        north: ``nx x ny``; likewise ``north[i, j]`` couples (i, j) with (i, j + 1).
        phase: advance across the period along x and y in radians.
    """

    diagonal: Complex
    east: Complex
    north: Complex
    phase: tuple[float, float] = (0.0, 0.0)

    @property
    def shape(self) -> tuple[int, int]:
        """Cells along x and y."""
        nx, ny = self.diagonal.shape
        return nx, ny

    @property
    def transposed(self) -> Stencil:
        """The transpose of the operator."""
        return replace(self, phase=(-self.phase[0], -self.phase[1]))

    def apply(self, field: Complex) -> Complex:
        """A times fields, both ``nx ny x k``."""
        parts = (self.diagonal, self.east, self.north)
        wraps = self.east[-1].any() or self.north[:, -1].any()
        if not wraps and field.dtype == np.complex128 and all(part.dtype.kind == "f" for part in parts):
            return self._inner(np.ascontiguousarray(field).view(np.float64)).view(np.complex128)
        out = self._inner(field).reshape(*self.shape, -1)
        f = field.reshape(*self.shape, -1)
        if self.east[-1].any():
            turn, edge = np.exp(1j * self.phase[0]), self.east[-1, :, None]
            out[-1] += turn * edge * f[0]
            out[0] += edge * f[-1] / turn
        if self.north[:, -1].any():
            turn, edge = np.exp(1j * self.phase[1]), self.north[:, -1, None]
            out[:, -1] += turn * edge * f[:, 0]
            out[:, 0] += edge * f[:, -1] / turn
        return out.reshape(field.shape)

    def _inner(self, field: Complex) -> Complex:
        """The part that does not wrap around."""
        f = field.reshape(*self.shape, -1)
        east, north = self.east[:-1, :, None], self.north[:, :-1, None]
        out = self.diagonal[..., None] * f
        out[:-1] += east * f[1:]
        out[1:] += east * f[:-1]
        out[:, :-1] += north * f[:, 1:]
        out[:, 1:] += north * f[:, :-1]
        return out.reshape(field.shape)

    def matrix(self) -> Sparse:
        """``nx ny x nx ny`` sparse matrix; unknown (ix, iy) has index ``ix * ny + iy``."""
        nx, ny = self.shape
        number = np.arange(nx * ny).reshape(nx, ny)
        ones = np.ones(number.shape, dtype=np.complex128)
        advance_x, advance_y = ones.copy(), ones.copy()
        advance_x[-1], advance_y[:, -1] = np.exp(1j * self.phase[0]), np.exp(1j * self.phase[1])
        east, north = np.roll(number, -1, axis=0), np.roll(number, -1, axis=1)
        values = (
            self.diagonal,
            self.east * advance_x, self.east / advance_x,
            self.north * advance_y, self.north / advance_y,
        )  # fmt: skip
        rows, columns = (number, number, east, number, north), (number, east, number, north, number)
        entries = [np.concatenate([np.ravel(part) for part in parts]) for parts in (values, rows, columns)]
        kept = entries[0] != 0
        data, row, column = (part[kept] for part in entries)
        return sp.csc_array((data, (row, column)), shape=(nx * ny, nx * ny))
