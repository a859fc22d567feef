"""A design space restricted to a box about given parameters."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from invdesign.spaces.space import DesignSpace
from physics.base import Array


@dataclass(frozen=True)
class Near:
    """Designs of a space whose parameters lie within `reach` of a centre, for refinement: no step leaps out of it.

    Parameters in [0, 1] go from one edge of the box to the other, 1/2 is the centre; what lies outside the space's own
    [0, 1] is clipped to it.

    Args:
        space: any design space with parameters that may vary freely.
        centre: parameters `(size,)` of the space, in [0, 1].
        reach: half an edge of the box, above 0.

    Raises:
        ValueError: for a centre of another size or outside [0, 1], or no reach.
    """

    space: DesignSpace
    centre: tuple[float, ...]
    reach: float

    def __post_init__(self) -> None:
        values = np.asarray(self.centre, dtype=np.float64)
        if values.shape != (self.space.size,) or not (
            np.isfinite(values).all() and 0 <= values.min() <= values.max() <= 1
        ):
            raise ValueError(f"Expected a centre of shape ({self.space.size},) in [0, 1]. Got shape {values.shape}.")
        if not 0 < self.reach <= 1:
            raise ValueError(f"Expected a reach in (0, 1]. Got {self.reach}.")
        object.__setattr__(self, "centre", tuple(values.tolist()))  # frozen from here on

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a density."""
        return self.space.shape

    @property
    def size(self) -> int:
        """Number of parameters, as of the space."""
        return self.space.size

    def whole(self, theta: Tensor) -> Tensor:
        """The space's own parameters `(..., size)` of those within the box."""
        centre = torch.tensor(self.centre, dtype=theta.dtype)
        return (centre + self.reach * (2 * theta - 1)).clamp(0.0, 1.0)

    def within(self, theta: Array) -> NDArray[np.float64]:
        """Parameters within the box `(..., size)` of the space's own, clipped to the box."""
        shift = (np.asarray(theta, dtype=np.float64) - np.array(self.centre)) / self.reach
        return np.clip(0.5 + shift / 2, 0.0, 1.0)

    def decode(self, theta: Tensor) -> Tensor:
        """Density `(..., *shape)`, differentiable in theta `(..., size)`."""
        return self.space.decode(self.whole(theta))

    def binarize(self, theta: Array) -> NDArray[np.float64]:
        """What would be made, `(*shape)`."""
        return np.asarray(self.space.binarize(self.whole(torch.as_tensor(theta, dtype=torch.float64)).numpy()))

    def encode(self, density: Array) -> NDArray[np.float64]:
        """Parameters `(size,)` of the member of the box nearest to the space's encoding of a density."""
        return self.within(self.space.encode(density))

    def at(self, beta: float) -> Near:
        """The box in the next member of the space's continuation."""
        return replace(self, space=self.space.at(beta))

    def offset(self, shift: float) -> Near:
        """The box in the eroded or dilated space."""
        return replace(self, space=self.space.offset(shift))

    def sample(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """Parameters `(size,)`, uniform in the box."""
        return rng.random(self.size)
