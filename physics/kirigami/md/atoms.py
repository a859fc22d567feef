"""Atoms of a graphene sheet with cuts."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, sqrt

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from physics.base import Array
from physics.kirigami.sheet import GRAPHENE_CELL_ANGSTROM, Sheet, binary_pattern

# The rectangular cell of four atoms, in bonds: armchair direction along x, zigzag along y.
UNIT = (3.0, sqrt(3.0))
BASIS = ((0.0, 0.5), (1 / 6, 0.0), (0.5, 0.0), (2 / 3, 0.5))
FREE, LEFT, RIGHT = 1, 2, 3
# By how much of a unit a length may miss a whole number of them.
WHOLE = 0.05


@dataclass(frozen=True, eq=False)
class Atoms:
    """A flat sheet in its crystal's own lengths.

    Args:
        positions: ``n x 3`` in angstrom.
        types: ``n``: 1 free, 2 of the left grip, 3 of the right one.
        width_angstrom: of the uncut sheet.
        gauge_angstrom: between the grips, which strains refer to.
    """

    positions: Array
    types: Array
    width_angstrom: float
    gauge_angstrom: float


def graphene(pattern: Array, sheet: Sheet, bond_angstrom: float) -> Atoms:
    """The sheet with the cuts of a pattern, pulled along its armchair direction x.

    A coarse cell is a whole number of rectangular cells of four atoms, ``GRAPHENE_CELL_ANGSTROM``; a cut takes the
    middle rows of them out, across the whole coarse cell. Hanakata et al., Phys. Rev. Lett. 121, 255304 (2018): 3 x 5
    coarse cells of 10 x 16 with 3 rows cut, and 2 rows for each grip. Where as many rows cannot be left on either side,
    one more is left on the left.

    Of a sheet whose cells are pixels of another size (see ``Sheet.pixels``) every atom goes whose place in the
    undeformed crystal lies in a pixel that is cut; then, one after the other, free atoms with one bond or none, and
    what hangs on neither grip.

    Args:
        pattern: of shape ``sheet.cells``, 1 = keep, 0 = cut.
        sheet: what is counted in cells.
        bond_angstrom: of the potential's crystal, which gives the cells their size.

    Raises:
        ValueError: for a pattern that is not binary or leaves the grips unconnected, and for a sheet that is not made
            of whole cells (its length and width, where its cells are pixels) or is periodic.
    """
    kept = binary_pattern(pattern, sheet)
    if sheet.periodic_y:
        raise ValueError("Expected a sheet with free sides for molecular dynamics. Got periodic_y.")
    grip = whole_cells("grip_angstrom", sheet.grip_angstrom, GRAPHENE_CELL_ANGSTROM[0])
    atomwise = sheet.cut_share == 1 and not all(map(_whole, sheet.cell_angstrom, GRAPHENE_CELL_ANGSTROM))
    present = _pixelled(kept, sheet) if atomwise else np.repeat(_cut_cells(kept, sheet)[..., None], len(BASIS), axis=2)
    present = np.pad(present, ((grip, grip), (0, 0), (0, 0)), constant_values=True)
    places = np.argwhere(present)
    cell = np.array(UNIT) * bond_angstrom
    flat = (places[:, :2] + np.array(BASIS)[places[:, 2]]) * cell
    types = np.full(len(places), FREE)
    types[places[:, 0] < grip] = LEFT
    types[places[:, 0] >= len(present) - grip] = RIGHT
    held = _held(flat, types, bond_angstrom) if atomwise else np.ones(len(flat), bool)
    atoms = Atoms(
        np.column_stack([flat[held], np.zeros(held.sum())]),
        types[held],
        float(present.shape[1] * cell[1]),
        float((len(present) - 2 * grip) * cell[0]),
    )
    check_connected(atoms, bond_angstrom)
    return atoms


def _cut_cells(kept: Array, sheet: Sheet) -> Array:
    """Which rectangular cells of atoms are there between the grips, where a coarse cell is a whole number of them."""
    rows, columns = (
        whole_cells(f"cell_angstrom[{axis}]", sheet.cell_angstrom[axis], GRAPHENE_CELL_ANGSTROM[axis])
        for axis in (0, 1)
    )
    cut = round(sheet.cut_share * rows)
    if not 1 <= cut <= rows:
        raise ValueError(
            f"Expected cuts of one row of atoms' cells at least. Got cut_share={sheet.cut_share:g} of {rows} rows."
        )
    middle = np.zeros(rows, dtype=bool)
    first = ceil((rows - cut) / 2)
    middle[first : first + cut] = True
    solid = np.repeat(kept, columns, axis=1)[:, None, :] | ~middle[None, :, None]
    return np.asarray(solid.reshape(-1, solid.shape[2]))


def _pixelled(kept: Array, sheet: Sheet) -> Array:
    """Which atoms lie in pixels that are kept, ``rows x columns x 4`` of the crystal's cells between the grips."""
    size = (sheet.length_angstrom, sheet.width_angstrom)
    rows, columns = (
        whole_cells(name, length, unit)
        for name, length, unit in zip(("length_angstrom", "width_angstrom"), size, GRAPHENE_CELL_ANGSTROM, strict=True)
    )
    # The four places in the middle of their cell, and so the crystal in the middle of the sheet.
    basis = np.array(BASIS)
    basis = basis + 0.5 - (basis.min(axis=0) + basis.max(axis=0)) / 2
    x = (np.arange(rows)[:, None] + basis[:, 0]) / rows
    y = (np.arange(columns)[:, None] + basis[:, 1]) / columns
    i, j = (np.floor(share * n + 1e-9).astype(int) for share, n in zip((x, y), sheet.cells, strict=True))
    return np.asarray(kept[i[:, None, :], j[None, :, :]])


