"""Projection with subpixel smoothing, differentiable at any sharpness, infinite included.

Hammond, Oskooi, Hammond, Chen, Ralph, Johnson, "Unifying and accelerating level-set and density-based topology
optimization by subpixel-smoothed projection" (2025), arXiv:2503.20189v3; with the second-order term of Romano, Arrieta,
Johnson, "Differentiating through binarized topology changes: second-order subpixel-smoothed projection" (2026),
arXiv:2601.10737.
"""

from __future__ import annotations

import torch
from torch import Tensor

from invdesign.spaces.density import tanh_projection

# Radius of the smoothing kernel in pixels, as published: a little more than half, so that no edge slips between.
SMOOTHING_PX = 0.55


def slopes(field: Tensor) -> tuple[Tensor, Tensor]:
    """Central differences along x and y of `... x (nx + 2) x (ny + 2)`, per pixel, `... x nx x ny`."""
    return (field[..., 2:, 1:-1] - field[..., :-2, 1:-1]) / 2, (field[..., 1:-1, 2:] - field[..., 1:-1, :-2]) / 2


def squared_curvature(field: Tensor) -> Tensor:
    """Squared Frobenius norm of the second differences of `... x (nx + 2) x (ny + 2)`, `... x nx x ny`."""
    twice = 2 * field[..., 1:-1, 1:-1]
    along_x = field[..., 2:, 1:-1] + field[..., :-2, 1:-1] - twice
    along_y = field[..., 1:-1, 2:] + field[..., 1:-1, :-2] - twice
    mixed = (field[..., 2:, 2:] - field[..., 2:, :-2] - field[..., :-2, 2:] + field[..., :-2, :-2]) / 4
    return along_x**2 + along_y**2 + 2 * mixed**2


def fill_factor(distance: Tensor) -> Tensor:
    """Share of the kernel beyond an edge at a signed distance in [-1, 1] radii: 1 to 0, twice differentiable."""
    return 0.5 - distance * (15 / 16 - distance**2 * (5 / 8 - 3 / 16 * distance**2))


def smoothed_projection(filtered: Tensor, beta: float, eta: float, curvature: bool = True) -> Tensor:
    """Projected density `... x nx x ny` of a filtered one with a margin of one pixel, `... x (nx + 2) x (ny + 2)`.

    A pixel near the level line `filtered = eta` is the mean of what lies on its two sides, weighted by the share of a
    round kernel of about a pixel; every other one is projected as by `tanh_projection`. With `beta` infinite the design
    is binary but for the pixels on its edges, and their gradient survives. The field must be smooth on the scale of a
    pixel, as a filtered one is.

    Args:
        filtered: the field.
        beta, eta: sharpness, up to infinity, and threshold.
        curvature: whether the second-order term takes part, which keeps the gradient where two edges meet.
    """
    centre = filtered[..., 1:-1, 1:-1]
    along_x, along_y = slopes(filtered)
    steepness = along_x**2 + along_y**2
    if curvature:
        steepness = steepness + SMOOTHING_PX**2 * squared_curvature(filtered)
    sloping = steepness > 0
    rise = SMOOTHING_PX * torch.sqrt(torch.where(sloping, steepness, 1.0))
    distance = (eta - centre) / rise
    crossed = sloping & (distance.abs() < 1)
    distance = torch.where(crossed, distance, 0.0)
    share = fill_factor(distance)
    # The values that stand for the two sides move to the centre's own as the edge leaves the pixel: no jump in slope.
    lower, upper = centre - rise * share, centre + rise * fill_factor(-distance)
    mixed = (1 - share) * tanh_projection(lower, beta, eta) + share * tanh_projection(upper, beta, eta)
    # On one-pixel features the two sides may lie beyond the ends of the scale.
    return torch.where(crossed, mixed, tanh_projection(centre, beta, eta)).clamp(0, 1)
