"""Families of shapes with bounded parameters, drawn as differentiable area fractions."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from invdesign.spaces.rasterize import half_plane_fraction, interval_fraction, polygon_fraction

# A fixed value, or (lowest, highest) of a parameter.
Bounded = float | tuple[float, float]


class Shape(Protocol):
    """A family of shapes. `solid` tells material from a hole; coordinates are from the design's centre."""

    @property
    def solid(self) -> bool: ...
    def bounds(self) -> tuple[Bounded, ...]:
        """Every parameter's value or bounds, in the order in which `fraction` takes them."""
        ...

    def fraction(self, values: Tensor, grow_um: float, pixel_um: float, shape: tuple[int, int]) -> Tensor:
        """Area fractions `(..., nx, ny)` for parameters `(..., k)`, the boundary moved outwards by `grow_um`."""
        ...


@dataclass(frozen=True)
class Ellipse:
    """An ellipse, by area fractions that are second-order accurate in pixel over radius.

    Args:
        centre_um: (x, y), each a number or (lowest, highest).
        radii_um: the two half axes.
        angle_rad: of the first axis from x, anticlockwise.
        solid: False for a hole.
    """

    centre_um: tuple[Bounded, Bounded]
    radii_um: tuple[Bounded, Bounded]
    angle_rad: Bounded = 0.0
    solid: bool = True

    def __post_init__(self) -> None:
        check_bounds("an Ellipse", self.bounds())
        check_positive("radii_um of an Ellipse", self.radii_um)

    def bounds(self) -> tuple[Bounded, ...]:
        """Centre, half axes, angle."""
        return (*self.centre_um, *self.radii_um, self.angle_rad)

    def fraction(self, values: Tensor, grow_um: float, pixel_um: float, shape: tuple[int, int]) -> Tensor:
        """See `Shape`. What has been shrunk to nothing is nothing."""
        cx, cy, a, b, angle = (part[..., None, None] for part in values.unbind(-1))
        x, y = (pixel_um * (torch.arange(n, dtype=values.dtype) - (n - 1) / 2) for n in shape)
        dx, dy = x[:, None] - cx, y - cy
        c, s = torch.cos(angle), torch.sin(angle)
        u, v = c * dx + s * dy, c * dy - s * dx
        # Scaled so that the slope at the end of the longer axis is at least that of a distance.
        scale = torch.minimum(a, b) / 2
        value = scale * (1 - (u / a) ** 2 - (v / b) ** 2)
        slope_u, slope_v = -2 * scale * u / a**2, -2 * scale * v / b**2
        slope_x, slope_y = c * slope_u - s * slope_v, s * slope_u + c * slope_v
        if grow_um:
            value = value + grow_um * torch.sqrt(slope_x**2 + slope_y**2 + 1e-12)
        return half_plane_fraction(value / pixel_um, slope_x, slope_y)


@dataclass(frozen=True)
class Polygon:
    """A simple polygon, by exact area fractions.

    Args:
        vertices_um: (x, y) in order, either way round; each a number or (lowest, highest). The bounds must keep edges
            from crossing.
        solid: False for a hole.
    """

    vertices_um: tuple[tuple[Bounded, Bounded], ...]
    solid: bool = True

    def __post_init__(self) -> None:
        if len(self.vertices_um) < 3:
            raise ValueError(f"Expected at least three vertices of a Polygon. Got {len(self.vertices_um)}.")
        check_bounds("a Polygon", self.bounds())

    def bounds(self) -> tuple[Bounded, ...]:
        """x and y of each vertex."""
        return tuple(part for vertex in self.vertices_um for part in vertex)

    def fraction(self, values: Tensor, grow_um: float, pixel_um: float, shape: tuple[int, int]) -> Tensor:
        """See `Shape`; edges are moved along their normals, corners stay sharp."""
        vertices = values.reshape(*values.shape[:-1], len(self.vertices_um), 2)
        if grow_um:
            vertices = _moved_out(vertices, grow_um)
        corner = pixel_um * torch.tensor(shape, dtype=values.dtype) / 2
        return polygon_fraction((vertices + corner) / pixel_um, shape)


