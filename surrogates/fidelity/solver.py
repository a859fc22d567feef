"""A solver as a differentiable function of a tensor, whatever it is written in."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from surrogates.data import Array

Responses = Mapping[str, Array]
Value = Callable[[Array], Responses]
Pullback = Callable[[Array, Mapping[str, Array]], tuple[Responses, Array]]
_KEPT = 4096


@dataclass(frozen=True)
class Solver:
    """A cheap solver that a network may be built around.

    Args:
        identity: stable, of everything that changes an answer; part of what results are stored under.
        responses: ``b x *shape`` designs -> name -> ``b x *quantity_shape``, differentiable in the designs.
        smooth: whether it may be differentiated twice.
    """

    identity: str
    responses: Callable[[Tensor], Mapping[str, Tensor]]
    smooth: bool = False


class _Solved(torch.autograd.Function):
    """Values forward, one pull-back a design backward."""

    @staticmethod
    def forward(ctx: Any, designs: Tensor, value: Value, pullback: Pullback, names: list[str]) -> tuple[Tensor, ...]:
        arrays = designs.detach().cpu().double().numpy()
        solved = [value(design) for design in arrays]
        names[:] = sorted(solved[0])
        ctx.save_for_backward(designs)
        ctx.pullback, ctx.names = pullback, tuple(names)
        return tuple(torch.from_numpy(np.stack([np.asarray(one[name]) for one in solved])) for name in names)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Tensor | None, ...]:
        (designs,) = ctx.saved_tensors
        arrays = designs.detach().cpu().double().numpy()
        gradients = np.zeros_like(arrays)
        # A pull-back may be written in torch itself, whose graphs are off in a backward pass.
        with torch.enable_grad():
            for row, design in enumerate(arrays):
                # Autograd hands on conjugates as views, which numpy does not know.
                own = {
                    name: part[row].resolve_conj().resolve_neg().numpy()
                    for name, part in zip(ctx.names, cotangents, strict=True)
                }
                if any(np.any(part != 0) for part in own.values()):
                    gradient = np.asarray(ctx.pullback(design, own)[1])
                    if gradient.shape != design.shape:
                        raise ValueError(
                            f"Expected a gradient of the design's shape {design.shape}. Got {gradient.shape}."
                        )
                    gradients[row] = gradient
        return torch.from_numpy(gradients).to(designs), None, None, None


def solver_from_arrays(identity: str, value: Value, pullback: Pullback) -> Solver:
    """A solver given by functions of one design's array.

    Args:
        identity: see :class:`Solver`.
        value: design -> name -> response.
        pullback: (design, cotangents) -> (responses, gradient): cotangents in torch's convention, dL/dRe + i dL/dIm;
            the gradient is real and shaped like the design, ``ValueError`` in the backward pass if it is not. Called
            for backward passes only.

    Values of the last 4,096 designs are kept: training asks for the same ones in every epoch.
    """
    known: OrderedDict[bytes, Responses] = OrderedDict()

    def remembered(design: Array) -> Responses:
        key = design.tobytes()
        if key not in known:
            known[key] = value(design)
            if len(known) > _KEPT:
                known.popitem(last=False)
        return known[key]

    def responses(designs: Tensor) -> dict[str, Tensor]:
        if not len(designs):
            raise ValueError("Expected one design at least. Got none.")
        names: list[str] = []
        parts = _Solved.apply(designs, remembered, pullback, names)
        return dict(zip(names, parts, strict=True))

    return Solver(identity, responses)
