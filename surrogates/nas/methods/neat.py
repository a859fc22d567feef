"""NEAT for surrogates: grown networks of a design averaged over cells, at a lab's budget and from its cache."""

from __future__ import annotations

import hashlib
import io
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from surrogates.architecture import planar
from surrogates.batches import LevelTensors, prepare
from surrogates.data import Dataset, LevelData
from surrogates.nas.cache import Entry
from surrogates.nas.lab import Lab
from surrogates.nas.learner import monitored
from surrogates.nas.live import LiveLab, Task
from surrogates.nas.methods.neat_evolution import Evolved, Neat, NeatNetwork, evolve, evolve_by, improved
from surrogates.nas.methods.neat_genome import Genome, Innovations
from surrogates.nas.space import ArchitectureSpace, Cap
from surrogates.networks import SurrogateNetwork
from surrogates.runtime import pick_device, torch_threads
from surrogates.splitting import split
from surrogates.training import batch_loss

__all__ = ["Evolved", "Neat", "NeatNetwork", "NeatSurrogate", "evolve", "grown", "neat_surrogate"]

MAX_CELLS = 64


@dataclass(frozen=True, eq=False)
class NeatSurrogate:
    """A grown network as a surrogate.

    Args:
        network: ``b x *design_shape`` -> ``b x n_outputs`` standardised responses.
        evolved: how it came.
        error: on the task's held-out samples, as that of a ``Trial``; infinite where it is no number.
        cpu_seconds: charged for it.
        spent: CPU seconds of the whole search after each generation, one for each of ``evolved.errors``.
    """

    network: SurrogateNetwork
    evolved: Evolved
    error: float
    cpu_seconds: float
    spent: tuple[float, ...]


def neat_surrogate(neat: Neat, task: Task, cells: tuple[int, int], rng: np.random.Generator) -> NeatSurrogate:
    """As ``grown``, with neither a budget nor a cap."""
    return grown(neat, LiveLab(ArchitectureSpace(), task), cells, rng)


def grown(neat: Neat, lab: Lab, cells: tuple[int, int], rng: np.random.Generator) -> NeatSurrogate:
    """A network of the design averaged over ``cells`` (rows, columns), trained on the task's reference samples.

    A quarter of the training samples judges the genomes; those held out by the task are looked at once, at the end,
    which is not charged. Each generation is charged when it is done, those in the lab's cache as when they were
    trained; the budget ends the evolution with the best genome until then. The cap of the lab's space holds for the
    number of enabled connections and their products; its genes have no part in this.

    A grown network is no ``Architecture``, so it leaves no ``Trial`` in the lab.

    Raises:
        TypeError: for a lab that does not train.
        ValueError: for more cells than the design has pixels, or more than 64 in all, or than the cap has room for.
        BudgetSpent: if the budget was spent before the first generation.
    """
    if not isinstance(lab, LiveLab):
        raise TypeError(f"Expected a LiveLab: genomes are trained. Got {type(lab).__name__}; grow on its task.")
    task = lab.task
    shape, n_outputs = planar(task.train.design_shape), task.codec.n_outputs
    if not (1 <= cells[0] <= shape[0] and 1 <= cells[1] <= shape[1] and cells[0] * cells[1] <= MAX_CELLS):
        raise ValueError(
            f"Expected cells within {shape}, {MAX_CELLS} at most in all. Got {cells}; average over larger ones."
        )
    limits = [neat.max_connections, _connections(lab.space.cap, shape, cells, n_outputs)]
    neat = replace(neat, max_connections=min((limit for limit in limits if limit is not None), default=None))
    before = lab.spent
    with torch_threads(1):
        generations = _Generations(neat, lab, cells, int(rng.integers(2**31)))
        evolved = evolve_by(neat, cells[0] * cells[1], n_outputs, partial(generations.judge, rng=rng), rng)
        network = generations.wrap(NeatNetwork(evolved.genome))
        error = generations.error(generations.prepared(task.held_out), network)
    charged = lab.spent - before
    return NeatSurrogate(
        network, evolved, error if np.isfinite(error) else float("inf"), charged, tuple(generations.spent)
    )


class _Generations:
    """Trains and judges generations, or finds them in the lab's cache; charges both alike."""

    def __init__(self, neat: Neat, lab: LiveLab, cells: tuple[int, int], seed: int) -> None:
        self.neat, self.lab, self.cells = neat, lab, cells
        self.last = time.process_time()
        self.spent: list[float] = []
        task, level = lab.task, lab.task.train.reference
        self.shape, self.n_outputs = planar(task.train.design_shape), task.codec.n_outputs
        self.device = pick_device("cpu")
        parts = split(Dataset({level: task.train.levels[level]}), 0.25, seed)
        self.train_on, self.judge_by = (self.prepared(part.levels[level]) for part in parts)
        self.inputs = {
            "kind": "neat",
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
        probe = Genome.minimal(self.cells[0] * self.cells[1], self.n_outputs, Innovations(), np.random.default_rng(0))
        return prepare(self.wrap(NeatNetwork(probe)), self.lab.task.codec, data, self.device)

    def wrap(self, network: NeatNetwork) -> SurrogateNetwork:
        """The genome's network behind the averages, its outputs as they are."""
        n = self.n_outputs
        whole = SurrogateNetwork(self.shape, self.cells, network, n, n)
        with torch.no_grad():
            whole.head.weight.copy_(torch.eye(n))
            whole.head.bias.zero_()
        whole.head.requires_grad_(False)
        return whole

    def error(self, data: LevelTensors, network: SurrogateNetwork) -> float:
        """What the task minimises."""
        value, cosine = data.score(network)
        return monitored({"value_error": value, "gradient_cosine": cosine}, self.lab.task.config.monitor)

    def judge(self, genomes: Sequence[Genome], rng: np.random.Generator) -> list[tuple[Genome, float]]:
        """Genomes with weights as trained, and their errors.

        Raises:
            BudgetSpent: if the budget was spent before.
        """
        self.lab.charge(0.0)
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
        self.spent.append(self.lab.spent)
        self.last = time.process_time()
        return found

    def _trained(self, genomes: Sequence[Genome], rng: np.random.Generator) -> tuple[list[tuple[Genome, float]], float]:
        began = time.process_time()
        everything, weight = np.arange(len(self.train_on.pooled)), self.lab.task.config.gradient_weight
        found = [
            improved(
                genome, self.neat,
                lambda network: batch_loss(self.wrap(network), self.train_on, everything, weight, rng),
                lambda network: self.error(self.judge_by, self.wrap(network)),
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


def _connections(cap: Cap | None, shape: tuple[int, int], cells: tuple[int, int], n_outputs: int) -> int | None:
    """Enabled connections that a cap has room for; each is a parameter, a multiplication and an addition."""
    limits = []
    if cap is not None and cap.parameters is not None:
        limits.append(cap.parameters)
    if cap is not None and cap.flops is not None:
        around = 2 * cells[0] * shape[1] * (shape[0] + cells[1]) + 2 * n_outputs**2  # averages, head
        limits.append(max((cap.flops - around) // 2, 0))
    return min(limits, default=None)
