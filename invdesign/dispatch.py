"""Sends tasks to an executor and keeps every outcome as soon as it is there."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, ThreadPoolExecutor, as_completed
from contextlib import suppress

from invdesign.clock import cpu_clock
from invdesign.executors import InProcess
from invdesign.ledger import Ledger
from invdesign.store import Store
from invdesign.work import Outcome, Task, execute
from physics.base import HasSetup

Request = tuple[str, bool]  # evaluation key, with gradient or without


class Dispatcher:
    """Runs tasks on an executor for one run.

    Args:
        store: where outcomes are kept.
        ledger: what is told of time that is charged by itself, or not at all.
        executor: any `concurrent.futures.Executor` but threads, whose CPU time cannot be told apart.

    Raises:
        TypeError: for a thread pool.
    """

    def __init__(self, store: Store, ledger: Ledger, executor: Executor) -> None:
        if isinstance(executor, ThreadPoolExecutor):
            raise TypeError(
                "Expected an executor of processes, or none. Got a ThreadPoolExecutor, where the CPU time of one solve "
                "cannot be told from another's; use invdesign.Processes."
            )
        self.store = store
        self.ledger = ledger
        self.executor = executor
        self.asked: set[str] = set()

    @property
    def in_process(self) -> bool:
        """Whether solves run in this process."""
        return isinstance(self.executor, InProcess)

    @property
    def width(self) -> int:
        """How many solves run at once, as far as the executor tells."""
        if self.in_process:
            return 1
        return int(getattr(self.executor, "workers", None) or getattr(self.executor, "_max_workers", None) or 8)

    def run(
        self, missing: Mapping[Request, Task], observer: Callable[[Outcome], None] = lambda outcome: None
    ) -> dict[Request, Outcome]:
        """The outcome of each task, kept; the observer is called with each once it is."""
        outcomes: dict[Request, Outcome] = {}
        waiting: dict[Future[Outcome], Request] = {}
        for request, task in missing.items():
            self._check_picklable(task)
            self.asked.add(request[0])
            self._prepare(task)
            try:
                future = self.executor.submit(execute, task)
            except BrokenExecutor as error:
                future = Future()
                future.set_exception(error)
            if future.done():
                outcomes[request] = self._keep(request[0], task, self._outcome(future))
                observer(outcomes[request])
            else:
                waiting[future] = request
        for future in as_completed(waiting):
            request = waiting[future]
            outcomes[request] = self._keep(request[0], missing[request], self._outcome(future))
            observer(outcomes[request])
        return outcomes

    def _check_picklable(self, task: Task) -> None:
        """Raises `TypeError` where the first task for another process could not get there."""
        if self.in_process or self.asked:
            return
        try:
            pickle.dumps(task)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise TypeError(
                f"Expected a simulator and targets that pickle, for a pool of processes. Got: {error}; move functions "
                "and classes to the top level of a module, or run in this process."
            ) from error

    def _prepare(self, task: Task) -> None:
        """Has the solver do its one-off set-up, which is counted apart; workers of a pool do it within a solve."""
        if self.in_process and isinstance(task.simulator, HasSetup):
            start = cpu_clock()
            with suppress(Exception):  # what ails the solver, the solve itself will say
                task.simulator.prepare(task.level)
            spent = cpu_clock() - start
            self.ledger.meter.setup_cpu_seconds += spent
            self.ledger.exclude(spent)

    def _outcome(self, future: Future[Outcome]) -> Outcome:
        """The outcome; a dead or overdue worker becomes a failed one."""
        try:
            return future.result()
        except TimeoutError:
            # What a killed worker used is not known; it is charged the whole of its limit.
            limit = float(getattr(self.executor, "timeout_seconds", None) or 0.0)
            return Outcome(None, None, None, limit, f"The solve outlived its limit of {limit:g} s.", "timed out")
        except (CancelledError, Exception) as error:  # noqa: BLE001, RUF100 - executors differ in how they tell of a death
            message = f"The worker gave no answer: {type(error).__name__}: {error}"
            return Outcome(None, None, None, 0.0, message, "crashed")

    def _keep(self, key: str, task: Task, outcome: Outcome) -> Outcome:
        """Keeps what came: a response whatever became of its gradient, an error only where there is no response."""
        if self.in_process:
            self.ledger.exclude(outcome.cpu_seconds)
        with self.store.transaction():
            stored = self.store.evaluation(key)
            if stored is None or stored.response is None:
                failed = outcome.response is None
                self.store.add_evaluation(
                    key,
                    task.simulator.identity,
                    task.level,
                    task.replicate,
                    task.design,
                    outcome.response,
                    outcome.cpu_seconds,
                    outcome.error if failed else None,
                    outcome.failure if failed else None,
                )
            if outcome.gradient is not None and outcome.cotangents is not None:
                self.store.add_gradient(key, outcome.cotangents, outcome.gradient, outcome.cpu_seconds)
        return outcome
