"""Binary cut grids: every coarse cell of a sheet is kept or cut."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from invdesign.spaces.discrete import CodedSpace, Codes
from physics.base import Array

Mirror = Literal["mirror_x", "mirror_y"]
Symmetry = Literal["mirror_x", "mirror_y", "rotation180"]
# Axes to flip for each symmetry.
FLIPS: dict[str, tuple[int, ...]] = {"mirror_x": (0,), "mirror_y": (1,), "rotation180": (0, 1)}


@dataclass(frozen=True)
class CutGrid(CodedSpace):
    """Coarse cells `(rows, columns)`, 1 = keep, 0 = cut; rows are stacked along the load (x), columns across it (y).

    Args:
        cells: rows and columns.
        minimum_ligament: least length, in cells, of any run of kept cells in a row.
        whole_cells: whether a cut removes its cell whole, so that a path of kept cells must lead from grip to grip;
            else it removes the middle of its length, and a sheet holds together if no row is cut throughout.
        symmetry: of mirror_x (x to -x), mirror_y and rotation180, those that every design has.
        equivalent: mirrors that leave the physics as it is; their images count as one design's orbit.
        periodic_y: whether the sheet goes on across its sides.

    Raises:
        ValueError: for a grid, ligament or mirrors that make no sense.
    """

    cells: tuple[int, int]
    minimum_ligament: int = 1
    whole_cells: bool = False
    symmetry: tuple[Symmetry, ...] = ()
    equivalent: tuple[Mirror, ...] = ("mirror_x", "mirror_y")
    periodic_y: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "cells", tuple(int(count) for count in self.cells))
        for field in ("symmetry", "equivalent"):
            names = getattr(self, field)
            object.__setattr__(self, field, (names,) if isinstance(names, str) else tuple(names))
        if len(self.cells) != 2 or min(self.cells) < 1:
            raise ValueError(f"Expected rows and columns, 1 at least. Got {self.cells}.")
        if not 1 <= self.minimum_ligament <= self.cells[1]:
            raise ValueError(f"Expected a ligament of 1 to {self.cells[1]} cells. Got {self.minimum_ligament}.")
        for name in self.symmetry:
            if name not in FLIPS:
                raise ValueError(f"Expected symmetries among {', '.join(FLIPS)}. Got {name!r}.")
        for name in self.equivalent:
            if name not in ("mirror_x", "mirror_y"):
                raise ValueError(f"Expected equivalent mirrors among mirror_x and mirror_y. Got {name!r}.")

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.cells

    @cached_property
    def _code_of(self) -> NDArray[np.int64]:
        """Number of the code of every cell, `(rows, columns)`; cells that are images of each other share one."""
        cell = np.arange(self.cells[0] * self.cells[1]).reshape(self.cells)
        for name in self.symmetry:
            cell = np.minimum(cell, np.flip(cell, FLIPS[name]))
        return np.unique(cell, return_inverse=True)[1].reshape(self.cells)

    @cached_property
    def _first(self) -> NDArray[np.int64]:
        """First cell of every code."""
        return np.unique(self._code_of, return_index=True)[1]

    @property
    def options(self) -> tuple[int, ...]:
        """Two a code."""
        return (2,) * len(self._first)

    @cached_property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """Cells next to each other, along and across."""
        code = self._code_of
        both = [
            *zip(code[:-1].flat, code[1:].flat, strict=True),
            *zip(code[:, :-1].flat, code[:, 1:].flat, strict=True),
        ]
        return tuple(sorted({(int(min(a, b)), int(max(a, b))) for a, b in both if a != b}))

    def patterns(self, codes: Array) -> NDArray[np.float64]:
        """Densities `(n, rows, columns)` of codes `(n, size)`."""
        return np.asarray(codes, dtype=np.float64)[:, self._code_of]

    def coded(self, patterns: Array) -> Codes:
        """Codes of densities `(n, rows, columns)`: what exceeds 1/2 is kept; mirrored cells follow the first."""
        flat = np.asarray(patterns).reshape(len(patterns), -1)
        return (flat[:, self._first] > 0.5).astype(np.int64)

    def orbit(self, codes: Array) -> Codes:
        """The codes and those of the mirrored sheets, first mirror fastest."""
        images = [self.patterns(codes)]
        for axis, name in enumerate(("mirror_x", "mirror_y"), start=1):
            if name in self.equivalent:
                images += [np.flip(image, axis) for image in images]
        return np.stack([self.coded(image) for image in images])

    def valid(self, codes: Array) -> NDArray[np.bool_]:
        """Which hold together with ligaments as wide as asked for."""
        patterns = self.patterns(codes) > 0.5
        whole: NDArray[np.bool_] = np.asarray(np.all(np.any(patterns, axis=2), axis=1))
        if not self.whole_cells and self.minimum_ligament == 1:
            return whole
        for row in np.flatnonzero(whole):
            whole[row] = not self.severed(patterns[row]) and self.ligament(patterns[row]) >= self.minimum_ligament
        return whole

    def severed(self, pattern: Array) -> bool:
        """Whether cuts separate the grips of a pattern `(rows, columns)`."""
        kept = np.asarray(pattern) > 0.5
        if not kept.any(1).all():
            return True
        if not self.whole_cells:
            return False
        parts, _ = ndimage.label(kept)
        if self.periodic_y:
            for left, right in zip(parts[:, 0], parts[:, -1], strict=True):
                if left and right:
                    parts[parts == right] = left
        return not set(parts[0][kept[0]]) & set(parts[-1][kept[-1]])

    def ligament(self, pattern: Array) -> int:
        """Shortest run of kept cells in any row of a pattern, in cells; the number of columns where none is cut."""
        return min((stop - start for row in np.asarray(pattern) > 0.5 for start, stop in self._runs(row)), default=0)

    def _runs(self, row: NDArray[np.bool_]) -> list[tuple[int, int]]:
        """Runs of kept cells (start, stop); one that wraps around has a stop beyond the columns."""
        columns = len(row)
        if row.all():
            return [(0, columns)]
        shift = int(np.flatnonzero(~row)[0]) if self.periodic_y else 0
        steps = np.diff(np.concatenate([[0], np.roll(row, -shift).astype(int), [0]]))
        pairs = zip(np.flatnonzero(steps == 1), np.flatnonzero(steps == -1), strict=True)
        return [(int(start) + shift, int(stop) + shift) for start, stop in pairs]

    def mended(self, codes: Codes, rng: np.random.Generator) -> Codes:
        """Codes with short ligaments cut away, a ligament given to rows without, and a bridge to a severed sheet."""
        pattern = self.patterns(codes[None])[0] > 0.5
        if not self.severed(pattern) and self.ligament(pattern) >= self.minimum_ligament:
            return codes
        columns = self.cells[1]
        for row in pattern:
            for start, stop in self._runs(row):
                if stop - start < self.minimum_ligament:
                    row[np.arange(start, stop) % columns] = False
            if not row.any():
                row[self._place(rng)] = True
        if self.severed(pattern):
            pattern[:, self._place(rng)] = True
        # The union with its mirror images keeps every run at least as long as it was.
        for name in self.symmetry:
            pattern = pattern | np.flip(pattern, FLIPS[name])
        return self.coded(pattern[None])[0]

    def _place(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """Columns of a ligament of the least length, somewhere."""
        columns = self.cells[1]
        start = rng.integers(columns if self.periodic_y else columns - self.minimum_ligament + 1)
        return (start + np.arange(self.minimum_ligament)) % columns
