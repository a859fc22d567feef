"""Maps between density arrays, each differentiable: symmetry, conic filter, tanh projection."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor

# Each symmetry is the set of images of an array under its group, other than the array itself; arrays are [x, y].
SYMMETRIES: dict[str, tuple[Callable[[Tensor], Tensor], ...]] = {
    "diagonal": (lambda a: a.mT,),
    "antidiagonal": (lambda a: a.flip(-2, -1).mT,),
    "mirror_x": (lambda a: a.flip(-2),),
    "mirror_y": (lambda a: a.flip(-1),),
    "rotation180": (lambda a: a.flip(-2, -1),),
    "rotation90": (lambda a: a.rot90(1, (-2, -1)), lambda a: a.rot90(2, (-2, -1)), lambda a: a.rot90(3, (-2, -1))),
}
SQUARE_ONLY = frozenset({"diagonal", "antidiagonal", "rotation90"})


def symmetrize(density: Tensor, symmetries: tuple[str, ...]) -> Tensor:
    """Mean of a `... x nx x ny` array over the images of each named symmetry in turn."""
    for name in symmetries:
        images = SYMMETRIES[name]
        density = (density + sum(image(density) for image in images)) / (1 + len(images))
    return density


@lru_cache(maxsize=32)
def conic_kernel(radius_px: float) -> Tensor:
    """Weights max(0, 1 - r / R), normalised, `k x k` (Bruns and Tortorelli, CMAME 190, 3443 (2001), eq. 24)."""
    reach = int(radius_px)
    offset = torch.arange(-reach, reach + 1, dtype=torch.float64)
    weights = (1 - torch.hypot(offset[:, None], offset[None, :]) / radius_px).clamp(min=0)
    return weights / weights.sum()


def conic_filter(density: Tensor, radius_px: float) -> Tensor:
    """Conic filter of a `... x nx x ny` array; beyond its edge the array is continued by its edge values."""
    if radius_px <= 1:
        return density
    kernel = conic_kernel(radius_px).to(density)
    reach = kernel.shape[0] // 2
    images = density.reshape(-1, 1, *density.shape[-2:])
    padded = torch.nn.functional.pad(images, (reach,) * 4, mode="replicate")
    return torch.nn.functional.conv2d(padded, kernel[None, None]).reshape(density.shape)


def tanh_projection(density: Tensor, beta: float, eta: float) -> Tensor:
    """Smooth threshold at `eta`, sharper with `beta` (Wang, Lazarov, Sigmund, SMO 43, 767 (2011), eq. 9)."""
    low = torch.tanh(torch.as_tensor(beta * eta, dtype=density.dtype))
    high = torch.tanh(torch.as_tensor(beta * (1 - eta), dtype=density.dtype))
    return (low + torch.tanh(beta * (density - eta))) / (low + high)
