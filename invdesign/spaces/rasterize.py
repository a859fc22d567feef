"""Area fractions of shapes in pixels, differentiable: half-planes, intervals, polygons."""

from __future__ import annotations

import torch
from torch import Tensor

# Least slope along each axis, as a share of the whole: takes the kinks off where a boundary lies along pixel edges.
SOFTNESS = 0.05
# Slope below which a level-set function counts as flat, as a share of that of a distance.
FLAT = 0.1


def half_plane_fraction(value: Tensor, slope_x: Tensor, slope_y: Tensor, width: float = 1.0) -> Tensor:
    """Area fraction of {value + slope . r > 0} in a square of side `width` about r = 0, all of one shape.

    Exact for a straight boundary, but blurred by a twentieth of a pixel where that runs along an axis; the blur is
    symmetric and moves no boundary. Continuously differentiable in every argument. A level-set function is read by its
    value and slope at the pixel's centre, so the area of what it bounds is second-order accurate in the pixel where the
    boundary is smooth.

    The fraction is the distribution function of a u + b v for u, v uniform in [-1/2, 1/2].

    Args:
        value: of the level-set function, in pixels.
        slope_x, slope_y: its derivatives, pixel per pixel; about 1 for a distance.
        width: of the square, in pixels; above 1 the boundary is a grey ramp that wide.
    """
    least = SOFTNESS * torch.sqrt(slope_x**2 + slope_y**2 + FLAT**2)
    a, b = width * _rounded(slope_x, least), width * _rounded(slope_y, least)
    end, knee = (a + b) / 2, (a - b) / 2
    inside = torch.minimum(torch.maximum(value, -end), end)
    terms = _ramp(inside + end) - _ramp(inside + knee) - _ramp(inside - knee) + _ramp(inside - end)
    # Away from the boundary exactly binary, whatever the rounding.
    fraction = torch.where(value >= end, 1.0, (terms / (2 * a * b)).clamp(0.0, 1.0))
    return torch.where(value <= -end, 0.0, fraction)


def _rounded(slope: Tensor, least: Tensor) -> Tensor:
    """|slope| where that is at least twice `least`, and smoothly down to `least` below."""
    size = slope.abs()
    return torch.where(size < 2 * least, least + slope**2 / (4 * least), size)


def _ramp(x: Tensor) -> Tensor:
    return torch.relu(x) ** 2


def clip(x: Tensor, low: Tensor | float, high: Tensor | float) -> Tensor:
    """`x` within [low, high]; the slope is 1 for low <= x < high, so that adjoining intervals count an edge once."""
    low, high = torch.as_tensor(low, dtype=x.dtype), torch.as_tensor(high, dtype=x.dtype)
    return torch.where(x < low, low, torch.where(x < high, x, high))


def interval_fraction(low: Tensor, high: Tensor, n: int) -> Tensor:
    """Share of each of `n` unit pixels that lies between `low` and `high` `(...)`: `(..., n)`. Exact."""
    edges = torch.arange(n, dtype=low.dtype)
    inside = clip(high[..., None], edges, edges + 1) - clip(low[..., None], edges, edges + 1)
    return torch.relu(inside)


def polygon_fraction(vertices: Tensor, shape: tuple[int, int]) -> Tensor:
    """Area fraction of a polygon in each unit pixel, `(..., k, 2)` to `(..., nx, ny)`. Exact for a simple polygon.

    Green's theorem, pixel by pixel: the area is the sum over the edges of the integral of the height of the edge,
    clipped to the pixel. Either orientation will do. A polygon that crosses itself is not refused, but means nothing.

    Args:
        vertices: in pixels from the corner of pixel [0, 0].
        shape: `(nx, ny)`.
    """
    nx, ny = shape
    start, stop = vertices, vertices.roll(-1, dims=-2)
    left = torch.arange(nx, dtype=vertices.dtype)[:, None]
    bottom = torch.arange(ny, dtype=vertices.dtype)
    x0, y0, x1, y1 = (part[..., None, None] for part in (*start.unbind(-1), *stop.unbind(-1)))
    from_x, to_x = clip(x0, left, left + 1), clip(x1, left, left + 1)
    run = x1 - x0
    steep = run.abs() < 1e-12
    slope = (y1 - y0) / torch.where(steep, torch.ones_like(run), run)
    from_y, to_y = y0 + slope * (from_x - x0), y0 + slope * (to_x - x0)
    height = _mean_height(from_y - bottom, to_y - bottom)
    area = ((to_x - from_x) * height).sum(dim=-3)
    # The orientation is that of the whole polygon; its own slope is of no use and would be zero.
    twice = (start[..., 0] * stop[..., 1] - start[..., 1] * stop[..., 0]).sum(-1).detach()
    return -torch.sign(twice)[..., None, None] * area


def _mean_height(a: Tensor, b: Tensor) -> Tensor:
    """Mean of y clipped to [0, 1] over y from a to b."""
    rise = b - a
    level = rise.abs() < 1e-6
    mean = (_clipped_integral(b) - _clipped_integral(a)) / torch.where(level, torch.ones_like(rise), rise)
    return torch.where(level, clip((a + b) / 2, 0.0, 1.0), mean)


def _clipped_integral(y: Tensor) -> Tensor:
    inside = y.clamp(0.0, 1.0)
    return inside**2 / 2 + torch.relu(y - 1)
