"""The clock that solves and runs are charged by."""

from __future__ import annotations

import time

from physics.worker import foreign_cpu_seconds


def cpu_clock() -> float:
    """CPU seconds of this process and of the simulators that it runs in other interpreters.

    Differences are what counts. All charges and exclusions of one process go by this clock; by two, a solve in another
    interpreter would be charged twice, or time of this process be lost.
    """
    return time.process_time() + foreign_cpu_seconds()