def _held(flat: Array, types: Array, bond_angstrom: float) -> Array:
    """Atoms left once those with one bond or none are gone, one after the other, and what then hangs on no grip."""
    left, right = _bonds(flat, bond_angstrom).T
    held = np.ones(len(flat), bool)
    while True:
        alive = held[left] & held[right]
        count = np.bincount(np.concatenate([left[alive], right[alive]]), minlength=len(flat))
        dangling = held & (count < 2) & (types == FREE)
        if not dangling.any():
            break
        held &= ~dangling
    bonds = coo_array((np.ones(alive.sum()), (left[alive], right[alive])), shape=(len(flat), len(flat)))
    pieces = connected_components(bonds, directed=False)[1]
    return np.asarray(held & np.isin(pieces, pieces[types != FREE]))


def _bonds(flat: Array, bond_angstrom: float) -> Array:
    """Pairs of bonded atoms, ``m x 2``."""
    return cKDTree(flat).query_pairs(1.2 * bond_angstrom, output_type="ndarray")


def _whole(length: float, unit: float) -> bool:
    count = round(length / unit)
    return count >= 1 and abs(length / unit - count) <= WHOLE


def whole_cells(name: str, length: float, unit: float) -> int:
    """How many units a length holds, or ``ValueError`` where that is no whole number."""
    if not _whole(length, unit):
        raise ValueError(f"Expected {name} as a multiple of {unit:.4g} angstrom. Got {length:g}.")
    return round(length / unit)


def check_connected(atoms: Atoms, bond_angstrom: float) -> None:
    """``ValueError`` where bonds do not join all atoms."""
    count = len(atoms.positions)
    i, j = _bonds(atoms.positions, bond_angstrom).T
    bonds = coo_array((np.ones(len(i)), (i, j)), shape=(count, count))
    pieces = connected_components(bonds, directed=False)[1]
    if pieces[0] != pieces[-1]:
        raise ValueError("Expected bonds from grip to grip. Got a severed sheet; keep a cell or more in every row.")
    loose = np.count_nonzero(pieces != pieces[0])
    if loose:
        raise ValueError(f"Expected one connected sheet. Got {loose} atoms of loose pieces; cut these away too.")
