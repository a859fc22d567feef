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
from surrogates.evaluation import PullBack
from surrogates.nas.cache import Entry, TrialCache
from surrogates.nas.cost import latency_ms
from surrogates.nas.lab import BudgetSpent, Rung, Shapes, Trial, unpaid
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
        latent: from the density to the latent variables, where gradients are then judged; None for the density.

    Raises:
        ValueError: for rungs that do not ascend.
        DataError: for a rung on a level without samples.
    """

    train: Dataset
    held_out: LevelData
    config: TrainingConfig
    rungs: tuple[Rung, ...]
    latent: PullBack | None = None

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
        if self.latent is not None:
            inputs["latent"] = self.latent.identity
        return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


_UNUSED = ("epochs", "pretraining_epochs", "transfer_rate", "patience", "device")


@dataclass(eq=False)
class LiveLab:
    """Trains what is asked, or finds it in a cache that searches share; charges both alike.

    Of one training the cache keeps the highest checkpoint alone.

    Args:
        space: where a method may look.
        task: what is learned.
        budget_cpu_seconds: of the search; a training that has begun is not cut off.
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

        A rung below one that was asked of the same training is paid, and costs nothing.

        Raises:
            BudgetSpent: if the budget was spent before.
        """
        number = range(len(self.rungs))[rung]
        known = self._asked.get((architecture, number, seed))
        if known is not None:
            return known
        if self.spent >= self.budget_cpu_seconds:
            raise BudgetSpent(f"The budget of {self.budget_cpu_seconds:g} CPU s is spent.")
        owed = unpaid(self.rungs, number, lambda k: (architecture, k, seed) in self._asked)
        entries = self._entries(architecture, number, seed)
        charged = sum((entries[k].cpu_seconds for k in owed), 0.0)
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
        keys = self._keys(architecture, rung, seed)
        found = self._found(keys)
        while len(found) < len(keys):
            start, checkpoint = self._kept(keys, min(keys.keys() - found.keys()))
            # Another process that went on from a checkpoint has dropped it, its entry being there by then.
            again = self._found(keys)
            if again.keys() == found.keys():
                # One thread, judging included: the same error whatever the process has.
                with torch_threads(1):
                    learner = self._learner(architecture, rung, seed, checkpoint)
                    self._train(learner, keys, found, start)
                break
            found = again
        return found

    def _train(self, learner: Learner, keys: Mapping[int, str], found: dict[int, Entry], start: int) -> None:
        """Adds the entries that are not found; those that are stay, though training come through them once more."""
        for k in range(start, max(keys.keys() - found.keys()) + 1):
            climbed = self._climb(learner, k)
            entry = found.setdefault(k, climbed)
            goes_on = np.isfinite(climbed.error)
            self.cache.keep(keys[k], entry, learner.checkpoint() if goes_on else None)
            if goes_on:
                for below in range(min(keys), k):
                    self.cache.forget_checkpoint(keys[below])

    def _keys(self, architecture: Architecture, rung: int, seed: int) -> dict[int, str]:
        """Of the rungs from the first of the chain up to this one."""
        return {k: self.task.key(architecture, k, seed) for k in range(self.task.first(rung), rung + 1)}

    def _found(self, keys: Mapping[int, str]) -> dict[int, Entry]:
        return {k: entry for k in keys if (entry := self.cache.entry(keys[k])) is not None}

    def _kept(self, keys: Mapping[int, str], end: int) -> tuple[int, bytes | None]:
        """The rung to train first, and the checkpoint to do so from: the highest below ``end``."""
        for k in range(end - 1, min(keys) - 1, -1):
            checkpoint = self.cache.checkpoint(keys[k])
            if checkpoint is not None:
                return k + 1, checkpoint
        return min(keys), None

    def _learner(self, architecture: Architecture, rung: int, seed: int, checkpoint: bytes | None) -> Learner:
        """Of the rung's resolution; at a checkpoint, or before its first epoch."""
        given = self.rungs[rung].resolution
        built = architecture if given is None else replace(architecture, resolution=given)
        samples, total = self.task.samples(self.rungs[rung]), self.task.total_epochs(rung)
        learner = Learner(built, self.task.config, samples, self.task.codec, total, seed, latent=self.task.latent)
        if checkpoint is not None:
            learner.resume(checkpoint)
        return learner

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
        shape, n_outputs = self.task.held_out.design_shape, learner.codec.n_outputs
        measures["parameters"] = float(learner.architecture.n_parameters(shape, n_outputs))
        measures["latency_ms"] = latency_ms(learner.architecture, shape, n_outputs, self.task.config.device)
        return Entry(error, measures, np.array(learner.curve), time.process_time() - started)

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
        start, checkpoint = self._kept(self._keys(architecture, rung, seed), rung + 1)
        with torch_threads(1):
            learner = self._learner(architecture, rung, seed, checkpoint)
            if start <= rung:  # its own was dropped
                self._climb(learner, rung)
        return learner
