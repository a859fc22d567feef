"""Design spaces: frozen values that turn a flat parameter vector into a density."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from invdesign.spaces.border import UNKNOWN, Border, Mask, surround
from invdesign.spaces.density import PERIODIC, SQUARE_ONLY, SYMMETRIES, conic_filter, symmetrize, tanh_projection
from invdesign.spaces.projection import smoothed_projection
from invdesign.spaces.repair import Repaired, repair
from physics.base import Array, check_design

# A margin far above rounding keeps mirror images of a pixel on the same side of a threshold.
MARGIN = 1e-12


class DesignSpace(Protocol):
    """Parameters theta in [0, 1], `(..., size)`, and the density they stand for, `(..., *shape)`."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def size(self) -> int: ...
    def decode(self, theta: Tensor) -> Tensor: ...
    def encode(self, density: Array) -> Array: ...
    def at(self, beta: float) -> DesignSpace: ...
    def offset(self, shift: float) -> DesignSpace: ...
    def binarize(self, theta: Array) -> Array: ...


class LengthScaleWarning(UserWarning):
    """A binarised design has features smaller than asked for, and no repair was found."""


@dataclass(frozen=True)
class DensitySpace:
    """A pixel density: symmetrised, filtered, projected.

    Args:
        shape: `(nx, ny)` pixels of the design, as in `simulator.design_shape`.
        pixel_um: edge of a pixel.
        symmetry: one of, or a tuple of, diagonal (transpose), antidiagonal, mirror_x (x to -x), mirror_y (y to -y),
            rotation180, rotation90, and periodic_x, periodic_y, which make the design one period along an axis.
        filter_radius_um: radius of the conic filter; sets the typical length scale, but guarantees none (see
            `minimum_width_um`). 0 switches it off.
        projection: "tanh", "smoothed" (subpixel smoothing, differentiable up to beta = infinity) or "none".
        beta: sharpness of the projection; `at(beta)` gives the next member of a continuation.
        eta: threshold of the projection; above 1/2 erodes the structure, below dilates it.
        border: what lies outside the design; the filter and the projection see it.
        solid, void: pixels inside the design that are not free, truth values `(nx, ny)`; kept as a `Mask`.
        minimum_width_um, minimum_spacing_um: if above 0, `binarize` repairs what would be made until its widths and
            spacings are at least these, as measured by `invdesign.export.feature_sizes` with the border and periods.
        shift: of the threshold by over- or underetching, set by `offset`.

    Raises:
        ValueError: for a shape, symmetry, radius, sharpness or threshold that makes no sense, for fixed pixels or a
            border that do not fit the shape, or do not have the symmetry.
    """

    shape: tuple[int, int]
    pixel_um: float = 0.02
    symmetry: str | tuple[str, ...] = ()
    filter_radius_um: float = 0.08
    projection: Literal["tanh", "smoothed", "none"] = "tanh"
    beta: float = 8.0
    eta: float = 0.5
    border: Border = UNKNOWN
    solid: Mask | ArrayLike | None = None
    void: Mask | ArrayLike | None = None
    minimum_width_um: float = 0.0
    minimum_spacing_um: float = 0.0
    shift: float = 0.0

    def __post_init__(self) -> None:
        shape = tuple(int(n) for n in self.shape)
        if len(shape) != 2 or min(shape) < 1 or shape != tuple(self.shape):
            raise ValueError(f"Expected a shape (nx, ny) of at least one whole pixel each way. Got {self.shape}.")
        if not isinstance(self.border, Border):
            raise ValueError(f"Expected a Border, e.g. Border.of(simulator). Got {self.border!r}.")
        object.__setattr__(self, "shape", shape)
        # Equal spaces are to have equal keys: 8 is 8.0, a list a tuple.
        for name in ("pixel_um", "filter_radius_um", "beta", "eta", "minimum_width_um", "minimum_spacing_um", "shift"):
            object.__setattr__(self, name, float(getattr(self, name)))
        if not isinstance(self.symmetry, str):
            object.__setattr__(self, "symmetry", tuple(self.symmetry))
        for name in ("solid", "void"):
            mask = getattr(self, name)
            if mask is not None:
                object.__setattr__(self, name, Mask.of(mask.array if isinstance(mask, Mask) else mask, shape))
        self._check_numbers()
        self._check_symmetry()

    def _check_numbers(self) -> None:
        if not self.pixel_um > 0 or not self.filter_radius_um >= 0:
            raise ValueError(
                f"Expected pixel_um > 0 and filter_radius_um >= 0. Got {self.pixel_um} and {self.filter_radius_um}."
            )
        width = self.pixel_um * min(self.shape)
        if self.filter_radius_um > width:
            raise ValueError(
                f"Expected a filter radius below the design's width of {width:.4g} um. "
                f"Got filter_radius_um={self.filter_radius_um}."
            )
        if self.projection not in ("tanh", "smoothed", "none"):
            raise ValueError(f"Expected projection 'tanh', 'smoothed' or 'none'. Got {self.projection!r}.")
        if not self.beta > 0 or not 0 < self.eta < 1 or not 0 < self.threshold < 1:
            raise ValueError(
                f"Expected beta > 0, 0 < eta < 1 and 0 < eta + shift < 1. "
                f"Got beta={self.beta}, eta={self.eta} and shift={self.shift}."
            )
        if math.isinf(self.beta) and self.projection == "tanh":
            raise ValueError("Expected a finite beta for the tanh projection. Got inf; use projection='smoothed'.")
        if self.projection == "smoothed" and self.filter_radius_um <= self.pixel_um:
            raise ValueError(
                "Expected a filter radius above a pixel for the smoothed projection, which needs a smooth field. "
                f"Got filter_radius_um={self.filter_radius_um}."
            )
        for name in ("minimum_width_um", "minimum_spacing_um"):
            if not 0 <= getattr(self, name) <= width:
                raise ValueError(f"Expected {name} from 0 to the design's width. Got {getattr(self, name)}.")
        if self.solid is not None and self.void is not None and (self._mask("solid") & self._mask("void")).any():
            raise ValueError("Expected no pixel to be fixed both solid and void. Got some.")

    def _check_symmetry(self) -> None:
        for name in self.symmetries:
            if name not in SYMMETRIES and name not in PERIODIC:
                raise ValueError(f"Expected symmetries among {', '.join([*SYMMETRIES, *PERIODIC])}. Got {name!r}.")
            if name in SQUARE_ONLY and self.shape[0] != self.shape[1]:
                raise ValueError(f"Expected a square design for the symmetry {name!r}. Got shape {self.shape}.")
        for wraps, sides in zip(self.periodic, (("left", "right"), ("bottom", "top")), strict=True):
            if wraps and any(getattr(self.border, side) != "continue" for side in sides):
                raise ValueError(f"Expected no border on the periodic sides {' and '.join(sides)}. Got {self.border}.")
        if any(name in SQUARE_ONLY for name in self.symmetries) and self.periodic[0] != self.periodic[1]:
            raise ValueError(f"Expected periods along both axes or none with {self.symmetries}. Got one.")
        self.border.check(self.shape)
        # -1 marks what is free inside, or unknown outside.
        fixed = torch.full(self.shape, -1.0, dtype=torch.float64)
        fixed[torch.from_numpy(self._mask("solid"))] = 1
        fixed[torch.from_numpy(self._mask("void"))] = 0
        framed = surround(torch.full_like(fixed, -1.0), 1, self.border, self.periodic)
        for name in self.symmetries:
            for image in SYMMETRIES.get(name, ()):
                if not torch.equal(image(fixed), fixed) or not torch.equal(image(framed), framed):
                    raise ValueError(f"Expected fixed pixels and a border with the symmetry {name!r}. Got others.")

    @property
    def symmetries(self) -> tuple[str, ...]:
        """Names of the symmetries, none, one or several."""
        return (self.symmetry,) if isinstance(self.symmetry, str) else tuple(self.symmetry)

    @property
    def periodic(self) -> tuple[bool, bool]:
        """Whether the design is one period along x and y."""
        return "periodic_x" in self.symmetries, "periodic_y" in self.symmetries

    @property
    def size(self) -> int:
        """Number of parameters."""
        return self.shape[0] * self.shape[1]

    @property
    def threshold(self) -> float:
        """Of the projection, etching included."""
        return self.eta + self.shift

    def _mask(self, name: str) -> NDArray[np.bool_]:
        mask = getattr(self, name)
        return mask.array if isinstance(mask, Mask) else np.zeros(self.shape, dtype=bool)

    def _fixed(self, density: Tensor) -> Tensor:
        """The array with its fixed pixels in place."""
        if self.solid is not None:
            density = density.masked_fill(torch.from_numpy(self._mask("solid")), 1.0)
        if self.void is not None:
            density = density.masked_fill(torch.from_numpy(self._mask("void")), 0.0)
        return density

    def _filter(self, pixels: Tensor, margin: int = 0) -> Tensor:
        return conic_filter(pixels, self.filter_radius_um / self.pixel_um, self.border, self.periodic, margin)

    def filtered(self, theta: Tensor, margin: int = 0) -> Tensor:
        """Symmetrised and filtered, not projected: `(..., size)` to `(..., nx + 2 margin, ny + 2 margin)`.

        A margin shows the surroundings as the filter sees them.
        """
        if theta.shape[-1:] != (self.size,):
            raise ValueError(f"Expected parameters of shape (..., {self.size}). Got {tuple(theta.shape)}.")
        pixels = theta.reshape(*theta.shape[:-1], *self.shape)
        return self._filter(self._fixed(symmetrize(pixels, self.symmetries)), margin)

    def decode(self, theta: Tensor) -> Tensor:
        """Density in [0, 1], `(..., nx, ny)`, differentiable in theta `(..., size)`."""
        if self.projection == "smoothed":
            return self._fixed(smoothed_projection(self.filtered(theta, margin=1), self.beta, self.threshold))
        filtered = self.filtered(theta)
        if self.projection == "tanh":
            filtered = tanh_projection(filtered, self.beta, self.threshold)
        return self._fixed(filtered)

    def encode(self, density: Array) -> NDArray[np.float64]:
        """Parameters `(size,)` to start from, for a density `(nx, ny)`: the symmetrised pixels themselves."""
        pixels = torch.from_numpy(check_design(density, self.shape).copy())
        return symmetrize(pixels, self.symmetries).reshape(-1).numpy()

    def at(self, beta: float) -> DensitySpace:
        """The same space with another sharpness of projection."""
        return replace(self, beta=beta)

    def offset(self, shift: float) -> DensitySpace:
        """The same space eroded (shift > 0) or dilated (shift < 0) by a shift of the threshold."""
        return replace(self, shift=self.shift + shift)

    def binarize(self, theta: Array) -> NDArray[np.float64]:
        """What would be made: 1 where the filtered pixels exceed the threshold, else 0; `(nx, ny)`.

        With a minimum width or spacing the nominal pattern is repaired, see `repaired`. An eroded or dilated space
        gives what over- or underetching makes of that: the repaired pattern, filtered and cut at the shifted
        threshold. A `LengthScaleWarning` says where the repair failed.
        """
        if not self.minimum_width_um and not self.minimum_spacing_um:
            return self._cut(self.filtered(torch.as_tensor(theta, dtype=torch.float64)), self.threshold)
        made = self.repaired(theta)
        if not made.feasible:
            warnings.warn(
                f"Expected widths of {self.minimum_width_um} um and spacings of {self.minimum_spacing_um} um. Got "
                f"{made.violations} pixels in smaller features that no repair removed; do fixed pixels force them?",
                LengthScaleWarning,
                stacklevel=2,
            )
        pattern = torch.from_numpy(made.pattern).double()
        return pattern.numpy() if not self.shift else self._cut(self._filter(pattern), 0.5 + self.shift)

    def repaired(self, theta: Array) -> Repaired:
        """The nominal pattern with its minimum width and spacing restored; etching plays no part."""
        nominal = self._cut(self.filtered(torch.as_tensor(theta, dtype=torch.float64)), self.eta)
        return repair(
            nominal > 0.5,
            width_px=_pixels(self.minimum_width_um, self.pixel_um),
            spacing_px=_pixels(self.minimum_spacing_um, self.pixel_um),
            border=self.border,
            periodic=self.periodic,
            fixed=self._mask("solid") | self._mask("void"),
            symmetries=self.symmetries,
        )

    def _cut(self, filtered: Tensor, threshold: float) -> NDArray[np.float64]:
        return self._fixed((filtered.detach() > threshold + MARGIN).double()).numpy()


def _pixels(length_um: float, pixel_um: float) -> int:
    """The least whole number of pixels that reaches a length."""
    return math.ceil(length_um / pixel_um - 1e-9)
