"""Executors beside those of the standard library: in-process, and processes that may die or hang."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

import pebble


class InProcess(Executor):
    """Runs each call at once in this process; no time limit, no protection from a crash."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Runs `fn` and gives a future that is already done."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - handed on through the future, as executors do
            future.set_exception(error)
        return future


def _start_worker(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)


class Processes(Executor):
    """A pool of processes; a worker that dies or outlives its time limit is replaced, the others go on.

    Args:
        workers: number of processes; by default one a core.
        timeout_seconds: limit of one solve; None for no limit.
    """

    def __init__(self, workers: int | None = None, timeout_seconds: float | None = None) -> None:
        workers = workers or os.cpu_count() or 1
        if workers < 1 or (timeout_seconds is not None and not timeout_seconds > 0):
            raise ValueError(f"Expected workers >= 1 and timeout_seconds > 0. Got {workers=}, {timeout_seconds=}.")
        self.workers = workers
        self.timeout_seconds = timeout_seconds
        # Not fork: threads of BLAS and torch do not survive it.
        self._pool = pebble.ProcessPool(
            max_workers=workers,
            context=multiprocessing.get_context("spawn"),
            initializer=_start_worker,
            initargs=[1],
        )

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """A future that fails with `TimeoutError` past the limit and `pebble.ProcessExpired` if the worker died."""
        return self._pool.submit(fn, self.timeout_seconds, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Ends the workers."""
        if cancel_futures:
            self._pool.stop()
        else:
            self._pool.close()
        if wait:
            self._pool.join()
