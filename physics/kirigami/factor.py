"""LDL^T of a sparse symmetric matrix by SuperLU without pivoting, and the signs of its pivots."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spl

from physics.base import Array


@dataclass(frozen=True)
class Factor:
    """A factorised matrix: ``solve`` a right-hand side, and how many eigenvalues are below 0 (Sylvester's law of
    inertia).
    """

    lu: Any
    negative: int

    def solve(self, right: Array) -> Array:
        """The solution, shaped like ``right`` (``n`` or ``n x m``)."""
        return self.lu.solve(right)


def factorise(matrix: sp.csc_matrix) -> Factor | None:
    """The factor of a symmetric matrix, None where a pivot vanishes.

    Pivots stay on the diagonal, so that U = D L^T and the signs of D are those of the eigenvalues.
    """
    try:
        lu = spl.splu(matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
    except RuntimeError:  # SuperLU: exactly singular
        return None
    pivots = lu.U.diagonal()
    if not np.isfinite(pivots).all():
        return None
    return Factor(lu, int((pivots < 0).sum()))
