"""Shapes painted on a grid with exact area averages, and the area-weighted map between grids."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from physics.fdfd.grid import Grid, Real
from physics.fdfd.values import real, reals


@dataclass(frozen=True)
class Rectangle:
    """An axis-parallel rectangle; a guide that runs out of the domain has an infinite side."""

    x_um: tuple[float, float]
    y_um: tuple[float, float]
    permittivity: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "x_um", reals("a rectangle's x_um", self.x_um, 2))
        object.__setattr__(self, "y_um", reals("a rectangle's y_um", self.y_um, 2))
        object.__setattr__(self, "permittivity", real("a rectangle's permittivity", self.permittivity))
        for lower, upper in (self.x_um, self.y_um):
            if not lower < upper:
                raise ValueError(f"Expected lower < upper in a rectangle. Got ({lower}, {upper}).")
        check_permittivity(self.permittivity)


def unbounded(rectangles: Sequence[Rectangle], half_size_um: tuple[float, float]) -> tuple[Rectangle, ...]:
    """The shapes of a domain, centred at the origin, for a larger one.

    Sides at or beyond the domain's boundary go to infinity; shapes wholly outside it are left out.
    """

    def side(bounds: tuple[float, float], half: float) -> tuple[float, float]:
        lower, upper = bounds
        return -math.inf if lower <= 1e-9 - half else lower, math.inf if upper >= half - 1e-9 else upper

    half_x, half_y = half_size_um
    return tuple(
        Rectangle(side(r.x_um, half_x), side(r.y_um, half_y), r.permittivity)
        for r in rectangles
        if max(r.x_um[0], -r.x_um[1]) < half_x and max(r.y_um[0], -r.y_um[1]) < half_y
    )


def check_permittivity(value: float) -> None:
    """``ValueError`` unless the permittivity is finite and positive (lossless dielectrics)."""
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"Expected a finite permittivity above 0. Got {value}.")


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


def paint(grid: Grid, background: float, rectangles: Sequence[Rectangle]) -> Real:
    """Cell averages of the permittivity, exact for rectangles; later ones cover earlier ones.

    For Ez (the field parallel to every interface) the arithmetic mean over the cell is second-order accurate.
    """

    def lines(edges: Real, sides: list[tuple[float, float]]) -> Real:
        inside = [v for side in sides for v in side if edges[0] < v < edges[-1]]
        return np.unique(np.concatenate([edges, np.asarray(inside, dtype=np.float64)]))

    x = lines(grid.x.edges_um, [r.x_um for r in rectangles])
    y = lines(grid.y.edges_um, [r.y_um for r in rectangles])
    fine = np.full((len(x) - 1, len(y) - 1), float(background))
    middle_x, middle_y = (x[1:] + x[:-1]) / 2, (y[1:] + y[:-1]) / 2
    for r in rectangles:
        covered = np.outer(
            (r.x_um[0] < middle_x) & (middle_x < r.x_um[1]), (r.y_um[0] < middle_y) & (middle_y < r.y_um[1])
        )
        fine[covered] = r.permittivity
    return area_weights_exact(grid.x.edges_um, x) @ fine @ area_weights_exact(grid.y.edges_um, y).T


def area_weights_exact(target_edges: Real, source_edges: Real) -> Real:
    """:func:`area_weights` with rows normalised to one, for source cells that cover every target cell."""
    weights = area_weights(target_edges, source_edges)
    return weights / weights.sum(axis=1, keepdims=True)
