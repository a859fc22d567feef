"""The workers of this process, lent one at a time."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from physics.worker.program import Program
from physics.worker.worker import Worker, living


@dataclass
class Pool:
    """Workers of one program; `idle` holds (key, worker), the one used last at the end."""

    limit: int = field(default_factory=lambda: os.cpu_count() or 1)
    changed: threading.Condition = field(default_factory=threading.Condition)
    idle: list[tuple[Hashable, Worker]] = field(default_factory=list)
    lent: int = 0
    owner: int = field(default_factory=os.getpid)

    def take(self, key: Hashable) -> Worker | None:
        """An idle worker, the same key's if there is one; None for leave to start one."""
        with self.changed:
            while True:
                for entry in [e for e in self.idle if not e[1].alive]:
                    self.idle.remove(entry)
                    entry[1].close()
                if self.idle or self.lent < self.limit:
                    break
                self.changed.wait()
            self.lent += 1
            same = [entry for entry in self.idle if entry[0] == key]
            if not self.idle:
                return None
            # Else the one unused for longest, whose key is the least likely to be asked for.
            entry = same[-1] if same else self.idle[0]
            self.idle.remove(entry)
            return entry[1]

    def give_back(self, key: Hashable, worker: Worker | None) -> None:
        """Takes a worker back; a dead one is dropped."""
        if self.owner != os.getpid():
            return  # forked while it was lent: the parent takes it back
        with self.changed:
            self.lent -= 1
            if worker is not None and worker.alive:
                self.idle.append((key, worker))
            self.changed.notify()
        if worker is not None and not worker.alive:
            worker.close()


_lock = threading.Lock()
_pools: dict[Program, Pool] = {}


@contextmanager
def borrow(program: Program, key: Hashable = None) -> Iterator[Worker]:
    """A worker of the program, for the caller alone.

    At most as many as there are cores are lent at once; the next caller waits, so a thread that holds one must not
    borrow another. An idle worker last used with the same key comes first, then any idle one, then a new one. They end
    with the interpreter; a forked child has none of them.

    Raises:
        WorkerError: where none can be started.
    """
    with _lock:
        pool = _pools.setdefault(program, Pool())
    worker = pool.take(key)
    try:
        if worker is None:
            worker = Worker(program)
        yield worker
    finally:
        pool.give_back(key, worker)


def close_all() -> None:
    """Ends all workers of this process; those borrowed are killed."""
    with _lock:
        _pools.clear()
    workers = list(living)
    for worker in workers:
        worker.ask_to_leave()
    for worker in workers:
        worker.close()


def _start_anew() -> None:
    global _lock
    _lock = threading.Lock()
    _pools.clear()


os.register_at_fork(after_in_child=_start_anew)
atexit.register(close_all)
