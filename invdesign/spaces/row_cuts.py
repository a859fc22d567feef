"""Rows of cuts: in every row of a sheet no cut, or one of a few."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from invdesign.spaces.discrete import CodedSpace, Codes
from physics.base import Array
from physics.tables.mos2 import mos2_sheet, row_density

Symmetry = Literal["mirror_x", "rotation180"]


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
        symmetry: what every design has: "mirror_x", the same rows from either end; "rotation180", from the other end
            with their mirror images across the width, which must be options too; of an odd number of rows the middle
            one is then among those that are their own image.

    Raises:
        ValueError: for cuts that sever a row or leave less than the minimum, or that two options share.
    """

    rows: int
    cuts: tuple[tuple[float, float], ...]
    width_angstrom: float
    columns: int = 40
    minimum_ligament_angstrom: float = 0.0
    mirror: bool = True
    symmetry: Symmetry | None = None

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
        if self.symmetry not in (None, "mirror_x", "rotation180"):
            raise ValueError(f"Expected symmetry None, 'mirror_x' or 'rotation180'. Got {self.symmetry!r}.")
        if self.symmetry == "rotation180":
            if np.any(self._image < 0):
                raise ValueError("Expected the mirror image of every cut among the cuts. Got some without; add them.")
            if self.rows % 2 and not len(self._middle):
                raise ValueError("Expected a cut that is its own mirror image for the middle row. Got none.")

    @property
    def _drawn(self) -> NDArray[np.float64]:
        start, length = np.array(self.cuts).T
        return row_density(start, length, self.width_angstrom, self.columns)

    @cached_property
    def _image(self) -> NDArray[np.int64]:
        """Option that each one becomes where the sheet is mirrored across its width; -1 where there is none."""
        equal = np.isclose(self._drawn[:, None, ::-1], self._drawn[None])
        same: NDArray[np.bool_] = np.asarray(np.all(equal, axis=-1))
        return np.where(same.any(1), same.argmax(1), -1)

    @cached_property
    def _middle(self) -> NDArray[np.int64]:
        """Options of the middle row of an odd number."""
        everything = np.arange(len(self.cuts))
        return everything[self._image == everything] if self.symmetry == "rotation180" else everything

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.rows, self.columns

    @property
    def options(self) -> tuple[int, ...]:
        """As many as cuts in every row; under a symmetry, of the first half of the rows."""
        if self.symmetry is None:
            return (len(self.cuts),) * self.rows
        return (len(self.cuts),) * (self.rows // 2) + (len(self._middle),) * (self.rows % 2)

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """Rows next to each other."""
        return tuple((row, row + 1) for row in range(self.size - 1))

    def _rows(self, codes: Array) -> Codes:
        """Options of all rows `(n, rows)` of codes `(n, size)`."""
        given = np.asarray(codes, dtype=np.int64)
        if self.symmetry is None:
            return given
        half, middle = given[:, : self.rows // 2], given[:, self.rows // 2 :]
        other = half[:, ::-1] if self.symmetry == "mirror_x" else self._image[half[:, ::-1]]
        return np.concatenate([half, self._middle[middle], other], axis=1)

    def patterns(self, codes: Array) -> NDArray[np.float64]:
        """Densities `(n, rows, columns)` of codes `(n, size)`."""
        return self._drawn[self._rows(codes)]

    def coded(self, patterns: Array) -> Codes:
        """The options nearest to the rows of densities `(n, rows, columns)`; the other half follows the first."""
        misfit = np.abs(np.asarray(patterns)[:, :, None, :] - self._drawn).sum(-1)
        if self.symmetry is None:
            return misfit.argmin(-1)
        half = self.rows // 2
        middle = misfit[:, half : half + self.rows % 2][..., self._middle].argmin(-1)
        return np.concatenate([misfit[:, :half].argmin(-1), middle], axis=1)

    def orbit(self, codes: Array) -> Codes:
        """The codes, and those of the sheet turned upside down."""
        rows = np.asarray(codes, dtype=np.int64)
        if not self.mirror or self.symmetry == "mirror_x":
            return rows[None]
        if self.symmetry is None:
            return np.stack([rows, rows[:, ::-1]])
        return np.stack([rows, self.coded(self._drawn[self._rows(rows)[:, ::-1]])])

    def valid(self, codes: Array) -> NDArray[np.bool_]:
        """All: options were checked one by one."""
        return np.ones(len(codes), dtype=bool)


def mos2_row_cuts() -> RowCuts:
    """The space of the MoS2 table: four rows, 13 options each; see `physics.tables.mos2_table`."""
    sheet = mos2_sheet()
    return RowCuts(sheet.rows, sheet.options, sheet.width_angstrom, sheet.columns)
