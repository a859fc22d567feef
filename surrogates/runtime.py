"""Torch's process-wide settings, borrowed and given back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import optuna
import torch


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """``count`` intra-op threads inside the block: sums in a fixed order, CPU seconds that mean one core."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Torch's global generator seeded inside the block, untouched outside."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        yield


def pick_device(name: str) -> torch.device:
    """``auto`` is cuda where torch sees one, else cpu."""
    return torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)


@contextmanager
def quiet_optuna() -> Iterator[None]:
    """Without Optuna's line a trial."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
