"""Load paths through the MoS2 table's sheets: how far a string from grip to grip must go sideways around the cuts.

A sheet of strips that bend easily stretches until such a string is straight, so the shortest path's excess over the
straight one is what the geometry allows. Paths cross each row of cuts in one of its ligaments; between rows they are
straight. Everything is read off the pattern, without a solve.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from invdesign.spaces.discrete import Codes
from physics.tables import Mos2Sheet

Real = NDArray[np.float64]
POINTS = 82
# Distance kept from the ends of cuts, and softness of the shortest path, in angstrom.
INSETS, SOFTNESS = (0.0, 12.0), (2.0, 6.0, 20.0, 60.0)
# Where no path exists its length is this.
BARRED = 1e6


@dataclass(frozen=True, eq=False)
class LoadPaths:
    """Of n sheets: numbers of each row `(n, 4, 4)`, of neighbouring rows `(n, 3, 2)`, of the whole `(n, 6)`.

    A row's are the mean and the largest excess of paths through it (roots of angstrom), its share of material and where
    that lies. A pair's are the share of the width that both leave, and the least way sideways between them (angstrom).
    The whole's are roots of the least excess for each of `INSETS`, and soft minima of the excess.
    """

    rows: Real
    pairs: Real
    whole: Real


def ligaments(sheet: Mos2Sheet, inset: float) -> tuple[Real, NDArray[np.bool_]]:
    """Points across the width `(POINTS,)`, and where each option of a row lets paths through, `(options, POINTS)`."""
    width = sheet.width_angstrom
    points = (np.arange(POINTS) + 0.5) * width / POINTS
    open_ = np.ones((len(sheet.options), POINTS), dtype=bool)
    for option, (start, length) in enumerate(sheet.options):
        for low in (start, start - width) if length else ():
            open_[option] &= ~((points > low - inset) & (points < low + length + inset))
    return points, open_


def load_paths(sheet: Mos2Sheet, codes: Codes) -> LoadPaths:
    """Of sheets with codes `(n, 4)`."""
    points, open_ = ligaments(sheet, 0.0)
    sideways = np.abs(points[:, None] - points)
    step = np.hypot(sheet.pitch_angstrom, sideways) - sheet.pitch_angstrom
    excess = [_through(_barrier(sheet, inset)[codes], step) for inset in INSETS]
    inside = open_[codes]
    through = np.sqrt(np.where(inside, excess[0], 0.0))
    count = inside.sum(2)
    centre = (inside * points).sum(2) / count / sheet.width_angstrom - 0.5
    rows = np.stack([through.sum(2) / count, through.max(2), count / POINTS, centre], axis=2)
    both = np.stack([(inside[:, k] & inside[:, k + 1]).mean(1) for k in range(3)], axis=1)
    nearest = np.array([[sideways[np.ix_(a, b)].min() for b in open_] for a in open_])
    gaps = np.stack([nearest[codes[:, k], codes[:, k + 1]] for k in range(3)], axis=1)
    whole = [np.sqrt(each[:, 0].min(1)) for each in excess] + [_soft(inside, step, width) for width in SOFTNESS]
    return LoadPaths(rows, np.stack([both, gaps], axis=2), np.stack(whole, axis=1))


def _barrier(sheet: Mos2Sheet, inset: float) -> Real:
    return np.where(ligaments(sheet, inset)[1], 0.0, BARRED)


def _through(barriers: Real, step: Real) -> Real:
    """Least excess of paths through every point of every row, `(n, 4, POINTS)`."""
    ahead, back = np.zeros_like(barriers), np.zeros_like(barriers)
    for row in range(1, barriers.shape[1]):
        ahead[:, row] = _least(ahead[:, row - 1] + barriers[:, row - 1], step)
        back[:, -1 - row] = _least(back[:, -row] + barriers[:, -row], step)
    return ahead + barriers + back


def _least(before: Real, step: Real) -> Real:
    """min over y of before(y) + step(y, y'), each distinct row of `before` once."""
    distinct, place = np.unique(before, axis=0, return_inverse=True)
    parts = np.array_split(distinct, max(1, len(distinct) // 2000))
    return np.concatenate([(part[:, :, None] + step).min(1) for part in parts])[place.reshape(-1)]


def _soft(inside: NDArray[np.bool_], step: Real, softness: float) -> Real:
    """-T log of the mean of exp(-excess / T) over all paths, `(n,)`."""
    kernel = np.exp(-step / softness) / POINTS
    flow = inside[:, 0].astype(np.float64)
    for row in range(1, inside.shape[1]):
        flow = (flow @ kernel) * inside[:, row]
    return -softness * np.log(flow.mean(1))
