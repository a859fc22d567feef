"""What a pattern must be before it is made: in one piece from grip to grip, with no ligament too thin."""

from __future__ import annotations

import math

import numpy as np
from scipy import ndimage

from physics.base import Array
from physics.kirigami.sheet import Sheet, binary_pattern


def severed(pattern: Array, sheet: Sheet | None = None) -> bool:
    """Whether no material joins the grips. Cells that touch at a corner are not joined.

    Args:
        pattern: ``rows x columns`` of zeros and ones.
        sheet: it came from; without one, cuts are taken to be shorter than their cells, so that only a row that is cut
            wholly severs.
    """
    kept = np.asarray(pattern) > 0.5
    if sheet is None or sheet.cut_share < 1:
        return bool((~kept).all(axis=1).any())
    labels = _pieces(kept, sheet)
    return bool(labels[0, 0] != labels[-1, 0])


def without_loose(pattern: Array, sheet: Sheet) -> Array:
    """The pattern without material that neither grip holds: what would fall out. Zeros and ones, as it came.

    Raises:
        ValueError: for a pattern of another shape or with densities between 0 and 1.
    """
    kept = binary_pattern(pattern, sheet)
    if sheet.cut_share < 1:
        return kept.astype(float)  # margins between the rows hold every cell
    labels = _pieces(kept, sheet)
    return np.isin(labels[1:-1], (labels[0, 0], labels[-1, 0])).astype(float)


def _pieces(kept: Array, sheet: Sheet) -> Array:
    """Numbers of the pieces of material, ``(rows + 2) x columns`` with a row for each grip; 0 is cut."""
    labels, _ = ndimage.label(np.pad(kept, ((1, 1), (0, 0)), constant_values=True))
    if sheet.periodic_y:
        joined = {(int(a), int(b)) for a, b in zip(labels[:, 0], labels[:, -1], strict=True) if a and b and a != b}
        while joined:
            a, b = joined.pop()
            labels[labels == b] = a
            joined = {(a if p == b else p, a if q == b else q) for p, q in joined}
            joined = {(p, q) for p, q in joined if p != q}
    return np.asarray(labels)


def cut_distance(pattern: Array, sheet: Sheet) -> float:
    """Shortest distance in angstrom between separate cuts, or a cut and a free side it does not reach; inf if none.

    For cuts at any angle on a raster of pixels: where a slanted cut meets a side, or another cut, a wedge of material
    tapers off, which :func:`minimum_ligament` counts as a thin ligament and this does not. Cuts that share no edge are
    separate; at a common corner their distance is 0.

    Raises:
        ValueError: for a sheet whose cells are no pixels, and for a pattern of another shape or with densities between
            0 and 1.
    """
    if sheet.cut_share < 1:
        raise ValueError(f"Expected a sheet whose cells are pixels. Got cut_share={sheet.cut_share:g}.")
    void = ~binary_pattern(pattern, sheet)
    if not void.any():
        return math.inf
    columns = sheet.cells[1]
    void = np.tile(void, (1, 3)) if sheet.periodic_y else np.pad(void, ((0, 0), (1, 1)), constant_values=True)
    labels, count = ndimage.label(void)
    # Of three periods side by side, the cuts of the middle one.
    middle = labels[:, columns : 2 * columns] if sheet.periodic_y else labels
    inner = sorted({int(number) for number in np.unique(middle)} - {0})
    # Pixels inside a cut are no nearer to another than those on its edge.
    edge = void & ~ndimage.binary_erosion(void, border_value=0)
    places = {number: np.argwhere((labels == number) & edge) for number in range(1, count + 1)}
    shortest = math.inf
    for first in inner:
        for second, others in places.items():
            if second != first:
                apart = np.abs(places[first][:, None, :] - others[None, :, :])
                gaps = np.maximum(apart - 1, 0) * np.array(sheet.cell_angstrom)
                shortest = min(shortest, float(np.hypot(gaps[..., 0], gaps[..., 1]).min()))
    return shortest


