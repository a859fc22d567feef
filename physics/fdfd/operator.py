"""The discrete Helmholtz operators for Ez and Hz in their complex symmetric form.

Both are sums over the four faces of a cell, multiplied from the left by s_x s_y cell_um^2, so that A = A^T (not
Hermitian) and one factorisation serves forward and adjoint; between Bloch-periodic sides A(k)^T = A(-k). Beyond the
last cell of an axis that ends the field is zero: a perfect electric conductor for Ez, a magnetic one for Hz.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from physics.fdfd.grid import Complex, Grid, Pml, Real, Sparse, Stretch
from physics.fdfd.stencil import Stencil

Phases = tuple[float | None, float | None]


def assemble(x_faces: Complex, y_faces: Complex, mass: Complex, phases: Phases = (None, None)) -> Stencil:
    """The stencil (A f)_i = sum over faces of weight (f_neighbour - f_i) + mass f_i.

    Args:
        x_faces: ``(nx + 1) x ny`` weights of the faces between cells along x, both outer ones included; along a
            periodic axis the last must equal the first.
        y_faces: ``nx x (ny + 1)``; likewise along y.
        mass: ``nx x ny``.
        phases: Bloch advance along x and y in radians, None where an axis ends and the field is zero beyond it.
    """
    diagonal = mass - (x_faces[1:] + x_faces[:-1]) - (y_faces[:, 1:] + y_faces[:, :-1])
    east, north = x_faces[1:].copy(), y_faces[:, 1:].copy()
    if phases[0] is None:
        east[-1] = 0.0
    if phases[1] is None:
        north[:, -1] = 0.0
    return Stencil(diagonal, east, north, (phases[0] or 0.0, phases[1] or 0.0))


def face_factors(x: Stretch, y: Stretch) -> tuple[Complex, Complex]:
    """s_y / s_x on the x faces (``(nx + 1) x ny``) and s_x / s_y on the y faces (``nx x (ny + 1)``)."""
    return np.outer(1 / x.edge, y.centre), np.outer(x.centre, 1 / y.edge)


def mass_factors(x: Stretch, y: Stretch, cell_um: float, omega: float) -> Complex:
    """(omega cell_um)^2 s_x s_y, ``nx x ny``."""
    return (omega * cell_um) ** 2 * np.outer(x.centre, y.centre)


def ez_stencil(grid: Grid, pml: Pml, omega: float, permittivity: Real | Complex) -> Stencil:
    """The operator s_x s_y (d_x~ d_x~ + d_y~ d_y~ + omega^2 eps) cell_um^2 of Ez.

    Args:
        grid: the grid; periodic axes wrap with their phase.
        pml: absorbing layers of the axes that have any.
        omega: angular frequency in units of c / um, 2 pi / wavelength_um.
        permittivity: ``nx x ny`` of the cells; absorption is a positive imaginary part.

    Raises:
        ValueError: for a permittivity of another shape.
    """
    _check("permittivity", permittivity, grid.shape)
    x, y = grid.x.stretch(omega, pml), grid.y.stretch(omega, pml)
    return assemble(*face_factors(x, y), mass_factors(x, y, grid.cell_um, omega) * permittivity, grid.phases)


def hz_stencil(
    grid: Grid, pml: Pml, omega: float, east_permittivity: Real | Complex, north_permittivity: Real | Complex
) -> Stencil:
    """The operator s_x s_y (d_x~ (1 / eps_y) d_x~ + d_y~ (1 / eps_x) d_y~ + omega^2) cell_um^2 of Hz.

    Args:
        grid: the grid; periodic axes wrap with their phase.
        pml: absorbing layers of the axes that have any.
        omega: angular frequency in units of c / um, 2 pi / wavelength_um.
        east_permittivity: ``(nx + 1) x ny``, eps_y where Ey lies: on the faces at ``grid.x.edges_um`` and
            ``grid.y.centres_um``, both outer ones included; along a periodic x the last row must equal the first.
        north_permittivity: ``nx x (ny + 1)``, eps_x where Ex lies: on the faces at ``grid.x.centres_um`` and
            ``grid.y.edges_um``; along a periodic y the last column must equal the first.

    Raises:
        ValueError: for permittivities of another shape, or that differ across a period.
    """
    nx, ny = grid.shape
    _check("east_permittivity", east_permittivity, (nx + 1, ny))
    _check("north_permittivity", north_permittivity, (nx, ny + 1))
    for axis, ends in ((grid.x, east_permittivity[[0, -1]]), (grid.y, north_permittivity[:, [0, -1]].T)):
        if axis.periodic and not np.allclose(ends[0], ends[1], rtol=1e-9, atol=0.0):
            raise ValueError("Expected equal permittivity on the two outer faces of a period. Got different ones.")
    x, y = grid.x.stretch(omega, pml), grid.y.stretch(omega, pml)
    x_faces, y_faces = face_factors(x, y)
    mass = mass_factors(x, y, grid.cell_um, omega)
    return assemble(x_faces / east_permittivity, y_faces / north_permittivity, mass, grid.phases)


def second_difference(stretch: Stretch) -> Sparse:
    """n x n tridiagonal matrix of s d/du (1/s) d/du times cell_um^2, zero field beyond both ends."""
    weight = 1 / stretch.edge
    bands: Any = [weight[1:-1], -(weight[1:] + weight[:-1]), weight[1:-1]]
    return sp.diags_array(bands, offsets=[-1, 0, 1]).tocsc()


def helmholtz(permittivity: Real | Complex, cell_um: float, omega: float, x: Stretch, y: Stretch) -> Sparse:
    """The matrix of Ez between axes that end, for stretches given as they are.

    Args:
        permittivity: ``nx x ny``.
        cell_um: side of a cell.
        omega: angular frequency in units of c / um, 2 pi / wavelength_um.
        x, y: stretches of the two axes.

    Returns:
        ``nx ny x nx ny`` sparse matrix; unknown (ix, iy) has index ``ix * ny + iy``.
    """
    return assemble(*face_factors(x, y), mass_factors(x, y, cell_um, omega) * permittivity).matrix()


def grid_operator(grid: Grid, pml: Pml, omega: float, permittivity: Real | Complex) -> Sparse:
    """The matrix of :func:`ez_stencil`."""
    return ez_stencil(grid, pml, omega, permittivity).matrix()


def residual_scale(matrix: Sparse) -> float:
    """The infinity norm of a matrix, for backward errors."""
    return float(abs(matrix).sum(axis=1).max())


def _check(name: str, array: Real | Complex, shape: tuple[int, int]) -> None:
    if np.shape(array) != shape:
        raise ValueError(f"Expected {name} of shape {shape}. Got {np.shape(array)}.")
