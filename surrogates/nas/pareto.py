"""Several objectives at once: what dominates what, and in which order halving keeps networks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from surrogates.architecture import Architecture
from surrogates.nas.lab import Trial

ERROR = "error"


def values_of(trial: Trial, objectives: Sequence[str]) -> NDArray[np.float64]:
    """What is minimised: ``error``, or a measure by name, with ``-`` before one that is to be large.

    Infinite where training diverged, and where a measure is not known (nan), such as a cosine without gradients.

    Raises:
        KeyError: for a measure that the trial does not have.
    """
    if not np.isfinite(trial.error):
        return np.full(len(objectives), np.inf)
    found = []
    for objective in objectives:
        name = objective.removeprefix("-")
        if name != ERROR and name not in trial.measures:
            known = ", ".join([ERROR, *trial.measures])
            raise KeyError(f"Expected objectives among {known}, with '-' before one to be large. Got {objective!r}.")
        value = trial.error if name == ERROR else trial.measures[name]
        found.append(np.inf if np.isnan(value) else -value if objective.startswith("-") else value)
    return np.array(found, dtype=np.float64)


def fronts(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Non-dominated rank of each row of ``n x m`` values, all minimised; 0 is the Pareto front.

    Deb, Pratap, Agarwal, Meyarivan, IEEE Trans. Evol. Comput. 6, 182 (2002), section III A.
    """
    below = (values[:, None] <= values[None]).all(axis=2) & (values[:, None] < values[None]).any(axis=2)
    rank = np.full(len(values), -1)
    number = 0
    while (rank < 0).any():
        left = rank < 0
        front = left & ~(below & left[:, None]).any(axis=0)
        rank[front] = number
        number += 1
    return rank


def crowding(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance of each row of one front to its neighbours, infinite at the ends (the same paper, section III B)."""
    distance = np.zeros(len(values))
    for column in values.T:
        order = np.argsort(column, kind="stable")
        span = column[order[-1]] - column[order[0]]
        distance[order[[0, -1]]] = np.inf
        if len(order) > 2 and span > 0:
            distance[order[1:-1]] += (column[order[2:]] - column[order[:-2]]) / span
    return distance


def ranked(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Rows of ``n x m`` values, best first: by front, and within one the least crowded first."""
    if values.shape[1] == 1 or not len(values):
        return np.argsort(values[:, 0], kind="stable") if len(values) else np.zeros(0, np.int64)
    finite = np.where(np.isfinite(values), values, np.finfo(float).max / 1e6)
    rank = fronts(finite)
    spread = np.zeros(len(values))
    for number in np.unique(rank):
        spread[rank == number] = crowding(finite[rank == number])
    return np.lexsort((-spread, rank))


def pareto(
    trials: Sequence[Trial], measures: Sequence[str] = (ERROR,)
) -> tuple[tuple[Architecture, NDArray[np.float64]], ...]:
    """Networks that no other beats in all objectives, with their values, in the order of the first objective.

    Only trials at the highest rung reached count; several seeds of one network are averaged.

    Args:
        trials: of a search.
        measures: see ``values_of``.
    """
    usable = [trial for trial in trials if np.isfinite(trial.error)]
    if not usable:
        return ()
    top = max(trial.rung for trial in usable)
    found: dict[Architecture, list[NDArray[np.float64]]] = {}
    for trial in usable:
        if trial.rung == top:
            found.setdefault(trial.architecture, []).append(values_of(trial, measures))
    values = np.stack([np.mean(of, axis=0) for of in found.values()])
    front = [(a, v) for a, v, rank in zip(found, values, fronts(values), strict=True) if rank == 0]
    return tuple(sorted(front, key=lambda entry: tuple(entry[1])))
