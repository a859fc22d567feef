"""The evaluator: the only way to a solver. It batches, remembers, spends the budget and fans out."""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, as_completed
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from invdesign.arrays import content_key
from invdesign.budget import BudgetSpent, Meter
from invdesign.executors import InProcess
from invdesign.ledger import Ledger
from invdesign.store import Store, StoredEvaluation, evaluation_key
from invdesign.work import Outcome, Task, execute
from physics.base import Array, HasSetup, resolve_cotangents

# A crash or a time-out may be the machine's fault: on resume it is asked again, up to this many times.
RETRIES = 2


@dataclass(frozen=True)
class Record:
    """One evaluation as its asker sees it; exactly one of `response` and `error` is None."""

    key: str
    identity: str
    level: int
    replicate: int
    design: Array
    response: Mapping[str, Array] | None
    error: str | None
    cpu_seconds: float
    cotangents: Mapping[str, Array] | None = None
    gradient: Array | None = None
    group: int = 0


@dataclass(frozen=True)
class Candidate:
    """A verified design: binarised and simulated at the reference fidelity in every case.

    Args:
        label: where it came from.
        theta: its parameters `(size,)`; None for a design that was handed over as a density.
        design: the binarised density of the nominal case.
        responses: case -> response.
        loss, distance: of the targets over all cases; distance 0 means every band is met.
        cpu_seconds, reference_solves: what the run had cost when it was verified.
    """

    label: str
    theta: Array | None
    design: Array
    responses: Mapping[str, Mapping[str, Array]]
    loss: float
    distance: float
    cpu_seconds: float
    reference_solves: int

    @property
    def response(self) -> Mapping[str, Array]:
        """Response of the nominal case."""
        return self.responses["nominal"]

    @property
    def rank(self) -> tuple[float, float]:
        """What candidates are ordered by: distance first, then loss."""
        return (self.distance, self.loss)


@dataclass(frozen=True)
class Note:
    """Something a strategy wants the report to show: a kind, when, and JSON-able content."""

    kind: str
    cpu_seconds: float
    content: Mapping[str, Any]


