"""Outlines of a cut sheet, as a cutter follows them."""

from __future__ import annotations

import numpy as np

from physics.base import Array
from physics.kirigami.sheet import Sheet, binary_pattern

# Unit steps along x and y, each a quarter turn to the left of the one before.
STEPS = ((1, 0), (0, 1), (-1, 0), (0, -1))


def outlines(pattern: Array, sheet: Sheet) -> list[Array]:
    """Closed loops around the material, each ``k x 2`` corners in angstrom, the material to the left.

    The origin is the corner of the sheet with its grips. Outer loops run counter-clockwise, holes clockwise; loops of
    pieces that touch in a corner stay apart. The sides of a periodic sheet are drawn as sides.

    Raises:
        ValueError: for a pattern of another shape or with densities between 0 and 1.
    """
    solid, x, y = _grid(binary_pattern(pattern, sheet), sheet)
    lines = (x, y)
    inside = np.pad(solid, 1, constant_values=False)
    ahead = _steps(inside)
    loops = []
    while ahead:
        start = min(ahead)
        place, turn = start, min(ahead[start])
        corners = []
        while True:
            ahead[place].discard(turn)
            if not ahead[place]:
                del ahead[place]
            place = (place[0] + STEPS[turn][0], place[1] + STEPS[turn][1])
            if place not in ahead:
                corners.append(place)
                break
            # The sharpest left turn stays with the same piece of material.
            following = next(t % 4 for t in (turn + 1, turn, turn + 3) if t % 4 in ahead[place])
            if following != turn:
                corners.append(place)
            turn = following
        loops.append(np.array([[lines[0][i], lines[1][j]] for i, j in corners]))
    return loops


def _grid(kept: Array, sheet: Sheet) -> tuple[Array, Array, Array]:
    """Material on the grid of all edges of cuts and grips, and the lines of that grid."""
    (long, wide), margin, grip = sheet.cell_angstrom, sheet.margin_angstrom, sheet.grip_angstrom
    solid, x = [], [0.0]
    whole = np.ones(sheet.cells[1], bool)
    if grip > 0:
        solid, x = [whole], [0.0, grip]
    for row in range(sheet.cells[0]):
        for length, part in ((margin, whole), (long - 2 * margin, kept[row]), (margin, whole)):
            if length > 1e-9 * long:
                solid.append(part)
                x.append(x[-1] + length)
    if grip > 0:
        solid.append(whole)
        x.append(x[-1] + grip)
    return np.array(solid), np.array(x), np.arange(sheet.cells[1] + 1) * wide


def _steps(inside: Array) -> dict[tuple[int, int], set[int]]:
    """Corner of the grid -> directions of boundary edges from it, material to the left; of a padded mask."""
    ahead: dict[tuple[int, int], set[int]] = {}
    # Corner (i, j) lies between padded cells (i, j) and (i + 1, j + 1).
    left = {0: (1, 1), 1: (0, 1), 2: (0, 0), 3: (1, 0)}
    right = {0: (1, 0), 1: (1, 1), 2: (0, 1), 3: (0, 0)}
    shape = (inside.shape[0] - 1, inside.shape[1] - 1)
    for turn in range(4):
        (a, b), (c, d) = left[turn], right[turn]
        material = inside[a : a + shape[0], b : b + shape[1]]
        void = ~inside[c : c + shape[0], d : d + shape[1]]
        for i, j in np.argwhere(material & void):
            ahead.setdefault((int(i), int(j)), set()).add(turn)
    return ahead
