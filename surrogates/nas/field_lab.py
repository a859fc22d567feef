"""A lab that trains networks of whole fields, for the same methods that search networks of responses."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch

from surrogates.architecture import Architecture
from surrogates.data import DataError
from surrogates.fields.data import FieldData
from surrogates.fields.ensemble import FieldEnsemble
from surrogates.fields.models import GridField
from surrogates.fields.residuals import Residual
from surrogates.fields.training import FieldTraining, Units
from surrogates.nas.cache import Entry
from surrogates.nas.field_learner import LEARNER_VERSION, FieldLearner
from surrogates.nas.lab import Rung, Shapes, chain, check_ascending
from surrogates.nas.training_lab import TrainingLab
from surrogates.runtime import pick_device
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
        for rung in self.rungs:
            if rung.level is not None or rung.resolution is not None:
                raise ValueError(f"Expected rungs of epochs and share: fields are of one level and grid. Got {rung}.")
        check_ascending(self.rungs)
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
        return self.train if rung.share == 1 else self.train.take(rung.rows(len(self.train)))

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
class FieldLab(TrainingLab[FieldTask, FieldLearner]):
    """A lab of fields, see ``TrainingLab``; a choice of ``gradient_weights`` is one of weights of the residual.

    A trial's error is the relative error of the field on the held-out groups. Its measures are ``relative_error``,
    ``parameters``, ``latency_ms``, and ``residual`` where the task has an equation. A network of the stem ``pixels``
    has no field: its error is infinite, and nothing is charged for it.

    Raises:
        ValueError: for a space without the stem ``grid``, with a choice of what a network of fields does not have, or
            with weights of a residual that the task lacks.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
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

    @property
    def shapes(self) -> Shapes:
        """The field's grid, which all blocks work on, and a pixel's two numbers: what networks' sizes are ranked by."""
        return Shapes(self.task.train.field_shape, 2)

    def at_rate(self, learning_rate: float) -> FieldLab:
        """A lab of its own, without a budget, that trains with another learning rate; the cache is shared."""
        task = replace(self.task, config=replace(self.task.config, learning_rate=learning_rate))
        return FieldLab(self.space, task, cache=self.cache)

    def _entry(self, architecture: Architecture, rung: int, seed: int, owed: range) -> Entry:
        if architecture.stem != "grid":
            return Entry(float("inf"), {}, np.zeros(0), 0.0)
        return super()._entry(architecture, rung, seed, owed)

    def _learner(self, architecture: Architecture, rung: int, seed: int, checkpoint: bytes | None) -> FieldLearner:
        return self.task.learner(architecture, rung, seed, checkpoint)

    def _climb(self, learner: FieldLearner, rung: int) -> Entry:
        started = time.process_time()
        try:
            while learner.epoch < self.rungs[rung].epochs:
                learner.advance(self.task.held_out)
            measures = learner.measure(self.task.held_out)
            error = measures["relative_error"]
        except TrainingDiverged:
            measures, error = {}, float("inf")
        measures |= {"parameters": float(learner.n_parameters), "latency_ms": learner.latency_ms()}
        return Entry(error, measures, np.array(learner.curve), time.process_time() - started)
