"""The window of cells that a design changes, solved by itself: its surroundings act on its outer ring alone.

With the unknowns ordered exterior (e), ring (r) and interior of the window (i), only coefficients inside the window
change between designs, so the Schur complement A_rr - A_re A_ee^-1 A_er, the loads b_r - A_re A_ee^-1 b_e and the
constants b_e^T A_ee^-1 b_e are computed once (Zhao, Boutami, Fan, Opt. Express 27, 20711 (2019)). Each design then
costs a multifrontal elimination of the interior and a dense LU of the ring.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import scipy.sparse as sp
from scipy.linalg.lapack import zgetrf, zgetrs

from physics.base import SimulationError
from physics.fdfd.boxes import Index, dissect
from physics.fdfd.grid import Complex, Real, Sparse
from physics.fdfd.linear import ACCEPTED, Factor
from physics.fdfd.multifrontal import Elimination
from physics.fdfd.stencil import Stencil

GOAL = 2e-15  # backward error at which refinement stops
Window = tuple[int, int, int, int]  # i0, i1, j0, j1: cells i0 <= ix < i1, j0 <= iy < j1


def ring_of(width: int, height: int) -> Index:
    """Flat indices of the outermost cells of a window: as the interior's boundary runs, then the four corners.

    Raises:
        ValueError: for a window without interior.
    """
    if min(width, height) < 3:
        raise ValueError(f"Expected a window of 3 x 3 cells or more. Got {width} x {height}; refine the mesh.")
    corners = [0, height - 1, width * height - 1, (width - 1) * height]
    return np.concatenate([dissect(width - 2, height - 2)[-1].boundary[0], corners])


@dataclass(frozen=True, eq=False)
class Coefficients:
    """What a design makes of the window, each ``W x H``, all real or all complex.

    As in a :class:`Stencil`; the last row of ``east`` and the last column of ``north`` couple across the period where
    the window spans it, and do not count otherwise.
    """

    diagonal: Complex
    east: Complex
    north: Complex


class Outside(Protocol):
    """What the outside of a window adds to its ring, see :class:`physics.fdfd.exterior.Exterior`."""

    schur: Complex
    sources: Complex
    receivers: Complex
    constant: Complex


@dataclass(frozen=True, eq=False)
class Region:
    """A window and what its surroundings do to it.

    Args:
        window: (i0, i1, j0, j1).
        exterior: ``m x m`` addition to the ring's block, in the order of :func:`ring_of`.
        sources: ``n x k`` loads, ``n`` the cells of the window.
        receivers: ``n x l`` functionals; the sources themselves in a symmetric system.
        constant: ``l x k``; receivers_full^T A^-1 sources_full = constant + receivers^T M^-1 sources.
        wraps: whether the window spans the period along x and y.
        phase: advance across the period.
    """

    window: Window
    exterior: Complex
    sources: Complex
    receivers: Complex
    constant: Complex
    wraps: tuple[bool, bool] = (False, False)
    phase: tuple[float, float] = (0.0, 0.0)
    ring: Index = field(init=False)
    row_sums: Real = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ring", ring_of(*self.shape))
        object.__setattr__(self, "exterior", np.ascontiguousarray(self.exterior, dtype=np.complex128))
        object.__setattr__(self, "row_sums", np.abs(self.exterior).sum(axis=1))

    @property
    def shape(self) -> tuple[int, int]:
        """Cells of the window along x and y."""
        i0, i1, j0, j1 = self.window
        return i1 - i0, j1 - j0

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(a.nbytes for a in (self.exterior, self.sources, self.receivers, self.constant))

    @staticmethod
    def of(stencil: Stencil, window: Window, outer: Outside, sources: Complex, receivers: Complex) -> Region:
        """The region of a window from what its outside adds to the ring; arguments as for ``condense``."""
        (nx, ny), (i0, i1, j0, j1) = stencil.shape, window
        cells = np.arange(nx * ny).reshape(nx, ny)[i0:i1, j0:j1].ravel()
        ring = ring_of(i1 - i0, j1 - j0)
        reduced_sources = sources[cells].astype(np.complex128)
        reduced_sources[ring] += outer.sources
        reduced_receivers = reduced_sources
        if receivers is not sources:
            reduced_receivers = receivers[cells].astype(np.complex128)
            reduced_receivers[ring] += outer.receivers
        wraps = (
            bool(i0 == 0 and i1 == nx and stencil.east[-1].any()),
            bool(j0 == 0 and j1 == ny and stencil.north[:, -1].any()),
        )
        return Region(window, outer.schur, reduced_sources, reduced_receivers, outer.constant, wraps, stencil.phase)

    def stencil(self, coefficients: Coefficients) -> Stencil:
        """The window's own operator, without its surroundings."""
        east, north = coefficients.east, coefficients.north
        if not self.wraps[0]:
            east = np.concatenate([east[:-1], np.zeros_like(east[-1:])])
        if not self.wraps[1]:
            north = np.concatenate([north[:, :-1], np.zeros_like(north[:, -1:])], axis=1)
        return Stencil(coefficients.diagonal, east, north, self.phase)

    def derivative(self, adjoint: Complex, field: Complex) -> Coefficients:
        """Derivative of r^T M^-1 b by the coefficients: -a_i f_j for each entry of M, summed over columns.

        Args:
            adjoint: ``n x k`` solutions a of M^T a = r.
            field: ``n x k`` solutions f of M f = b.
        """
        a, f = (x.reshape(*self.shape, -1) for x in (adjoint, field))
        east, north = np.zeros(self.shape, np.complex128), np.zeros(self.shape, np.complex128)
        east[:-1] = -_along(a[:-1], f[1:]) - _along(a[1:], f[:-1])
        north[:, :-1] = -_along(a[:, :-1], f[:, 1:]) - _along(a[:, 1:], f[:, :-1])
        if self.wraps[0]:
            turn = np.exp(1j * self.phase[0])
            east[-1] = -turn * _along(a[-1], f[0]) - _along(a[0], f[-1]) / turn
        if self.wraps[1]:
            turn = np.exp(1j * self.phase[1])
            north[:, -1] = -turn * _along(a[:, -1], f[:, 0]) - _along(a[:, 0], f[:, -1]) / turn
        return Coefficients(-_along(a, f), east, north)


