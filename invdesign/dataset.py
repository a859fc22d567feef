"""From a run's records to the surrogates' training data."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from invdesign.arrays import content_key
from invdesign.records import Record
from physics.base import Array
from surrogates.data import Dataset, LevelData


def dataset(records: Sequence[Record], identity: str) -> Dataset:
    """The successful evaluations of one simulator, levels kept apart, each design once, every gradient kept.

    A record's group is the optimisation path it was asked on; outside any path a design is a group of its own, the same
    at every level.

    Args:
        records: as `Evaluator.records` has them, in order.
        identity: of the simulator.

    Raises:
        ValueError: if no evaluation succeeded.
    """
    usable = [r for r in records if r.identity == identity and r.response is not None]
    if not usable:
        raise ValueError("Expected at least one successful evaluation to learn from. Got none.")
    levels = sorted({record.level for record in usable})
    return Dataset({level: _level([r for r in usable if r.level == level]) for level in levels})


def _group_of(design: Array) -> int:
    """A number below zero, which no path has (they count from 1), and the same for a design at every level."""
    return -1 - int(content_key(np.asarray(design, dtype=np.float32))[:12], 16)


def _level(records: Sequence[Record]) -> LevelData:
    rows: dict[str, int] = {}
    unique: list[Record] = []
    pairs: list[tuple[int, Record, Array]] = []
    for record in records:
        if record.key not in rows:
            rows[record.key] = len(unique)
            unique.append(record)
        if record.gradient is not None:
            pairs.append((rows[record.key], record, record.gradient))
    names = list(unique[0].response or {})
    responses = {name: np.stack([(r.response or {})[name] for r in unique]) for name in names}
    groups = [r.group or _group_of(r.design) for r in unique]
    shape = unique[0].design.shape
    cotangents = {
        name: np.stack([(r.cotangents or {}).get(name, np.zeros_like(responses[name][0])) for _, r, _ in pairs])
        for name in names
        if pairs
    }
    gradients = np.stack([gradient for _, _, gradient in pairs]) if pairs else np.zeros((0, *shape))
    return LevelData(
        designs=np.stack([r.design for r in unique]),
        responses=responses,
        groups=np.array(groups, dtype=np.int64),
        gradient_rows=np.array([row for row, _, _ in pairs], dtype=np.int64),
        cotangents=cotangents,
        gradients=gradients,
    )
