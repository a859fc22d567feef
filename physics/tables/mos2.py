"""Molecular-dynamics results of MoS2 sheets with rows of cuts, as a table.

Rajak et al., npj Computational Materials 7, 102 (2021): four rows stacked along the load, in each no cut or one of 12.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from physics.base import Array
from physics.tables.table import Label, TableSimulator, read_csv

FILE, VARIABLE = "kirigami_mos2_md.csv", "INVDESIGN_DATA"
STRAIN, STRESS = "failure_strain", "max_stress_GPa"


def row_density(start: Array, length: Array, width: float, columns: int) -> NDArray[np.float64]:
    """Rows `(..., columns)` across a sheet, 1 = material: a cut from `start` on, wrapping around the width.

    Starts and lengths `(...)`, in the unit of `width`, are rounded to whole columns; a length of 0 is no cut.
    """
    first = np.rint(np.asarray(start) / width * columns).astype(int)
    count = np.rint(np.asarray(length) / width * columns).astype(int)
    offset = (np.arange(columns) - first[..., None]) % columns
    return np.where(offset < count[..., None], 0.0, 1.0)


@dataclass(frozen=True)
class Mos2Sheet:
    """The sheet of the table: rows along the load, columns across it, 1 = material.

    The load runs along the first axis. A cut removes `cut_angstrom` of a row's pitch, in its middle, over whole columns
    of 5.06 angstrom, so lengths of 60, 100 and 140 angstrom are drawn as 60.8, 101.3 and 141.8.
    """

    width_angstrom: float = 202.511
    pitch_angstrom: float = 50.0
    cut_angstrom: float = 10.0
    rows: int = 4
    columns: int = 40
    starts_angstrom: tuple[float, ...] = (25.3139, 75.9418, 126.57, 177.197)
    lengths_angstrom: tuple[float, ...] = (60.0, 100.0, 140.0)

    @property
    def design_shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.rows, self.columns

    @property
    def options(self) -> tuple[tuple[float, float], ...]:
        """(start, length) of what a row may hold; the first is no cut."""
        cuts = [(start, length) for start in self.starts_angstrom for length in self.lengths_angstrom]
        return ((0.0, 0.0), *cuts)

    def densities(self, cuts: Array) -> NDArray[np.float64]:
        """Densities `(n, rows, columns)` of cuts `(n, 2 rows)`: start and length of each row in turn."""
        pairs = np.asarray(cuts, dtype=float).reshape(-1, self.rows, 2)
        return row_density(pairs[..., 0], pairs[..., 1], self.width_angstrom, self.columns)


def mos2_sheet() -> Mos2Sheet:
    """The sheet of the table, with the 13 options of a row."""
    return Mos2Sheet()


def _file(path: str | Path | None) -> Path:
    if path is not None:
        return Path(path)
    folder = os.environ.get(VARIABLE)
    if not folder:
        raise FileNotFoundError(f"Expected the folder of {FILE} in ${VARIABLE}. It is not set; set it, or give a path.")
    return Path(folder) / FILE


def _columns(sheet: Mos2Sheet) -> list[str]:
    return [f"{what}_{row + 1}_A" for row in range(sheet.rows) for what in ("start", "length")]


def mos2_table(path: str | Path | None = None) -> TableSimulator:
    """The table: `failure_strain` (relative elongation at rupture) and `max_stress_GPa` of 23,560 patterns.

    Args:
        path: of the CSV file; `kirigami_mos2_md.csv` in the folder $INVDESIGN_DATA if None.

    Raises:
        FileNotFoundError: where it is not there.
    """
    sheet = mos2_sheet()
    columns = _columns(sheet)
    values = read_csv(_file(path), [*columns, STRAIN, STRESS])
    labels = (Label.scalar(STRAIN), Label.scalar(STRESS, "GPa"))
    responses = {STRAIN: values[:, -2], STRESS: values[:, -1]}
    quantities = tuple(label.quantity for label in labels)
    return TableSimulator("mos2-kirigami", sheet.densities(values[:, :-2]), quantities, responses, "md-mos2")


def mos2_codes(table: TableSimulator) -> NDArray[np.int64]:
    """Option of every row of the table's designs, `(n, rows)`, as numbered by `Mos2Sheet.options`."""
    sheet = mos2_sheet()
    options = np.array(sheet.options)
    drawn = row_density(options[:, 0], options[:, 1], sheet.width_angstrom, sheet.columns)
    same = (table.designs[:, :, None, :] == drawn[None, None].astype(np.float32)).all(-1)
    if not same.any(-1).all():
        raise ValueError("Expected rows that are among the sheet's options. Got others; is this the MoS2 table?")
    return same.argmax(-1)
