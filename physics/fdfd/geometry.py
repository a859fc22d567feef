"""Shapes painted on a grid with area averages, and the area-weighted map between grids."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from physics.fdfd.dispersion import ROOM_K, Material, Medium, check_permittivity, medium, number
from physics.fdfd.grid import Axis, Complex, Grid, Real
from physics.fdfd.values import real, reals

__all__ = [
    "Circle", "Polygon", "Rectangle", "Shape", "area_weights", "area_weights_exact", "check_permittivity", "paint",
    "paint_between", "painted_columns", "shape_lines", "unbounded",
]  # fmt: skip

SAMPLES = 8  # lines a cell under a curved or slanted boundary
_CHUNK = 2**18  # fine cells painted at a time, which bounds the memory


class Shape(Protocol):
    """A region of one material."""

    @property
    def permittivity(self) -> Medium:
        """A number, or a material whose permittivity depends on the wavelength."""

    @property
    def transposed(self) -> Shape:
        """The shape with x and y exchanged."""

    @property
    def bounds_um(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Extent along x and along y."""

    def resolved(self, wavelength_um: float, temperature_k: float = ROOM_K) -> Shape:
        """The shape with its permittivity at one wavelength, a number."""

    def lines_um(self, x: Axis) -> Real:
        """Positions along x between which the shape's boundary may be sampled."""

    def coverage(self, x_um: Real, y_um: Real) -> Real:
        """``(m - 1) x (n - 1)`` share of each rectangle between m lines in x and n in y that the shape covers."""


