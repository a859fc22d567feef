"""Powers and amplitudes read off a field, with their derivatives.

Every monitor has ``value(field)`` and ``cotangent(field)`` = dP/dRe f + i dP/dIm f of an ``nx x ny`` field. From
A f = b and lambda = A^-T conj(cotangent), a change dA of the operator changes the value by -Re(lambda^T dA f), to which
a monitor whose own coefficients change (absorption in the changed cells) adds its explicit part.

Fluxes are the stencil's own: across the face between cells i and j with coupling c,

    P = Im(conj(f_i + f_j) / 2 c (f_j - f_i)),    absorbed about the face: -Im(c) |f_j - f_i|^2,
    absorbed in cell i: Im(m_i) |f_i|^2,          m_i = diagonal + the sum of its couplings,

which balance to rounding: Im(f^H b) over a region = absorbed + outward flux. A mode of unit flux norm carries P = 1;
divided by 2 omega they are powers per length in units of c = mu_0 = 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from physics.fdfd.grid import Complex, Grid, Real, Sparse
from physics.fdfd.sources import PlaneWave, plane_wave_source
from physics.fdfd.stencil import Stencil

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Quadratic:
    """The real number f^H M f, M Hermitian: a flux or an absorbed power.

    Args:
        matrix: ``nx ny x nx ny``.
    """

    matrix: Sparse

    def value(self, field: Complex) -> float:
        """f^H M f."""
        flat = np.ravel(field)
        return float(np.vdot(flat, self.matrix @ flat).real)

    def cotangent(self, field: Complex) -> Complex:
        """2 M f."""
        return (2 * (self.matrix @ np.ravel(field))).reshape(field.shape)


@dataclass(frozen=True, eq=False)
class Amplitude:
    """The power |a|^2 of an amplitude a = sum of vector times field, plus offset.

    The vector of a port gives the outgoing amplitude of its mode, that of a diffraction order its own; the offset is
    their ``own`` where the same port or order is the source, else 0.

    Args:
        vector: ``nx x ny``.
        offset: added to the sum.
    """

    vector: Complex
    offset: complex = 0.0

    def amplitude(self, field: Complex) -> complex:
        """a."""
        return complex((self.vector * field).sum() + self.offset)

    def value(self, field: Complex) -> float:
        """|a|^2."""
        return abs(self.amplitude(field)) ** 2

    def cotangent(self, field: Complex) -> Complex:
        """2 a conj(vector)."""
        return 2 * self.amplitude(field) * np.conj(self.vector)


@dataclass(frozen=True, eq=False)
class Work:
    """The power Im(f^H b) that a source puts into the field.

    With the source of a plane wave on a total-field region this is the extinction: all that its contents absorb and
    scatter.

    Args:
        source: ``nx x ny`` right-hand side b.
    """

    source: Complex

    def value(self, field: Complex) -> float:
        """Im(f^H b)."""
        return float(np.vdot(field, self.source).imag)

    def cotangent(self, field: Complex) -> Complex:
        """-i b, whatever the field."""
        return -1j * np.asarray(self.source, dtype=np.complex128).reshape(field.shape)


def outward_flux(stencil: Stencil, inside: Mask) -> Quadratic:
    """Power out of a region through its whole boundary.

    Args:
        stencil: the operator.
        inside: ``nx x ny`` mask of the region.
    """
    q = inside.astype(float)
    return _flux(stencil, (q - np.roll(q, -1, 0), q - np.roll(q, -1, 1)))


def line_flux(stencil: Stencil, along: str, index: int, span: slice = slice(None)) -> Quadratic:
    """Power through a straight line towards increasing x (or y).

    Args:
        stencil: the operator.
        along: direction of the line, "x" or "y".
        index: the line runs between the rows ``index`` and ``index + 1`` on the other axis.
        span: cells of the line.
    """
    if along not in ("x", "y"):
        raise ValueError(f"Expected a line along x or y. Got {along!r}.")
    count = stencil.shape[0 if along == "y" else 1]
    if not 0 <= index < count - 1:
        raise ValueError(f"Expected a line behind row 0 to {count - 2}. Got {index}.")
    east, north = np.zeros(stencil.shape), np.zeros(stencil.shape)
    if along == "y":
        east[index, span] = 1.0
    else:
        north[span, index] = 1.0
    return _flux(stencil, (east, north))


def absorbed(stencil: Stencil, inside: Mask) -> Quadratic:
    """Power absorbed in the cells of a region and about their faces, half of it where a face is on the boundary.

    Args:
        stencil: the operator; the absorption of a PML counts where the region holds some.
        inside: ``nx x ny`` mask of the region.
    """
    q = inside.astype(float).ravel()
    size = len(q)
    mass = stencil.diagonal.ravel().astype(np.complex128)
    total = sp.csr_array((size, size), dtype=np.complex128)
    for i, j, c, advance in _faces(stencil):
        np.add.at(mass, i, c)
        np.add.at(mass, j, c)
        weight = (q[i] + q[j]) / 2 * c.imag
        total = total + _hermitian(size, i, j, weight * advance, -weight, -weight)
    return Quadratic(total + sp.diags_array(q * mass.imag).tocsr())


def far_field(stencil: Stencil, grid: Grid, inside: Mask, wave: PlaneWave) -> Amplitude:
    """The amplitude scattered along a plane wave of the surroundings, at infinity.

    By reciprocity the source that would bring in the reversed wave reads the wave out. With c the coupling of the
    medium (1 for Ez, 1 / permittivity for Hz) the field far away is

        amplitude / (4 i c) sqrt(2 / (pi k r)) exp(i (k r - pi / 4)),

    and the extinction of a unit wave is minus the imaginary part of the amplitude forwards (the optical theorem).

    Args:
        stencil: the operator.
        grid: its grid.
        inside: ``nx x ny`` mask that holds the total-field region with at least one cell to spare all around.
        wave: gives the direction; its medium is that of the surroundings.

    Raises:
        ValueError: if the medium is another one on the boundary of ``inside``.
    """
    kx, ky = wave.step
    back = PlaneWave(wave.diagonal, wave.east, wave.north, (-kx, -ky))
    return Amplitude(plane_wave_source(stencil, grid, inside, back))


def _faces(stencil: Stencil) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], Complex, Complex]]:
    """For each direction the flat indices of the cells i and j beside every face, its coupling, and j's advance."""
    number = np.arange(stencil.diagonal.size).reshape(stencil.shape)
    for axis, (coupling, phase) in enumerate(zip((stencil.east, stencil.north), stencil.phase, strict=True)):
        advance = np.ones(stencil.shape, dtype=np.complex128)
        advance[(slice(None),) * axis + (-1,)] = np.exp(1j * phase)
        held = np.ravel(coupling != 0)
        ahead = np.roll(number, -1, axis)
        yield number.ravel()[held], ahead.ravel()[held], coupling.ravel()[held] + 0j, advance.ravel()[held]


def _flux(stencil: Stencil, weights: tuple[Real, Real]) -> Quadratic:
    """Sum over faces of weight times the power from i to j."""
    size = stencil.diagonal.size
    total = sp.csr_array((size, size), dtype=np.complex128)
    for (i, j, c, advance), coupling, weight in zip(
        _faces(stencil), (stencil.east, stencil.north), weights, strict=True
    ):
        w = weight.ravel()[np.ravel(coupling != 0)]
        total = total + _hermitian(size, i, j, w * c.real * advance / 2j, -w * c.imag / 2, w * c.imag / 2)
    return Quadratic(total)


def _hermitian(size: int, i: NDArray[np.int64], j: NDArray[np.int64], upper: Complex, at_i: Real, at_j: Real) -> Sparse:
    """The matrix with ``upper`` at (i, j), its conjugate at (j, i) and the given diagonal entries, without zeros."""
    data = np.concatenate([upper, upper.conj(), at_i, at_j])
    rows, columns = np.concatenate([i, j, i, j]), np.concatenate([j, i, i, j])
    kept = data != 0
    return sp.csr_array((data[kept], (rows[kept], columns[kept])), shape=(size, size))
