"""Static condensation: the cells outside the design region are eliminated once, for all designs.

Order the unknowns exterior (e), interior of the design region, ring (r, the design cells coupled to the exterior). Only
the diagonal of the design cells changes between designs, so the Schur complement A_rr - A_re A_ee^-1 A_er, the loads
b_r - A_re A_ee^-1 b_e and the constants b_e^T A_ee^-1 b_e are computed once (Zhao, Boutami, Fan, Opt. Express 27, 20711
(2019)).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from physics.base import SimulationError
from physics.fdfd.dissection import nested_dissection
from physics.fdfd.grid import Complex, Real, Sparse
from physics.fdfd.linear import Factor, natural_lu

Index = NDArray[np.int64]
RESIDUAL, MISMATCH = 1e-12, 1e-11  # relative errors of the fast elimination above which the safe one is used
_DAMPING = 1j  # added to the ring's diagonal while the exterior is eliminated, so that no pivot of the ring vanishes


@dataclass(frozen=True, eq=False)
class Condensed:
    """The reduced system of a design region.

    Args:
        cells: ``n`` flat grid indices of the design cells in the order of the reduced unknowns.
        matrix: ``n x n`` reduced matrix, with the diagonal of the operator it was made from.
        diagonal: ``n`` positions of the diagonal in ``matrix.data``.
        loads: ``n x m`` condensed right-hand sides.
        constant: ``m x m`` symmetric; b^T A^-1 b = constant + loads^T matrix^-1 loads.
    """

    cells: Index
    matrix: Sparse
    diagonal: Index
    loads: Complex
    constant: Complex

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        matrix = (self.matrix.data, self.matrix.indices, self.matrix.indptr)
        return sum(array.nbytes for array in (*matrix, self.cells, self.diagonal, self.loads, self.constant))

    def factor(self, change: Real | Complex) -> Factor:
        """Factorisation with ``change`` (``n``, in the order of ``cells``) added to the diagonal."""
        data = self.matrix.data.copy()
        data[self.diagonal] += change
        matrix = sp.csc_array((data, self.matrix.indices, self.matrix.indptr), shape=self.matrix.shape)
        return Factor(matrix, ordered=True)


def condense(matrix: Sparse, design: NDArray[np.bool_], loads: Complex) -> Condensed:
    """Eliminate everything outside the design region.

    Args:
        matrix: complex symmetric operator of a grid, ``nx ny x nx ny``.
        design: ``nx x ny`` mask of the cells whose diagonal may change.
        loads: ``nx ny x m`` right-hand sides, which serve as functionals too.

    Raises:
        SimulationError: if the exterior cannot be eliminated to rounding.
    """
    inside = design.ravel()
    coupled = abs(matrix[:, np.flatnonzero(~inside)]).sum(axis=1) > 0
    ring = np.flatnonzero(inside & coupled)
    interior = nested_dissection(design & ~coupled.reshape(design.shape))
    exterior = nested_dissection(~design)
    a_ee, a_er = matrix[exterior][:, exterior].tocsc(), matrix[exterior][:, ring].tocsc()
    a_rr = matrix[ring][:, ring].toarray()
    schur, inverse_loads = _eliminate(a_ee, a_er, a_rr, loads[exterior])

    cells = np.concatenate([interior, ring])
    kept = matrix[cells][:, cells].tocoo()
    n, m = len(interior), len(ring)
    rows, columns = np.divmod(np.arange(m * m), m)
    reduced = sp.csc_array(
        (
            np.concatenate([kept.data, (schur - a_rr).ravel()]),
            (np.concatenate([kept.row, rows + n]), np.concatenate([kept.col, columns + n])),
        ),
        shape=(n + m, n + m),
    )
    reduced.sum_duplicates()
    column_of = np.repeat(np.arange(n + m), np.diff(reduced.indptr))
    condensed_loads = loads[cells].astype(np.complex128)
    condensed_loads[n:] -= a_er.T @ inverse_loads
    constant = loads[exterior].T @ inverse_loads
    return Condensed(
        cells, reduced, np.flatnonzero(reduced.indices == column_of), condensed_loads, (constant + constant.T) / 2
    )


class _Pivoted:
    """Elimination by solves with a pivoted factorisation of the exterior: slower, safe at its inner resonances."""

    def __init__(self, a_ee: Sparse, a_er: Sparse, a_rr: Complex, block: int = 64) -> None:
        self._factor = Factor(a_ee, ordered=False)
        schur = a_rr.astype(np.complex128)
        for start in range(0, schur.shape[1], block):
            columns = slice(start, start + block)
            schur[:, columns] -= a_er.T @ self._factor.solve(a_er[:, columns].toarray())
        self.schur = (schur + schur.T) / 2

    def solve(self, rhs: Complex) -> Complex:
        return self._factor.solve(rhs)


class _Natural:
    """Elimination by one LU of exterior and damped ring, in nested-dissection order with diagonal pivots.

    The trailing block of L times that of U is the Schur complement plus the damping; the damping makes the ring an
    absorber, so the trailing factorisation has no spurious small pivots.
    """

    def __init__(self, a_ee: Sparse, a_er: Sparse, a_rr: Complex) -> None:
        self._n, self._a_ee = a_ee.shape[0], a_ee
        damped = sp.csc_array(a_rr + _DAMPING * np.eye(len(a_rr)))
        blocks: Any = [[a_ee, a_er], [a_er.T, damped]]
        self._lu = natural_lu(sp.block_array(blocks).tocsc())
        identity = np.arange(self._n + len(a_rr))
        if not (np.array_equal(self._lu.perm_r, identity) and np.array_equal(self._lu.perm_c, identity)):
            raise SimulationError("Expected diagonal pivots in the exterior. Got row exchanges.")
        trailing = self._lu.L[self._n :, self._n :].toarray() @ self._lu.U[self._n :, self._n :].toarray()
        self._trailing = (trailing + trailing.T) / 2
        self.schur = self._trailing - _DAMPING * np.eye(len(a_rr))

    def solve(self, rhs: Complex, steps: int = 3) -> tuple[Complex, float]:
        """The refined solution and its largest residual, relative to each right-hand side."""
        x = self._solve(rhs)
        residual = rhs - self._a_ee @ x
        for _ in range(steps):
            if np.abs(residual).max() <= 4e-16 * np.abs(rhs).max():
                break
            x = x + self._solve(residual)
            residual = rhs - self._a_ee @ x
        size = np.abs(rhs).max(axis=0)
        return x, float((np.abs(residual).max(axis=0) / np.where(size > 0, size, 1.0)).max())

    def _solve(self, rhs: Complex) -> Complex:
        padded = np.zeros((self._n + len(self.schur), rhs.shape[1]), dtype=np.complex128)
        padded[: self._n] = rhs
        # The load on the ring that holds the ring's field at zero turns the factor of the whole into one of A_ee.
        padded[self._n :] = -self._trailing @ self._lu.solve(padded)[self._n :]
        return self._lu.solve(padded)[: self._n]


def _eliminate(a_ee: Sparse, a_er: Sparse, a_rr: Complex, loads: Complex) -> tuple[Complex, Complex]:
    """Schur complement and A_ee^-1 loads: fast where a probe and the loads confirm it to rounding, else safe.

    Raises:
        SimulationError: if the safe elimination does not reach rounding either.
    """
    probe = np.exp(1j * np.arange(len(a_rr)) ** 2)[:, None]
    try:
        fast = _Natural(a_ee, a_er, a_rr)
        inner, residual = fast.solve(a_er @ probe)
        inverse_loads, loads_residual = fast.solve(loads)
        expected = a_rr @ probe - a_er.T @ inner
        error = np.abs(fast.schur @ probe - expected).max() / np.abs(expected).max()
        if residual < RESIDUAL and loads_residual < RESIDUAL and error < MISMATCH:
            return fast.schur, inverse_loads
    except (RuntimeError, SimulationError):
        pass
    safe = _Pivoted(a_ee, a_er, a_rr)
    return safe.schur, safe.solve(loads)
