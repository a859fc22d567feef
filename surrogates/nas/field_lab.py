"""A lab that trains networks of whole fields, for the same methods that search networks of responses."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise

import numpy as np
import torch

from surrogates.architecture import Architecture
from surrogates.data import DataError
from surrogates.fields.data import FieldData
from surrogates.fields.ensemble import FieldEnsemble
from surrogates.fields.models import GridField
from surrogates.fields.residuals import Residual
from surrogates.fields.training import FieldTraining, Units
from surrogates.nas.cache import Entry, TrialCache
from surrogates.nas.field_learner import LEARNER_VERSION, FieldLearner
from surrogates.nas.lab import BudgetSpent, Rung, Shapes, Trial, chain, unpaid
from surrogates.nas.space import ArchitectureSpace
from surrogates.runtime import pick_device, torch_threads
from surrogates.training import TrainingDiverged

# Genes that a network of fields does not have.
_UNUSED = ("resolution", "head", "coordinates")


@dataclass(frozen=True, eq=False)
class FieldTask:
    """What networks of fields are searched for: data and how they are trained and judged.

    An architecture becomes ``GridField(architecture, conditioning)``. Its ``gradient_weight``, the gene of the loss's
    second term, weighs the equation's residual here; None for the configuration's ``residual_weight``.

    Args:
        train: samples to learn from.
        held_out: samples of other groups, to judge by.
        config: training; its epochs are the rungs'.
        rungs: ascending in epochs where the samples are the same; epochs and share alone mean something to a field.
        conditioning: ``film`` or ``attention``.
        residual: of the equation, ``helmholtz(...)`` say, for weights above 0.
        residual_identity: stable, of everything that changes the residual: trials are stored under it.
        unsolved: designs and conditions without a solution, for the residual alone; none of the held-out groups'.

    Raises:
        ValueError: for rungs that do not ascend, or that ask for a level or a resolution; for a residual without its
            identity, or a weight without its residual.
        DataError: for shapes that do not agree, or held-out groups that are trained on.
    """

    train: FieldData
    held_out: FieldData
    config: FieldTraining
    rungs: tuple[Rung, ...]
    conditioning: str = "film"
    residual: Residual | None = None
    residual_identity: str = ""
    unsolved: FieldData | None = None

    def __post_init__(self) -> None:
        if not self.rungs:
            raise ValueError("Expected one rung at least. Got none.")
        for rung in self.rungs:
            if rung.level is not None or rung.resolution is not None:
                raise ValueError(f"Expected rungs of epochs and share: fields are of one level and grid. Got {rung}.")
        for below, rung in pairwise(self.rungs):
            if below.share == rung.share and not rung.continues(below):
                raise ValueError(f"Expected more epochs than the rung below, {below.key}. Got {rung.key}; order them.")
        if (self.residual is None) != (not self.residual_identity):
            raise ValueError(
                "Expected a residual and a residual_identity, under which trials are stored, or neither. Got "
                f"{self.residual} and {self.residual_identity!r}; name the equation."
            )
        self._check_weight(self.config.residual_weight)
        self._check_data()

    def _check_weight(self, weight: float) -> None:
        if weight and self.residual is None:
            raise ValueError(f"Expected a residual to give a weight of {weight} to. Got none; hand one in.")

    def _check_data(self) -> None:
        def shapes(data: FieldData) -> tuple[object, ...]:
            return data.design_shape, data.field_shape, data.n_conditions

        others = [("held_out", self.held_out)] + ([] if self.unsolved is None else [("unsolved", self.unsolved)])
        for name, data in others:
            if shapes(data) != shapes(self.train):
                raise DataError(f"Expected {name} of the shapes {shapes(self.train)}. Got {shapes(data)}.")
        shared = np.intersect1d(self.train.groups, self.held_out.groups)
        if len(shared):
            raise DataError(f"Expected held-out groups that are not trained on. Got {shared.tolist()}; split by group.")

    @cached_property
    def units(self) -> Units:
        """Of the training fields and conditions."""
        return Units.fit(self.train)

    def samples(self, rung: Rung) -> FieldData:
        """What a rung trains on; a share is the first of an order that is the same for all."""
        if rung.share == 1:
            return self.train
        order = np.random.default_rng(0).permutation(len(self.train))
        return self.train.take(np.sort(order[: max(2, round(rung.share * len(self.train)))]))

    def training(self, architecture: Architecture) -> FieldTraining:
        """How a network is trained to the last rung: the configuration, with its epochs and the network's weight.

        Raises:
            ValueError: for a weight without a residual.
        """
        weight = architecture.gradient_weight
        weight = self.config.residual_weight if weight is None else weight
        self._check_weight(weight)
        return replace(self.config, epochs=self.rungs[-1].epochs, residual_weight=weight)

    def ensemble(self, architecture: Architecture, members: int = 2) -> FieldEnsemble:
        """An unfitted ensemble of a network found; fit it with this task's residual where that has a weight."""
        return FieldEnsemble(GridField(architecture, self.conditioning), members, self.training(architecture))

    def learner(
        self, architecture: Architecture, rung: int, seed: int, checkpoint: bytes | None = None
    ) -> FieldLearner:
        """At a checkpoint, or before its first epoch.

        Raises:
            ValueError: for a weight without a residual.
        """
        model = GridField(architecture, self.conditioning)
        samples, total = self.samples(self.rungs[rung]), self.rungs[chain(self.rungs, rung)[-1]].epochs
        config = self.training(architecture)
        learner = FieldLearner(model, config, self.units, samples, total, seed, self.residual, self.unsolved)
        if checkpoint is not None:
            learner.resume(checkpoint)
        return learner

    @cached_property
    def _data_keys(self) -> list[str]:
        return [self.train.key, self.held_out.key]

    def key(self, architecture: Architecture, rung: int, seed: int) -> str:
        """SHA-256 of all that decides a trial's outcome."""
        ladder, config = chain(self.rungs, rung), self.training(architecture)
        unsolved = self.unsolved.key if self.unsolved is not None and config.residual_weight else ""
        inputs = {
            "architecture": {k: v for k, v in architecture.to_json().items() if k not in (*_UNUSED, "gradient_weight")},
            "conditioning": self.conditioning,
            "config": {k: v for k, v in config.to_json().items() if k not in ("epochs", "device")},
            "made_by": [LEARNER_VERSION, torch.__version__, str(pick_device(config.device))],
            "data": self._data_keys,
            "equation": [self.residual_identity, unsolved],
            "rungs": [self.rungs[k].key for k in ladder if k <= rung],
            "total": self.rungs[ladder[-1]].epochs,
            "seed": seed,
        }
        return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


