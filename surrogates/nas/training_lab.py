"""Labs that train: what the cache lacks is trained, from the highest checkpoint that it has."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Generic, Protocol, TypeVar

import numpy as np

from surrogates.architecture import Architecture
from surrogates.nas.cache import Entry, TrialCache
from surrogates.nas.lab import Rung, Trial, chain
from surrogates.nas.ledger import Ledger
from surrogates.nas.space import ArchitectureSpace
from surrogates.runtime import torch_threads


class Trainable(Protocol):
    """What is learned, at several rungs."""

    @property
    def rungs(self) -> tuple[Rung, ...]: ...
    def key(self, architecture: Architecture, rung: int, seed: int) -> str: ...


class Checkpointed(Protocol):
    """A network in training that can be put down."""

    def checkpoint(self) -> bytes: ...


Learned = TypeVar("Learned", bound=Trainable)
Pupil = TypeVar("Pupil", bound=Checkpointed)


@dataclass(eq=False)
class TrainingLab(Ledger, Generic[Learned, Pupil]):
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
    task: Learned
    budget_cpu_seconds: float = float("inf")
    cache: TrialCache = field(default_factory=TrialCache)
    trials: list[Trial] = field(default_factory=list)
    spent: float = 0.0
    watch: Callable[[Trial], None] | None = None

    @property
    def rungs(self) -> tuple[Rung, ...]:
        """Of the task."""
        return self.task.rungs

    @property
    def seeds(self) -> None:
        """As many as wanted."""
        return None

    @abstractmethod
    def _learner(self, architecture: Architecture, rung: int, seed: int, checkpoint: bytes | None) -> Pupil:
        """At a checkpoint, or before its first epoch."""

    @abstractmethod
    def _climb(self, learner: Pupil, rung: int) -> Entry:
        """Trains up to a rung, and judges."""

    def _entry(self, architecture: Architecture, rung: int, seed: int, owed: range) -> Entry:
        entries = self._entries(architecture, rung, seed)
        return replace(entries[rung], cpu_seconds=sum((entries[k].cpu_seconds for k in owed), 0.0))

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
                    self._train(self._learner(architecture, rung, seed, checkpoint), keys, found, start)
                break
            found = again
        return found

    def _train(self, learner: Pupil, keys: Mapping[int, str], found: dict[int, Entry], start: int) -> None:
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
        return {k: self.task.key(architecture, k, seed) for k in chain(self.rungs, rung) if k <= rung}

    def _found(self, keys: Mapping[int, str]) -> dict[int, Entry]:
        return {k: entry for k in keys if (entry := self.cache.entry(keys[k])) is not None}

    def _kept(self, keys: Mapping[int, str], end: int) -> tuple[int, bytes | None]:
        """The rung to train first, and the checkpoint to do so from: the highest below ``end``."""
        for k in range(end - 1, min(keys) - 1, -1):
            checkpoint = self.cache.checkpoint(keys[k])
            if checkpoint is not None:
                return k + 1, checkpoint
        return min(keys), None
