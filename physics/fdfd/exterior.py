"""Elimination of everything outside a window, once for all designs.

The cells outside are cut into rectangles by a few lines, the skeleton: the columns beside the window and, across a
period, the outermost lines. Each rectangle is eliminated by dense fronts onto skeleton and ring; what remains is one
dense matrix.

        :      :            s  skeleton, full height
     W  s  N   s  E         N, S, E, W  rectangles
        s------s            the window's outermost cells are the ring
        s window            (periodic axes add lines at the ends of the domain)
        s------s
        s  S   s
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lu_solve
from scipy.linalg.lapack import zgetrf

from physics.base import SimulationError
from physics.fdfd.grid import Complex
from physics.fdfd.linear import Factor
from physics.fdfd.multifrontal import Elimination, Moved
from physics.fdfd.region import Region, Window, add_couplings, ring_of
from physics.fdfd.stencil import Stencil

ACCURACY = 1e-11  # of probes, relative, beyond which the fast elimination is replaced by one with global pivoting
REFUSED = 1e-12  # the same of that one: S-parameters lose about the square of what the field outside grows by
Mask = NDArray[np.bool_]


def condense(stencil: Stencil, window: Window, sources: Complex, receivers: Complex | None = None) -> Region:
    """Eliminate everything outside a window.

    Args:
        stencil: operator of the whole domain, for any design.
        window: (i0, i1, j0, j1); outside it no coefficient may depend on the design.
        sources: ``nx ny x k`` loads.
        receivers: ``nx ny x l`` functionals; the sources if None.

    Raises:
        SimulationError: if the exterior cannot be eliminated to rounding.
        ValueError: for a window that leaves the domain or has no interior.
    """
    nx, ny = stencil.shape
    i0, i1, j0, j1 = window
    if not (0 <= i0 < i1 <= nx and 0 <= j0 < j1 <= ny):
        raise ValueError(f"Expected a window (i0, i1, j0, j1) inside {nx} x {ny} cells. Got {window}.")
    functionals = sources if receivers is None else receivers
    outer = _fast(stencil, window, sources, functionals) or _Pivoted(stencil, window, sources, functionals)
    return Region.of(stencil, window, outer, sources, functionals)


def _fast(stencil: Stencil, window: Window, sources: Complex, receivers: Complex) -> Exterior | None:
    """The outside by dense fronts, None where a part of it is at a resonance."""
    try:
        outer = Exterior(stencil, window, sources, receivers)
    except np.linalg.LinAlgError:
        return None
    return outer if outer.sound() else None


class Exterior:
    """The outside of a window, factored.

    ``schur`` (``m x m``), ``sources`` (``m x k``), ``receivers`` (``m x l``) are what it adds to the ring, ``constant``
    (``l x k``) is receivers^T A_ee^-1 sources of the outside alone.

    Args:
        stencil, window: as in :func:`condense`.
        sources, receivers: ``nx ny x k`` and ``nx ny x l``; rows inside the window do not count.
    """

    def __init__(self, stencil: Stencil, window: Window, sources: Complex, receivers: Complex) -> None:
        i0, i1, j0, j1 = window
        nx, ny = stencil.shape
        self._stencil, self._k = stencil, sources.shape[1]
        self._cells = np.arange(nx * ny).reshape(nx, ny)
        self._inside = np.zeros((nx, ny), dtype=bool)
        self._inside[i0:i1, j0:j1] = True
        skeleton, boxes = _divide(stencil, window)
        self._ring = self._cells[i0:i1, j0:j1].ravel()[ring_of(i1 - i0, j1 - j0)]
        self._skeleton = self._cells[skeleton]
        ns = len(self._skeleton)
        place = np.full(nx * ny, -1)
        place[self._skeleton] = np.arange(ns)
        matrix = np.zeros((ns + len(self._ring),) * 2, dtype=np.complex128)
        add_couplings(matrix, stencil, place.reshape(nx, ny))
        place[self._ring] = ns + np.arange(len(self._ring))
        _add_links(matrix, stencil, place.reshape(nx, ny), skeleton)

        loads = np.concatenate([sources, receivers], axis=1).astype(np.complex128)
        self._given = loads.copy()
        loads[self._inside.ravel()] = 0
        energy = np.zeros((loads.shape[1],) * 2, dtype=np.complex128)
        self._boxes: list[tuple[Elimination, NDArray[np.int64], Moved]] = []
        for box in boxes:
            elimination, cells = _eliminated(stencil, box)
            around = elimination.boundary
            real = cells[around] >= 0
            rows = place[cells[around][real]]
            matrix[np.ix_(rows, rows)] += elimination.schur[np.ix_(real, real)]
            own = _padded_loads(loads, cells, elimination)
            moved = elimination.eliminate(own)
            energy += elimination.energy(moved)
            loads[cells[around][real]] += moved.onto[real]
            self._boxes.append((elimination, cells, moved))

        self._matrix = matrix
        m_ss, m_sr, m_rs = matrix[:ns, :ns], matrix[:ns, ns:], matrix[ns:, :ns]
        self._lu = _lu(m_ss) if ns else None
        self._loads = loads[self._skeleton]
        on_ring = loads[self._ring]
        inner = self._solve_skeleton(np.concatenate([m_sr, self._loads[:, : self._k]], axis=1))
        back = self._solve_skeleton(self._loads[:, self._k :], transposed=True)
        m = len(self._ring)
        self.schur = matrix[ns:, ns:] - m_rs @ inner[:, :m]
        self.sources = on_ring[:, : self._k] - m_rs @ inner[:, m:]
        self.receivers = on_ring[:, self._k :] - m_sr.T @ back
        self.constant = energy[self._k :, : self._k] + self._loads[:, self._k :].T @ inner[:, m:]

    def field(self, on_ring: Complex) -> Complex:
        """The field of the sources on the whole grid, ``nx ny x k``, given that on the ring, ``m x k``.

        Inside the window it is zero but on the ring.
        """
        return self._field(on_ring, slice(0, self._k))

    def sound(self) -> bool:
        """Whether residuals of the sources and of a probe on the ring are at rounding."""
        k = self._given.shape[1]
        probe = np.exp(1j * np.arange(len(self._ring)) ** 2)[:, None]
        field = np.concatenate(
            [self._field(np.zeros((len(self._ring), k)), slice(0, k)), self._field(probe, None)], axis=1
        )
        image = self._stencil.apply(field)
        outside = ~self._inside.ravel()
        residual = np.abs(image[outside] - np.pad(self._given, ((0, 0), (0, 1)))[outside]).max(axis=0, initial=0.0)
        scale = np.append(np.abs(self._given[outside]).max(axis=0, initial=0.0), np.abs(field[:, -1]).max())
        expected = self.schur @ probe[:, 0]
        window_only = np.where(self._inside, np.reshape(field[:, -1], self._inside.shape), 0).reshape(-1, 1)
        seen = image[self._ring, -1] - self._stencil.apply(window_only)[self._ring, 0]
        mismatch = np.abs(seen - expected).max() / max(float(np.abs(expected).max()), 1e-300)
        good = residual <= ACCURACY * np.where(scale > 0, scale, 1.0)
        return bool(good.all() and mismatch <= ACCURACY)

    def _field(self, on_ring: Complex, loads: slice | None) -> Complex:
        ns = len(self._skeleton)
        field = np.zeros((self._cells.size, on_ring.shape[1]), dtype=np.complex128)
        field[self._ring] = on_ring
        right = -self._matrix[:ns, ns:] @ on_ring
        if loads is not None:
            right = right + self._loads[:, loads]
        field[self._skeleton] = self._solve_skeleton(right)
        for elimination, cells, moved in self._boxes:
            known = np.zeros((len(cells), on_ring.shape[1]), dtype=np.complex128)
            real = cells >= 0
            known[real] = field[cells[real]]
            elimination.substitute(known, None if loads is None else moved.columns(loads))
            interior = np.ones((elimination.cells_x, elimination.cells_y), dtype=bool)
            interior[[0, -1]] = interior[:, [0, -1]] = False
            field[cells[interior.ravel()]] = known[interior.ravel()]
        return field

    def _solve_skeleton(self, right: Complex, transposed: bool = False) -> Complex:
        return (
            right if self._lu is None else lu_solve(self._lu, right, trans=1 if transposed else 0, check_finite=False)
        )


def _lu(matrix: Complex) -> tuple[Complex, NDArray[np.int32]]:
    """Factors for ``lu_solve``; LinAlgError if the matrix is exactly singular."""
    factors, pivots, info = zgetrf(matrix)
    if info > 0:
        raise np.linalg.LinAlgError("singular skeleton")
    return factors, pivots


def _divide(stencil: Stencil, window: Window) -> tuple[Mask, list[Window]]:
    """(skeleton, rectangles): together with the window they hold each cell once."""
    (nx, ny), (i0, i1, j0, j1) = stencil.shape, window
    periodic_x, periodic_y = bool(stencil.east[-1].any()), bool(stencil.north[:, -1].any())
    skeleton = np.zeros((nx, ny), dtype=bool)
    left, right = (1, nx - 1) if periodic_x else (0, nx)
    low, high = (1, ny - 1) if periodic_y else (0, ny)
    if periodic_x:
        skeleton[[0, -1]] = True
    if periodic_y:
        skeleton[:, [0, -1]] = True
    if i0 > 0:
        skeleton[i0 - 1] = True
    if i1 < nx:
        skeleton[i1] = True
    skeleton[i0:i1, j0:j1] = False
    middle = max(i0, left), min(i1, right)
    candidates = [(left, i0 - 1, low, high), (i1 + 1, right, low, high), (*middle, low, j0), (*middle, j1, high)]
    return skeleton, [box for box in candidates if box[0] < box[1] and box[2] < box[3]]


def _eliminated(stencil: Stencil, box: Window) -> tuple[Elimination, NDArray[np.int64]]:
    """A rectangle, eliminated, and the flat grid index of each of its padded cells, -1 beyond the domain."""
    (nx, ny), (x0, x1, y0, y1) = stencil.shape, box
    rows, columns = np.arange(x0 - 1, x1 + 1), np.arange(y0 - 1, y1 + 1)
    exists = np.outer((rows >= 0) & (rows < nx), (columns >= 0) & (columns < ny))
    cells = np.where(exists, rows[:, None] * ny + columns, -1)
    parts = [np.where(exists, part.ravel()[cells], 0) for part in (stencil.diagonal, stencil.east, stencil.north)]
    return Elimination(*parts), cells.ravel()


def _padded_loads(loads: Complex, cells: NDArray[np.int64], elimination: Elimination) -> Complex:
    """The loads of a rectangle's own cells, complex, zero around them."""
    own = np.zeros((elimination.cells_x, elimination.cells_y, loads.shape[1]), dtype=np.complex128)
    grid = cells.reshape(elimination.cells_x, elimination.cells_y)
    own[1:-1, 1:-1] = loads[grid[1:-1, 1:-1]]
    return own.reshape(-1, loads.shape[1])


