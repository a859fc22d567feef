"""Maps between density arrays, each differentiable: symmetry, conic filter, tanh projection."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache, partial

import scipy.fft
import torch
from torch import Tensor

from invdesign.spaces.border import UNKNOWN, Border, surround

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
# The design is one period: what leaves it on one side comes back on the other.
PERIODIC = ("periodic_x", "periodic_y")


@lru_cache(maxsize=64)
def images(symmetries: tuple[str, ...]) -> tuple[Callable[[Tensor], Tensor], ...]:
    """The maps of the group that the named symmetries generate, the identity first; periods move no pixel."""
    # Labelled corners tell all eight maps of a square apart.
    corners = torch.arange(4).reshape(2, 2)
    steps = [image for name in symmetries for image in SYMMETRIES.get(name, ())]
    found: dict[tuple[int, ...], tuple[Callable[[Tensor], Tensor], ...]] = {(0, 1, 2, 3): ()}
    queue = [corners]
    for place in queue:
        for step in steps:
            moved = step(place)
            key = tuple(moved.reshape(-1).tolist())
            if key not in found:
                found[key] = (*found[tuple(place.reshape(-1).tolist())], step)
                queue.append(moved)
    return tuple(partial(_in_turn, maps) for maps in found.values())


def _in_turn(maps: tuple[Callable[[Tensor], Tensor], ...], array: Tensor) -> Tensor:
    for image in maps:
        array = image(array)
    return array


def symmetrize(density: Tensor, symmetries: tuple[str, ...]) -> Tensor:
    """Mean of a `... x nx x ny` array over its images under the group of the named symmetries."""
    group = images(symmetries)
    return density if len(group) == 1 else sum((image(density) for image in group[1:]), density) / len(group)


@lru_cache(maxsize=32)
def conic_kernel(radius_px: float) -> Tensor:
    """Weights max(0, 1 - r / R), normalised, `k x k` (Bruns and Tortorelli, CMAME 190, 3443 (2001), eq. 24)."""
    reach = int(radius_px)
    offset = torch.arange(-reach, reach + 1, dtype=torch.float64)
    weights = (1 - torch.hypot(offset[:, None], offset[None, :]) / radius_px).clamp(min=0)
    return weights / weights.sum()


def conic_filter(
    density: Tensor,
    radius_px: float,
    border: Border = UNKNOWN,
    periodic: tuple[bool, bool] = (False, False),
    margin: int = 0,
) -> Tensor:
    """Conic filter of a `... x nx x ny` array.

    Args:
        density: the array.
        radius_px: of the cone; 1 and below filter nothing.
        border: what lies beyond the array; by default its edge values go on.
        periodic: along x and y, whether the array is one period; the border does not count there.
        margin: pixels of the filtered surroundings to give as well, `... x (nx + 2 margin) x (ny + 2 margin)`.
    """
    if radius_px <= 1:
        return surround(density, margin, border, periodic)
    kernel = conic_kernel(radius_px).to(density)
    padded = surround(density, kernel.shape[0] // 2 + margin, border, periodic)
    # By FFT, circularly: where the kernel's reach wraps around lies the surplus that is cut off.
    size = [scipy.fft.next_fast_len(n, real=True) for n in padded.shape[-2:]]
    spectrum = torch.fft.rfft2(padded, s=size) * torch.fft.rfft2(kernel, s=size)
    reach = kernel.shape[0] - 1
    valid = tuple(slice(reach, n) for n in padded.shape[-2:])
    return torch.fft.irfft2(spectrum, s=size)[..., valid[0], valid[1]]


def tanh_projection(density: Tensor, beta: float, eta: float) -> Tensor:
    """Smooth threshold at `eta`, sharper with `beta` (Wang, Lazarov, Sigmund, SMO 43, 767 (2011), eq. 9).

    At infinite `beta` it is the step, with a slope of zero.
    """
    if math.isinf(beta):
        return (density > eta).to(density.dtype)
    low = torch.tanh(torch.as_tensor(beta * eta, dtype=density.dtype))
    high = torch.tanh(torch.as_tensor(beta * (1 - eta), dtype=density.dtype))
    return (low + torch.tanh(beta * (density - eta))) / (low + high)