class Evaluator:
    """Answers tasks from the store or the executor, in the order they were asked.

    Args:
        store: where finished evaluations are kept and found.
        ledger: what charges them.
        executor: any `concurrent.futures.Executor`.
        level_names: names of the simulator's fidelities, for the meter.
        replay_only: answer from the store alone; `BudgetSpent` at the first request that is not there.
        observer: called with the evaluator after each charge; `stage` says what the strategy is at.
    """

    def __init__(
        self,
        store: Store,
        ledger: Ledger,
        executor: Executor,
        level_names: Sequence[str],
        *,
        replay_only: bool = False,
        observer: Callable[[Evaluator], None] | None = None,
    ) -> None:
        self.store = store
        self.ledger = ledger
        self.executor = executor
        self.level_names = tuple(level_names)
        self.replay_only = replay_only
        self.observer = observer or (lambda evaluator: None)
        self.records: list[Record] = []
        self.candidates: list[Candidate] = []
        self.proposal: Array | None = None
        self.notes: list[Note] = []
        self.group = 0
        self.stage = "starting"
        self._kind: str | None = None
        self._groups = 0
        self._asked: set[str] = set()
        self._inner = 0.0

    @property
    def meter(self) -> Meter:
        """What the run has cost."""
        return self.ledger.meter

    @property
    def study_path(self) -> Path | None:
        """Where an architecture search leaves its Optuna journal: beside the store; None where nothing is kept."""
        if self.replay_only or self.store.path == ":memory:":
            return None
        return Path(self.store.path).with_suffix(".search") / f"{self.ledger.run[:12]}.log"

    @property
    def best(self) -> Candidate | None:
        """The best verified design so far."""
        return min(self.candidates, key=lambda c: c.rank, default=None)

    def add_candidate(self, candidate: Candidate) -> None:
        """Enters a verified design, here and in the store."""
        row = {
            "label": candidate.label,
            "design": candidate.design,
            "responses": {f"{case}/{k}": v for case, r in candidate.responses.items() for k, v in r.items()},
            "loss": candidate.loss,
            "distance": candidate.distance,
            "cpu_seconds": candidate.cpu_seconds,
            "reference_solves": candidate.reference_solves,
        }
        if not self.replay_only:
            self.store.add_candidate(self.ledger.run, len(self.candidates), row)
        self.candidates.append(candidate)
        self.observer(self)

    def note(self, kind: str, **content: Any) -> None:
        """Keeps something for the report."""
        self.notes.append(Note(kind, self.meter.cpu_seconds, content))

    @contextmanager
    def charged_to(self, kind: str) -> Iterator[None]:
        """Charges what is asked inside to this kind instead of to the fidelity's name."""
        self._kind, before = kind, self._kind
        try:
            yield
        finally:
            self._kind = before

    def new_group(self) -> int:
        """A number for an optimisation path, from 1."""
        self._groups += 1
        return self._groups

    @contextmanager
    def trajectory(self) -> Iterator[None]:
        """Marks what is asked inside as one optimisation path; data sets are split by path, never by sample."""
        self.group = self.new_group()
        try:
            yield
        finally:
            self.group = 0

    def ask(
        self, tasks: Sequence[Task], *, groups: Sequence[int] | None = None, beyond_budget: bool = False
    ) -> list[Record]:
        """One record a task, in order.

        Args:
            tasks: what to solve.
            groups: the optimisation path each belongs to; the current one (see `trajectory`) by default.
            beyond_budget: solve even if the budget is spent.

        Raises:
            BudgetSpent: once the tasks that the budget still admits are finished and kept.
        """
        room = len(tasks) if beyond_budget else min([len(tasks), *(self.meter.room(task.level) for task in tasks)])
        admitted = list(tasks)[: int(room)]
        rounded = [_in_store_precision(task) for task in admitted]
        keys = [evaluation_key(t.simulator.identity, t.level, t.replicate, t.design) for t in rounded]
        found = [self._find(key, task) for key, task in zip(keys, rounded, strict=True)]
        missing: dict[tuple[str, bool], Task] = {}
        for key, task, record in zip(keys, rounded, found, strict=True):
            if record is None:
                missing.setdefault((key, task.cotangents is not None), task)
        if missing and self.replay_only:
            raise BudgetSpent("The stored part of the run ends here.")
        self._work(missing)
        records = []
        for index, (key, task, hit) in enumerate(zip(keys, rounded, found, strict=True)):
            record = hit if hit is not None else self._find(key, task)
            if record is None:
                raise RuntimeError(f"Evaluation {key[:12]} was not kept; is the store writable?")
            kind = self._kind or self.level_names[task.level]
            # A check solves on another simulator, whose levels are not this problem's.
            if kind != "check":
                self.meter.solves_by_level[task.level] += 1
            self.ledger.charge(kind, key, record.cpu_seconds)
            records.append(record if groups is None else replace(record, group=groups[index]))
        self.records += records
        self.observer(self)
        if len(admitted) < len(tasks):
            raise BudgetSpent(f"The budget admits {len(admitted)} of {len(tasks)} more solves.")
        return records

    def _find(self, key: str, task: Task) -> Record | None:
        stored = self.store.evaluation(key)
        if stored is None or (stored.error is not None and self._again(stored)):
            return None
        if stored.response is None:
            return self._record(task, stored, stored.cpu_seconds)
        if task.cotangents is None:
            return self._record(task, stored, stored.cpu_seconds)
        try:
            cotangents = resolve_cotangents(task.cotangents, stored.response)
        except (KeyError, ValueError):
            return None
        gradient = self.store.gradient(key, cotangents)
        if gradient is None:
            return None
        return self._record(task, stored, gradient.cpu_seconds, cotangents, gradient.gradient.astype(np.float64))

    def _again(self, stored: StoredEvaluation) -> bool:
        transient = stored.failure in ("crashed", "timed out")
        return transient and stored.key not in self._asked and stored.attempt <= RETRIES and not self.replay_only

    def _record(
        self,
        task: Task,
        stored: StoredEvaluation,
        cpu_seconds: float,
        cotangents: Mapping[str, Array] | None = None,
        gradient: Array | None = None,
    ) -> Record:
        return Record(
            stored.key,
            task.simulator.identity,
            task.level,
            task.replicate,
            stored.design,
            stored.response,
            stored.error,
            cpu_seconds,
            cotangents,
            gradient,
            self.group,
        )

    def _work(self, missing: Mapping[tuple[str, bool], Task]) -> None:
        """Runs tasks and keeps each as soon as it is finished."""
        waiting: dict[Future[Outcome], tuple[str, Task]] = {}
        for (key, _), task in missing.items():
            self._check_picklable(task)
            self._asked.add(key)
            self._prepare(task)
            try:
                future = self.executor.submit(execute, task)
            except BrokenExecutor as error:
                future = Future()
                future.set_exception(error)
            if future.done():
                self._keep(key, task, self._outcome(future))
            else:
                waiting[future] = (key, task)
        for future in as_completed(waiting):
            self._keep(*waiting[future], self._outcome(future))

    def _check_picklable(self, task: Task) -> None:
        """Raises `TypeError` where the first task for another process could not get there."""
        if isinstance(self.executor, InProcess) or self._asked:
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
        if isinstance(self.executor, InProcess) and isinstance(task.simulator, HasSetup):
            start = time.process_time()
            with suppress(Exception):  # what ails the solver, the solve itself will say
                task.simulator.prepare(task.level)
            spent = time.process_time() - start
            self.meter.setup_cpu_seconds += spent
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

    def _keep(self, key: str, task: Task, outcome: Outcome) -> None:
        if isinstance(self.executor, InProcess):
            self.ledger.exclude(outcome.cpu_seconds)
        with self.store.transaction():
            stored = self.store.evaluation(key)
            if stored is None or stored.response is None or outcome.error is not None:
                self.store.add_evaluation(
                    key,
                    task.simulator.identity,
                    task.level,
                    task.replicate,
                    task.design,
                    outcome.response,
                    outcome.cpu_seconds,
                    outcome.error,
                    outcome.failure,
                )
            if outcome.gradient is not None and outcome.cotangents is not None:
                self.store.add_gradient(key, outcome.cotangents, outcome.gradient, outcome.cpu_seconds)

    def memo(self, kind: str, inputs: Mapping[str, Any], compute: Callable[[], dict[str, Array]]) -> dict[str, Array]:
        """The payload of a computation that its inputs determine: from the store, or computed, kept and charged.

        Raises:
            BudgetSpent: if the budget was spent before.
        """
        if self.meter.room(level=-1) <= 0:
            raise BudgetSpent("The budget is spent.")
        key = content_key(kind, dict(inputs))
        found = self.store.artefact(key)
        if found is None:
            if self.replay_only:
                raise BudgetSpent("The stored part of the run ends here.")
            outer, self._inner = self._inner, 0.0
            start = time.process_time()
            payload = compute()
            cpu_seconds = time.process_time() - start - self._inner
            self._inner = outer + cpu_seconds + self._inner
            self.store.add_artefact(key, kind, payload, cpu_seconds)
            self.ledger.exclude(cpu_seconds)
            found = self.store.artefact(key)
            if found is None:
                raise RuntimeError(f"Artefact {key[:12]} was not kept; is the store writable?")
        self.ledger.charge(kind, key, found[1])
        self.observer(self)
        return found[0]


def _in_store_precision(task: Task) -> Task:
    """The task with the design that the store will hold, so that a record's design is the one solved."""
    design = np.asarray(task.design, dtype=np.float32).astype(np.float64)
    return Task(task.simulator, design, task.level, task.cotangents, task.replicate)
