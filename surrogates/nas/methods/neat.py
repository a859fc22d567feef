"""NEAT for surrogates: networks of a design averaged over cells, grown node by node, then trained by the lab."""

from __future__ import annotations

import hashlib
import io
import json
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from surrogates.architecture import Architecture, planar
from surrogates.batches import LevelTensors, prepare
from surrogates.data import Dataset, LevelData
from surrogates.nas.cache import Entry
from surrogates.nas.lab import BudgetSpent, Lab
from surrogates.nas.learner import monitored
from surrogates.nas.live import LiveLab
from surrogates.nas.methods.fixed_nets import FixedNets
from surrogates.nas.methods.neat_evolution import Evolved, Growth, evolve_by, improved
from surrogates.nas.methods.neat_genome import Genome, Innovations
from surrogates.networks import SurrogateNetwork
from surrogates.runtime import pick_device, torch_threads
from surrogates.splitting import split
from surrogates.training import batch_loss

MAX_CELLS = 64
CELLS = 16


@dataclass(frozen=True)
class Neat(Growth):
    """Grows networks, then has the lab train the best graphs from scratch, at several learning rates.

    The graph without hidden nodes is trained first: it is what is to be beaten, and its cost is that of a training. Of
    the budget as much is kept for the ``finalists`` as that many trainings of it took: a generation is begun only where
    that and twice the time of the longest one before are left. A budget that the first training spends ends there.

    Args:
        cells: rows and columns that a design is averaged to, at most 64; None for at most 16 in the design's
            proportions, and as many as the cap has room for.
        finalists: graphs that the lab trains in the end.
        learning_rates: tried for each of them, of which the best is recorded, see ``FixedNets``; none for the lab's
            own alone.
    """

    cells: tuple[int, int] | None = None
    finalists: int = 3
    learning_rates: tuple[float, ...] = (4e-3, 1.6e-2, 6.4e-2)
    name: str = "neat"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.finalists < 1 or (self.cells is not None and min(self.cells) < 1):
            raise ValueError(f"Expected a finalist and a cell each way at least. Got {self}.")

    def __call__(self, lab: Lab, rng: np.random.Generator) -> None:
        grown(self, lab, rng)


@dataclass(frozen=True, eq=False)
class Grown:
    """What came out.

    Args:
        evolved: the growth.
        finalists: graphs that the lab was asked for, best of the growth first.
        spent: CPU seconds of the whole search after each generation, one for each of ``evolved.errors``.
    """

    evolved: Evolved
    finalists: tuple[Architecture, ...]
    spent: tuple[float, ...]


def grown(neat: Neat, lab: Lab, rng: np.random.Generator) -> Grown:
    """The search itself, on the task's reference samples; the lab's trials are what it finds.

    A quarter of the training samples judges the genomes. Each generation is charged when it is done, those in the lab's
    cache as when they were trained. The cap of the lab's space holds for every graph; its genes have no part in this.

    Raises:
        TypeError: for a lab that does not train.
        ValueError: for more cells than the design has pixels, or more than 64 in all, or than the cap has room for.
        BudgetSpent: if the budget was spent before the first generation; later it ends the search, see ``Neat``.
    """
    if not isinstance(lab, LiveLab):
        raise TypeError(f"Expected a LiveLab: genomes are trained. Got {type(lab).__name__}; grow on its task.")
    shape, n_outputs = planar(lab.shapes.design_shape), lab.shapes.n_outputs
    cells = _cells(neat, lab, shape, n_outputs)
    before = lab.spent
    minimal = _minimal(cells, n_outputs)
    _train(neat, lab, minimal, rng)
    kept_back = neat.finalists * (lab.spent - before)

    def admits(genome: Genome) -> bool:
        return lab.space.admits(Architecture(graph=genome.graph))

    with torch_threads(1):
        generations = _Generations(neat, lab, cells, kept_back, int(rng.integers(2**31)))
        evolved = evolve_by(neat, cells, n_outputs, partial(generations.judge, rng=rng), rng, admits)
    finalists = tuple(Architecture(graph=genome.graph) for genome, _ in evolved.leaders[: neat.finalists])
    with suppress(BudgetSpent):
        lab.charge(time.process_time() - generations.last)
        for architecture in finalists:
            if architecture != minimal:
                _train(neat, lab, architecture, rng)
    return Grown(evolved, finalists, tuple(generations.spent))


def _train(neat: Neat, lab: Lab, architecture: Architecture, rng: np.random.Generator) -> None:
    FixedNets((architecture,), neat.learning_rates)(lab, rng)


def _minimal(cells: tuple[int, int], n_outputs: int) -> Architecture:
    return Architecture(graph=Genome.minimal(cells, n_outputs, Innovations(), np.random.default_rng(0)).graph)


