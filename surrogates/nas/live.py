"""A lab that trains."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from surrogates.architecture import Architecture
from surrogates.data import DataError, Dataset, LevelData
from surrogates.encoding import ResponseCodec
from surrogates.nas.cache import Entry, TrialCache
from surrogates.nas.cost import latency_ms
from surrogates.nas.lab import BudgetSpent, Rung, Shapes, Trial
from surrogates.nas.learner import Learner, monitored
from surrogates.nas.space import ArchitectureSpace
from surrogates.runtime import torch_threads
from surrogates.training import TrainingConfig, TrainingDiverged


@dataclass(frozen=True, eq=False)
class Task:
    """What networks are searched for: data and how they are trained and judged.

    Args:
        train: samples to learn from, of one level or several.
        held_out: samples of the reference to judge by.
        config: training; ``monitor`` says what is minimised; its epochs are the rungs'.
        rungs: ascending: after one of the same samples and resolution, one of more epochs.

    Raises:
        ValueError: for rungs that do not ascend.
        DataError: for a rung on a level without samples.
    """

    train: Dataset
    held_out: LevelData
    config: TrainingConfig
    rungs: tuple[Rung, ...]

    def __post_init__(self) -> None:
        if not self.rungs:
            raise ValueError("Expected one rung at least. Got none.")
        for below, rung in pairwise(self.rungs):
            if replace(below, epochs=1) == replace(rung, epochs=1) and not rung.continues(below):
                raise ValueError(f"Expected more epochs than the rung below, {below.key}. Got {rung.key}; order them.")
        for rung in self.rungs:
            if rung.level is not None and rung.level not in self.train.levels:
                raise DataError(f"Expected rungs on levels {sorted(self.train.levels)}. Got {rung}.")

    @property
    def codec(self) -> ResponseCodec:
        """Units of the reference's responses."""
        return ResponseCodec.fit(self.train.levels[self.train.reference].responses)

    def samples(self, rung: Rung) -> LevelData:
        """What a rung trains on; a share is the first of an order that is the same for all."""
        level = self.train.reference if rung.level is None else rung.level
        samples = self.train.levels[level]
        if rung.share == 1:
            return samples
        order = np.random.default_rng(0).permutation(len(samples))
        return samples.take(np.sort(order[: max(2, round(rung.share * len(samples)))]))

    def total_epochs(self, rung: int) -> int:
        """Epochs of the last rung that training at this one can be promoted to."""
        last = rung
        while last + 1 < len(self.rungs) and self.rungs[last + 1].continues(self.rungs[last]):
            last += 1
        return self.rungs[last].epochs

    def first(self, rung: int) -> int:
        """The rung at which the training that leads to this one begins."""
        while rung > 0 and self.rungs[rung].continues(self.rungs[rung - 1]):
            rung -= 1
        return rung

    def key(self, architecture: Architecture, rung: int, seed: int) -> str:
        """SHA-256 of all that decides a trial's outcome."""
        chain = [self.rungs[k].key for k in range(self.first(rung), rung + 1)]
        inputs = {
            "architecture": architecture.to_json(),
            "config": {k: v for k, v in self.config.to_json().items() if k not in _UNUSED},
            "made_by": self.config.made_by(),
            "data": [self.train.key, self.held_out.key],
            "rungs": chain,
            "total": self.total_epochs(rung),
            "seed": seed,
        }
        return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


_UNUSED = ("epochs", "pretraining_epochs", "transfer_rate", "patience", "device")


