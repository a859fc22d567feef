"""Splits by optimisation run."""

from __future__ import annotations

import numpy as np

from surrogates.data import DataError, Dataset


def split(data: Dataset, fraction: float, seed: int) -> tuple[Dataset, Dataset]:
    """Training and held-out data, no group on both sides.

    Groups are drawn in seeded order until ``fraction`` of a level's samples is held out, at least one group a side. The
    reference is drawn first; the levels below keep its choice for the groups they share with it. A level whose groups
    all fall on one side (a single run, say) is split in order instead: its last samples are held out, which says less
    about unseen runs.

    Args:
        data: every level needs two samples at least.
        fraction: share of the samples to hold out, between 0 and 1.
        seed: of the order of groups.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"Expected a held-out fraction between 0 and 1. Got {fraction}.")
    rng = np.random.default_rng(seed)
    side: dict[int, bool] = {}
    train, held_out = {}, {}
    for level in sorted(data.levels, reverse=True):
        samples = data.levels[level]
        n = len(samples)
        if n < 2:
            raise DataError(f"Expected at least two samples at level {level} to split. Got {n}; add data or drop it.")
        groups, counts = np.unique(samples.groups, return_counts=True)
        size = dict(zip(groups.tolist(), counts.tolist(), strict=True))
        held = sum(size[g] for g in size if side.get(g))
        fresh = [int(g) for g in rng.permutation(groups) if int(g) not in side]
        training = any(g in side and not side[g] for g in size)
        for position, group in enumerate(fresh):
            last = position == len(fresh) - 1 and not training
            side[group] = held < fraction * n and not last
            held += size[group] * side[group]
            training = training or not side[group]
        mask = np.array([side[int(g)] for g in samples.groups])
        if mask.all() or not mask.any():
            mask = np.arange(n) >= min(max(round(n * (1 - fraction)), 1), n - 1)
        train[level], held_out[level] = samples.take(np.flatnonzero(~mask)), samples.take(np.flatnonzero(mask))
    return Dataset(train), Dataset(held_out)
