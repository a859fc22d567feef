"""Fits of surrogates of a waveguide bend, by name, number of labels and what they learn from; judged, and kept."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.search_problems import PROBLEMS
from benchmarks.surrogate_figures import (
    COARSE,
    COLUMNS,
    FINE,
    HELD_OUT,
    Answers,
    Bench,
    Learned,
    Solved,
    Trivial,
    coarse_solver,
    judge,
)
from surrogates import Architecture, Dataset, DeepEnsemble, Surrogate, TrainingConfig, split
from surrogates.baselines import MeanGradient, NearestNeighbour
from surrogates.families import FAMILIES
from surrogates.fidelity import CoarseInput, CoKriging, Composite, Discrepancy, LevelEmbedding, Solver
from surrogates.files import atomic_path
from surrogates.models import Model, ModelEnsemble
from surrogates.nas.cache import TrialCache
from surrogates.nas.lab import Rung, search_with
from surrogates.nas.live import LiveLab, Task
from surrogates.nas.methods import FixedNets, SuccessiveHalving

FOUND, PROCESS, MEAN, NEAREST, SOLVER = (
    "found", "gaussian process", "mean gradient", "nearest neighbour", "coarse solver",
)  # fmt: skip
COMPOSITE, EMBEDDING, DISCREPANCY, PEDS = "composite", "level embedding", "discrepancy", "PEDS"
BOTH_LEVELS, AROUND_SOLVER = (COMPOSITE, EMBEDDING), (DISCREPANCY, PEDS)
FIGURES_VERSION = 2
"""Raised with every change of what the same fit is given for figures: part of what they are kept under."""


@dataclass(frozen=True)
class Size:
    """How much is done.

    Args:
        labels: of the reference, ascending, multiples of an ascent's steps; the most are what networks are searched on.
        coarse_runs, test_runs: ascents.
        nets: families.
        rates: learning rates tried for each network and number of labels.
        rungs: of tuning and search; their epochs are those at the most labels, at fewer as many steps.
        networks: the search begins with.
        config: of the ensembles, but for the rate; its epochs are those at the most labels, at fewer as many steps.
        solver_share: of these steps that are taken where each asks the coarse solver.
        members: of each ensemble.
        seeds: of every fit; figures are means over them.
    """

    labels: tuple[int, ...] = (50, 100, 400)
    coarse_runs: int = 50
    test_runs: int = 25
    nets: tuple[str, ...] = tuple(FAMILIES)
    rates: tuple[float, ...] = (4e-3, 8e-3)
    rungs: tuple[Rung, ...] = (Rung(2), Rung(6), Rung(18))
    networks: int = 27
    config: TrainingConfig = field(default_factory=lambda: TrainingConfig(epochs=30, pretraining_epochs=10))
    solver_share: float = 1 / 3
    members: int = 2
    seeds: int = 2

    @property
    def most(self) -> int:
        """Labels of the reference."""
        return max(self.labels)


QUICK = Size(
    labels=(50,),
    coarse_runs=10,
    test_runs=6,
    nets=("mlp", "resnet"),
    rungs=(Rung(3), Rung(9)),
    networks=6,
    config=TrainingConfig(epochs=20, pretraining_epochs=5),
    seeds=1,
)


@dataclass(eq=False)
class Study:
    """Fits and judges; nothing twice, nor what another run of the same size left in the folder.

    Args:
        bench: data.
        size: how much.
        folder: where trials and figures are kept; None for memory alone.

    Attributes:
        nets: networks by name, ``FOUND`` among them: the other families of several levels are made of that one.
        replayed: figures that were read from the folder.
    """

    bench: Bench
    size: Size
    folder: Path | None = None
    nets: dict[str, Architecture] = field(default_factory=dict)
    replayed: int = 0
    _judged: dict[tuple[object, ...], list[dict[str, float]]] = field(default_factory=dict)
    _tuned: dict[tuple[str, int, bool], tuple[float, float, float]] = field(default_factory=dict)

    def lab(self, labels: int, gradients: bool = True) -> LiveLab:
        """Trains on some runs of so many labels and judges on the others."""
        train, check = split(self.bench.data(labels, gradients=gradients), HELD_OUT, 0)
        rungs = tuple(replace(rung, epochs=self._epochs(rung.epochs, labels)) for rung in self.size.rungs)
        config = replace(self.size.config, epochs=rungs[-1].epochs)
        return LiveLab(PROBLEMS["bend"].space, Task(train, check.levels[FINE], config, rungs), cache=self._trials)

    def search(self) -> tuple[Architecture, float]:
        """The network of one bracket of successive halving on all labels, and its CPU seconds."""
        method = SuccessiveHalving(networks=self.size.networks, brackets=1)
        found = search_with(method, self.lab(self.size.most), 0)
        return found.best, found.spent

    def tuned(self, name: str, labels: int, gradients: bool = True) -> tuple[float, float, float]:
        """Best learning rate of a network, its error on the held-out runs of these labels, CPU seconds to find it."""
        key = (name, labels, gradients)
        if key not in self._tuned:
            method = FixedNets((self.nets[name],), self.size.rates)
            trial = search_with(method, self.lab(labels, gradients), 0).trials[-1]
            self._tuned[key] = trial.measures["learning_rate"], trial.error, trial.cpu_seconds
        return self._tuned[key]

    def config(self, name: str, data: Dataset, gradients: bool) -> TrainingConfig:
        """How a network or a model made of the found one is trained.

        The rate is the one tuned on the reference labels alone. A step on both levels costs two, so it is half of them.
        """
        labels = len(data.levels[FINE])
        rate = self.tuned(name if name in self.nets else FOUND, labels, gradients)[0]
        epochs = self._epochs(self.size.config.epochs, labels)
        if name in BOTH_LEVELS:
            epochs = self._epochs(self.size.config.epochs / 2, max(len(part) for part in data.levels.values()))
        elif name == PEDS:
            epochs = self._epochs(self.size.config.epochs * self.size.solver_share, labels)
        return replace(self.size.config, learning_rate=rate, epochs=epochs)

    def figures(self, name: str, labels: int, coarse: bool = False, gradients: bool = True) -> dict[str, float]:
        """Means over the seeds."""
        judged = self._seeds(name, labels, coarse, gradients)
        return {key: float(np.mean([one[key] for one in judged])) for key in COLUMNS}

    def reach(self, name: str, labels: int, coarse: bool = False, gradients: bool = True) -> dict[str, float]:
        """Half of the range over the seeds."""
        judged = self._seeds(name, labels, coarse, gradients)
        return {key: float(np.ptp([one[key] for one in judged])) / 2 for key in COLUMNS}

    def _seeds(self, name: str, labels: int, coarse: bool, gradients: bool) -> list[dict[str, float]]:
        key = (name, labels, coarse, gradients)
        if key not in self._judged:
            data = self.bench.data(labels, coarse, gradients)
            config = None
            if name in self.nets or name in (*BOTH_LEVELS, *AROUND_SOLVER):
                config = self.config(name, data, gradients)
            seeds = range(1 if name == SOLVER else self.size.seeds)
            self._judged[key] = [self._one(name, data, config, seed) for seed in seeds]
        return self._judged[key]

    def _one(self, name: str, data: Dataset, config: TrainingConfig | None, seed: int) -> dict[str, float]:
        own = self.nets.get(name, self.nets[FOUND]) if config is not None else None
        inputs = {
            "version": FIGURES_VERSION,
            "surrogate": name,
            "architecture": own.to_json() if own is not None else None,
            "config": config.to_json() if config is not None else None,
            "made_by": self.size.config.made_by(),
            "size": asdict(self.size),
            "device": self.bench.device.identity,
            "data": [data.key, self.bench.test.key],
            "seed": seed,
        }

        def make() -> dict[str, float]:
            return judge(self._fitted(name, data, own, config, seed), self.bench)

        return self._kept(inputs, make)

    def _fitted(
        self, name: str, data: Dataset, own: Architecture | None, config: TrainingConfig | None, seed: int
    ) -> Answers:
        if name == SOLVER:
            return Solved(self.bench.device, COARSE)
        if name in (MEAN, NEAREST):
            return Trivial(MeanGradient if name == MEAN else NearestNeighbour, data, seed)
        surrogate: Surrogate = CoKriging(held_out=HELD_OUT)
        if own is not None and name in self.nets:
            surrogate = DeepEnsemble(own, self.size.members, config, HELD_OUT)
        elif own is not None:
            surrogate = ModelEnsemble(self._model(name, own), self.size.members, config, HELD_OUT)
        surrogate.fit(data, seed=seed)
        return Learned(surrogate)

    def _model(self, name: str, own: Architecture) -> Model:
        if name == COMPOSITE:
            return Composite(own, own)
        if name == EMBEDDING:
            return LevelEmbedding(own)
        if name == DISCREPANCY:
            return Discrepancy(own, self._solver)
        return CoarseInput(own, self._solver, self.bench.device.design_shape)

    def _kept(self, inputs: dict[str, Any], make: Callable[[], dict[str, float]]) -> dict[str, float]:
        """Figures from the folder, else made and written there; what does not read counts as absent."""
        if self.folder is None:
            return make()
        key = hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()
        file = self.folder / "figures" / f"{key}.json"
        known = _read(file)
        if known is not None:
            self.replayed += 1
            return known
        began = time.process_time()
        found = make()
        told = {"figures": found, "cpu_seconds": time.process_time() - began, "of": inputs}
        with atomic_path(file) as partial:
            partial.write_text(json.dumps(told, indent=1))
        return found

    def _epochs(self, epochs: float, samples: int) -> int:
        """As many steps as so many epochs over the most labels."""
        return max(1, round(epochs * self.size.most / samples))

    @cached_property
    def _trials(self) -> TrialCache:
        return TrialCache(self.folder / "trials" if self.folder is not None else None)

    @cached_property
    def _solver(self) -> Solver:
        return coarse_solver(self.bench.device)


def _read(file: Path) -> dict[str, float] | None:
    """Figures that were kept, None where there are none that read."""
    try:
        told = json.loads(file.read_text())["figures"]
        return {name: float(told[name]) for name in COLUMNS}
    except (OSError, ValueError, KeyError, TypeError):
        return None
