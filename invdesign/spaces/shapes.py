"""A design space of a few parametrised shapes over a uniform background."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from invdesign.spaces.families import Ellipse, Grating, Polygon, Shape, free
from invdesign.spaces.fitting import fit_density
from physics.base import Array, check_design

__all__ = ["Ellipse", "Grating", "Polygon", "Shape", "ShapeSpace"]

# Edges of the blocks, in pixels, over which a fit first compares densities.
FIT_BLOCKS_PX = (16, 8, 4, 1)
FIT_STARTS = 6


@dataclass(frozen=True)
class ShapeSpace:
    """Shapes drawn one after the other on a background; later ones cover earlier ones.

    Parameters in [0, 1] stand for those of the shapes that are given bounds, in order; what is a plain number stays.
    The density is the area fraction of each pixel. Where boundaries of two shapes meet in one pixel, they are taken
    as independent of each other there.

    Args:
        shape: `(nx, ny)` pixels, as in `simulator.design_shape`.
        shapes: `Ellipse`, `Polygon`, `Grating` or one of your own that satisfies `Shape`, in micrometres from the
            design's centre.
        pixel_um: edge of a pixel.
        background: density under all shapes, 0 or 1 for what can be made.
        erosion_um, inset_um: as of `LevelSetSpace`.
        fit_tolerance: mean |density difference| above which `encode` refuses.

    Raises:
        ValueError: for a shape or length that makes no sense, or where nothing has bounds.
    """

    shape: tuple[int, int]
    shapes: tuple[Shape, ...]
    pixel_um: float = 0.02
    background: float = 0.0
    erosion_um: float = math.pi / 3 * 0.08
    inset_um: float = 0.0
    fit_tolerance: float = 0.02

    def __post_init__(self) -> None:
        shape = tuple(int(n) for n in self.shape)
        if len(shape) != 2 or min(shape) < 1:
            raise ValueError(f"Expected a shape (nx, ny) of at least one pixel each way. Got {self.shape}.")
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "shapes", tuple(self.shapes))
        if not self.size:
            raise ValueError("Expected at least one parameter with bounds (lowest, highest). Got none in any shape.")
        if not (self.pixel_um > 0 and 0 <= self.background <= 1 and self.fit_tolerance > 0 and self.erosion_um >= 0):
            raise ValueError(
                "Expected pixel_um > 0, a background in [0, 1], fit_tolerance > 0 and erosion_um >= 0. "
                f"Got {self.pixel_um}, {self.background}, {self.fit_tolerance} and {self.erosion_um}."
            )

    @property
    def size(self) -> int:
        """Number of parameters."""
        return sum(1 for item in self.shapes for _ in free(item.bounds()))

    def values(self, theta: Tensor) -> list[Tensor]:
        """Every parameter of each shape, fixed ones too, `(..., k)`, for theta `(..., size)`."""
        if theta.shape[-1:] != (self.size,):
            raise ValueError(f"Expected parameters of shape (..., {self.size}). Got {tuple(theta.shape)}.")
        free_values = iter(theta.unbind(-1))
        found = []
        for item in self.shapes:
            parts = [
                bound[0] + (bound[1] - bound[0]) * next(free_values)
                if isinstance(bound, tuple)
                else torch.full(theta.shape[:-1], float(bound), dtype=theta.dtype)
                for bound in item.bounds()
            ]
            found.append(torch.stack(parts, dim=-1))
        return found

    def decode(self, theta: Tensor) -> Tensor:
        """Density in [0, 1], `(..., nx, ny)`, differentiable in theta `(..., size)`."""
        density = torch.full((*theta.shape[:-1], *self.shape), self.background, dtype=theta.dtype)
        for item, values in zip(self.shapes, self.values(theta), strict=True):
            grow = -self.inset_um if item.solid else self.inset_um
            covered = item.fraction(values, grow, self.pixel_um, self.shape).clamp(0.0, 1.0)
            density = density * (1 - covered) + covered * float(item.solid)
        return density

    def encode(self, density: Array) -> NDArray[np.float64]:
        """Parameters `(size,)` of the member nearest to a density `(nx, ny)`, by least squares from several starts.

        Raises:
            ValueError: where no start came within `fit_tolerance` of it.
        """
        pixels = check_design(density, self.shape)
        plain = replace(self, inset_um=0.0)
        starts = [np.full(self.size, 0.5), *np.random.default_rng(0).random((FIT_STARTS - 1, self.size))]
        best, misfit = np.full(self.size, 0.5), math.inf
        for start in starts:
            theta, left = fit_density(plain, pixels, start, blocks_px=FIT_BLOCKS_PX)
            if left < misfit:
                best, misfit = theta, left
            if misfit < 0.1 * self.fit_tolerance:
                break
        if misfit > self.fit_tolerance:
            raise ValueError(
                f"Expected a density within {self.fit_tolerance:g} (mean difference of a pixel) of a member of this "
                f"family. Got {misfit:.3g} at best; widen the bounds or fit_tolerance, or give parameters of shape "
                f"({self.size},) instead."
            )
        return best

    def sample(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """Parameters `(size,)`, uniform within the bounds."""
        return rng.random(self.size)

    def at(self, beta: float) -> ShapeSpace:
        """The same space: its members are binary but for the pixels on their boundaries, whatever the sharpness."""
        return self

    def offset(self, shift: float) -> ShapeSpace:
        """The same space with material moved inwards (shift > 0, eroded) or outwards by `shift * erosion_um`.

        Holes grow where material shrinks; the background's own edge stays.
        """
        return replace(self, inset_um=self.inset_um + shift * self.erosion_um)

    def binarize(self, theta: Array) -> NDArray[np.float64]:
        """What would be made, in whole pixels: 1 where the density exceeds 1/2, else 0; `(nx, ny)`."""
        with torch.no_grad():
            density = self.decode(torch.as_tensor(theta, dtype=torch.float64))
        return (density > 0.5 + 1e-12).double().numpy()
