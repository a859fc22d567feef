"""BLAS held to one thread while a solve runs, so that answers do not depend on how many it would take."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

_lock = threading.Lock()
_inside = 0
_restore: dict[int, int] = {}


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """One BLAS thread until the last of all overlapping uses in this process has ended; also a decorator.

    The many small kernels of a sparse factorisation lose time to BLAS threads, and their sums depend on how many
    there are. The setting is global to the process, hence the count of users.
    """
    global _inside
    with _lock:
        _inside += 1
        if _inside == 1:
            for index, library in enumerate(_libraries()):
                _restore[index] = library.get_num_threads()
                library.set_num_threads(1)
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                for index, library in enumerate(_libraries()):
                    library.set_num_threads(_restore[index])


@cache
def _libraries() -> list[Any]:
    return ThreadpoolController().select(user_api="blas").lib_controllers
