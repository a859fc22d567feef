"""The evaluator: the only way to a solver. It batches, remembers, spends the budget and fans out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from invdesign.arrays import content_key
from invdesign.budget import BudgetSpent, Meter
from invdesign.clock import cpu_clock
from invdesign.dispatch import Dispatcher
from invdesign.ledger import Ledger
from invdesign.records import Candidate, Note, Record
from invdesign.store import Store, StoredEvaluation, evaluation_key
from invdesign.work import Outcome, Task
from physics.base import Array, resolve_cotangents


class Evaluator:
    """Answers tasks from the store or the executor, in the order they were asked.

    Args:
        store: where finished evaluations are kept and found.
        ledger: what charges them.
        executor: any `concurrent.futures.Executor`.
        level_names: names of the simulator's fidelities, for the meter.
        replay_only: answer from the store alone; `BudgetSpent` at the first request that is not there.
        retry_failed: ask every stored failure once more, what the solver raised too.
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
        retry_failed: bool = False,
        observer: Callable[[Evaluator], None] | None = None,
    ) -> None:
        self.store = store
        self.ledger = ledger
        self.dispatcher = Dispatcher(store, ledger, executor)
        self.level_names = tuple(level_names)
        self.replay_only = replay_only
        self.retry_failed = retry_failed
        self.observer = observer or (lambda evaluator: None)
        self.records: list[Record] = []
        self.candidates: list[Candidate] = []
        self.proposal: Array | None = None
        self.notes: list[Note] = []
        self.group = 0
        self.stage = "starting"
        self._kind: str | None = None
        self._groups = 0

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
        """One record a task, in order; as many at a time as the executor runs at once.

        Args:
            tasks: what to solve.
            groups: the optimisation path each belongs to; the current one (see `trajectory`) by default.
            beyond_budget: solve even if the budget is spent.

        Raises:
            BudgetSpent: once the tasks that the budget still admits are finished and kept.
        """
        paths = [self.group] * len(tasks) if groups is None else groups
        records: list[Record] = []
        while len(records) < len(tasks):
            batch = list(tasks)[len(records) : len(records) + self.dispatcher.width]
            room = len(batch) if beyond_budget else min(self.meter.room(task.level) for task in batch)
            if room < 1:
                raise BudgetSpent(f"The budget admits {len(records)} of {len(tasks)} solves.")
            batch = batch[: int(min(room, len(batch)))]
            fresh = self._answer(batch, paths[len(records) : len(records) + len(batch)])
            self.records += fresh
            records += fresh
            self.observer(self)
        return records

    def _answer(self, tasks: Sequence[Task], groups: Sequence[int]) -> list[Record]:
        rounded = [_in_store_precision(task) for task in tasks]
        keys = [evaluation_key(t.simulator.identity, t.level, t.replicate, t.design) for t in rounded]
        found = [self._find(key, task) for key, task in zip(keys, rounded, strict=True)]
        requests = [(key, task.cotangents is not None) for key, task in zip(keys, rounded, strict=True)]
        missing = {request: task for request, task, hit in zip(requests, rounded, found, strict=True) if hit is None}
        if missing and self.replay_only:
            raise BudgetSpent("The stored part of the run ends here.")
        outcomes = self.dispatcher.run(missing)
        records = []
        for request, task, hit, group in zip(requests, rounded, found, groups, strict=True):
            record = hit if hit is not None else self._fresh(request[0], task, outcomes[request])
            self._charge(self._kind or self.level_names[task.level], request[0], record.cpu_seconds)
            # A check solves on another simulator, whose levels are not this problem's.
            if self._kind != "check":
                self.meter.solves_by_level[task.level] += 1
            records.append(replace(record, group=group))
        return records

    def _charge(self, kind: str, key: str, cpu_seconds: float) -> None:
        if self.replay_only and not self.ledger.replaying:
            raise BudgetSpent("The stored part of the run ends here.")
        if self.ledger.charge(kind, key, cpu_seconds) and not self.replay_only:
            self.store.forget_after(self.ledger.run, self.ledger.seq, len(self.candidates))

    def _find(self, key: str, task: Task) -> Record | None:
        """The stored answer to a task; None where there is none, or one that is to be asked again."""
        stored = self.store.evaluation(key)
        if stored is None or (stored.error is not None and self._again(stored)):
            return None
        record = _record(key, task, stored.design, stored.response, stored.error, stored.cpu_seconds)
        if stored.response is None or task.cotangents is None:
            return record
        try:
            cotangents = resolve_cotangents(task.cotangents, stored.response)
        except Exception:  # noqa: BLE001 - the user's function; what it raises is recorded where it is run
            return None
        gradient = self.store.gradient(key, cotangents)
        if gradient is None:
            return None
        return replace(
            record,
            cpu_seconds=gradient.cpu_seconds,
            cotangents=cotangents,
            gradient=gradient.gradient.astype(np.float64),
        )

    def _fresh(self, key: str, task: Task, outcome: Outcome) -> Record:
        """The record of what just came, as a replay will find it."""
        response = None if outcome.error is not None else outcome.response
        record = _record(key, task, task.design, response, outcome.error, outcome.cpu_seconds)
        if outcome.error is not None or outcome.gradient is None:
            return record
        gradient = outcome.gradient.astype(np.float32).astype(np.float64)
        return replace(record, cotangents=outcome.cotangents, gradient=gradient)

    def _again(self, stored: StoredEvaluation) -> bool:
        if self.replay_only or stored.key in self.dispatcher.asked:
            return False
        return self.retry_failed or stored.worth_retrying

    def memo(self, kind: str, inputs: Mapping[str, Any], compute: Callable[[], dict[str, Array]]) -> dict[str, Array]:
        """The payload of a computation that its inputs determine: from the store, or computed, kept and charged.

        `compute` must not ask or memo itself: its time would be charged twice.

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
            start = cpu_clock()
            payload = compute()
            cpu_seconds = cpu_clock() - start
            self.store.add_artefact(key, kind, payload, cpu_seconds)
            self.ledger.exclude(cpu_seconds)
            found = self.store.artefact(key)
            if found is None:
                raise RuntimeError(f"Artefact {key[:12]} was not kept; is the store writable?")
        self._charge(kind, key, found[1])
        self.observer(self)
        return found[0]


def _in_store_precision(task: Task) -> Task:
    """The task with the design that the store will hold, so that a record's design is the one solved."""
    return replace(task, design=np.asarray(task.design, dtype=np.float32).astype(np.float64))


def _record(
    key: str, task: Task, design: Array, response: Mapping[str, Array] | None, error: str | None, cpu_seconds: float
) -> Record:
    identity = task.simulator.identity
    return Record(key, identity, task.level, task.replicate, np.asarray(design), response, error, cpu_seconds)
