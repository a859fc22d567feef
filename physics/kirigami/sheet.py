"""Rectangular sheets with cuts, pulled along x: what a density of coarse cells means in space."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from physics.base import Array, check_design

# Relaxed AIREBO graphene at 0 K: a rectangular cell of 4 atoms, armchair along x. Bond length 1.3968 angstrom.
GRAPHENE_CELL_ANGSTROM = (4.190, 2.419)
GRAPHENE_THICKNESS_ANGSTROM = 3.35


@dataclass(frozen=True)
class Sheet:
    """A sheet of ``rows x columns`` coarse cells between two rigid grips; x is the load, y the width.

    ::

        grip | margin, cut, margin | margin, cut, margin | ... | grip      --> x

    A density of 1 keeps a cell; 0 cuts its middle ``cut_share`` along x, over the cell's full width. With
    ``cut_share`` 1 a
    cell is a pixel: any raster of material is a design, angled cuts included. Strain is relative to the length between
        the grips.

    Args:
        cells: rows along x, columns along y.
        cell_angstrom: size of a cell along x and y.
        cut_share: share of a cell's length that a cut removes, in (0, 1].
        grip_angstrom: uncut material that each grip holds.
        thickness_angstrom: turns a membrane force into a stress.
        periodic_y: the width is one period and its sides are joined, in place of free.

    Raises:
        ValueError: for sizes that are no sheet.
    """

    cells: tuple[int, int]
    cell_angstrom: tuple[float, float]
    cut_share: float
    grip_angstrom: float
    thickness_angstrom: float = GRAPHENE_THICKNESS_ANGSTROM
    periodic_y: bool = False

    def __post_init__(self) -> None:
        rows, columns = self.cells
        if int(rows) != rows or int(columns) != columns or rows < 1 or columns < 1:
            raise ValueError(f"Expected cells as two whole numbers of 1 or more. Got {self.cells}.")
        object.__setattr__(self, "cells", (int(rows), int(columns)))  # frozen from here on
        object.__setattr__(self, "cell_angstrom", (float(self.cell_angstrom[0]), float(self.cell_angstrom[1])))
        lengths = (*self.cell_angstrom, self.thickness_angstrom)
        if not all(math.isfinite(v) and v > 0 for v in lengths) or not 0 <= self.grip_angstrom < math.inf:
            raise ValueError(
                "Expected cell_angstrom and thickness_angstrom above 0 and grip_angstrom of 0 or more, all finite. "
                f"Got {self.cell_angstrom}, {self.thickness_angstrom}, {self.grip_angstrom}."
            )
        if not 0 < self.cut_share <= 1:
            raise ValueError(f"Expected a cut_share in (0, 1]. Got {self.cut_share}.")

    @property
    def length_angstrom(self) -> float:
        """Between the grips."""
        return self.cells[0] * self.cell_angstrom[0]

    @property
    def width_angstrom(self) -> float:
        """Across the load."""
        return self.cells[1] * self.cell_angstrom[1]

    @property
    def margin_angstrom(self) -> float:
        """From a cell's border to its cut, along x."""
        return (1 - self.cut_share) / 2 * self.cell_angstrom[0]

    def pixels(self, cells: tuple[int, int]) -> Sheet:
        """The same sheet with a finer raster as design: every cell is a pixel that can be cut wholly."""
        size = (self.length_angstrom / cells[0], self.width_angstrom / cells[1])
        return replace(self, cells=cells, cell_angstrom=size, cut_share=1.0)


def hanakata_sheet() -> Sheet:
    """The 3 x 5 graphene sheet of Hanakata et al., Phys. Rev. Lett. 121, 255304 (2018).

    34 x 80 rectangular cells of 4 atoms: a coarse cell is 10 x 16 of them, a cut removes 3 of 10 rows, 2 rows a grip.
    """
    x, y = GRAPHENE_CELL_ANGSTROM
    return Sheet((3, 5), (10 * x, 16 * y), 0.3, 2 * x)


def small_graphene_sheet() -> Sheet:
    """The smallest 3 x 5 graphene sheet whose patterns differ as the large one's do: under 1,000 atoms.

    16 x 15 rectangular cells of 4 atoms: a coarse cell is 4 x 3 of them, a cut removes 1 of 4 rows, 2 rows a grip.
    """
    x, y = GRAPHENE_CELL_ANGSTROM
    return Sheet((3, 5), (4 * x, 3 * y), 0.25, 2 * x)


def mos2_sheet(columns: int = 40) -> Sheet:
    """An MoS2 sheet with four rows of cuts 10 angstrom wide, periodic over a width of 202.5 angstrom.

    After Rajak et al., npj Comput. Mater. 7, 102 (2021). Rows every 50 angstrom are an assumption of ours: the
    published table does not give their spacing. :func:`row_cuts` makes its patterns.
    """
    return Sheet((4, columns), (50.0, 202.5 / columns), 0.2, 10.0, thickness_angstrom=6.15, periodic_y=True)


def row_cuts(sheet: Sheet, cuts: Array) -> Array:
    """Density of at most one cut a row, ``rows x columns``; cells cut in part hold the exact share of material.

    Args:
        sheet: the sheet.
        cuts: ``rows x 2``: where each cut starts and its length, along y in angstrom; length 0 is no cut. On a periodic
            sheet a cut goes on at the other side; on others it ends at the side.

    Raises:
        ValueError: for another shape, a start off the sheet, or a length below 0.
    """
    array = np.asarray(cuts, dtype=float)
    width = sheet.width_angstrom
    if array.shape != (sheet.cells[0], 2) or not np.isfinite(array).all():
        raise ValueError(f"Expected finite cuts of shape {(sheet.cells[0], 2)}: start, length. Got {array.shape}.")
    if array.min() < 0 or array[:, 0].max() > width:
        raise ValueError(f"Expected starts in [0, {width:g}] and lengths of 0 or more. Got {array.tolist()}.")
    edges = np.linspace(0, width, sheet.cells[1] + 1)
    removed = np.zeros(sheet.cells)
    for shift in (-width, 0.0, width) if sheet.periodic_y else (0.0,):
        low, high = array[:, :1] + shift, array.sum(axis=1)[:, None] + shift
        removed += np.clip(np.minimum(edges[1:], high) - np.maximum(edges[:-1], low), 0, None)
    return np.clip(1 - removed / sheet.cell_angstrom[1], 0.0, 1.0)


def binary_pattern(design: Array, sheet: Sheet) -> Array:
    """The design as booleans, ``rows x columns``, True is material.

    Raises:
        ValueError: for another shape, or for densities other than 0 and 1.
    """
    array = check_design(design, sheet.cells)
    if not np.isin(array, (0.0, 1.0)).all():
        raise ValueError(
            "Expected a pattern of zeros and ones: what is partly cut cannot be made. Got densities between; round the "
            "design first."
        )
    return array > 0.5
