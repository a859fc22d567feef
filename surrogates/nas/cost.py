"""What a network costs, known before it is trained."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from surrogates.architecture import Architecture
from surrogates.runtime import pick_device, seeded, torch_threads


@dataclass(frozen=True)
class Cost:
    """Of one network.

    Args:
        parameters: trainable numbers.
        flops: of products in the prediction of one design, a multiplication and an addition of real numbers as two,
            of complex ones as eight.
        latency_ms: CPU time of the gradient of one output in one design, median.
    """

    parameters: int
    flops: int
    latency_ms: float


def flops(architecture: Architecture, design_shape: Sequence[int], n_outputs: int) -> int:
    """See ``Cost``; counted on the network as built, nothing is trained."""
    with seeded(0), torch.no_grad():
        network = architecture.build(design_shape, n_outputs)
        with _Products() as counted:
            network(torch.zeros(1, *design_shape))
    return counted.flops


class _Products(TorchDispatchMode):
    """Counts what torch's own counter does, which takes complex products for real ones."""

    def __init__(self) -> None:
        super().__init__()
        self.flops = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func.overloadpacket)
        if formula is not None:
            self.flops += int(formula(*args, **(kwargs or {}), out_val=out)) * (4 if out.is_complex() else 1)
        return out


def latency_ms(
    architecture: Architecture, design_shape: Sequence[int], n_outputs: int, device: str = "cpu", repeats: int = 5
) -> float:
    """See ``Cost``; one thread."""
    where = pick_device(device)
    with torch_threads(1), seeded(0):
        network = architecture.build(design_shape, n_outputs).requires_grad_(False).to(where)
        design = torch.full((1, *design_shape), 0.5, device=where, requires_grad=True)
        seconds = []
        for _ in range(repeats):
            started = time.process_time()
            torch.autograd.grad(network(design).sum(), design)
            seconds.append(time.process_time() - started)
    return 1000 * float(np.median(seconds))


def cost(architecture: Architecture, design_shape: Sequence[int], n_outputs: int) -> Cost:
    """All three."""
    return Cost(
        architecture.n_parameters(design_shape, n_outputs),
        flops(architecture, design_shape, n_outputs),
        latency_ms(architecture, design_shape, n_outputs),
    )