@dataclass(frozen=True)
class Grating:
    """Rectangular teeth in a row, each with a width and a gap behind it, by exact area fractions.

    Args:
        start_um: where the first tooth begins, along the axis.
        widths_um: of the teeth.
        gaps_um: from each tooth to the next, one fewer than teeth; positive, so that teeth never overlap.
        across_um: lower and upper end of the teeth across the axis.
        axis: "x" or "y", along which they are lined up.
        solid: False for slots.
    """

    start_um: Bounded
    widths_um: tuple[Bounded, ...]
    gaps_um: tuple[Bounded, ...]
    across_um: tuple[Bounded, Bounded]
    axis: str = "x"
    solid: bool = True

    def __post_init__(self) -> None:
        if not self.widths_um or len(self.gaps_um) != len(self.widths_um) - 1:
            raise ValueError(
                "Expected at least one tooth and a gap between each two. "
                f"Got {len(self.widths_um)} widths and {len(self.gaps_um)} gaps."
            )
        if self.axis not in ("x", "y"):
            raise ValueError(f"Expected axis 'x' or 'y'. Got {self.axis!r}.")
        check_bounds("a Grating", self.bounds())
        check_positive("widths_um and gaps_um of a Grating", (*self.widths_um, *self.gaps_um))
        if not ends(self.across_um[0])[1] < ends(self.across_um[1])[0]:
            raise ValueError(f"Expected across_um with its lower end below its upper. Got {self.across_um}.")

    def bounds(self) -> tuple[Bounded, ...]:
        """Start, widths, gaps, and the two ends across."""
        return (self.start_um, *self.widths_um, *self.gaps_um, *self.across_um)

    def fraction(self, values: Tensor, grow_um: float, pixel_um: float, shape: tuple[int, int]) -> Tensor:
        """See `Shape`. Where growing closes a gap, the teeth merge."""
        n = len(self.widths_um)
        start, widths, gaps, across = values.split([1, n, n - 1, 2], dim=-1)
        along = shape if self.axis == "x" else shape[::-1]
        steps = widths + torch.nn.functional.pad(gaps, (0, 1))
        low = start + torch.nn.functional.pad(steps.cumsum(-1)[..., :-1], (1, 0))

        def pixels(position: Tensor, cells: int) -> Tensor:
            return position / pixel_um + cells / 2

        teeth = interval_fraction(
            pixels(low - grow_um, along[0]), pixels(low + widths + grow_um, along[0]), along[0]
        ).sum(-2)
        breadth = interval_fraction(
            pixels(across[..., 0] - grow_um, along[1]), pixels(across[..., 1] + grow_um, along[1]), along[1]
        )
        area = teeth.clamp(max=1.0)[..., :, None] * breadth[..., None, :]
        return area if self.axis == "x" else area.mT


def ends(bound: Bounded) -> tuple[float, float]:
    """Lowest and highest value of a parameter."""
    return (float(bound[0]), float(bound[1])) if isinstance(bound, tuple) else (float(bound), float(bound))


def check_bounds(owner: str, bounds: tuple[Bounded, ...]) -> None:
    """`ValueError` for bounds that are not finite or not in order."""
    for bound in bounds:
        if not isinstance(bound, (int, float, tuple)) or (isinstance(bound, tuple) and len(bound) != 2):
            raise ValueError(f"Expected a number or (lowest, highest) in {owner}. Got {bound}.")
        low, high = ends(bound)
        if not (math.isfinite(low) and math.isfinite(high)) or (isinstance(bound, tuple) and not low < high):
            raise ValueError(
                f"Expected a finite number or (lowest, highest) with lowest < highest in {owner}. Got {bound}."
            )


def check_positive(what: str, bounds: tuple[Bounded, ...]) -> None:
    """`ValueError` for bounds that reach 0."""
    for bound in bounds:
        if not ends(bound)[0] > 0:
            raise ValueError(f"Expected {what} above 0. Got {bound}.")


def free(bounds: tuple[Bounded, ...]) -> Iterator[tuple[float, float]]:
    """Bounds of the parameters that are not fixed."""
    return (ends(bound) for bound in bounds if isinstance(bound, tuple))


def _moved_out(vertices: Tensor, distance: float) -> Tensor:
    """Vertices `(..., k, 2)` of the polygon whose edges lie `distance` further out, corners mitred."""
    edges = vertices.roll(-1, dims=-2) - vertices
    twice = (vertices[..., 0] * vertices.roll(-1, dims=-2)[..., 1]).sum(-1) - (
        vertices[..., 1] * vertices.roll(-1, dims=-2)[..., 0]
    ).sum(-1)
    outward = torch.stack([edges[..., 1], -edges[..., 0]], dim=-1) * torch.sign(twice)[..., None, None]
    normal = outward / torch.linalg.vector_norm(outward, dim=-1, keepdim=True)
    before = normal.roll(1, dims=-2)
    return vertices + distance * (normal + before) / (1 + (normal * before).sum(-1, keepdim=True))
