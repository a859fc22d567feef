"""Design spaces: frozen values that turn a flat parameter vector into a density."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from invdesign.density import SQUARE_ONLY, SYMMETRIES, conic_filter, symmetrize, tanh_projection
from physics.base import Array, check_design


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


@dataclass(frozen=True)
class DensitySpace:
    """A pixel density: symmetrised, filtered, projected.

    Args:
        shape: `(nx, ny)` pixels of the design, as in `simulator.design_shape`.
        pixel_um: edge of a pixel.
        symmetry: one of, or a tuple of, diagonal (transpose), antidiagonal, mirror_x (x to -x), mirror_y (y to -y),
            rotation180, rotation90.
        filter_radius_um: radius of the conic filter; sets the typical length scale, but guarantees none (reports say
            what the smallest width and spacing are). 0 switches it off.
        projection: "tanh" or "none".
        beta: sharpness of the projection; `at(beta)` gives the next member of a continuation.
        eta: threshold of the projection; above 1/2 erodes the structure, below dilates it.

    Raises:
        ValueError: for a shape, symmetry, radius, sharpness or threshold that makes no sense.
    """

    shape: tuple[int, int]
    pixel_um: float = 0.02
    symmetry: str | tuple[str, ...] = ()
    filter_radius_um: float = 0.08
    projection: Literal["tanh", "none"] = "tanh"
    beta: float = 8.0
    eta: float = 0.5

    def __post_init__(self) -> None:
        shape = tuple(int(n) for n in self.shape)
        if len(shape) != 2 or min(shape) < 1:
            raise ValueError(f"Expected a shape (nx, ny) of at least one pixel each way. Got {self.shape}.")
        object.__setattr__(self, "shape", shape)
        for name in self.symmetries:
            if name not in SYMMETRIES:
                raise ValueError(f"Expected symmetries among {', '.join(SYMMETRIES)}. Got {name!r}.")
            if name in SQUARE_ONLY and shape[0] != shape[1]:
                raise ValueError(f"Expected a square design for the symmetry {name!r}. Got shape {shape}.")
        if not self.pixel_um > 0 or not self.filter_radius_um >= 0:
            raise ValueError(
                f"Expected pixel_um > 0 and filter_radius_um >= 0. Got {self.pixel_um} and {self.filter_radius_um}."
            )
        if self.filter_radius_um > self.pixel_um * min(shape):
            raise ValueError(
                f"Expected a filter radius below the design's width of {self.pixel_um * min(shape):.4g} um. "
                f"Got filter_radius_um={self.filter_radius_um}."
            )
        if self.projection not in ("tanh", "none"):
            raise ValueError(f"Expected projection 'tanh' or 'none'. Got {self.projection!r}.")
        if not self.beta > 0 or not 0 < self.eta < 1:
            raise ValueError(f"Expected beta > 0 and 0 < eta < 1. Got beta={self.beta} and eta={self.eta}.")

    @property
    def symmetries(self) -> tuple[str, ...]:
        """Names of the symmetries, none, one or several."""
        return (self.symmetry,) if isinstance(self.symmetry, str) else tuple(self.symmetry)

    @property
    def size(self) -> int:
        """Number of parameters."""
        return self.shape[0] * self.shape[1]

    def filtered(self, theta: Tensor) -> Tensor:
        """Symmetrised and filtered, not projected: `(..., size)` to `(..., nx, ny)`."""
        if theta.shape[-1:] != (self.size,):
            raise ValueError(f"Expected parameters of shape (..., {self.size}). Got {tuple(theta.shape)}.")
        pixels = theta.reshape(*theta.shape[:-1], *self.shape)
        return conic_filter(symmetrize(pixels, self.symmetries), self.filter_radius_um / self.pixel_um)

    def decode(self, theta: Tensor) -> Tensor:
        """Density in [0, 1], `(..., nx, ny)`, differentiable in theta `(..., size)`."""
        filtered = self.filtered(theta)
        return filtered if self.projection == "none" else tanh_projection(filtered, self.beta, self.eta)

    def encode(self, density: Array) -> NDArray[np.float64]:
        """Parameters `(size,)` to start from, for a density `(nx, ny)`: the symmetrised pixels themselves."""
        pixels = torch.from_numpy(check_design(density, self.shape).copy())
        return symmetrize(pixels, self.symmetries).reshape(-1).numpy()

    def at(self, beta: float) -> DensitySpace:
        """The same space with another sharpness of projection."""
        return replace(self, beta=beta)

    def offset(self, shift: float) -> DensitySpace:
        """The same space eroded (shift > 0) or dilated (shift < 0) by a shift of the threshold."""
        return replace(self, eta=self.eta + shift)

    def binarize(self, theta: Array) -> NDArray[np.float64]:
        """What would be made: 1 where the filtered pixels exceed the threshold, else 0; `(nx, ny)`."""
        with torch.no_grad():
            filtered = self.filtered(torch.as_tensor(theta, dtype=torch.float64))
        # A margin far above rounding keeps mirror images of a pixel on the same side of the threshold.
        return (filtered > self.eta + 1e-12).double().numpy()
