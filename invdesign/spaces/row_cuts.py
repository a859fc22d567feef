"""Rows of cuts: in every row of a sheet no cut, or one of a few."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from invdesign.spaces.discrete import CodedSpace, Codes
from physics.base import Array
from physics.tables.mos2 import mos2_sheet, row_density


@dataclass(frozen=True)
class RowCuts(CodedSpace):
    """A sheet of rows, stacked along the load; each holds one of the `cuts`.

    Args:
        rows: how many.
        cuts: (start, length) of the options of a row across the sheet, wrapping around it; length 0 is no cut.
        width_angstrom: of the sheet, in the unit of the cuts.
        columns: pixels across, to which cuts are rounded.
        minimum_ligament_angstrom: least width of what is left between the ends of a cut.
        mirror: whether reversing the order of the rows leaves the physics as it is.

    Raises:
        ValueError: for cuts that sever a row or leave less than the minimum, or that two options share.
    """

    rows: int
    cuts: tuple[tuple[float, float], ...]
    width_angstrom: float
    columns: int = 40
    minimum_ligament_angstrom: float = 0.0
    mirror: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "cuts", tuple((float(start), float(length)) for start, length in self.cuts))
        if self.rows < 1 or self.columns < 2 or not self.width_angstrom > 0 or len(self.cuts) < 2:
            raise ValueError(f"Expected a row, two columns, a width above 0 and two options at least. Got {self}.")
        least = max(self.minimum_ligament_angstrom, self.width_angstrom / self.columns)
        for start, length in self.cuts:
            if not 0 <= start < self.width_angstrom or not 0 <= length <= self.width_angstrom - least:
                raise ValueError(
                    f"Expected cuts that start within the width of {self.width_angstrom} and leave a ligament of "
                    f"{least:.4g}. Got start {start}, length {length}."
                )
        if len(np.unique(self._drawn, axis=0)) < len(self.cuts):
            raise ValueError(
                f"Expected options that differ on {self.columns} columns. Got equal ones; use more columns."
            )

    @property
    def _drawn(self) -> NDArray[np.float64]:
        start, length = np.array(self.cuts).T
        return row_density(start, length, self.width_angstrom, self.columns)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.rows, self.columns

    @property
    def options(self) -> tuple[int, ...]:
        """As many as cuts in every row."""
        return (len(self.cuts),) * self.rows

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """Rows next to each other."""
        return tuple((row, row + 1) for row in range(self.rows - 1))

    def patterns(self, codes: Array) -> NDArray[np.float64]:
        """Densities `(n, rows, columns)` of codes `(n, rows)`."""
        return self._drawn[np.asarray(codes)]

    def coded(self, patterns: Array) -> Codes:
        """The options nearest to the rows of densities `(n, rows, columns)`."""
        return np.abs(np.asarray(patterns)[:, :, None, :] - self._drawn).sum(-1).argmin(-1)

    def orbit(self, codes: Array) -> Codes:
        """The codes, and those of the sheet turned upside down."""
        rows = np.asarray(codes, dtype=np.int64)
        return np.stack([rows, rows[:, ::-1]]) if self.mirror else rows[None]

    def valid(self, codes: Array) -> NDArray[np.bool_]:
        """All: options were checked one by one."""
        return np.ones(len(codes), dtype=bool)


def mos2_row_cuts() -> RowCuts:
    """The space of the MoS2 table: four rows, 13 options each; see `physics.tables.mos2_table`."""
    sheet = mos2_sheet()
    return RowCuts(sheet.rows, sheet.options, sheet.width_angstrom, sheet.columns)
