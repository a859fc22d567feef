"""A small made-up table of sheets with rows of cuts, mirror symmetric up to noise."""

from __future__ import annotations

import numpy as np

from invdesign.spaces import Listed, RowCuts
from physics.base import Quantity
from physics.tables import TableSimulator


def small_table(noise: float = 0.0, seed: int = 0) -> tuple[TableSimulator, Listed]:
    """(table, its space): three rows, six options; what stretches depends on pairs of neighbouring rows."""
    space = RowCuts(3, ((0, 0), (0, 4), (5, 4), (2, 6), (7, 6), (4, 7)), 10.0, 20)
    rng = np.random.default_rng(seed)
    codes = space.everything(1000)
    alone, pair = rng.random(6), rng.random((6, 6))
    pair = pair + pair.T
    strain = 0.1 + 0.1 * alone[codes].sum(1) + 0.2 * pair[codes[:, :-1], codes[:, 1:]].sum(1)
    strain = strain * (1 + noise * rng.standard_normal(len(codes)))
    labels = {"strain": strain, "stress": 1 / strain + alone[codes[:, 1]]}
    quantities = (Quantity("strain", {}), Quantity("stress", {}, "GPa"))
    return TableSimulator("small", space.patterns(codes), quantities, labels), Listed(space, codes)
