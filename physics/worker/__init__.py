"""Programs in another Python interpreter: simulators whose libraries do not live with ours.

>>> program = Program("meep", "/usr/bin/python3", "solve.py")
>>> with borrow(program, key=(scene, level)) as worker:
...     reply = worker.call("solve", {"design": design}, time_limit_s=600, level=level)
"""

from physics.worker.errors import ProgramError, WorkerDied, WorkerError, WorkerTimeout
from physics.worker.meter import foreign_cpu_seconds
from physics.worker.pool import borrow, close_all
from physics.worker.program import Program
from physics.worker.worker import Reply, Worker

__all__ = [
    "Program",
    "ProgramError",
    "Reply",
    "Worker",
    "WorkerDied",
    "WorkerError",
    "WorkerTimeout",
    "borrow",
    "close_all",
    "foreign_cpu_seconds",
]
