"""Thread counts, fixed while a run lasts so that a replay computes the same bits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def fixed_threads(count: int = 1) -> Iterator[None]:
    """Torch computes on `count` threads inside; the setting before is restored."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
