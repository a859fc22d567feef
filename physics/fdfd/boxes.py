"""Nested dissection of a rectangle of cells into fronts that are eliminated in batches of equal shape.

A box of ``w x h`` cells is halved by a line of cells, its separator, down to leaves (George, SIAM J. Numer. Anal. 10,
345 (1973)). Bisection yields at most two widths and two heights a depth, so nearly all boxes of a depth are one batch,
and the same slices move data between parent and children for the whole batch.

The boundary of a box is the ring of cells just outside it without the corners, in circular order

    south, from east to west | west, from south to north | north, from west to east | east, from north to south

which makes the part that a child shares with its parent one or two contiguous runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Index = NDArray[np.int64]
LEAF = 4  # cells a side


@dataclass(frozen=True, eq=False)
class Child:
    """One half of the boxes of a front.

    Args:
        front: number of the front that eliminates it.
        boxes: its boxes there, in the parent's order.
        separator: positions of the parent's separator on the child's boundary.
        runs: (positions on the child's boundary, positions on the parent's).
    """

    front: int
    boxes: slice
    separator: slice
    runs: tuple[tuple[slice, slice], ...]


@dataclass(frozen=True, eq=False)
class Front:
    """``N`` boxes of one shape, eliminated together.

    Args:
        shape: cells of a box along x and y.
        own: ``N x n1`` flat indices of the cells eliminated here: the separator, or all cells of a leaf.
        boundary: ``N x n2`` flat indices of the cells around the box.
        children: the two halves; none for a leaf.
        vertical: whether the separator is a column.
        ends: positions on the boundary of the cells beyond the separator's first and last cell.
    """

    shape: tuple[int, int]
    own: Index
    boundary: Index
    children: tuple[Child, ...]
    vertical: bool
    ends: tuple[int, int]


@lru_cache(maxsize=64)
def dissect(w: int, h: int) -> tuple[Front, ...]:
    """Fronts of a ``w x h`` box, children before parents; the last one holds the box itself.

    Indices are flat ones, ``ix * (h + 2) + iy``, on the box with one layer of cells around it.

    Raises:
        ValueError: for a box without cells.
    """
    if min(w, h) < 1:
        raise ValueError(f"Expected a box of at least one cell each way. Got {w} x {h}.")
    ordered, places = _shapes(w, h)
    number = {shape: i for i, shape in enumerate(reversed(ordered))}
    return tuple(_front(shape, places[shape], number, places, h + 2) for shape in reversed(ordered))


@dataclass(frozen=True, eq=False)
class _Places:
    """Lower corners of all boxes of a shape, and where each parent's halves lie among those of their shapes."""

    corners: Index
    halves: tuple[tuple[tuple[int, int], slice], ...]


def _cut(shape: tuple[int, int]) -> tuple[bool, int] | None:
    """(vertical, cells before the separator), None for a leaf."""
    w, h = shape
    if max(w, h) <= LEAF:
        return None
    return (True, (w - 1) // 2) if w >= h else (False, (h - 1) // 2)


def _shapes(w: int, h: int) -> tuple[list[tuple[int, int]], dict[tuple[int, int], _Places]]:
    waiting: dict[tuple[int, int], list[Index]] = {(w, h): [np.array([[1, 1]])]}
    ordered, places = [], {}
    while waiting:
        shape = max(waiting, key=lambda s: (s[0] * s[1], s))  # a half is always smaller than the whole
        corners = np.concatenate(waiting.pop(shape))
        halves = []
        cut = _cut(shape)
        if cut is not None:
            vertical, before = cut
            size = shape[0] if vertical else shape[1]
            for cells, start in ((before, 0), (size - 1 - before, before + 1)):
                half = (cells, shape[1]) if vertical else (shape[0], cells)
                held = waiting.setdefault(half, [])
                first = sum(len(part) for part in held)
                held.append(corners + np.array([start, 0] if vertical else [0, start]))
                halves.append((half, slice(first, first + len(corners))))
        ordered.append(shape)
        places[shape] = _Places(corners, tuple(halves))
    return ordered, places


def _front(
    shape: tuple[int, int],
    place: _Places,
    number: dict[tuple[int, int], int],
    places: dict[tuple[int, int], _Places],
    stride: int,
) -> Front:
    w, h = shape
    i, j = np.arange(w), np.arange(h)
    origin = (place.corners @ np.array([stride, 1]))[:, None]
    around = np.concatenate([i[::-1] * stride - 1, j - stride, i * stride + h, w * stride + j[::-1]])
    cut = _cut(shape)
    if cut is None:
        own = origin + (i[:, None] * stride + j).ravel()
        return Front(shape, own, origin + around, (), True, (0, 0))
    vertical, a = cut
    if vertical:
        b = w - 1 - a
        own, ends = origin + a * stride + j, (w - 1 - a, w + h + a)
        separators = slice(2 * a + 2 * h - 1, 2 * a + h - 1, -1), slice(b, b + h)
        first: tuple[tuple[slice, slice], ...] = ((slice(0, 2 * a + h), slice(b + 1, w + h + a)),)
        second: tuple[tuple[slice, slice], ...] = (
            (slice(0, b), slice(0, b)),
            (slice(b + h, 2 * b + 2 * h), slice(w + h + a + 1, 2 * w + 2 * h)),
        )
    else:
        b = h - 1 - a
        own, ends = origin + i * stride + a, (w + a, 2 * w + h + b)
        separators = slice(w + a, 2 * w + a), slice(w - 1, None, -1)
        first = (
            (slice(0, w + a), slice(0, w + a)),
            (slice(2 * w + a, 2 * w + 2 * a), slice(2 * w + h + b + 1, 2 * w + 2 * h)),
        )
        second = ((slice(w, 2 * w + 2 * b), slice(w + a + 1, 2 * w + h + b)),)
    children = tuple(
        Child(number[half], boxes, separator, runs)
        for (half, boxes), separator, runs in zip(place.halves, separators, (first, second), strict=True)
    )
    return Front(shape, own, origin + around, children, vertical, ends)
