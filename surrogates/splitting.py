"""Splits by optimisation run."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np

from surrogates.data import DataError, Dataset, LevelData

Sides = Mapping[int, bool]
"""Group -> whether it is held out."""


def check_dataset(data: object) -> None:
    """Raises ``TypeError`` for what is no ``Dataset``."""
    if not isinstance(data, Dataset):
        remedy = "wrap the samples of one level: Dataset({0: samples})"
        raise TypeError(f"Expected a Dataset. Got {type(data).__name__}; {remedy}.")


def split(data: Dataset, fraction: float, seed: int, sides: Sides | None = None) -> tuple[Dataset, Dataset]:
    """Training and held-out data, no group on both sides of any two levels.

    The reference is drawn first; the levels below keep its choice for the groups they share with it. Groups are held
    out in an order that depends on the seed and their own number only, as long as each brings the held-out share of the
    samples nearer to ``fraction``. The largest group is trained on unless there is no other choice, and every level
    keeps a group to train on.

    A level that can hold out no group (a single run, say) is split in order instead: its last samples are held out,
    which says less about unseen runs, and its groups count as trained on. Held-out groups are never trained on at any
    level: a level below that has no others, which only given ``sides`` can bring about, is left out of both parts.

    Args:
        data: every level needs two samples at least.
        fraction: share of the samples to hold out, between 0 and 1.
        seed: of the order of groups.
        sides: of groups split before, as ``sides_of`` gives them. They stay there, so that no held-out group was ever
            trained on; samples in order must only have been appended to.

    Raises:
        DataError: a level of one sample, or a reference all of whose groups are in ``sides`` as held out.
        TypeError: for data that are no ``Dataset``.
    """
    check_dataset(data)
    if not 0 < fraction < 1:
        raise ValueError(f"Expected a held-out fraction between 0 and 1. Got {fraction}.")
    for level, samples in data.levels.items():
        if len(samples) < 2:
            raise DataError(
                f"Expected at least two samples at level {level} to split. Got {len(samples)}; add data or drop it."
            )
    sizes = {level: _sizes(data.levels[level], seed) for level in sorted(data.levels, reverse=True)}
    side = dict(sides or {})
    for level in sizes:
        _draw(sizes, level, fraction, side)
    train, held_out = {}, {}
    for level in sizes:
        samples, n = data.levels[level], len(data.levels[level])
        mask = np.array([side[int(group)] for group in samples.groups])
        if mask.all():
            if level == data.reference:
                raise DataError("Expected a group to train on at the reference. Got held-out ones only; add others.")
            continue
        if not mask.any():
            mask = np.arange(n) >= min(max(round(n * (1 - fraction)), 1), n - 1)
        train[level], held_out[level] = samples.take(np.flatnonzero(~mask)), samples.take(np.flatnonzero(mask))
    return Dataset(train), Dataset(held_out)


def sides_of(train: Dataset, held_out: Dataset) -> dict[int, bool]:
    """Where each group is; one that was split in order counts as trained on."""
    trained, held = (
        {int(group) for samples in part.levels.values() for group in samples.groups} for part in (train, held_out)
    )
    return {group: group not in trained for group in sorted(trained | held)}


def _sizes(samples: LevelData, seed: int) -> dict[int, int]:
    """Samples a group, in seeded order."""
    groups, counts = np.unique(samples.groups, return_counts=True)
    size = dict(zip(groups.tolist(), counts.tolist(), strict=True))
    return {group: size[group] for group in sorted(size, key=lambda g: hashlib.sha256(f"{seed}|{g}".encode()).digest())}


def _draw(sizes: Mapping[int, Mapping[int, int]], level: int, fraction: float, side: dict[int, bool]) -> None:
    """Gives every group of the level a side, in place."""
    size = sizes[level]
    target, largest = fraction * sum(size.values()), max(size, key=size.__getitem__)
    held = sum(n for group, n in size.items() if side.get(group))
    fresh = [group for group in size if group not in side]

    def spared(group: int) -> bool:
        """Every level with that group has another to train on."""
        return all(any(g != group and not side.get(g) for g in of) for of in sizes.values() if group in of)

    for group in fresh:
        nearer = held + size[group] - target <= target - held
        side[group] = nearer and group != largest and spared(group)
        held += size[group] * side[group]
    choices = [group for group in fresh if spared(group)]
    if not held and choices:
        side[min(choices, key=size.__getitem__)] = True
