"""Gradients in the density as gradients in a design space's parameters, for searches that judge networks by them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from invdesign.arrays import content_key
from invdesign.spaces.space import DensitySpace
from physics.base import Array
from surrogates.evaluation import PullBack

# Whose slope the density of a pixel tells.
PROJECTIONS = ("tanh", "none")


@dataclass(frozen=True)
class _Chain:
    """Projection and filter of a space, transposed; the projection's slope is known from the density."""

    space: DensitySpace

    def __call__(self, designs: Array, gradients: Array) -> Array:
        """``m x size``."""
        onto_filtered = torch.from_numpy(np.array(gradients * self._slope(designs)))
        # The filter is affine: it has the same transpose everywhere.
        theta = torch.full((len(designs), self.space.size), 0.5, dtype=torch.float64, requires_grad=True)
        (found,) = torch.autograd.grad(self.space.filtered(theta), theta, onto_filtered)
        return np.asarray(found.numpy())

    def _slope(self, designs: Array) -> Array:
        """Of the projection where it gives these densities; 0 at fixed pixels."""
        slope = np.ones_like(designs)
        if self.space.projection == "tanh":
            beta, eta = self.space.beta, self.space.threshold
            low, high = np.tanh(beta * eta), np.tanh(beta * (1 - eta))
            slope = beta * (1 - (designs * (low + high) - low) ** 2) / (low + high)
        for fixed in (self.space.solid, self.space.void):
            if fixed is not None:
                slope = np.where(np.asarray(fixed.array), 0.0, slope)  # type: ignore[union-attr]
        return slope


def latent_pull_back(space: DensitySpace) -> PullBack:
    """From gradients in the density `(m, nx, ny)` to those in theta `(m, size)`, for `by_method(latent=...)`.

    Exact for designs of the space's own sharpness. Those of another differ from it by a factor but for a share of
    1 - tanh(beta / 2)^2 of the largest slope, 0.2 % at a sharpness of 8; a factor leaves the cosine as it is.

    Args:
        space: with one of ``PROJECTIONS``.

    Raises:
        ValueError: for another projection, whose slope the density of a pixel alone does not tell.
    """
    if space.projection not in PROJECTIONS:
        raise ValueError(
            f"Expected a space with a projection among {', '.join(PROJECTIONS)}. Got {space.projection!r}; "
            "leave the pull-back out."
        )
    return PullBack(f"density space {content_key(space)}", _Chain(space))
