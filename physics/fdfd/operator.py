"""The discrete Ez Helmholtz operator in its complex symmetric form."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from physics.fdfd.grid import Grid, Pml, Real, Sparse, Stretch


def second_difference(stretch: Stretch) -> Sparse:
    """n x n tridiagonal matrix of s d/du (1/s) d/du times cell_um^2, zero field beyond both ends."""
    weight = 1 / stretch.edge
    bands: Any = [weight[1:-1], -(weight[1:] + weight[:-1]), weight[1:-1]]
    return sp.diags_array(bands, offsets=[-1, 0, 1]).tocsc()


def helmholtz(permittivity: Real, cell_um: float, omega: float, x: Stretch, y: Stretch) -> Sparse:
    """The operator s_x s_y (d_x~ d_x~ + d_y~ d_y~ + omega^2 eps) cell_um^2, complex symmetric.

    Multiplying the stretched-coordinate equation by s_x s_y from the left makes A = A^T (not Hermitian), so one
    factorisation serves forward and adjoint.

    Args:
        permittivity: ``nx x ny``.
        cell_um: side of a cell.
        omega: angular frequency in units of c / um, 2 pi / wavelength_um.
        x, y: stretches of the two axes.

    Returns:
        ``nx ny x nx ny`` sparse matrix; unknown (ix, iy) has index ``ix * ny + iy``.
    """
    laplacian = sp.kron(second_difference(x), sp.diags_array(y.centre)) + sp.kron(
        sp.diags_array(x.centre), second_difference(y)
    )
    mass = (omega * cell_um) ** 2 * np.outer(x.centre, y.centre) * permittivity
    return sp.csc_array(laplacian + sp.diags_array(mass.ravel()))


def grid_operator(grid: Grid, pml: Pml, omega: float, permittivity: Real) -> Sparse:
    """:func:`helmholtz` on a grid with its absorbing layers."""
    return helmholtz(permittivity, grid.cell_um, omega, grid.x.stretch(omega, pml), grid.y.stretch(omega, pml))


def residual_scale(matrix: Sparse) -> float:
    """The infinity norm of a matrix, for backward errors."""
    return float(abs(matrix).sum(axis=1).max())