@dataclass(eq=False)
class FieldLab:
    """A ``Lab`` of fields: trains what is asked, or finds it in a cache that searches share; charges both alike.

    A trial's error is the relative error of the field on the held-out groups. Its measures are ``relative_error``,
    ``parameters``, ``latency_ms``, and ``residual`` where the task has an equation. A network of the stem ``pixels``
    has no field: its error is infinite, and nothing is charged for it. Of one training the cache keeps the highest
    checkpoint alone.

    Args:
        space: where a method may look; a choice of ``gradient_weights`` is one of weights of the residual.
        task: what is learned.
        budget_cpu_seconds: of the search; a training that has begun is not cut off.
        cache: of finished trials and checkpoints.

    Raises:
        ValueError: for a space without the stem ``grid``, with a choice of what a network of fields does not have, or
            with weights of a residual that the task lacks.
    """

    space: ArchitectureSpace
    task: FieldTask
    budget_cpu_seconds: float = float("inf")
    cache: TrialCache = field(default_factory=TrialCache)
    trials: list[Trial] = field(default_factory=list)
    spent: float = 0.0

    def __post_init__(self) -> None:
        if "grid" not in self.space.stems:
            raise ValueError(f"Expected a space with the stem 'grid'. Got {self.space.stems}; fields are on grids.")
        for name in _UNUSED:
            if len(self.space.genes[name]) > 1:
                raise ValueError(
                    f"Expected one value of {name}, which a network of fields does not have. Got "
                    f"{self.space.genes[name]}; the same networks would be trained again."
                )
        for weight in self.space.gradient_weights:
            self.task.training(Architecture(gradient_weight=weight))
        self._asked: dict[tuple[Architecture, int, int], Trial] = {}

    @property
    def rungs(self) -> Sequence[Rung]:
        """Of the task."""
        return self.task.rungs

    @property
    def shapes(self) -> Shapes:
        """The field's grid, which all blocks work on, and a pixel's two numbers: what networks' sizes are ranked by."""
        return Shapes(self.task.train.field_shape, 2)

    @property
    def seeds(self) -> None:
        """As many as wanted."""
        return None

    def charge(self, cpu_seconds: float) -> None:
        """Adds what a method itself did; ``BudgetSpent`` if there was nothing left."""
        if self.spent >= self.budget_cpu_seconds:
            raise BudgetSpent(f"The budget of {self.budget_cpu_seconds:g} CPU s is spent.")
        self.spent += cpu_seconds

    def at_rate(self, learning_rate: float) -> FieldLab:
        """A lab of its own, without a budget, that trains with another learning rate; the cache is shared."""
        task = replace(self.task, config=replace(self.task.config, learning_rate=learning_rate))
        return FieldLab(self.space, task, cache=self.cache)

    def ask(self, architecture: Architecture, rung: int = -1, seed: int = 0) -> Trial:
        """The trial of a network at a rung; training goes on from the highest rung below that was asked.

        A rung below one that was asked of the same training is paid, and costs nothing.

        Raises:
            BudgetSpent: if the budget was spent before.
            ValueError: for a weight without a residual.
        """
        number = range(len(self.rungs))[rung]
        known = self._asked.get((architecture, number, seed))
        if known is not None:
            return known
        self.charge(0.0)
        if architecture.stem == "grid":
            owed = unpaid(self.rungs, number, lambda k: (architecture, k, seed) in self._asked)
            entries = self._entries(architecture, number, seed)
            charged, entry = sum((entries[k].cpu_seconds for k in owed), 0.0), entries[number]
        else:
            entry, charged = Entry(float("inf"), {}, np.zeros(0), 0.0), 0.0
        self.spent += charged
        trial = Trial(architecture, number, seed, entry.error, entry.measures, entry.curve, charged, self.spent)
        self._asked[architecture, number, seed] = trial
        self.record(trial)
        return trial

    def record(self, trial: Trial) -> None:
        """Enters a trial in the search's record."""
        self.trials.append(trial)

    def _entries(self, architecture: Architecture, rung: int, seed: int) -> dict[int, Entry]:
        """Entries of the rungs of this training up to this one, trained where the cache lacks them."""
        keys = {k: self.task.key(architecture, k, seed) for k in chain(self.rungs, rung) if k <= rung}
        found = {k: entry for k in keys if (entry := self.cache.entry(keys[k])) is not None}
        missing = [k for k in keys if k not in found]
        if not missing:
            return found
        start, checkpoint = missing[0], None
        while start > min(keys) and checkpoint is None:
            checkpoint = self.cache.checkpoint(keys[start - 1])
            start -= checkpoint is None
        # One thread, judging included: the same error whatever the process has.
        with torch_threads(1):
            learner = self.task.learner(architecture, rung, seed, checkpoint)
            for k in range(start, missing[-1] + 1):
                climbed = _climb(learner, self.task.held_out, self.rungs[k].epochs)
                goes_on = np.isfinite(climbed.error)
                # What is found stays, though training come through it once more.
                self.cache.keep(keys[k], found.setdefault(k, climbed), learner.checkpoint() if goes_on else None)
                if goes_on and k - 1 in keys:
                    self.cache.forget_checkpoint(keys[k - 1])
        return found


def _climb(learner: FieldLearner, held_out: FieldData, epochs: int) -> Entry:
    """Trains up to so many epochs."""
    started = time.process_time()
    try:
        while learner.epoch < epochs:
            learner.advance(held_out)
        measures = learner.measure(held_out)
        error = measures["relative_error"]
    except TrainingDiverged:
        measures, error = {}, float("inf")
    measures |= {"parameters": float(learner.n_parameters), "latency_ms": learner.latency_ms()}
    return Entry(error, measures, np.array(learner.curve), time.process_time() - started)
