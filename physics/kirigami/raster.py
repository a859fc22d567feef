"""Where cuts lie on a grid of lines, and rasters of material with exact areas."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from physics.base import Array, check_design
from physics.kirigami.sheet import Sheet


@dataclass(frozen=True)
class Lines:
    """Grid lines along x that meet every edge of every cut.

    Args:
        x_angstrom: ``n + 1`` positions from grip to grip.
        row: for each of the ``n`` strips between them the row of cells it can be cut with, -1 in a margin.
    """

    x_angstrom: Array
    row: Array


def cut_lines(sheet: Sheet, spacing_angstrom: float) -> Lines:
    """Lines about ``spacing_angstrom`` apart between the grips, on the edges of all cuts."""
    x, row = [0.0], []
    long, margin = sheet.cell_angstrom[0], sheet.margin_angstrom
    for index in range(sheet.cells[0]):
        start = index * long
        for low, high, which in (
            (start, start + margin, -1),
            (start + margin, start + long - margin, index),
            (start + long - margin, start + long, -1),
        ):
            if high - low > 1e-9 * long:
                steps = max(1, round((high - low) / spacing_angstrom))
                x += list(np.linspace(low, high, steps + 1)[1:])
                row += [which] * steps
    return Lines(np.array(x), np.array(row))


def overlap(edges: Array, low: Array, high: Array) -> Array:
    """Share of each interval between ``edges`` (n + 1) that lies within each of m intervals, ``n x m``."""
    inside = np.minimum(edges[1:, None], high) - np.maximum(edges[:-1, None], low)
    return np.clip(inside, 0, None) / np.diff(edges)[:, None]


def material(density: Array, sheet: Sheet, px: tuple[int, int]) -> Array:
    """Share of material in each of ``px`` equal pixels from grip to grip and side to side; areas are exact.

    Args:
        density: ``rows x columns`` in [0, 1].
        sheet: the sheet.
        px: pixels along x and y.

    Raises:
        ValueError: for a density of another shape or range, or for no pixels.
    """
    array = check_design(density, sheet.cells)
    if min(px) < 1:
        raise ValueError(f"Expected px of 1 or more along x and y. Got {px}.")
    rows, columns = (np.arange(n) for n in sheet.cells)
    (long, wide), margin = sheet.cell_angstrom, sheet.margin_angstrom
    along = overlap(np.linspace(0, sheet.length_angstrom, px[0] + 1), rows * long + margin, (rows + 1) * long - margin)
    across = overlap(np.linspace(0, sheet.width_angstrom, px[1] + 1), columns * wide, (columns + 1) * wide)
    return np.clip(1 - along @ (1 - array) @ across.T, 0.0, 1.0)
