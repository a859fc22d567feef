"""Threads over wavelengths that keep what they make to themselves."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import TypeVar

T = TypeVar("T")


class Lanes:
    """A few threads; item ``i`` is always worked on by the same one.

    SciPy books SuperLU's memory by thread and never gives back what another thread frees: a factorisation must be
    made, used and dropped in one lane.

    Args:
        items: how many items there are.
        threads: most threads; never more than items or cores. With one, the calling thread does the work.
    """

    def __init__(self, items: int, threads: int) -> None:
        self._items = items
        count = min(threads, items, os.cpu_count() or 1)
        self._pools = [ThreadPoolExecutor(1) for _ in range(count)] if count > 1 else []

    def each(self, task: Callable[[int], T]) -> list[T]:
        """``task(i)`` of every item, in order; every lane goes on to its end before an error is raised."""
        if not self._pools:
            return [task(item) for item in range(self._items)]
        futures = [self._pools[item % len(self._pools)].submit(task, item) for item in range(self._items)]
        for future in futures:
            future.exception()
        return [future.result() for future in futures]

    def __enter__(self) -> Lanes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for pool in self._pools:
            pool.shutdown()
