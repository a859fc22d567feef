"""A simulator as a differentiable function of a torch tensor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from physics.base import Differentiable, check_level


def as_torch(sim: Differentiable, level: int, replicate: int = 0) -> Callable[[Tensor], dict[str, Tensor]]:
    """The response of a simulator as a differentiable function of the density.

    The forward pass is one ``simulate``; the backward pass is one ``vjp``, which solves again and differentiates with
    the factorisation of its own solve, so that nothing large is held between the two. Where the cotangents are known as
    a function of the response, ``sim.vjp(design, level, function)`` does both in one. The gradient itself is not
    differentiable.

    Args:
        sim: a simulator with gradients.
        level: index of the fidelity.
        replicate: for stochastic levels.

    Returns:
        A function from a real tensor of ``sim.design_shape`` to a mapping from each quantity's name to its tensor, in
        double precision on the CPU.
    """
    names = [quantity.name for quantity in check_level(level, sim.fidelities).response]

    class Solve(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, density: Tensor) -> tuple[Tensor, ...]:
            ctx.save_for_backward(density)
            response = sim.simulate(_array(density), level, replicate)
            return tuple(torch.from_numpy(np.array(response[name])) for name in names)

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx: Any, *grads: Tensor | None) -> Tensor:
            (density,) = ctx.saved_tensors
            cotangents = {
                name: grad.detach().cpu().resolve_conj().numpy()
                for name, grad in zip(names, grads, strict=True)
                if grad is not None
            }
            _, gradient = sim.vjp(_array(density), level, cotangents, replicate)
            return torch.from_numpy(np.ascontiguousarray(gradient)).to(density)

    def function(density: Tensor) -> dict[str, Tensor]:
        return dict(zip(names, Solve.apply(density), strict=True))

    return function


def _array(density: Tensor) -> np.ndarray:
    """The density in double precision, without what its own precision rounded beyond [0, 1]."""
    if density.is_complex():
        raise ValueError(f"Expected a real density. Got {density.dtype}.")
    array = density.detach().cpu().double().numpy()
    slack = 4 * torch.finfo(density.dtype).eps if density.is_floating_point() else 0.0
    inside = np.clip(array, 0.0, 1.0)
    return np.where(np.abs(array - inside) <= slack, inside, array)
