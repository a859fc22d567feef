"""A design space of smooth boundaries: the zero contour of a spline, as area fractions of pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor

from invdesign.spaces.density import PERIODIC, SQUARE_ONLY, SYMMETRIES, symmetrize
from invdesign.spaces.distance import signed_distance
from invdesign.spaces.fitting import fit_density
from invdesign.spaces.rasterize import FLAT, half_plane_fraction
from physics.base import Array, check_design

# Sharpness from which on a boundary is as thin as the pixels allow.
SHARP = 32.0
# Keeps a fit from bending phi for the last thousandths of a density: it may move the boundary within a pixel.
ANCHOR = 50.0


@dataclass(frozen=True)
class LevelSetSpace:
    """Material where a level-set function phi is positive.

    phi is a bicubic B-spline on a grid of control points about the design's centre, one more than covers it on each
    side. Parameters in [0, 1] are its coefficients: `depth_um * (2 theta - 1)`, meant as distances from the boundary.
    A pixel's density is the area fraction of {phi > 0} in it (`half_plane_fraction`), so only pixels which the
    boundary crosses are grey, and the chain rule through `decode` is the shape derivative: only the boundary moves.
    Material appears away from the boundary by `invdesign.spaces.topological.nucleate` alone.

    Args:
        shape: `(nx, ny)` pixels, as in `simulator.design_shape`.
        pixel_um: edge of a pixel.
        control_um: distance of the control points; no detail is much finer.
        depth_um: largest |phi|; four times `control_um` by default, which keeps the slope at the boundary to
            within a percent of that of a distance.
        symmetry: as of `DensitySpace`, periods included: the spline goes on across them.
        beta: `at(beta)` sets the width of the boundary, `max(1, 32 / beta)` pixels: a grey ramp that wide, centred on
            the contour, for the first stages of a continuation; exact area fractions from 32 on.
        erosion_um: how far a shift of 1 in `offset` moves the boundary; the default, pi / 3 times 0.08 um, is what it
            does to a straight edge behind a conic filter of 0.08 um in a `DensitySpace`.
        inset_um: how far the boundary is moved inwards; set by `offset`.

    Raises:
        ValueError: for a shape, symmetry or length that makes no sense.
    """

    shape: tuple[int, int]
    pixel_um: float = 0.02
    control_um: float = 0.1
    depth_um: float | None = None
    symmetry: str | tuple[str, ...] = ()
    beta: float = 64.0
    erosion_um: float = math.pi / 3 * 0.08
    inset_um: float = 0.0

    def __post_init__(self) -> None:
        shape = tuple(int(n) for n in self.shape)
        if len(shape) != 2 or min(shape) < 1:
            raise ValueError(f"Expected a shape (nx, ny) of at least one pixel each way. Got {self.shape}.")
        object.__setattr__(self, "shape", shape)
        # Equal spaces are to have equal keys: 8 is 8.0, a list a tuple.
        for name in ("pixel_um", "control_um", "beta", "erosion_um", "inset_um"):
            object.__setattr__(self, name, float(getattr(self, name)))
        if not isinstance(self.symmetry, str):
            object.__setattr__(self, "symmetry", tuple(self.symmetry))
        for name in self.symmetries:
            if name not in SYMMETRIES and name not in PERIODIC:
                raise ValueError(f"Expected symmetries among {', '.join([*SYMMETRIES, *PERIODIC])}. Got {name!r}.")
            if name in SQUARE_ONLY and shape[0] != shape[1]:
                raise ValueError(f"Expected a square design for the symmetry {name!r}. Got shape {shape}.")
        if any(name in SQUARE_ONLY for name in self.symmetries) and self.periodic[0] != self.periodic[1]:
            raise ValueError(f"Expected periods along both axes or none with {self.symmetries}. Got one.")
        if not self.pixel_um > 0 or not math.isfinite(self.pixel_um):
            raise ValueError(f"Expected pixel_um > 0. Got {self.pixel_um}.")
        if not 2 * self.pixel_um <= self.control_um <= self.pixel_um * max(shape):
            raise ValueError(
                f"Expected control_um between two pixels ({2 * self.pixel_um:g}) and the design's width "
                f"({self.pixel_um * max(shape):g}). Got {self.control_um}."
            )
        if self.depth_um is not None and not self.depth_um >= self.control_um:
            raise ValueError(f"Expected depth_um of at least control_um={self.control_um}. Got {self.depth_um}.")
        if not self.beta > 0 or not self.erosion_um >= 0 or not math.isfinite(self.inset_um):
            raise ValueError(
                "Expected beta > 0, erosion_um >= 0 and a finite inset_um. "
                f"Got {self.beta}, {self.erosion_um} and {self.inset_um}."
            )

    @property
    def symmetries(self) -> tuple[str, ...]:
        """Names of the symmetries, none, one or several."""
        return (self.symmetry,) if isinstance(self.symmetry, str) else tuple(self.symmetry)

    @property
    def images(self) -> tuple[str, ...]:
        """The symmetries that move points, without the periods."""
        return tuple(name for name in self.symmetries if name in SYMMETRIES)

    @property
    def periodic(self) -> tuple[bool, bool]:
        """Whether the design is one period along x and y."""
        return "periodic_x" in self.symmetries, "periodic_y" in self.symmetries

    @property
    def depth(self) -> float:
        """Largest |phi| in micrometres."""
        return 4 * self.control_um if self.depth_um is None else self.depth_um

    @property
    def control_shape(self) -> tuple[int, int]:
        """Control points along x and y."""
        x, y = (
            max(n, 4) if wraps else n + 3
            for n, wraps in zip(
                (math.ceil(e / self.control_um - 1e-9) for e in self.extent_um), self.periodic, strict=True
            )
        )
        return x, y

    @property
    def extent_um(self) -> tuple[float, float]:
        """Of the design along x and y."""
        return self.shape[0] * self.pixel_um, self.shape[1] * self.pixel_um

    @property
    def spacing_um(self) -> tuple[float, float]:
        """Of the control points along x and y: `control_um`, or a whole fraction of a period a little below."""
        x, y = (
            extent / k if wraps else self.control_um
            for extent, k, wraps in zip(self.extent_um, self.control_shape, self.periodic, strict=True)
        )
        return x, y

    @property
    def size(self) -> int:
        """Number of parameters."""
        return self.control_shape[0] * self.control_shape[1]

    def control_points(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Coordinates of the control points along x and along y, in micrometres from the design's centre."""
        x, y = (
            spacing * (np.arange(k, dtype=np.float64) - (k - 1) / 2)
            for spacing, k in zip(self.spacing_um, self.control_shape, strict=True)
        )
        return x, y

    def coefficients(self, theta: Tensor) -> Tensor:
        """The spline's symmetrised coefficients in micrometres, `(..., size)` to `(..., kx, ky)`."""
        if theta.shape[-1:] != (self.size,):
            raise ValueError(f"Expected parameters of shape (..., {self.size}). Got {tuple(theta.shape)}.")
        grid = theta.reshape(*theta.shape[:-1], *self.control_shape)
        return self.depth * (2 * symmetrize(grid, self.images) - 1)

    def level_set(self, theta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """phi in micrometres and its slopes along x and y (plain numbers) at the pixels' centres, each `(..., nx, ny)`.

        phi comes with `inset_um` taken off along the slope, which moves the contour by that distance.
        """
        c = self.coefficients(theta)
        (x, dx), (y, dy) = (self._splines(axis) for axis in (0, 1))
        x, dx, y, dy = (matrix.to(c) for matrix in (x, dx, y, dy))
        phi = x @ c @ y.mT
        slope_x, slope_y = dx @ c @ y.mT / self.spacing_um[0], x @ c @ dy.mT / self.spacing_um[1]
        if self.inset_um:
            phi = phi - self.inset_um * torch.sqrt(slope_x**2 + slope_y**2 + FLAT**2)
        return phi, slope_x, slope_y

    def decode(self, theta: Tensor) -> Tensor:
        """Density in [0, 1], `(..., nx, ny)`, differentiable in theta `(..., size)`."""
        phi, slope_x, slope_y = self.level_set(theta)
        return half_plane_fraction(phi / self.pixel_um, slope_x, slope_y, max(1.0, SHARP / self.beta))

    def encode(self, density: Array) -> NDArray[np.float64]:
        """Parameters `(size,)` of the structure that a density `(nx, ny)` has above 1/2.

        The signed distance of the half contour is fitted by splines, then the boundary to the density by least squares.
        What is finer than the control points is rounded off. A uniform density gives a uniform structure, without
        any boundary to move: `nucleate` one.
        """
        pixels = check_design(density, self.shape)
        start = self.from_distance(signed_distance(pixels, self.pixel_um, 0.5, self.periodic))
        return fit_density(replace(self, beta=SHARP, inset_um=0.0), pixels, start, anchor=ANCHOR)[0]

    def from_distance(self, distance_um: Array) -> NDArray[np.float64]:
        """Parameters `(size,)` whose phi is a signed distance `(nx, ny)`, cut at `depth_um`, by least squares."""
        wanted = np.clip(np.asarray(distance_um, dtype=np.float64), -self.depth, self.depth)
        (x, y) = (self._splines(axis)[0].numpy() for axis in (0, 1))
        # Starting from the nearest samples and going part of the way keeps control points outside, which hardly
        # matter to the fit, from running away.
        nearest = [
            np.clip(np.round(points / self.pixel_um + (n - 1) / 2).astype(int), 0, n - 1)
            for points, n in zip(self.control_points(), self.shape, strict=True)
        ]
        fitted = wanted[np.ix_(*nearest)]
        solve_x, solve_y = (np.linalg.solve(m.T @ m + 0.1 * np.eye(m.shape[1]), m.T) for m in (x, y))
        for _ in range(5):
            fitted = fitted + solve_x @ (wanted - x @ fitted @ y.T) @ solve_y.T
        theta = symmetrize(torch.from_numpy((fitted / self.depth + 1) / 2), self.images)
        return theta.clamp(0.0, 1.0).reshape(-1).numpy()

    def reinitialized(self, theta: Array) -> NDArray[np.float64]:
        """Parameters `(size,)` of the same structure whose phi is again a distance from the boundary.

        Descent makes phi steep here and flat there; then equal steps no longer move the boundary equally.
        """
        plain = replace(self, beta=SHARP, inset_um=0.0)
        with torch.no_grad():
            tensor = torch.as_tensor(theta, dtype=torch.float64)
            phi, density = plain.level_set(tensor)[0].numpy(), plain.decode(tensor).numpy()
        start = self.from_distance(signed_distance(phi, self.pixel_um, periodic=self.periodic))
        return fit_density(plain, density, start, anchor=ANCHOR)[0]

    def sample(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """Parameters `(size,)` of random smooth blobs, about half material, some three control points across."""
        modes: list[Literal["wrap", "reflect"]] = ["wrap" if wraps else "reflect" for wraps in self.periodic]
        field = gaussian_filter(rng.standard_normal(self.shape), 1.5 * self.control_um / self.pixel_um, mode=modes)
        field = symmetrize(torch.from_numpy(field - np.median(field)), self.images).numpy()
        return self.from_distance(signed_distance(field, self.pixel_um, periodic=self.periodic))

    def at(self, beta: float) -> LevelSetSpace:
        """The same space with another width of the boundary, `max(1, 32 / beta)` pixels."""
        return replace(self, beta=beta)

    def offset(self, shift: float) -> LevelSetSpace:
        """The same space with the boundary moved inwards (shift > 0, eroded) or outwards by `shift * erosion_um`.

        The distance is exact to first order where |grad phi| is well above 0.1, and on scales above `control_um`.
        """
        return replace(self, inset_um=self.inset_um + shift * self.erosion_um)

    def binarize(self, theta: Array) -> NDArray[np.float64]:
        """What would be made, in whole pixels: 1 where phi is positive at a pixel's centre, else 0; `(nx, ny)`."""
        with torch.no_grad():
            phi = self.level_set(torch.as_tensor(theta, dtype=torch.float64))[0]
        # A margin far above rounding keeps mirror images of a pixel on the same side of the contour.
        return (phi > 1e-12 * self.depth).double().numpy()

    def _splines(self, axis: int) -> tuple[Tensor, Tensor]:
        spacing_px = self.spacing_um[axis] / self.pixel_um
        return _spline_matrices(self.shape[axis], self.control_shape[axis], spacing_px, self.periodic[axis])


@lru_cache(maxsize=32)
def _spline_matrices(pixels: int, controls: int, spacing_px: float, periodic: bool) -> tuple[Tensor, Tensor]:
    """Uniform cubic B-splines and their derivatives by x / spacing, `pixels x controls` each."""
    centres = (torch.arange(pixels, dtype=torch.float64) - (pixels - 1) / 2) / spacing_px
    t = centres[:, None] - (torch.arange(controls, dtype=torch.float64) - (controls - 1) / 2)
    if periodic:
        t = t - controls * torch.round(t / controls)
    u = t.abs()
    inner, outer = 2 / 3 - u**2 + u**3 / 2, torch.relu(2 - u) ** 3 / 6
    slope_in, slope_out = -2 * u + 1.5 * u**2, -(torch.relu(2 - u) ** 2) / 2
    values = torch.where(u < 1, inner, outer)
    slopes = torch.where(u < 1, slope_in, slope_out) * torch.sign(t)
    return values, slopes