def _cells(neat: Neat, lab: Lab, shape: tuple[int, int], n_outputs: int) -> tuple[int, int]:
    """Those given, or the most that are to be had.

    Raises:
        ValueError: where they are too many.
    """
    most = (min(shape[0], MAX_CELLS), min(shape[1], MAX_CELLS))
    if neat.cells is not None:
        within = neat.cells[0] <= most[0] and neat.cells[1] <= most[1] and neat.cells[0] * neat.cells[1] <= MAX_CELLS
        if not within:
            raise ValueError(
                f"Expected cells within {shape}, {MAX_CELLS} at most in all. Got {neat.cells}; average over "
                "larger ones."
            )
        wanted = [neat.cells]
    else:
        pooled = [Architecture(resolution=n).pooled_shape(shape) for n in range(max(shape), 0, -1)]
        wanted = [cells for cells in pooled if cells[0] * cells[1] <= CELLS]
    for cells in wanted:
        if lab.space.admits(_minimal(cells, n_outputs)):
            return cells
    raise ValueError(
        f"Expected room for a graph of {wanted[-1]} cells without hidden nodes within the cap. Got {lab.space.cap}; "
        "raise it, or give fewer cells."
    )


class _Generations:
    """Trains and judges generations, or finds them in the lab's cache; charges both alike.

    Args:
        kept_back: CPU seconds of the lab's that are to be left.
    """

    def __init__(self, neat: Neat, lab: LiveLab, cells: tuple[int, int], kept_back: float, seed: int) -> None:
        self.neat, self.lab, self.cells, self.kept_back = neat, lab, cells, kept_back
        self.last = time.process_time()
        self.longest = 0.0
        self.spent: list[float] = []
        task, level = lab.task, lab.task.train.reference
        self.shape, self.n_outputs = planar(task.train.design_shape), task.codec.n_outputs
        self.device = pick_device("cpu")
        parts = split(Dataset({level: task.train.levels[level]}), 0.25, seed)
        self.train_on, self.judge_by = (self.prepared(part.levels[level]) for part in parts)
        self.inputs = {
            "kind": "neat graphs",
            "steps": neat.steps,
            "learning_rate": neat.learning_rate,
            "cells": cells,
            "gradient_weight": task.config.gradient_weight,
            "monitor": task.config.monitor,
            "made_by": {**task.config.made_by(), "device": str(self.device)},
            "data": task.train.key,
            "split": seed,
        }

    def prepared(self, data: LevelData) -> LevelTensors:
        """Samples averaged over the cells."""
        probe = Genome.minimal(self.cells, self.n_outputs, Innovations(), np.random.default_rng(0))
        return prepare(probe.network(self.shape), self.lab.task.codec, data, self.device)

    def error(self, data: LevelTensors, network: SurrogateNetwork) -> float:
        """What the task minimises."""
        value, cosine = data.score(network)
        return monitored({"value_error": value, "gradient_cosine": cosine}, self.lab.task.config.monitor)

    def judge(self, genomes: Sequence[Genome], rng: np.random.Generator) -> list[tuple[Genome, float]]:
        """Genomes with weights as trained, and their errors.

        Raises:
            BudgetSpent: where not enough would be left.
        """
        if self.lab.spent + 2 * self.longest + self.kept_back >= self.lab.budget_cpu_seconds:
            raise BudgetSpent(f"The budget of {self.lab.budget_cpu_seconds:g} CPU s has room for no generation more.")
        breeding = time.process_time() - self.last
        seed = int(rng.integers(2**31))
        inputs = {**self.inputs, "genomes": [genome.to_json() for genome in genomes], "seed": seed}
        key = hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()
        cache = self.lab.cache
        entry, content = cache.entry(key), cache.checkpoint(key)
        if entry is None or content is None:
            found, seconds = self._trained(genomes, np.random.default_rng(seed))
            errors = np.array([error for _, error in found])
            cache.keep(key, Entry(float(errors.min()), {}, errors, seconds), _packed([one for one, _ in found]))
        else:
            found, seconds = (
                list(zip(_unpacked(content, genomes), entry.curve.tolist(), strict=True)),
                entry.cpu_seconds,
            )
        self.lab.charge(breeding + seconds)
        self.longest = max(self.longest, breeding + seconds)
        self.spent.append(self.lab.spent)
        self.last = time.process_time()
        return found

    def _trained(self, genomes: Sequence[Genome], rng: np.random.Generator) -> tuple[list[tuple[Genome, float]], float]:
        began = time.process_time()
        everything, weight = np.arange(len(self.train_on.pooled)), self.lab.task.config.gradient_weight
        found = [
            improved(
                genome, self.neat, self.shape,
                lambda network: batch_loss(network, self.train_on, everything, weight, rng),
                lambda network: self.error(self.judge_by, network),
            )
            for genome in genomes
        ]  # fmt: skip
        return found, time.process_time() - began


def _packed(genomes: Sequence[Genome]) -> bytes:
    """Weights of the enabled connections, as npz bytes."""
    weights = [c.weight for genome in genomes for c in genome.connections.values() if c.enabled]
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, epoch=np.array(0), weights=np.array(weights, dtype=np.float64))
    return buffer.getvalue()


def _unpacked(content: bytes, genomes: Sequence[Genome]) -> list[Genome]:
    """The genomes with the weights of ``_packed``."""
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        weights: NDArray[np.float64] = archive["weights"]
    found, start = [], 0
    for genome in genomes:
        enabled = [number for number, connection in genome.connections.items() if connection.enabled]
        found.append(genome.with_weights(dict(zip(enabled, weights[start:], strict=False))))
        start += len(enabled)
    return found