def _add_links(matrix: Complex, stencil: Stencil, place: NDArray[np.int64], skeleton: Mask) -> None:
    """Adds the couplings between skeleton and ring, whose cells have places beyond those of the skeleton."""
    for axis, values in enumerate((stencil.east, stencil.north)):
        beyond, far = np.roll(place, -1, axis=axis), np.roll(skeleton, -1, axis=axis)
        linked = (place >= 0) & (beyond >= 0) & (skeleton != far) & (values != 0)
        advance = np.ones(place.shape, dtype=np.complex128)
        last = (slice(None),) * axis + (slice(-1, None),)
        advance[last] = np.exp(1j * stencil.phase[axis])
        p, q, value, turn = place[linked], beyond[linked], values[linked], advance[linked]
        np.add.at(matrix, (p, q), value * turn)
        np.add.at(matrix, (q, p), value / turn)


class _Pivoted:
    """The outside of a window by one sparse LU with pivoting: slower, safe at the resonances of its parts.

    Raises:
        SimulationError: where the outside as a whole, with zero field on the ring, is at a resonance without loss.
    """

    def __init__(self, stencil: Stencil, window: Window, sources: Complex, receivers: Complex, block: int = 64) -> None:
        (i0, i1, j0, j1), cells = window, np.arange(stencil.diagonal.size).reshape(stencil.shape)
        inside = np.zeros(stencil.shape, dtype=bool)
        inside[i0:i1, j0:j1] = True
        ring = cells[i0:i1, j0:j1].ravel()[ring_of(i1 - i0, j1 - j0)]
        matrix, outside = stencil.matrix(), np.flatnonzero(~inside)
        a_er, a_re = matrix[outside][:, ring], matrix[ring][:, outside]
        a_ee = matrix[outside][:, outside].tocsc()
        factor = Factor(a_ee, ordered=False)
        error = 0.0
        self.schur = np.zeros((len(ring),) * 2, dtype=np.complex128)
        for start in range(0, len(ring), block):
            columns = slice(start, start + block)
            right = a_er[:, columns].toarray()
            response = factor.solve(right)
            error = max(error, _relative(a_ee @ response - right, right))
            self.schur[:, columns] = -(a_re @ response)
        loads, functionals = (np.ascontiguousarray(b[outside], dtype=np.complex128) for b in (sources, receivers))
        inner, back = factor.solve(loads), factor.solve(functionals, transposed=True)
        error = max(error, _relative(a_ee @ inner - loads, loads), _relative(a_ee.T @ back - functionals, functionals))
        if not error <= REFUSED:
            raise SimulationError(
                f"Expected a residual below {REFUSED:g} of the loads outside the design region. Got {error:.3g}; the "
                "surroundings are at a lossless resonance: change the wavelength slightly or add absorbing layers."
            )
        self.sources, self.receivers = -(a_re @ inner), -(a_er.T @ back)
        self.constant = functionals.T @ inner


def _relative(residual: Complex, loads: Complex) -> float:
    """The largest residual of any column that has loads, relative to them."""
    size, scale = np.abs(residual).max(axis=0, initial=0.0), np.abs(loads).max(axis=0, initial=0.0)
    return float(np.max(size / np.where(scale > 0, scale, 1.0), initial=0.0))