@dataclass(eq=False)
class LiveLab:
    """Trains what is asked, or finds it in a cache that searches share; charges both alike.

    Args:
        space: where a method may look.
        task: what is learned.
        budget_cpu_seconds: of the search.
        cache: of finished trials and checkpoints.
        watch: called with every trial that is entered in the record, in order.
    """

    space: ArchitectureSpace
    task: Task
    budget_cpu_seconds: float = float("inf")
    cache: TrialCache = field(default_factory=TrialCache)
    trials: list[Trial] = field(default_factory=list)
    spent: float = 0.0
    watch: Callable[[Trial], None] | None = None

    def __post_init__(self) -> None:
        self._asked: dict[tuple[Architecture, int, int], Trial] = {}

    @property
    def rungs(self) -> Sequence[Rung]:
        """Of the task."""
        return self.task.rungs

    @property
    def shapes(self) -> Shapes:
        """Of the task."""
        return Shapes(tuple(self.task.train.design_shape), self.task.codec.n_outputs)

    @property
    def seeds(self) -> None:
        """As many as wanted."""
        return None

    def charge(self, cpu_seconds: float) -> None:
        """Adds what a method itself did; ``BudgetSpent`` if there was nothing left."""
        if self.spent >= self.budget_cpu_seconds:
            raise BudgetSpent(f"The budget of {self.budget_cpu_seconds:g} CPU s is spent.")
        self.spent += cpu_seconds

    def at_rate(self, learning_rate: float) -> LiveLab:
        """A lab of its own, without a budget, that trains with another learning rate; the cache is shared."""
        task = replace(self.task, config=replace(self.task.config, learning_rate=learning_rate))
        return LiveLab(self.space, task, cache=self.cache)

    def ask(self, architecture: Architecture, rung: int = -1, seed: int = 0) -> Trial:
        """The trial of a network at a rung; training goes on from the highest rung below that was asked.

        Raises:
            BudgetSpent: if the budget was spent before.
        """
        number = range(len(self.rungs))[rung]
        known = self._asked.get((architecture, number, seed))
        if known is not None:
            return known
        if self.spent >= self.budget_cpu_seconds:
            raise BudgetSpent(f"The budget of {self.budget_cpu_seconds:g} CPU s is spent.")
        chain = range(self.task.first(number), number + 1)
        paid = max((k for k in chain if (architecture, k, seed) in self._asked), default=None)
        entries = self._entries(architecture, number, seed)
        charged = sum(entries[k].cpu_seconds for k in chain if paid is None or k > paid)
        self.spent += charged
        entry = entries[number]
        trial = Trial(architecture, number, seed, entry.error, entry.measures, entry.curve, charged, self.spent)
        self._asked[architecture, number, seed] = trial
        self.record(trial)
        return trial

    def record(self, trial: Trial) -> None:
        """Enters a trial in the search's record, and shows it to who watches."""
        self.trials.append(trial)
        if self.watch is not None:
            self.watch(trial)

    def _entries(self, architecture: Architecture, rung: int, seed: int) -> dict[int, Entry]:
        """Entries of the rungs from the first of the chain up to this one, trained where the cache lacks them."""
        first = self.task.first(rung)
        keys = {k: self.task.key(architecture, k, seed) for k in range(first, rung + 1)}
        found = {k: entry for k in keys if (entry := self.cache.entry(keys[k])) is not None}
        if len(found) < len(keys):
            # One thread, judging included: the same error whatever the process has.
            with torch_threads(1):
                self._train(architecture, rung, seed, keys, found)
        return found

    def _train(
        self, architecture: Architecture, rung: int, seed: int, keys: Mapping[int, str], found: dict[int, Entry]
    ) -> None:
        """Adds the entries that are not found, from the highest checkpoint below the first of them."""
        learner = self._learner(architecture, rung, seed)
        first, start = min(keys), min(keys.keys() - found.keys())
        while start > first:
            checkpoint = self.cache.checkpoint(keys[start - 1])
            if checkpoint is not None:
                learner.resume(checkpoint)
                break
            start -= 1
        for k in range(start, rung + 1):
            found[k] = self._climb(learner, k)
            self.cache.keep(keys[k], found[k], learner.checkpoint() if np.isfinite(found[k].error) else None)

    def _learner(self, architecture: Architecture, rung: int, seed: int) -> Learner:
        """Before its first epoch, of the rung's resolution."""
        given = self.rungs[rung].resolution
        built = architecture if given is None else replace(architecture, resolution=given)
        samples, total = self.task.samples(self.rungs[rung]), self.task.total_epochs(rung)
        return Learner(built, self.task.config, samples, self.task.codec, total, seed)

    def _climb(self, learner: Learner, rung: int) -> Entry:
        started = time.process_time()
        check = learner.prepared(self.task.held_out)
        monitor = self.task.config.monitor
        try:
            while learner.epoch < self.rungs[rung].epochs:
                learner.advance(check, monitor)
            measures = learner.measure(check)
            error = monitored(measures, monitor)
        except TrainingDiverged:
            measures, error = {}, float("inf")
        spent = time.process_time() - started
        shape, n_outputs = self.task.held_out.design_shape, learner.codec.n_outputs
        measures["parameters"] = float(learner.architecture.n_parameters(shape, n_outputs))
        measures["latency_ms"] = latency_ms(learner.architecture, shape, n_outputs, self.task.config.device)
        return Entry(error, measures, np.array(learner.curve), spent)

    def weights(self, architecture: Architecture, seed: int = 0) -> Mapping[str, NDArray[np.float64]]:
        """The averaged weights of a network trained to the last rung, at that rung's resolution; not charged.

        At the lab's own learning rate: for the best network of a search that tunes it see ``Found.learning_rate``.

        Raises:
            KeyError: where its training diverged.
        """
        return self._trained(architecture, seed).weights()

    def judged(self, architecture: Architecture, samples: LevelData, seed: int = 0) -> dict[str, float]:
        """Such a network's figures on other samples, see ``Learner.measure``; not charged.

        Raises:
            KeyError: where its training diverged.
        """
        learner = self._trained(architecture, seed)
        with torch_threads(1):
            return learner.measure(learner.prepared(samples))

    def _trained(self, architecture: Architecture, seed: int) -> Learner:
        rung = len(self.rungs) - 1
        if not np.isfinite(self._entries(architecture, rung, seed)[rung].error):
            raise KeyError(f"Expected a trained network of {architecture.key}. Its training diverged.")
        learner = self._learner(architecture, rung, seed)
        checkpoint = self.cache.checkpoint(self.task.key(architecture, rung, seed))
        if checkpoint is not None:
            learner.resume(checkpoint)
        else:  # was dropped
            self._climb(learner, rung)
        return learner