def minimum_ligament(pattern: Array, sheet: Sheet) -> float:
    """Shortest distance across material between two cuts, or a cut and a free side, in angstrom; inf without cuts.

    Measured along x or y where cuts face each other, corner to corner where they do not; 0 where cuts touch in a
    corner only. Grips hold material and bound no ligament.

    Raises:
        ValueError: for a pattern of another shape or with densities between 0 and 1.
    """
    void, x, y = _strips(~binary_pattern(pattern, sheet), sheet)
    boxes = _runs(void)
    if not len(boxes):
        return math.inf
    solid = np.pad(~void, ((1, 0), (1, 0)), constant_values=False).cumsum(0).cumsum(1)
    shortest = math.inf
    for index, box in enumerate(boxes):
        rest = boxes[index + 1 :]
        # Index ranges of the gap along each axis; where boxes overlap, the range they share.
        x0, x1 = np.minimum(rest[:, 1], box[1]), np.maximum(rest[:, 0], box[0])
        y0, y1 = np.minimum(rest[:, 3], box[3]), np.maximum(rest[:, 2], box[2])
        apart_x, apart_y = x[x1] - x[x0], y[y1] - y[y0]
        facing_x, facing_y = x1 < x0, y1 < y0
        distance = np.hypot(np.where(facing_x, 0, apart_x), np.where(facing_y, 0, apart_y))
        low_x, high_x, low_y, high_y = np.minimum(x0, x1), np.maximum(x0, x1), np.minimum(y0, y1), np.maximum(y0, y1)
        # A gap of no extent along an axis: the cells to either side of it must be material.
        low_x, high_x = np.where(x0 == x1, x0 - 1, low_x), np.where(x0 == x1, x0 + 1, high_x)
        low_y, high_y = np.where(y0 == y1, y0 - 1, low_y), np.where(y0 == y1, y0 + 1, high_y)
        total = solid[high_x, high_y] - solid[low_x, high_y] - solid[high_x, low_y] + solid[low_x, low_y]
        corner = (x0 == x1) & (y0 == y1)
        clear = np.where(corner, total == 2, total == (high_x - low_x) * (high_y - low_y))
        # Boxes that share an edge are one cut.
        clear &= ~(facing_x & (y0 == y1)) & ~(facing_y & (x0 == x1))
        if clear.any():
            shortest = min(shortest, float(distance[clear].min()))
    return shortest


def _strips(cut: Array, sheet: Sheet) -> tuple[Array, Array, Array]:
    """Voids on the grid of all cut edges with their grid lines; sides are voids, or three periods lie side by side."""
    rows, _ = sheet.cells
    (long, wide), margin = sheet.cell_angstrom, sheet.margin_angstrom
    across = np.tile(cut, (1, 3)) if sheet.periodic_y else np.pad(cut, ((0, 0), (1, 1)), constant_values=True)
    y = np.arange(across.shape[1] + 1) * wide
    if sheet.cut_share < 1:
        void = np.zeros((3 * rows, across.shape[1]), bool)
        void[1::3] = across
        x = np.append((np.arange(rows)[:, None] * long + np.array([0, margin, long - margin])).ravel(), rows * long)
        if not sheet.periodic_y:
            void[:, [0, -1]] = True
    else:
        void, x = across, np.arange(rows + 1) * long
    # Uncut strips at the grips, so that what lies beyond the last row is material.
    void = np.pad(void, ((1, 1), (0, 0)), constant_values=False)
    return void, np.concatenate([[x[0] - long], x, [x[-1] + long]]), y


def _runs(void: Array) -> Array:
    """Voids as boxes of one row each: index ranges ``n x 4`` (x low, x high, y low, y high)."""
    steps = np.diff(np.pad(void, ((0, 0), (1, 1)), constant_values=False).astype(int), axis=1)
    row, low = np.nonzero(steps == 1)
    high = np.nonzero(steps == -1)[1]
    boxes = np.column_stack([row, row + 1, low, high])
    return boxes if void[:, 1:-1].any() else boxes[:0]  # the sides alone are no cut
