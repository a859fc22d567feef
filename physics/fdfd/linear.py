"""A factorisation that never returns an answer whose residual it has not seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.sparse.linalg import splu

from physics.base import SimulationError
from physics.fdfd.grid import Complex, Sparse
from physics.fdfd.operator import residual_scale

GOAL = 4e-16  # backward error at which refinement stops
ACCEPTED = 1e-13  # backward error above which the factorisation is repeated with pivoting, then refused


def natural_lu(matrix: Sparse) -> Any:
    """LU in the given order with diagonal pivots: fast, and unsafe near resonances of a leading block."""
    return splu(matrix, permc_spec="NATURAL", diag_pivot_thresh=0.0, options={"SymmetricMode": True})


def pivoted_lu(matrix: Sparse) -> Any:
    """LU with threshold pivoting in an order of SuperLU's own."""
    return splu(matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.1, options={"SymmetricMode": True})


class Factor:
    """LU of a matrix with symmetric pattern; :meth:`solve` refines and, if need be, refactors with pivoting.

    Args:
        matrix: ``n x n``.
        ordered: True if the matrix is already in a fill-reducing order.
    """

    def __init__(self, matrix: Sparse, *, ordered: bool) -> None:
        self._matrix = matrix
        self._norm = residual_scale(matrix)
        self.pivoted = not ordered
        self._lu = self._factor(natural_lu if ordered else pivoted_lu)

    def _factor(self, method: Callable[[Sparse], Any]) -> Any | None:
        try:
            return method(self._matrix)
        except RuntimeError:  # SuperLU: exactly singular
            return None

    def solve(self, rhs: Complex, transposed: bool = False) -> Complex:
        """The solution for one right-hand side (``n``) or several (``n x m``), its residual refined.

        ``transposed`` solves with the transpose (not conjugated).

        Raises:
            SimulationError: if the backward error stays above ``ACCEPTED`` even with pivoting.
        """
        x, error = self._refine(rhs, transposed)
        if error > ACCEPTED and not self.pivoted:
            self.pivoted, self._lu = True, self._factor(pivoted_lu)
            x, error = self._refine(rhs, transposed)
        if not error <= ACCEPTED:
            raise SimulationError(
                f"Expected a backward error below {ACCEPTED:g} in the Maxwell solve. Got {error:.3g}; the structure is "
                "at a lossless resonance: change the wavelength slightly or widen the margins."
            )
        return x

    def _refine(self, rhs: Complex, transposed: bool, steps: int = 4) -> tuple[Complex, float]:
        if self._lu is None:
            return np.full_like(rhs, np.nan), np.inf
        lu, matrix = self._lu, self._matrix.T if transposed else self._matrix
        way = "T" if transposed else "N"
        x = lu.solve(rhs, way)
        residual = rhs - matrix @ x
        error = self._backward_error(residual, x, rhs)
        for _ in range(steps):
            if not error > GOAL:
                break
            trial = x + lu.solve(residual, way)
            trial_residual = rhs - matrix @ trial
            trial_error = self._backward_error(trial_residual, trial, rhs)
            if not trial_error < error:
                break
            stagnant = trial_error > 0.5 * error
            x, residual, error = trial, trial_residual, trial_error
            if stagnant:
                break
        return x, error

    def _backward_error(self, residual: Complex, x: Complex, rhs: Complex) -> float:
        """Largest normwise backward error over the right-hand sides, infinite where anything is not finite."""
        size = np.abs(residual).max(axis=0)
        scale = self._norm * np.abs(x).max(axis=0) + np.abs(rhs).max(axis=0)
        error = float(np.max(size / np.where(scale > 0, scale, 1.0)))
        return error if np.isfinite(error) else np.inf
