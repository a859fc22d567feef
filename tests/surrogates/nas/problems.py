"""Small problems to search on: a live one of a second a network, and a made-up table."""

from __future__ import annotations

import time
from itertools import count, pairwise

import numpy as np

from surrogates import Dataset, TrainingConfig
from surrogates.nas import live
from surrogates.nas.lab import Rung, search_with
from surrogates.nas.live import LiveLab, Task
from surrogates.nas.space import ArchitectureSpace
from surrogates.nas.table import SearchTable, TableLab
from tests.surrogates.toy import Toy, level_data

RUNGS = (Rung(1), Rung(3), Rung(9))
SMALL = ArchitectureSpace(
    length=2, operations=(("spectral", 3), ("residual", 0), ("identity", 0)), widths=(4,), resolutions=(6,)
)


def live_task(rungs=RUNGS, gradients: bool = True, **config) -> Task:
    """Learning an analytic response from 40 samples."""
    train = Dataset({0: level_data(Toy(), runs=5, steps=8, seed=1, gradients=gradients)})
    held_out = level_data(Toy(), runs=2, steps=8, seed=2, gradients=gradients, first_group=100)
    return Task(train, held_out, TrainingConfig(batch_size=8, **config), rungs)


def live_lab(budget: float = float("inf"), space: ArchitectureSpace = SMALL, **task) -> LiveLab:
    """A lab on it."""
    return LiveLab(space, live_task(**task), budget)


def ticking(monkeypatch) -> None:
    """CPU seconds of which one passes from each look at them to the next: a rung, or an epoch of DARTS, takes one."""
    seconds = count()
    monkeypatch.setattr(time, "process_time", lambda: float(next(seconds)))
    monkeypatch.setattr(live, "latency_ms", lambda *args: 1.0)  # looks at them too


def made_up_table(noise: float = 0.02, seed: int = 0, rungs=RUNGS, cost_spread: float = 0.5) -> SearchTable:
    """All networks of a space of six operations, with an error that depends on operations and their order.

    Lower rungs show it through more noise; the CPU seconds of a network grow with its operations.
    """
    rng = np.random.default_rng(seed)
    space = ArchitectureSpace(widths=(12,))
    architectures = tuple(space.everything())
    worth = dict(zip(space.operations, rng.normal(size=len(space.operations)), strict=True))
    together = {(a, b): 0.5 * rng.normal() for a in worth for b in worth}
    seconds = dict(zip(space.operations, np.exp(cost_spread * rng.normal(size=len(worth))), strict=True))
    final, cost = np.zeros(len(architectures)), np.zeros(len(architectures))
    for row, architecture in enumerate(architectures):
        codes = space.encode(architecture)
        chosen = [space.operations[code] for code in codes[: space.length]]
        final[row] = sum(worth[o] for o in chosen) + sum(together[a, b] for a, b in pairwise(chosen))
        cost[row] = 1 + sum(seconds[o] for o in chosen)
    final = 0.2 + 0.6 * (final - final.min()) / np.ptp(final)
    shape = (len(architectures), len(rungs), 2)
    error, cpu_seconds = np.zeros(shape), np.zeros(shape)
    curves = np.zeros((len(architectures), rungs[-1].epochs, 2))
    epochs = np.arange(1, rungs[-1].epochs + 1)
    for k in range(2):
        luck = noise * rng.normal(size=len(architectures))
        slow = rng.uniform(0.5, 1.5, size=len(architectures))
        decay = np.exp(-3 * slow[:, None] * epochs / rungs[-1].epochs)
        curves[:, :, k] = (final + luck)[:, None] + (0.9 - final)[:, None] * decay
        curves[:, :, k] += 0.3 * noise * rng.normal(size=curves.shape[:2])
        before = 0
        for r, rung in enumerate(rungs):
            error[:, r, k] = curves[:, rung.epochs - 1, k]
            cpu_seconds[:, r, k] = cost * (rung.epochs - before)
            before = rung.epochs
    measures = {
        "parameters": np.broadcast_to(1000 * cost[:, None, None], shape).copy(),
        "latency_ms": np.broadcast_to(cost[:, None, None], shape).copy(),
    }
    return SearchTable("made up", space, tuple(rungs), architectures, error, cpu_seconds, measures, curves)


def full_cost(table: SearchTable) -> float:
    """CPU seconds of one network, trained to the last rung, on average."""
    return float(table.cpu_seconds.sum(axis=1).mean())


def regret(method, table: SearchTable, networks: float, seeds: int) -> float:
    """Mean over seeds of the final error found, 0 for the best and 1 for the median network of the table."""
    found = []
    for seed in range(seeds):
        best = search_with(method, TableLab(table, networks * full_cost(table), shift=seed), seed).best
        found.append(table.final[table.number[best]])
    least = table.final.min()
    return float((np.mean(found) - least) / (np.median(table.final) - least))
