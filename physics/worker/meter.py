"""CPU seconds that the workers of this process have used."""

from __future__ import annotations

import os
import threading

_lock = threading.Lock()
_seconds = 0.0


def foreign_cpu_seconds() -> float:
    """CPU seconds that workers reported, or of ended ones the kernel did, since this process began.

    Includes their start, and children that they waited for. A solve's share is the difference over it, where no other
    thread uses workers meanwhile.
    """
    with _lock:
        return _seconds


def add(cpu_seconds: float) -> None:
    """Counts seconds that were not counted before."""
    global _seconds
    with _lock:
        _seconds += max(0.0, cpu_seconds)


def _start_anew() -> None:
    global _lock, _seconds
    _lock, _seconds = threading.Lock(), 0.0


os.register_at_fork(after_in_child=_start_anew)
