"""Plane stress on rectangles: bilinear elements with Wilson's incompatible modes, exact in pure bending."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.sparse as sp

from physics.base import Array
from physics.kirigami.raster import cut_lines
from physics.kirigami.sheet import Sheet

GAUSS = 1 / np.sqrt(3)
CORNERS = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])


def plane_stress(poisson_ratio: float) -> Array:
    """Stiffness in Voigt's order (xx, yy, xy) of a sheet of unit two-dimensional modulus, 3 x 3."""
    nu = poisson_ratio
    return np.array([[1, nu, 0], [nu, 1, 0], [0, 0, (1 - nu) / 2]]) / (1 - nu**2)


def strain_rows(xi: float, eta: float, size: tuple[float, float]) -> tuple[Array, Array]:
    """Strains by the 8 corner displacements and by the 4 incompatible modes at a point of a rectangle, 3 x 8 and 3 x
    4.
    """
    dx, dy = 2 / size[0], 2 / size[1]
    by_x = CORNERS[:, 0] * (1 + CORNERS[:, 1] * eta) / 4 * dx
    by_y = CORNERS[:, 1] * (1 + CORNERS[:, 0] * xi) / 4 * dy
    corner = np.zeros((3, 8))
    corner[0, 0::2] = corner[2, 1::2] = by_x
    corner[1, 1::2] = corner[2, 0::2] = by_y
    mode = np.zeros((3, 4))
    mode[0, 0] = mode[2, 1] = -2 * xi * dx
    mode[1, 3] = mode[2, 2] = -2 * eta * dy
    return corner, mode


def element_stiffness(size: tuple[float, float], poisson_ratio: float) -> Array:
    """8 x 8 stiffness of a rectangle of unit two-dimensional modulus, its inner modes condensed.

    Wilson et al. (1973), Taylor, Beresford, Wilson, Int. J. Numer. Methods Eng. 10, 1211 (1976); on rectangles the two
    agree.
    """
    elasticity, area = plane_stress(poisson_ratio), size[0] * size[1] / 4
    full = np.zeros((12, 12))
    for xi in (-GAUSS, GAUSS):
        for eta in (-GAUSS, GAUSS):
            rows = np.hstack(strain_rows(xi, eta, size))
            full += area * rows.T @ elasticity @ rows
    inner = full[8:, 8:]
    return full[:8, :8] - full[:8, 8:] @ np.linalg.solve(inner, full[8:, :8])


@dataclass(frozen=True, eq=False)
class QuadMesh:
    """Rectangles between the grips of a sheet.

    Args:
        x, y: coordinates of the ``n`` nodes in angstrom.
        nodes: ``m x 4`` corners, counter-clockwise.
        size: ``m x 2`` of each element in angstrom.
        cell: index of the cell that cuts each element, -1 if none does; ``m``.
        stiffness: ``m x 8 x 8`` of unit modulus.
        centre: ``m x 3 x 8`` strains at the element's centre.
        left, right: nodes in the grips.
    """

    x: Array
    y: Array
    nodes: Array
    size: Array
    cell: Array
    stiffness: Array
    centre: Array
    left: Array
    right: Array

    @property
    def dofs(self) -> Array:
        """``m x 8`` degrees of freedom, x and y of a node in turn."""
        return (2 * self.nodes[:, :, None] + np.arange(2)).reshape(len(self.nodes), 8)

    def matrix(self, relative: Array) -> sp.csc_matrix:
        """Stiffness matrix for the relative stiffness of each element."""
        dofs, count = self.dofs, 2 * len(self.x)
        rows, columns = np.repeat(dofs, 8, axis=1).ravel(), np.tile(dofs, (1, 8)).ravel()
        return sp.csc_matrix(((relative[:, None, None] * self.stiffness).ravel(), (rows, columns)), (count, count))


@lru_cache(maxsize=8)
def quad_mesh(sheet: Sheet, spacing_angstrom: float, poisson_ratio: float) -> QuadMesh:
    """The mesh whose lines meet all edges of cuts, elements about ``spacing_angstrom`` a side."""
    lines = cut_lines(sheet, spacing_angstrom)
    columns = sheet.cells[1]
    per_cell = max(1, round(sheet.cell_angstrom[1] / spacing_angstrom))
    nx, ny = len(lines.row), columns * per_cell
    across = np.linspace(0, sheet.width_angstrom, ny + 1)
    wrap = ny if sheet.periodic_y else ny + 1
    number = np.arange(nx + 1)[:, None] * wrap + np.arange(ny + 1) % wrap
    corners = [number[:-1, :-1], number[1:, :-1], number[1:, 1:], number[:-1, 1:]]
    nodes = np.stack([c.ravel() for c in corners], axis=1)
    size = np.stack(np.meshgrid(np.diff(lines.x_angstrom), np.diff(across), indexing="ij"), axis=-1).reshape(-1, 2)
    column = np.arange(ny) // per_cell
    cell = np.where(lines.row[:, None] >= 0, lines.row[:, None] * columns + column, -1).ravel()
    shapes, which = np.unique(np.round(size, 9), axis=0, return_inverse=True)
    kinds = [(float(a), float(b)) for a, b in shapes]
    stiffness = np.array([element_stiffness(kind, poisson_ratio) for kind in kinds])[which.ravel()]
    centre = np.array([strain_rows(0.0, 0.0, kind)[0] for kind in kinds])[which.ravel()]
    x, y = (a.ravel() for a in np.meshgrid(lines.x_angstrom, across[:wrap], indexing="ij"))
    return QuadMesh(x, y, nodes, size, cell, stiffness, centre, number[0, :wrap], number[-1, :wrap])
