"""Permittivity on the faces between cells, where the electric field of Hz lies.

Ey lies on the east faces. Over its dual cell, from cell centre to cell centre along x and one cell along y, it is
normal to interfaces of constant y and tangential to those of constant x, so that its permittivity is the mean over x
of the harmonic mean over y. That is exact for interfaces along either axis, where the scheme is of second order
(Farjadpour et al., Opt. Lett. 31, 2972 (2006)); at slanted and curved ones it neglects the coupling of Ex and Ey. Ex on
the north faces is the same with x and y exchanged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from physics.fdfd.geometry import Shape, area_weights, area_weights_exact, painted_columns, shape_lines
from physics.fdfd.grid import Axis, Complex, Grid, Real, Sparse


def paint_faces(
    grid: Grid, background: float | complex, shapes: Sequence[Shape]
) -> tuple[Real | Complex, Real | Complex]:
    """Permittivities for ``hz_stencil``: ``(nx + 1) x ny`` on the east, ``nx x (ny + 1)`` on the north faces.

    Beyond a domain that ends the medium is that of its outermost half cell. Real unless a permittivity is complex.
    """
    north = _paint_east(grid.y, grid.x, background, [shape.transposed for shape in shapes])
    return _paint_east(grid.x, grid.y, background, shapes), north.T


def mean_faces(grid: Grid, cells: Real | Complex) -> tuple[Real | Complex, Real | Complex]:
    """Face permittivities as the arithmetic mean of the two cells a face divides, for a medium given cell by cell.

    First-order accurate at interfaces: for comparison with codes that average so. (ceviche 0.1.3 puts the mean of cells
    i - 1 and i on the face between i and i + 1 and adds 1e-5; ``np.roll`` the cells along x for the east and along y
    for the north faces to have the same.)

    Args:
        grid: the grid.
        cells: ``nx x ny`` permittivity.

    Returns:
        ``(nx + 1) x ny`` on the east, ``nx x (ny + 1)`` on the north faces.
    """

    def along_x(values: Real | Complex, x: Axis) -> Real | Complex:
        low, high = (values[-1:], values[:1]) if x.periodic else (values[:1], values[-1:])
        padded = np.concatenate([low, values, high])
        return (padded[1:] + padded[:-1]) / 2

    return along_x(cells, grid.x), along_x(cells.T, grid.y).T


def face_weights(x: Axis, lines_um: Real) -> Real:
    """``(n + 1) x m`` means over the dual cells of the faces, from centre to centre, of a function between lines.

    The dual cell of an outer face is its half inside the domain, with the other end's half where the axis is periodic.
    """
    halves = (np.arange(2 * x.cells + 1) / 2 - x.cells / 2) * x.cell_um
    half = area_weights_exact(halves, lines_um)
    low, high = half[:1], half[-1:]
    if x.periodic:
        low = high = (low + high) / 2
    return np.concatenate([low, (half[1:-1:2] + half[2:-1:2]) / 2, high])


def _paint_east(x: Axis, y: Axis, background: float | complex, shapes: Sequence[Shape]) -> Real | Complex:
    x_lines, y_lines = shape_lines(x, shapes), shape_lines(y, [shape.transposed for shape in shapes])
    outer, inner = face_weights(x, x_lines), area_weights_exact(y.edges_um, y_lines)
    columns = painted_columns(x_lines, y_lines, background, shapes, inverse=True)
    return np.sum([outer[:, c] @ (1 / (inverse @ inner.T)) for c, inverse in columns], axis=0)


@dataclass(frozen=True, eq=False)
class FaceMap:
    """From a design's permittivity to that of the east faces it reaches, and back.

    For the north faces, exchange x and y.

    Between neighbouring lines along x the medium does not change with x. With H = 1 / (C (1 / eps) I^T + R), the
    harmonic mean over y of each such column, the permittivity on the faces is O H.

    Args:
        faces: the faces along x that the design may change.
        cells: the cells along y, likewise.
        outer: O, ``faces x columns`` means over x.
        column: C, ``columns x pixels`` 1 where a column lies within a row of pixels.
        inner: I, ``cells x pixels`` means over y.
        rest: R, ``columns x cells`` mean over y of 1 / eps outside the design.
    """

    faces: slice
    cells: slice
    outer: Sparse
    column: Sparse
    inner: Sparse
    rest: Real | Complex

    def permittivity(self, design: Real | Complex) -> tuple[Real | Complex, Real | Complex]:
        """``faces x cells`` permittivity for that of the pixels, and H, which the adjoint wants."""
        mean = self.column @ (self.inner @ (1 / design).T).T + self.rest
        harmonic = 1 / mean
        return self.outer @ harmonic, harmonic

    def change(
        self, design: Real | Complex, harmonic: Real | Complex, direction: Real | Complex
    ) -> tuple[Real | Complex, Real | Complex]:
        """Derivatives of :meth:`permittivity` and of H along a direction of the design."""
        d_harmonic = harmonic**2 * (self.column @ (self.inner @ (direction / design**2).T).T)
        return self.outer @ d_harmonic, d_harmonic

    def pull_back(self, design: Real | Complex, harmonic: Real | Complex, derivative: Complex) -> Complex:
        """dL/d(eps of the pixels) from dL/d(eps on the faces), for dL = sum(derivative * d eps)."""
        mean = self.column.T @ (-(harmonic**2) * (self.outer.T @ derivative))
        return -(self.inner.T @ mean.T).T / design**2

    def pull_back_change(
        self,
        design: Real | Complex,
        harmonic: Real | Complex,
        derivative: Complex,
        direction: Real | Complex,
        d_harmonic: Real | Complex,
        d_derivative: Complex,
    ) -> Complex:
        """Derivative of :meth:`pull_back` along a direction of the design, in which H and ``derivative`` change too."""
        on_columns = self.outer.T @ derivative
        mean = self.column.T @ (-(harmonic**2) * on_columns)
        d_mean = self.column.T @ (-2 * harmonic * d_harmonic * on_columns - harmonic**2 * (self.outer.T @ d_derivative))
        return (2 * (self.inner.T @ mean.T).T * direction / design - (self.inner.T @ d_mean.T).T) / design**2


def face_map(
    x: Axis,
    y: Axis,
    x_pixels_um: Real,
    y_pixels_um: Real,
    background: float | complex,
    shapes: Sequence[Shape],
) -> FaceMap:
    """The map for a design of pixels between ``x_pixels_um`` and ``y_pixels_um`` that covers all shapes."""
    x_lines = shape_lines(x, shapes, x_pixels_um)
    y_lines = shape_lines(y, [shape.transposed for shape in shapes], y_pixels_um)
    middle_x, middle_y = (x_lines[1:] + x_lines[:-1]) / 2, (y_lines[1:] + y_lines[:-1]) / 2
    # The pixel row of a column, -1 outside the design.
    pixel = np.searchsorted(x_pixels_um, middle_x) - 1
    pixel[pixel == len(x_pixels_um) - 1] = -1
    beside = ~((y_pixels_um[0] < middle_y) & (middle_y < y_pixels_um[-1]))

    inner = area_weights(y.edges_um, y_pixels_um)
    cells = _span(inner.any(axis=1))
    outside = area_weights(y.edges_um, y_lines)[cells]
    rest = []
    for c, inverse in painted_columns(x_lines, y_lines, background, shapes, inverse=True):
        rest.append(np.where((pixel[c] < 0)[:, None] | beside, inverse, 0.0) @ outside.T)
    joined = np.concatenate(rest)

    # Neighbouring columns with the same pixels and surroundings are one.
    new = np.append(True, (np.diff(pixel) != 0) | (np.diff(joined, axis=0) != 0).any(axis=1))
    x_lines, pixel, joined = x_lines[np.append(new, True)], pixel[new], joined[new]
    outer = face_weights(x, x_lines)
    faces = _span(outer[:, pixel >= 0].any(axis=1))
    used = outer[faces].any(axis=0)
    outer, pixel, joined = outer[faces][:, used], pixel[used], joined[used]

    number = np.arange(len(x_pixels_um) - 1)
    column = sp.csr_array((pixel[:, None] == number).astype(np.float64))
    return FaceMap(faces, cells, sp.csr_array(outer), column, sp.csr_array(inner[cells]), joined)


def _span(mask: Any) -> slice:
    """From the first to the last True."""
    inside = np.flatnonzero(mask)
    return slice(int(inside[0]), int(inside[-1]) + 1)
