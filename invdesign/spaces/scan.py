"""Exact area fractions of many-cornered polygons in pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from physics.base import Array


def scan_polygon(vertices: Array, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Area fraction of a simple polygon `(k, 2)` in each unit pixel, `(nx, ny)`; what lies outside is cut off.

    Every edge is cut at the lines between pixels. A piece adds the area under it, in its own pixel up to the piece, in
    all pixels below it whole; edges going back take away. Exact to rounding, and in integers exact, for polygons whose
    holes are cut open by slits, too. Cost is that of the pixels the edges cross.

    Args:
        vertices: in pixels from the corner of pixel [0, 0], either way round.
        shape: `(nx, ny)`.
    """
    nx, ny = shape
    points = np.asarray(vertices, dtype=np.float64)
    pieces = _cut(_cut(np.stack([points, np.roll(points, -1, axis=0)], axis=1), 0), 1)
    middle = pieces.mean(axis=1)
    run = pieces[:, 1, 0] - pieces[:, 0, 0]
    column, row = np.floor(middle[:, 0]).astype(int), np.floor(middle[:, 1]).astype(int)
    used = (run != 0) & (column >= 0) & (column < nx) & (row >= 0)
    run, column, row, height = run[used], column[used], row[used], middle[used, 1]
    # A piece above the region covers its whole column.
    above = row >= ny
    own, below = np.zeros((nx, ny)), np.zeros((nx, ny + 1))
    np.add.at(own, (column[~above], row[~above]), (run * (height - row))[~above])
    np.add.at(below, (column, np.minimum(row, ny)), run)
    whole = np.cumsum(below[:, ::-1], axis=1)[:, ::-1][:, 1:]
    turn = np.sum(points[:, 0] * np.roll(points[:, 1], -1) - points[:, 1] * np.roll(points[:, 0], -1))
    return np.clip(-np.sign(turn) * (own + whole), 0.0, 1.0)


def _cut(pieces: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """Directed pieces `(m, 2, 2)` cut wherever they cross a whole number along an axis."""
    start, stop = pieces[:, 0], pieces[:, 1]
    low = np.floor(np.minimum(start[:, axis], stop[:, axis])).astype(int) + 1
    high = np.ceil(np.maximum(start[:, axis], stop[:, axis])).astype(int) - 1
    cuts = np.maximum(high - low + 1, 0)
    owner = np.repeat(np.arange(len(pieces)), cuts + 2)
    # Each piece in turn: 0 for its start, 1 .. cuts for the crossings, cuts + 1 for its stop.
    step = np.arange(len(owner)) - np.repeat(np.concatenate([[0], np.cumsum(cuts + 2)[:-1]]), cuts + 2)
    forward = (stop[:, axis] >= start[:, axis])[owner]
    line = np.where(forward, low[owner] + step - 1, high[owner] - step + 1).astype(np.float64)
    first, last = step == 0, step == cuts[owner] + 1
    span = (stop[:, axis] - start[:, axis])[owner]
    share = np.where(span != 0, (line - start[owner, axis]) / np.where(span != 0, span, 1.0), 0.0)
    places = start[owner] + share[:, None] * (stop - start)[owner]
    places[:, axis] = line
    places[first], places[last] = start[owner[first]], stop[owner[last]]
    return np.stack([places[:-1], places[1:]], axis=1)[~last[:-1]]