@dataclass(frozen=True)
class Rectangle:
    """An axis-parallel rectangle; a guide that runs out of the domain has an infinite side.

    ``permittivity`` is a number (absorption is a positive imaginary part) or a material.
    """

    x_um: tuple[float, float]
    y_um: tuple[float, float]
    permittivity: Medium

    def __post_init__(self) -> None:
        object.__setattr__(self, "x_um", reals("a rectangle's x_um", self.x_um, 2))
        object.__setattr__(self, "y_um", reals("a rectangle's y_um", self.y_um, 2))
        object.__setattr__(self, "permittivity", medium("a rectangle's permittivity", self.permittivity))
        for lower, upper in (self.x_um, self.y_um):
            if not lower < upper:
                raise ValueError(f"Expected lower < upper in a rectangle. Got ({lower}, {upper}).")

    @property
    def transposed(self) -> Rectangle:
        """The rectangle with x and y exchanged."""
        return Rectangle(self.y_um, self.x_um, self.permittivity)

    @property
    def bounds_um(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Extent along x and along y."""
        return self.x_um, self.y_um

    def resolved(self, wavelength_um: float, temperature_k: float = ROOM_K) -> Rectangle:
        """The rectangle with its permittivity at one wavelength."""
        return replace(self, permittivity=number(self.permittivity, wavelength_um, temperature_k))

    def lines_um(self, x: Axis) -> Real:
        """Its sides: exact."""
        return np.asarray(self.x_um)

    def coverage(self, x_um: Real, y_um: Real) -> Real:
        """0 or 1, by the middle of each fine rectangle."""
        x, y = (x_um[1:] + x_um[:-1]) / 2, (y_um[1:] + y_um[:-1]) / 2
        inside = np.outer((self.x_um[0] < x) & (x < self.x_um[1]), (self.y_um[0] < y) & (y < self.y_um[1]))
        return inside.astype(np.float64)


@dataclass(frozen=True)
class Circle:
    """A disc."""

    centre_um: tuple[float, float]
    radius_um: float
    permittivity: Medium

    def __post_init__(self) -> None:
        object.__setattr__(self, "centre_um", reals("a circle's centre_um", self.centre_um, 2))
        object.__setattr__(self, "radius_um", real("a circle's radius_um", self.radius_um))
        object.__setattr__(self, "permittivity", medium("a circle's permittivity", self.permittivity))
        if not (self.radius_um > 0 and all(math.isfinite(v) for v in (*self.centre_um, self.radius_um))):
            raise ValueError(f"Expected a circle of finite centre and a radius above 0. Got {self}.")

    @property
    def transposed(self) -> Circle:
        """The circle with x and y exchanged."""
        return replace(self, centre_um=self.centre_um[::-1])

    @property
    def bounds_um(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Extent along x and along y."""
        (x, y), r = self.centre_um, self.radius_um
        return (x - r, x + r), (y - r, y + r)

    def resolved(self, wavelength_um: float, temperature_k: float = ROOM_K) -> Circle:
        """The circle with its permittivity at one wavelength."""
        return replace(self, permittivity=number(self.permittivity, wavelength_um, temperature_k))

    def lines_um(self, x: Axis) -> Real:
        """Its extent, in :data:`SAMPLES` steps a cell."""
        return _steps(x, *self.bounds_um[0])

    def coverage(self, x_um: Real, y_um: Real) -> Real:
        """By the mean chord between neighbouring lines in x, so that the disc's area is exact."""
        r = self.radius_um
        u = np.clip((x_um - self.centre_um[0]) / r, -1.0, 1.0)
        half = r**2 * np.diff(u * np.sqrt(1 - u**2) + np.arcsin(u)) / 2 / np.diff(x_um)
        return _covered(self.centre_um[1] - half, self.centre_um[1] + half, y_um)


@dataclass(frozen=True)
class Polygon:
    """A polygon by its vertices in order; where it crosses itself, the even-odd rule holds."""

    vertices_um: tuple[tuple[float, float], ...]
    permittivity: Medium

    def __post_init__(self) -> None:
        vertices = tuple(reals("a polygon's vertex", v, 2) for v in self.vertices_um)
        object.__setattr__(self, "vertices_um", vertices)
        object.__setattr__(self, "permittivity", medium("a polygon's permittivity", self.permittivity))
        if len(vertices) < 3 or not np.isfinite(vertices).all():
            raise ValueError(f"Expected a polygon of 3 or more finite vertices. Got {self.vertices_um}.")

    @property
    def transposed(self) -> Polygon:
        """The polygon with x and y exchanged."""
        return replace(self, vertices_um=tuple(v[::-1] for v in self.vertices_um))

    @property
    def bounds_um(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Extent along x and along y."""
        x, y = zip(*self.vertices_um, strict=True)
        return (min(x), max(x)), (min(y), max(y))

    def resolved(self, wavelength_um: float, temperature_k: float = ROOM_K) -> Polygon:
        """The polygon with its permittivity at one wavelength."""
        return replace(self, permittivity=number(self.permittivity, wavelength_um, temperature_k))

    def lines_um(self, x: Axis) -> Real:
        """Its vertices, and its extent in :data:`SAMPLES` steps a cell."""
        return np.concatenate([np.asarray(self.vertices_um)[:, 0], _steps(x, *self.bounds_um[0])])

    def coverage(self, x_um: Real, y_um: Real) -> Real:
        """By its cut in the middle between neighbouring lines in x; with its vertices among them the area is exact."""
        start = np.asarray(self.vertices_um)
        end = np.roll(start, -1, axis=0)
        x = (x_um[1:] + x_um[:-1]) / 2
        crossed = (start[:, :1] <= x) != (end[:, :1] <= x)
        run = end[:, 0] - start[:, 0]
        slope = (end[:, 1] - start[:, 1]) / np.where(run == 0, 1.0, run)
        cuts = np.sort(np.where(crossed, start[:, 1:] + slope[:, None] * (x - start[:, :1]), np.inf), axis=0)
        total = np.zeros((len(x), len(y_um) - 1))
        for lower, upper in zip(cuts[0::2], cuts[1::2], strict=False):
            here = np.isfinite(upper)
            if not here.any():
                break
            total[here] += _covered(lower[here], upper[here], y_um)
        return total


def _steps(x: Axis, lower: float, upper: float) -> Real:
    """The lines between ``lower`` and ``upper`` that divide the cells of an axis in :data:`SAMPLES`, and both ends."""
    lines = (np.arange(SAMPLES * x.cells + 1) / SAMPLES - x.cells / 2) * x.cell_um
    return np.concatenate([lines[(lower < lines) & (lines < upper)], [lower, upper]])


def _covered(lower: Real, upper: Real, y_um: Real) -> Real:
    """Share of each interval of ``y_um`` between ``lower`` and ``upper``, ``len(lower) x (len(y_um) - 1)``."""
    overlap = np.minimum(upper[:, None], y_um[1:]) - np.maximum(lower[:, None], y_um[:-1])
    return np.clip(overlap, 0.0, None) / np.diff(y_um)


def unbounded(shapes: Sequence[Shape], half_size_um: tuple[float, float]) -> tuple[Shape, ...]:
    """The shapes of a domain, centred at the origin, for a larger one.

    Sides of rectangles at or beyond the domain's boundary go to infinity; shapes wholly outside it are left out.
    """

    def side(bounds: tuple[float, float], half: float) -> tuple[float, float]:
        lower, upper = bounds
        return -math.inf if lower <= 1e-9 - half else lower, math.inf if upper >= half - 1e-9 else upper

    def widened(shape: Shape) -> Shape:
        if not isinstance(shape, Rectangle):
            return shape
        x_um, y_um = (side(bounds, half) for bounds, half in zip(shape.bounds_um, half_size_um, strict=True))
        return replace(shape, x_um=x_um, y_um=y_um)

    def inside(shape: Shape) -> bool:
        return all(max(b[0], -b[1]) < half for b, half in zip(shape.bounds_um, half_size_um, strict=True))

    return tuple(widened(shape) for shape in shapes if inside(shape))


def area_weights(target_edges: Real, source_edges: Real) -> Real:
    """Mean over each target cell of a function constant on source cells and zero outside them.

    Args:
        target_edges: ``m + 1`` ascending cell boundaries.
        source_edges: ``n + 1`` ascending cell boundaries.

    Returns:
        ``m x n`` matrix of overlap lengths over target lengths. In 2D the mean is ``R_x f R_y^T`` and its adjoint
        ``R_x^T g R_y``.
    """
    lower = np.maximum(target_edges[:-1, None], source_edges[None, :-1])
    upper = np.minimum(target_edges[1:, None], source_edges[None, 1:])
    overlap = np.clip(upper - lower, 0.0, None)
    overlap[overlap < 1e-9 * np.diff(target_edges)[:, None]] = 0.0  # grid lines meant to coincide
    return overlap / np.diff(target_edges)[:, None]


def area_weights_exact(target_edges: Real, source_edges: Real) -> Real:
    """:func:`area_weights` with rows normalised to one, for source cells that cover every target cell."""
    weights = area_weights(target_edges, source_edges)
    return weights / weights.sum(axis=1, keepdims=True)


def shape_lines(x: Axis, shapes: Sequence[Shape], more_um: Sequence[float] | Real = ()) -> Real:
    """Ascending lines along x between which the medium is uniform, or sampled finely where a boundary is slanted.

    The domain's ends are the first and last; ``more_um`` adds positions.
    """
    ends = x.edges_um[[0, -1]]
    lines = np.concatenate([np.asarray(more_um, dtype=np.float64), *(shape.lines_um(x) for shape in shapes)])
    lines = np.sort(lines[(ends[0] < lines) & (lines < ends[1])])
    lines = np.concatenate([ends[:1], lines, ends[1:]])
    distinct = np.append(np.diff(lines) > 1e-12 * x.cell_um, True)
    distinct[0] = True
    return lines[distinct]


def painted_columns(
    x_um: Real, y_um: Real, background: float | complex, shapes: Sequence[Shape], inverse: bool = False
) -> Iterator[tuple[slice, NDArray]]:
    """Means of the permittivity, or of its inverse, between lines, some columns at a time.

    Later shapes cover earlier ones; a share of a fine rectangle is covered in proportion.

    Args:
        x_um: ``m + 1`` lines from :func:`shape_lines`.
        y_um: ``n + 1`` lines.
        background: permittivity outside all shapes.
        shapes: of numeric permittivity.
        inverse: whether to average 1 / eps.

    Yields:
        The columns, and their ``columns x n`` means.

    Raises:
        ValueError: for a shape made of a material; ``resolved`` makes it a number.
    """
    values = [_number(value) for value in (background, *(shape.permittivity for shape in shapes))]
    values = [1 / value for value in values] if inverse else values
    dtype = np.result_type(np.float64, *(type(v) for v in values))
    step = max(1, _CHUNK // len(y_um))
    for start in range(0, len(x_um) - 1, step):
        columns = slice(start, min(start + step, len(x_um) - 1))
        lines = x_um[start : columns.stop + 1]
        fine = np.full((len(lines) - 1, len(y_um) - 1), values[0], dtype=dtype)
        for shape, value in zip(shapes, values[1:], strict=True):
            share = shape.coverage(lines, y_um)
            fine = np.where(share == 1, value, (1 - share) * fine + share * value)
        yield columns, fine


def _number(value: Medium) -> float | complex:
    if isinstance(value, Material):
        raise ValueError(f"Expected permittivities as numbers. Got {value}; use shape.resolved(wavelength_um).")
    return value


def paint(grid: Grid, background: float | complex, shapes: Sequence[Shape]) -> Real | Complex:
    """``nx x ny`` cell averages of the permittivity; later shapes cover earlier ones.

    Exact for rectangles, to second order in an eighth of a cell for the others. For Ez (the field parallel to every
    interface) the arithmetic mean over the cell is second-order accurate. Real unless a permittivity is complex.
    """
    return paint_between(grid.x, grid.y, background, shapes)


def paint_between(x_axis: Axis, y_axis: Axis, background: float | complex, shapes: Sequence[Shape]) -> Real | Complex:
    """:func:`paint` on cells of any two sides."""
    x, y = shape_lines(x_axis, shapes), shape_lines(y_axis, [shape.transposed for shape in shapes])
    weights_x, weights_y = area_weights_exact(x_axis.edges_um, x), area_weights_exact(y_axis.edges_um, y)
    parts = [weights_x[:, c] @ (fine @ weights_y.T) for c, fine in painted_columns(x, y, background, shapes)]
    return np.sum(parts, axis=0)
