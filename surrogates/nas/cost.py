"""What a network costs, known before it is trained."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from surrogates.architecture import Architecture, Block
from surrogates.networks import IDENTITY
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
    """See ``Cost``; counted on networks as built, nothing is trained.

    The network is not run itself: the products of its blocks, which follow each other, add up.
    """
    shape = tuple(design_shape)
    return _added_up(architecture, lambda one: _run(one, shape, n_outputs))


def parameters(architecture: Architecture, design_shape: Sequence[int], n_outputs: int) -> int:
    """``Architecture.n_parameters``, added up as ``flops`` are: quicker where many networks share a few blocks."""
    return _added_up(architecture, lambda one: one.n_parameters(design_shape, n_outputs))


def _added_up(architecture: Architecture, count: Callable[[Architecture], int]) -> int:
    """What a chain has of something that each of its parts has its share of, from chains of two blocks at most."""

    def of(*blocks: Block) -> int:
        return count(replace(architecture, blocks=blocks))

    blocks = architecture.blocks
    total = of(blocks[0])
    for before, block in pairwise(blocks):
        # A pair where the channels change, and with them what a block and the read-out have.
        alike = before.width == block.width
        total += of(block) - of(Block(IDENTITY, block.width)) if alike else of(before, block) - of(before)
    return total


@functools.lru_cache(maxsize=4096)
def _run(architecture: Architecture, design_shape: tuple[int, ...], n_outputs: int) -> int:
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


@functools.lru_cache(maxsize=4096)
def known_latency_ms(architecture: Architecture, design_shape: tuple[int, ...], n_outputs: int) -> float:
    """``latency_ms`` on the CPU, measured once a process: the least of two medians, behind a first call."""
    return min(latency_ms(architecture, design_shape, n_outputs) for _ in range(2))


def cost(architecture: Architecture, design_shape: Sequence[int], n_outputs: int) -> Cost:
    """All three."""
    return Cost(
        architecture.n_parameters(design_shape, n_outputs),
        flops(architecture, design_shape, n_outputs),
        latency_ms(architecture, design_shape, n_outputs),
    )
