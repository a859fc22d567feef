"""Rates at which a first-order expansion meets a function: 2 where the gradient is right."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from physics.base import Array


def taylor_rates(
    function: Callable[[Tensor], Tensor], point: Array, rng: np.random.Generator, step: float = 1e-3, halvings: int = 2
) -> list[float]:
    """Base-2 rates of `|f(x + h d) - f(x) - h f'(x) d|` over halved steps in one random direction."""
    direction = torch.from_numpy(rng.standard_normal(np.shape(point)))
    x = torch.tensor(point, dtype=torch.float64, requires_grad=True)
    value = function(x)
    (gradient,) = torch.autograd.grad(value, x)
    slope, start = float((gradient * direction).sum()), float(value.detach())
    rest = []
    with torch.no_grad():
        for h in step * 0.5 ** np.arange(halvings + 1):
            rest.append(abs(float(function(x + h * direction)) - start - h * slope))
    return [float(rate) for rate in np.log2(np.array(rest[:-1]) / np.array(rest[1:]))]
