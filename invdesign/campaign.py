"""Labels for many designs: a level of a simulator asked about each, in parallel, into a store."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from invdesign.budget import Budget, Meter
from invdesign.dispatch import Dispatcher, Request
from invdesign.ledger import Ledger
from invdesign.problem import Problem
from invdesign.spaces.discrete import DiscreteSpace
from invdesign.store import Store, StoredEvaluation, evaluation_key
from invdesign.strategies.start import random_theta
from invdesign.work import Task
from physics.base import Array, Simulator
from physics.tables.labels import LabelSet, LevelLabels

# Draws in a row that gave nothing new before a space counts as used up.
ATTEMPTS = 2000
# Largest discrete space of which the designs that no draw gave are looked up.
LISTED = 100_000


@dataclass(frozen=True)
class Ask:
    """One label wanted: the number of a design, a level, a replicate."""

    row: int
    level: int
    replicate: int


@dataclass(frozen=True)
class Tally:
    """How far a campaign is."""

    known: int
    solved: int
    failed: int
    wanted: int

    @property
    def done(self) -> int:
        """Labels there and failures."""
        return self.known + self.solved + self.failed


@dataclass(frozen=True, eq=False)
class Campaign:
    """Designs and the labels wanted of them.

    Args:
        simulator: what answers.
        designs: `n x *design_shape`.
        asks: the labels, in the order in which they are asked.
    """

    simulator: Simulator
    designs: NDArray[np.float64]
    asks: tuple[Ask, ...]

    def key(self, ask: Ask) -> str:
        """Where the store has it."""
        return evaluation_key(self.simulator.identity, ask.level, ask.replicate, self.designs[ask.row])

    def fill(
        self,
        store: Store,
        executor: Executor,
        *,
        retry_failed: bool = False,
        observer: Callable[[Tally], None] = lambda tally: None,
    ) -> Tally:
        """Solves what the store does not have; what is finished is kept at once.

        Args:
            store: of this simulator; `StoreError` for one of another.
            executor: where solves run.
            retry_failed: ask what failed before once more; crashes and time-outs are asked again anyway.
            observer: called with the tally before the first solve and after each.
        """
        store.bind(self.simulator.identity)
        missing: dict[Request, Task] = {}
        known = failed = 0
        for ask in self.asks:
            key = self.key(ask)
            stored = store.evaluation(key)
            if stored is None or (stored.error is not None and (retry_failed or stored.worth_retrying)):
                missing[key, False] = Task(self.simulator, self.designs[ask.row], ask.level, replicate=ask.replicate)
            elif stored.error is not None:
                failed += 1
            else:
                known += 1
        tally = Tally(known, 0, failed, len(self.asks))
        observer(tally)

        def kept(error: str | None) -> None:
            nonlocal tally
            bad = error is not None
            tally = Tally(known, tally.solved + (not bad), tally.failed + bad, tally.wanted)
            observer(tally)

        meter = Meter(Budget(solves=max(1, len(missing))))
        Dispatcher(store, Ledger(store, "campaign", meter, writes=False), executor).run(
            missing, lambda outcome: kept(outcome.error)
        )
        return tally

    def errors(self, store: Store) -> dict[str, int]:
        """Messages of the failures and how often each came."""
        found: dict[str, int] = {}
        for ask in self.asks:
            stored = store.evaluation(self.key(ask))
            if stored is not None and stored.error is not None:
                found[stored.error] = found.get(stored.error, 0) + 1
        return found

    def labels(self, store: Store, name: str, notes: Mapping[str, object]) -> LabelSet:
        """All that the store has of these designs, at every level, whoever asked."""
        levels = {}
        for number, fidelity in enumerate(self.simulator.fidelities):
            found = [
                (row, replicate, stored.cpu_seconds, stored.response)
                for row in range(len(self.designs))
                for replicate, stored in self._replicates(store, row, number)
                if stored.response is not None
            ]
            if found:
                rows, replicates, seconds, responses = zip(*found, strict=True)
                stacked = {q.name: np.stack([response[q.name] for response in responses]) for q in fidelity.response}
                levels[fidelity.name] = LevelLabels(
                    tuple(fidelity.response), np.array(rows), np.array(replicates), np.array(seconds), stacked
                )
        return LabelSet(name, self.designs, levels, notes)

    def _replicates(self, store: Store, row: int, level: int) -> Iterator[tuple[int, StoredEvaluation]]:
        """Replicates of a design from 0 on, up to the first that was never asked."""
        for replicate in itertools.count():
            stored = store.evaluation(self.key(Ask(row, level, replicate)))
            if stored is None:
                return
            yield replicate, stored


def asks(problem: Problem, levels: Sequence[int], designs: int, replicates: int, replicated: int) -> tuple[Ask, ...]:
    """Every design at every level, cheap ones first, then further replicates of the first designs.

    Args:
        problem: whose simulator's levels are meant.
        levels: numbers of the levels.
        designs: how many.
        replicates: of each of the first `replicated` designs, at levels that are stochastic; elsewhere one.
        replicated: how many designs have more than one.
    """
    wanted = [Ask(row, level, 0) for level in sorted(levels) for row in range(designs)]
    for level in sorted(levels):
        if problem.simulator.fidelities[level].stochastic:
            wanted += [
                Ask(row, level, k) for row in range(min(replicated, designs)) for k in range(1, max(1, replicates))
            ]
    return tuple(wanted)


def drawn_designs(problem: Problem, n: int, seed: int) -> NDArray[np.float64]:
    """Up to `n` different designs that would be made, `(n, *design_shape)`, at random.

    The first designs are the same whatever `n` is, so that a campaign can be made longer. Fewer than `n` where the
    space has no more: of discrete spaces of up to `LISTED` codes all are found, of others those that drawing gives.
    """
    rng = np.random.default_rng(seed)
    found: dict[bytes, Array] = {}
    tries = 0
    while len(found) < n and tries < ATTEMPTS:
        design = np.asarray(problem.space.binarize(random_theta(problem, rng)), dtype=np.float32)
        key = design.tobytes()
        tries = tries + 1 if key in found else 0
        found.setdefault(key, design)
    if len(found) < n and isinstance(problem.space, DiscreteSpace):
        every = problem.space.everything(LISTED)
        for codes in () if every is None else every:
            design = np.asarray(problem.space.binarize(problem.space.theta(codes)), dtype=np.float32)
            if len(found) < n:
                found.setdefault(design.tobytes(), design)
    return np.stack(list(found.values())).astype(np.float64)


def level_called(problem: Problem, name: str) -> int:
    """The level of a name, or of a beginning that only one name has.

    Raises:
        ValueError: for a name that is none, or several.
    """
    names = [fidelity.name for fidelity in problem.simulator.fidelities]
    if name in names:
        return names.index(name)
    begun = [number for number, known in enumerate(names) if known.startswith(name)]
    if len(begun) != 1:
        raise ValueError(f"Expected a level among {', '.join(names)}, or the beginning of one. Got {name!r}.")
    return begun[0]
