"""Parameters of a design space fitted to a density by least squares."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import Bounds, minimize
from torch import Tensor
from torch.nn.functional import avg_pool2d

if TYPE_CHECKING:
    from invdesign.spaces.space import DesignSpace
    from physics.base import Array

Vector = NDArray[np.float64]


def fit_density(
    space: DesignSpace,
    density: Array,
    start: Array,
    *,
    blocks_px: tuple[int, ...] = (1,),
    anchor: float = 0.0,
    iterations: int = 60,
) -> tuple[Vector, float]:
    """Parameters `(size,)` near `start` whose density is nearest to a given one, and the mean |difference| left.

    L-BFGS-B on the squared difference, averaged over blocks of pixels: coarse blocks first draw a shape towards
    material it does not touch yet.

    Args:
        space: any design space of two axes.
        density: `(nx, ny)`.
        start: parameters `(size,)` in [0, 1].
        blocks_px: edges of the blocks, one descent each; those wider than the design are left out.
        anchor: weight of the squared distance from `start`.
        iterations: most iterations a descent.
    """
    wanted = torch.as_tensor(np.asarray(density, dtype=np.float64))
    theta = np.clip(np.asarray(start, dtype=np.float64), 0.0, 1.0)
    origin = torch.from_numpy(theta)
    for block in (b for b in blocks_px if b <= min(wanted.shape)):
        found = minimize(
            _misfit(space, wanted, origin, block, anchor),
            theta,
            jac=True,
            method="L-BFGS-B",
            bounds=Bounds(0.0, 1.0),
            options={"maxiter": iterations, "maxfun": 2 * iterations},
        )
        theta = np.clip(found.x, 0.0, 1.0)
    with torch.no_grad():
        left = space.decode(torch.as_tensor(theta)) - wanted
    return theta, float(left.abs().mean())


def _misfit(
    space: DesignSpace, wanted: Tensor, origin: Tensor, block: int, anchor: float
) -> Callable[[Vector], tuple[float, Vector]]:
    """What is minimised, and its gradient, as a function of the parameters."""

    def function(theta: Vector) -> tuple[float, Vector]:
        leaf = torch.tensor(theta, dtype=torch.float64, requires_grad=True)
        difference = space.decode(leaf) - wanted
        loss = (avg_pool2d(difference[None], block, ceil_mode=True) ** 2).sum() + anchor * ((leaf - origin) ** 2).sum()
        (gradient,) = torch.autograd.grad(loss, leaf)
        return float(loss.detach()), gradient.numpy()

    return function
