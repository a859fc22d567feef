"""A lab that trains."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from surrogates.architecture import Architecture
from surrogates.data import DataError, Dataset, LevelData
from surrogates.encoding import ResponseCodec
from surrogates.evaluation import PullBack
from surrogates.nas.cache import Entry
from surrogates.nas.cost import latency_ms
from surrogates.nas.lab import Rung, Shapes, chain, check_ascending
from surrogates.nas.learner import Learner, monitored
from surrogates.nas.training_lab import TrainingLab
from surrogates.runtime import torch_threads
from surrogates.training import TrainingConfig, TrainingDiverged

# Counted up when a measure comes to mean something else: kept trials are then made anew.
MEASURES_VERSION = 2


@dataclass(frozen=True, eq=False)
class Task:
    """What networks are searched for: data and how they are trained and judged.

    Args:
        train: samples to learn from, of one level or several.
        held_out: samples of the reference to judge by, of other groups than any that is trained on.
        config: training; ``monitor`` says what is minimised; its epochs are the rungs'.
        rungs: ascending: after one of the same samples and resolution, one of more epochs.
        latent: from the density to the latent variables, where gradients are then judged; None for the density.

    Raises:
        ValueError: for rungs that do not ascend.
        DataError: for a rung on a level without samples; for held-out samples of another shape, without a response
            that is learned, or of groups that are trained on.
    """

    train: Dataset
    held_out: LevelData
    config: TrainingConfig
    rungs: tuple[Rung, ...]
    latent: PullBack | None = None

    def __post_init__(self) -> None:
        check_ascending(self.rungs)
        for rung in self.rungs:
            if rung.level is not None and rung.level not in self.train.levels:
                raise DataError(f"Expected rungs on levels {sorted(self.train.levels)}. Got {rung}.")
        learned = {name: value.shape[1:] for name, value in self.train.levels[self.train.reference].responses.items()}
        held = {name: value.shape[1:] for name, value in self.held_out.responses.items()}
        if self.held_out.design_shape != self.train.design_shape or held != learned:
            raise DataError(
                f"Expected held-out designs of shape {self.train.design_shape} with responses {learned}, as in "
                f"training. Got {self.held_out.design_shape} with {held}."
            )
        seen = np.unique(np.concatenate([level.groups for level in self.train.levels.values()]))
        both = np.intersect1d(seen, self.held_out.groups)
        if len(both):
            raise DataError(
                f"Expected held-out groups that are not trained on. Got {len(both)} that are, {both[0]} for one; split "
                "by groups, as surrogates.splitting.split does."
            )

    @property
    def codec(self) -> ResponseCodec:
        """Units of the reference's responses."""
        return ResponseCodec.fit(self.train.levels[self.train.reference].responses)

    def samples(self, rung: Rung) -> LevelData:
        """What a rung trains on; a share is the first of an order that is the same for all."""
        level = self.train.reference if rung.level is None else rung.level
        samples = self.train.levels[level]
        return samples if rung.share == 1 else samples.take(rung.rows(len(samples)))

    def total_epochs(self, rung: int) -> int:
        """Epochs of the last rung that training at this one can be promoted to."""
        return self.rungs[chain(self.rungs, rung)[-1]].epochs

    def first(self, rung: int) -> int:
        """The rung at which the training that leads to this one begins."""
        return chain(self.rungs, rung)[0]

    def key(self, architecture: Architecture, rung: int, seed: int) -> str:
        """SHA-256 of all that decides a trial's outcome."""
        inputs = {
            "architecture": architecture.to_json(),
            "config": {k: v for k, v in self.config.to_json().items() if k not in _UNUSED},
            "made_by": self.config.made_by(),
            "data": [self.train.key, self.held_out.key],
            "rungs": [self.rungs[k].key for k in range(self.first(rung), rung + 1)],
            "total": self.total_epochs(rung),
            "seed": seed,
            "measures": MEASURES_VERSION,
        }
        if self.latent is not None:
            inputs["latent"] = self.latent.identity
        return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


_UNUSED = ("epochs", "pretraining_epochs", "transfer_rate", "patience", "device")


@dataclass(eq=False)
class LiveLab(TrainingLab[Task, Learner]):
    """A lab of responses, see ``TrainingLab``."""

    @property
    def shapes(self) -> Shapes:
        """Of the task."""
        return Shapes(tuple(self.task.train.design_shape), self.task.codec.n_outputs)

    def at_rate(self, learning_rate: float) -> LiveLab:
        """A lab of its own, without a budget, that trains with another learning rate; the cache is shared."""
        task = replace(self.task, config=replace(self.task.config, learning_rate=learning_rate))
        return LiveLab(self.space, task, cache=self.cache)

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