class RegionFactor:
    """One design's window, factored; :meth:`solve` forms the residual always, refines, and if need be pivots globally.

    Args:
        region: the window and its surroundings.
        coefficients: what the design makes of it.
    """

    def __init__(self, region: Region, coefficients: Coefficients) -> None:
        self.region = region
        self._stencil = region.stencil(coefficients)
        sums = _row_sums(self._stencil)
        sums.ravel()[region.ring] += region.row_sums
        self._norm = float(sums.max())
        self._inside = np.ones(self._stencil.diagonal.size, dtype=bool)
        self._inside[region.ring] = False
        self._pivoted: Factor | None = None
        self._interior: Elimination | None = None
        try:
            self._interior = Elimination(coefficients.diagonal, coefficients.east, coefficients.north)
            self._root, self._pivots = self._factor_ring(self._interior.schur)
        except np.linalg.LinAlgError:  # a box is exactly at a resonance
            self._interior = None

    @property
    def nbytes(self) -> int:
        """Bytes of the factors, those of a pivoted factorisation not counted."""
        return 0 if self._interior is None else self._interior.nbytes + self._root.nbytes

    @property
    def pivoted(self) -> bool:
        """Whether the fronts were given up for a factorisation with pivoting across the whole window."""
        return self._pivoted is not None

    def solve(self, loads: Complex, transposed: bool = False) -> Complex:
        """The field in the window for loads, both ``n x k``.

        Raises:
            SimulationError: if the backward error stays above ``ACCEPTED`` even with pivoting.
        """
        loads = np.ascontiguousarray(loads, dtype=np.complex128)
        if self._interior is not None and self._pivoted is None:
            field, error = self._refined(loads, transposed)
            if error <= ACCEPTED:
                return field
        if self._pivoted is None:
            self._pivoted = Factor(self.matrix(), ordered=False)
        return self._pivoted.solve(loads, transposed)

    def estimate(self, loads: Complex) -> Complex:
        """As :meth:`solve`, in one pass whose residual nobody has seen: to rank many loads that are solved later."""
        loads = np.ascontiguousarray(loads, dtype=np.complex128)
        if self._interior is None or self._pivoted is not None:
            return self.solve(loads)
        return self._once(loads, False)

    def matrix(self) -> Sparse:
        """The window's operator with its surroundings, ``n x n``."""
        ring = self.region.ring
        m = len(ring)
        rows, columns = np.repeat(ring, m), np.tile(ring, m)
        n = self._stencil.diagonal.size
        return sp.csc_array(
            self._stencil.matrix() + sp.csc_array((self.region.exterior.ravel(), (rows, columns)), shape=(n, n))
        )

    def _refined(self, loads: Complex, transposed: bool, steps: int = 4) -> tuple[Complex, float]:
        """The solution and its normwise backward error, the largest over the loads."""
        field = self._once(loads, transposed)
        residual, error = self._residual(field, loads, transposed)
        for _ in range(steps):
            if not error > GOAL:
                break
            trial = field + self._once(residual, transposed)
            trial_residual, trial_error = self._residual(trial, loads, transposed)
            if not trial_error < error:
                break
            stagnant = trial_error > 0.5 * error
            field, residual, error = trial, trial_residual, trial_error
            if stagnant:
                break
        return field, error

    def _residual(self, field: Complex, loads: Complex, transposed: bool) -> tuple[Complex, float]:
        ring, exterior = self.region.ring, self.region.exterior
        stencil = self._stencil.transposed if transposed else self._stencil
        residual = loads - stencil.apply(field)
        residual[ring] -= (exterior.T if transposed else exterior) @ field[ring]
        scale = self._norm * _norms(field) + _norms(loads)
        error = float(np.max(_norms(residual) / np.where(scale > 0, scale, 1.0)))
        return residual, error if np.isfinite(error) else np.inf

    def _once(self, loads: Complex, transposed: bool) -> Complex:
        """One pass through fronts and ring."""
        interior, ring = self._interior, self.region.ring
        assert interior is not None
        on_ring, field = loads[ring], np.zeros_like(loads)
        real = interior.dtype.kind == "f"
        moved = None
        if loads[self._inside].any():
            moved = interior.eliminate(loads.view(np.float64) if real else loads)
            on_ring[: len(moved.onto)] += moved.onto.view(np.complex128)
        solution, info = zgetrs(self._root, self._pivots, on_ring, trans=int(not transposed))
        if info != 0:
            raise SimulationError(f"Expected a solve on the ring. Got LAPACK's info {info}.")
        field[ring] = solution
        interior.substitute(field.view(np.float64) if real else field, moved)
        return field

    def _factor_ring(self, schur: Complex) -> tuple[Complex, Index]:
        """LU of the ring's block; LinAlgError if it is exactly singular."""
        width, height = self.region.shape
        ring, size = self.region.ring, len(schur)
        place = np.full(width * height, -1)
        place[ring] = np.arange(len(ring))
        root = self.region.exterior.copy()
        root[:size, :size] += schur
        add_couplings(root, self._stencil, place.reshape(width, height))
        root, pivots, info = zgetrf(root.T, overwrite_a=True)  # of the transpose, which is in LAPACK's order
        if info > 0:
            raise np.linalg.LinAlgError("singular ring")
        return root, pivots


