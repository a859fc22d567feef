"""Threads over wavelengths that keep what they make to themselves."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
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
        """``task(i)`` of every item, in order.

        After the first error, or an interrupt of the caller, items not yet begun are left out.
        """
        if not self._pools:
            return [_run(task, item) for item in range(self._items)]
        futures: list[Future[T]] = []
        try:
            for item in range(self._items):
                futures.append(self._pools[item % len(self._pools)].submit(_run, task, item))
            wait(futures, return_when=FIRST_EXCEPTION)
        finally:
            for future in futures:
                future.cancel()
        wait(futures)
        for future in futures:
            if not future.cancelled():
                future.result()
        return [future.result() for future in futures]

    def __enter__(self) -> Lanes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        interrupted = kind is not None and not issubclass(kind, Exception)
        for pool in self._pools:
            pool.shutdown(cancel_futures=interrupted)


def _run(task: Callable[[int], T], item: int) -> T:
    """``task(item)``; what its frames hold on an error is dropped here, in the lane, not with the traceback."""
    try:
        return task(item)
    except BaseException as error:
        if error.__traceback__ is not None:
            traceback.clear_frames(error.__traceback__.tb_next)
        raise
