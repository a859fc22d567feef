"""Whether structure hangs together: a differentiable measure by virtual heat, and an exact check by labels.

Every pixel of a phase is a source of heat and conducts it; what else there is hardly conducts; where the phase goes
on outside the design the temperature is held at zero. A part without such an exit grows hot: Li, Chen, Liu, Tong,
"Structural topology optimization considering connectivity constraint", Struct. Multidisc. Optim. 54, 971 (2016).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage, sparse
from scipy.sparse.linalg import splu
from torch import Tensor

from invdesign.spaces.border import SIDES, UNKNOWN, Border, inverted, surround
from physics.base import Array

# Exponent by which grey conducts worse than it heats: a bridge of grey, gone after thresholding, must not count.
PENALTY = 4


def warmest_connected(shape: tuple[int, int]) -> float:
    """Temperature that connected structure of a design `(nx, ny)` hardly exceeds: A (nx + ny) / 32.

    The heat of half of the design's A pixels, led off by a strip 8 pixels wide and a quarter of the perimeter long.
    """
    return shape[0] * shape[1] * (shape[0] + shape[1]) / 32


class _Temperature(torch.autograd.Function):
    """Temperatures T of K T = q, K from the conductances of faces and of exits; one factorisation serves both ways."""

    @staticmethod
    def forward(ctx: Any, along_x: Tensor, along_y: Tensor, exits: Tensor, heat: Tensor, faces: Any) -> Tensor:
        pairs, size = faces, heat.numel()
        values = torch.cat([along_x.reshape(-1), along_y.reshape(-1)]).numpy()
        diagonal = exits.reshape(-1).numpy().copy()
        for end in pairs:
            np.add.at(diagonal, end, values)
        rows = np.concatenate([pairs[0], pairs[1], np.arange(size)])
        columns = np.concatenate([pairs[1], pairs[0], np.arange(size)])
        matrix = sparse.csc_matrix((np.concatenate([-values, -values, diagonal]), (rows, columns)), (size, size))
        factor = splu(matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
        temperature = torch.from_numpy(factor.solve(heat.reshape(-1).numpy())).reshape(heat.shape)
        ctx.factor, ctx.pairs, ctx.shapes = factor, pairs, (along_x.shape, along_y.shape)
        ctx.save_for_backward(temperature)
        return temperature

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Tensor | None, ...]:
        (temperature,) = ctx.saved_tensors
        flat = temperature.reshape(-1).numpy()
        adjoint = ctx.factor.solve(cotangents[0].reshape(-1).numpy())
        first, second = ctx.pairs
        slopes = torch.from_numpy(-(adjoint[first] - adjoint[second]) * (flat[first] - flat[second]))
        split = int(np.prod(ctx.shapes[0]))
        shape = temperature.shape
        return (
            slopes[:split].reshape(ctx.shapes[0]),
            slopes[split:].reshape(ctx.shapes[1]),
            torch.from_numpy(-adjoint * flat).reshape(shape),
            torch.from_numpy(adjoint).reshape(shape),
            None,
        )


def temperature(phase: Tensor, border: Border, periodic: tuple[bool, bool], leak: float) -> Tensor:
    """Temperatures `(nx, ny)` of a phase's density `(nx, ny)`, differentiable.

    Args:
        phase: density of what is to hang together; heats by its density, conducts by the power `PENALTY` of it.
        border: exits are where the phase goes on outside; unknown sides go on by the edge's own values.
        periodic: along x and y, whether the design is one period.
        leak: conductivity where the phase is absent, above 0.
    """
    nx, ny = phase.shape
    framed = surround(phase, 1, border, periodic)
    conductivity = leak + (1 - leak) * framed**PENALTY
    inner = conductivity[1:-1, 1:-1]
    right = conductivity[2:, 1:-1] if periodic[0] else conductivity[2:-1, 1:-1]
    up = conductivity[1:-1, 2:] if periodic[1] else conductivity[1:-1, 2:-1]
    along_x, along_y = _harmonic(inner[: len(right)], right), _harmonic(inner[:, : up.shape[1]], up)
    # The first pixel outside has the temperature zero, and conducts as what lies there does.
    exits = torch.zeros_like(phase)
    for axis, wraps in enumerate(periodic):
        for position in () if wraps else (0, -1):
            end = torch.zeros_like(phase)
            end.select(axis, position).fill_(1)
            outside = conductivity.select(axis, position)[1:-1].unsqueeze(axis)
            exits = exits + end * _harmonic(inner, outside)
    number = np.arange(nx * ny).reshape(nx, ny)
    east, north = np.roll(number, -1, 0)[: len(right)], np.roll(number, -1, 1)[:, : up.shape[1]]
    faces = (
        np.concatenate([number[: len(right)].ravel(), number[:, : up.shape[1]].ravel()]),
        np.concatenate([east.ravel(), north.ravel()]),
    )
    # A design without an outside, periodic both ways, is kept finite.
    return _Temperature.apply(along_x, along_y, exits + leak**2, phase, faces)


def _harmonic(first: Tensor, second: Tensor) -> Tensor:
    """Conductance of the face between two pixels in series."""
    return 2 * first * second / (first + second)


def overheating(
    phase: Tensor, border: Border = UNKNOWN, periodic: tuple[bool, bool] = (False, False), norm: float = 8.0
) -> Tensor:
    """log10 of the phase's highest temperature (a p-norm of it) over the warmest of a connected structure.

    Below 0 where every part has a fair exit: the leak is such that a lone pixel reads about 1, and a larger part more.
    `phase` is `(nx, ny)`; the result has no axes and is differentiable.
    """
    limit = warmest_connected((phase.shape[0], phase.shape[1]))
    heat = temperature(phase, border, periodic, 0.02 / limit)
    # The largest one is taken out, so that the power cannot overflow.
    scale = heat.detach().max().clamp(min=1e-30)
    return torch.log10(((heat / scale * phase).clamp(min=0) ** norm).sum().clamp(min=1e-300)) / norm + torch.log10(
        scale / limit
    )


def has_exits(border: Border, periodic: tuple[bool, bool]) -> bool:
    """Whether solid goes on, or may go on, somewhere outside a design."""
    sides = [s for wraps, two in zip(periodic, (SIDES[:2], SIDES[2:]), strict=True) if not wraps for s in two]
    given = [getattr(border, name) for name in sides]
    return any(
        side in ("solid", "continue") if isinstance(side, str) else max(value for _, value in side) > 0.5
        for side in given
    )


def floating_parts(
    pattern: Array, border: Border = UNKNOWN, periodic: tuple[bool, bool] = (False, False)
) -> NDArray[np.bool_]:
    """Solid pixels of a pattern `(nx, ny)` that no path over shared edges joins to solid outside the design.

    What lies beyond an unknown side is taken to be what lies at it, so that structure there is held.
    """
    solid = np.asarray(pattern) > 0.5
    border.check(solid.shape)
    around = surround(torch.from_numpy(solid.astype(np.float64)), 1, border, periodic).numpy() > 0.5
    # A period's frame repeats the other side and holds nothing; corners touch no pixel of the design.
    frame = np.zeros_like(around)
    for axis, wraps in enumerate(periodic):
        if not wraps:
            for position in (0, -1):
                np.moveaxis(frame, axis, 0)[position, 1:-1] = True
    labels, count = ndimage.label(np.where(frame, around, np.pad(solid, 1)))
    joined = [(labels[frame & around], 0)]
    inner = labels[1:-1, 1:-1]
    group = np.arange(count + 1)
    for axis, wraps in enumerate(periodic):
        if wraps:
            first, last = (np.moveaxis(inner, axis, 0)[position] for position in (0, -1))
            both = (first > 0) & (last > 0)
            joined += [(np.array([a]), int(b)) for a, b in zip(first[both], last[both], strict=True)]
    # Label 0 stands for "held"; every join gives a group the lowest label in it.
    for _ in range(len(joined) + 1):
        before = group.copy()
        for these, other in joined:
            lowest = min(group[these].min(initial=group[other]), group[other])
            members = np.isin(group, [*group[these], group[other]])
            group[members] = lowest
        if np.array_equal(before, group):
            break
    return np.asarray(solid & (group[inner] != 0))


def enclosed_voids(
    pattern: Array, border: Border = UNKNOWN, periodic: tuple[bool, bool] = (False, False)
) -> NDArray[np.bool_]:
    """Void pixels of a pattern `(nx, ny)` that no path over shared edges joins to void outside the design."""
    return floating_parts(~(np.asarray(pattern) > 0.5), inverted(border), periodic)
