"""Differentiable search: the weights of a supernet's operations are learned by gradient, then one a block is kept.

Liu, Simonyan & Yang, ICLR 2019 (arXiv 1806.09055), first order; with sparsemax (Martins & Astudillo, ICML 2016) and
annealed temperature; with perturbation-based selection (Wang et al., ICLR 2021, arXiv 2108.04392).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import cycle

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from surrogates.architecture import Architecture
from surrogates.batches import LevelTensors, prepare
from surrogates.data import Dataset
from surrogates.nas.lab import BudgetSpent, Lab
from surrogates.nas.learner import monitored
from surrogates.nas.live import LiveLab
from surrogates.nas.methods.supernet import GATES, Supernet
from surrogates.networks import SurrogateNetwork
from surrogates.runtime import pick_device, seeded, torch_threads
from surrogates.splitting import split
from surrogates.training import batch_loss

SELECTIONS = ("weight", "perturbation")


@dataclass(frozen=True)
class Darts:
    """One supernet, trained; what it says is trained from scratch by the lab.

    The supernet leaves the lab something of its budget for that: an epoch, or a block's choice by perturbation, is
    begun only where twice the time of the longest one before is left, and where it is not, the network is chosen as the
    scores then stand. Only a budget that the first epoch alone spends ends without a network trained from scratch.

    Args:
        gate: ``softmax`` or ``sparsemax``.
        temperatures: of the gate, from the first epoch to the last, geometrically.
        selection: the operation of most ``weight``, or the one whose removal hurts most (``perturbation``).
        epochs: of the supernet.
        warm_up: epochs before the scores are learned.
        share: of the training samples that the scores are learned on; the weights are learned on the others.
        score_rate, score_decay: Adam's, of the scores.
        tuning: epochs after each block's choice by perturbation.
        like: the network whose width, resolution, ... the supernet has; None for the space's first.
        seeds: of the retraining.
    """

    gate: str = "softmax"
    temperatures: tuple[float, float] = (1.0, 1.0)
    selection: str = "weight"
    epochs: int = 20
    warm_up: int = 0
    share: float = 0.5
    score_rate: float = 0.02
    score_decay: float = 1e-3
    tuning: int = 2
    like: Architecture | None = None
    seeds: tuple[int, ...] = (0,)

    def __post_init__(self) -> None:
        if self.gate not in GATES or self.selection not in SELECTIONS:
            raise ValueError(
                f"Expected a gate among {', '.join(GATES)} and a selection among {', '.join(SELECTIONS)}. Got {self}."
            )
        if self.epochs < 1 or not 0 < self.share < 1 or min(self.temperatures) <= 0 or not self.seeds:
            raise ValueError(f"Expected epochs, temperatures above 0, a share in (0, 1) and a seed. Got {self}.")

    @property
    def name(self) -> str:
        """``darts``, and what is not as in the first paper."""
        parts = ["darts"]
        parts += [self.gate] if self.gate != "softmax" else []
        parts += ["annealed"] if self.temperatures[0] != self.temperatures[1] else []
        parts += [self.selection] if self.selection != "weight" else []
        return "-".join(parts)

    def __call__(self, lab: Lab, rng: np.random.Generator) -> None:
        darts(self, lab, rng)


@dataclass(frozen=True, eq=False)
class DartsResult:
    """What came out, each error on the task's held-out samples; not a number what the budget left unmeasured.

    Args:
        architecture: chosen.
        supernet_error: of all operations mixed, as trained.
        pruned_error: of the chosen ones alone, with the supernet's weights (tuned along the way where selection is by
            perturbation).
        retrained_error: of that network trained from scratch, mean over the seeds that the budget allowed.
        weights: ``length x n_operations`` of the supernet as trained.
        entropy: ``epochs x length``, nats: the spread of each block's weights after each epoch that was trained.
        operations: what the columns are.
        cpu_seconds: of the supernet.
        supernet: as trained, all operations mixed.
        pruned: the chosen operations alone, with its weights.
    """

    architecture: Architecture
    supernet_error: float
    pruned_error: float
    retrained_error: float
    weights: NDArray[np.float64]
    entropy: NDArray[np.float64]
    operations: tuple[tuple[str, int], ...]
    cpu_seconds: float
    supernet: Supernet
    pruned: SurrogateNetwork

    @property
    def gap(self) -> float:
        """Discretisation gap: error of the pruned supernet less that of the whole one."""
        return self.pruned_error - self.supernet_error


@dataclass(eq=False)
class _Training:
    """Weights on one part of the samples, scores on the other, in turns."""

    method: Darts
    supernet: Supernet
    weights_data: LevelTensors
    scores_data: LevelTensors
    gradient_weight: float
    batch_size: int
    learning_rate: float
    weight_decay: float
    rng: np.random.Generator

    def __post_init__(self) -> None:
        self.optimiser = torch.optim.AdamW(
            self.supernet.shared(), lr=self.learning_rate, weight_decay=self.weight_decay
        )
        self.scores = torch.optim.Adam(
            [self.supernet.scores], lr=self.method.score_rate, betas=(0.5, 0.999), weight_decay=self.method.score_decay
        )

    def epoch(self, progress: float, learn_scores: bool) -> None:
        """Every sample once; ``progress`` in [0, 1] of the cosine that the learning rate follows."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.learning_rate * (0.02 + 0.98 * (1 + np.cos(np.pi * progress)) / 2)
        validation = cycle(self._batches(self.scores_data))
        for batch in self._batches(self.weights_data):
            if learn_scores:
                self._step(self.scores, self.scores_data, next(validation))
            self._step(self.optimiser, self.weights_data, batch)

    def tune(self) -> None:
        """Some epochs of the weights alone."""
        for _ in range(self.method.tuning):
            self.epoch(0.8, learn_scores=False)

    def _batches(self, data: LevelTensors) -> list[NDArray[np.int64]]:
        order = self.rng.permutation(len(data.pooled))
        return np.array_split(order, -(-len(order) // self.batch_size))

    def _step(self, optimiser: torch.optim.Optimizer, data: LevelTensors, batch: NDArray[np.int64]) -> None:
        loss = batch_loss(self.supernet, data, batch, self.gradient_weight, self.rng)
        self.supernet.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.supernet.shared(), 5.0)
        optimiser.step()


def darts(method: Darts, lab: Lab, rng: np.random.Generator) -> DartsResult:
    """The search and its figures. The supernet's CPU seconds are charged after each epoch.

    The network chosen is trained from scratch before ``supernet_error`` and ``pruned_error`` are measured, which take
    what is left.

    Raises:
        TypeError: for a lab that does not train.
        BudgetSpent: if the budget was spent before the first epoch; later it ends the search, see ``Darts``.
    """
    if not isinstance(lab, LiveLab):
        raise TypeError(f"Expected a LiveLab: a supernet must be trained. Got {type(lab).__name__}; search its task.")
    lab.charge(0.0)  # ends here where nothing is left
    task, meter = lab.task, _Meter(lab)
    config, level, seed = task.config, task.train.reference, int(rng.integers(2**31))
    device = pick_device(config.device)
    parts = split(Dataset({level: task.train.levels[level]}), method.share, seed)
    with torch_threads(1), seeded(seed):
        shape, codec = task.train.design_shape, task.codec
        supernet = Supernet(lab.space, shape, codec.n_outputs, method.like).to(device)
        supernet.gate, supernet.temperature = method.gate, method.temperatures[0]
        weights_data, scores_data, check = (
            prepare(supernet, codec, data, device)
            for data in (parts[0].levels[level], parts[1].levels[level], task.held_out)
        )
        given = supernet.like.gradient_weight
        training = _Training(
            method, supernet, weights_data, scores_data, config.gradient_weight if given is None else given,
            config.batch_size, config.learning_rate, config.weight_decay, rng,
        )  # fmt: skip
        entropy = []
        first, last = method.temperatures
        for epoch in range(method.epochs):
            if not meter.room():
                break
            done = epoch / max(method.epochs - 1, 1)
            supernet.temperature = first * (last / first) ** done
            training.epoch(epoch / method.epochs, epoch >= method.warm_up)
            entropy.append(supernet.entropy())
            meter.charge()
        weights = supernet.weights().detach().cpu().numpy().astype(np.float64)
        trained = {name: tensor.clone() for name, tensor in supernet.state_dict().items()}
        if method.selection == "perturbation" and len(entropy) == method.epochs:

            def tune_and_charge() -> None:
                training.tune()
                meter.charge()

            select_by_perturbation(
                supernet, lambda: _error(supernet, scores_data, config.monitor), rng, tune_and_charge, meter.room
            )
        choice = supernet.best_path()
        pruned = supernet.pruned(choice)
    architecture = supernet.architecture(choice)
    retrained: list[float] = []
    with suppress(BudgetSpent):
        meter.charge()
        for s in method.seeds:
            retrained.append(lab.ask(architecture, seed=s).error)
    whole_error = pruned_error = float("nan")
    meter.begin()
    supernet.load_state_dict(trained)
    with suppress(BudgetSpent), torch_threads(1):
        lab.charge(0.0)
        whole_error = _error(supernet, check, config.monitor)
        pruned_error = _error(pruned, check, config.monitor)
        meter.charge()
    return DartsResult(
        architecture,
        whole_error,
        pruned_error,
        float(np.mean(retrained)) if retrained else float("nan"),
        weights,
        np.array(entropy),
        supernet.operations,
        meter.total,
        supernet,
        pruned,
    )


def select_by_perturbation(
    supernet: Supernet,
    error: Callable[[], float],
    rng: np.random.Generator,
    tune: Callable[[], object] = lambda: None,
    room: Callable[[], bool] = lambda: True,
) -> tuple[int, ...]:
    """Block after block, at random, keeps the operation alone whose removal raises the error most, then tunes.

    Wang et al., algorithm 1: an operation's weight says little of what it does for the supernet. The operations chosen
    are those left alive in the supernet. A removed identity changes nothing: it is kept where all others do harm.

    Args:
        error: of the supernet as it is.
        tune: called after each block.
        room: asked before each block; where it says no, the blocks left go by weight.
    """
    for block in rng.permutation(len(supernet.alive)):
        if not room():
            break
        harm = []
        for number in range(len(supernet.operations)):
            supernet.alive[block, number] = False
            harm.append(error())
            supernet.alive[block, number] = True
        supernet.alive[block] = False
        supernet.alive[block, int(np.argmax(harm))] = True
        tune()
    return supernet.best_path()


def _error(network: SurrogateNetwork, data: LevelTensors, monitor: str) -> float:
    value, cosine = data.score(network)
    return monitored({"value_error": value, "gradient_cosine": cosine}, monitor)


class _Meter:
    """Charges the CPU seconds since the last time."""

    def __init__(self, lab: Lab) -> None:
        self.lab, self.total, self.longest = lab, 0.0, 0.0
        self.begin()

    def begin(self) -> None:
        """What was done since the last time is not charged."""
        self.last = time.process_time()

    def charge(self) -> None:
        now = time.process_time()
        self.lab.charge(now - self.last)
        self.total += now - self.last
        self.longest = max(self.longest, now - self.last)
        self.last = now

    def room(self) -> bool:
        """Whether twice the longest step so far is left."""
        return self.lab.spent + 2 * self.longest < self.lab.budget_cpu_seconds