def _along(a: Complex, b: Complex) -> Complex:
    """Sum of products over the last axis."""
    return np.einsum("...k,...k->...", a, b)


def _norms(columns: Complex) -> Real:
    """Euclidean norm of each column."""
    parts = columns.view(np.float64)
    return np.sqrt(np.einsum("ij,ij->j", parts, parts).reshape(-1, 2).sum(axis=1))


def _row_sums(stencil: Stencil) -> Real:
    east, north = np.abs(stencil.east), np.abs(stencil.north)
    return np.abs(stencil.diagonal) + east + np.roll(east, 1, axis=0) + north + np.roll(north, 1, axis=1)


def add_couplings(matrix: Complex, stencil: Stencil, place: Index) -> None:
    """Adds a stencil's entries among chosen cells to a dense matrix, in place.

    Args:
        matrix: ``p x p``.
        stencil: the operator.
        place: ``nx x ny`` row of a cell in the matrix, -1 for cells that have none.
    """
    chosen = place >= 0
    rows = place[chosen]
    matrix[rows, rows] += stencil.diagonal[chosen]
    for axis, values in enumerate((stencil.east, stencil.north)):
        beyond = np.roll(place, -1, axis=axis)
        linked = chosen & (beyond >= 0) & (values != 0)
        advance = np.ones(place.shape, dtype=np.complex128)
        last = (slice(None),) * axis + (slice(-1, None),)
        advance[last] = np.exp(1j * stencil.phase[axis])
        p, q, value, turn = place[linked], beyond[linked], values[linked], advance[linked]
        np.add.at(matrix, (p, q), value * turn)
        np.add.at(matrix, (q, p), value / turn)
