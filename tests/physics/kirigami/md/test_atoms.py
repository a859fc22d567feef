"""Sheets of atoms against the geometry of the reference work."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import cKDTree

from physics.kirigami.md import graphene
from physics.kirigami.sheet import Sheet, hanakata_sheet, small_graphene_sheet
from tests.physics.kirigami.md.problems import CUT, WHOLE, X, Y, tiny

SERPENTINE = np.array([[0, 0, 0, 0, 1], [1, 0, 0, 0, 0], [0, 0, 0, 0, 1.0]])


def neighbours(atoms, bond):
    """Number of bonds of every atom."""
    pairs = cKDTree(atoms.positions).query_pairs(1.2 * bond, output_type="ndarray")
    return np.bincount(pairs.ravel(), minlength=len(atoms.positions))


def test_reference_sheet():
    sheet, bond = hanakata_sheet(), 1.3968
    whole = graphene(np.ones((3, 5)), sheet, bond)
    assert len(whole.positions) == 34 * 80 * 4
    assert np.isclose(whole.width_angstrom, 80 * np.sqrt(3) * bond)
    assert np.isclose(whole.gauge_angstrom, 30 * 3 * bond)
    assert (whole.types == 2).sum() == (whole.types == 3).sum() == 2 * 80 * 4
    # One cut takes rows 4 to 6 of its 10 over 16 columns: 3 x 16 x 4 atoms.
    pattern = np.ones((3, 5))
    pattern[1, 2] = 0
    cut = graphene(pattern, sheet, bond)
    gone = {tuple(p) for p in whole.positions.round(6)} - {tuple(p) for p in cut.positions.round(6)}
    places = np.array(sorted(gone))[:, :2] / (3 * bond, np.sqrt(3) * bond)
    rows, columns = np.floor(places + 1e-6).T
    assert len(gone) == 3 * 16 * 4
    assert set(rows) == {2 + 10 + 4, 2 + 10 + 5, 2 + 10 + 6}
    assert set(columns) == set(range(32, 48))


def test_small_sheet():
    assert len(graphene(np.ones((3, 5)), small_graphene_sheet(), 1.42).positions) == 960
    assert len(graphene(SERPENTINE, small_graphene_sheet(), 1.42).positions) == 816


@pytest.mark.parametrize("bond", [1.3968, 1.4606])
def test_bonds(bond):
    atoms = graphene(CUT, tiny(), bond)
    nearest = cKDTree(atoms.positions).query(atoms.positions, k=2)[0][:, 1]
    assert np.allclose(nearest, bond)
    # The unit cell leaves one atom with a single bond in some corners.
    counts = neighbours(atoms, bond)
    assert set(counts) == {1, 2, 3} and (counts == 1).sum() <= 8
    assert atoms.positions[atoms.types == 2, 0].max() < atoms.positions[atoms.types == 1, 0].min()
    assert atoms.positions[atoms.types == 3, 0].min() > atoms.positions[atoms.types == 1, 0].max()


def test_severed_row_is_refused():
    with pytest.raises(ValueError, match="severed"):
        graphene(np.array([[1.0, 1, 1], [0, 0, 0]]), tiny(), 1.42)


def test_loose_piece_is_refused():
    island = np.array([[1.0, 1, 1, 1, 1], [1, 0, 0, 0, 1], [1, 0, 1, 0, 1], [1, 0, 0, 0, 1], [1, 1, 1, 1, 1]])
    raster = Sheet((5, 5), (2 * X, 2 * Y), 1.0, X)
    with pytest.raises(ValueError, match="16 atoms of loose pieces"):
        graphene(island, raster, 1.42)
    island[2, 1] = 1
    graphene(island, raster, 1.42)


@pytest.mark.parametrize(
    ("pattern", "changed", "told"),
    [
        (WHOLE * 0.5, {}, "zeros and ones"),
        (np.ones((3, 3)), {}, "shape"),
        (WHOLE * np.nan, {}, "finite"),
        (WHOLE, {"periodic_y": True}, "free sides"),
        (WHOLE, {"cell_angstrom": (2.4 * X, 2 * Y)}, r"cell_angstrom\[0\] as a multiple"),
        (WHOLE, {"cell_angstrom": (2 * X, 0.4 * Y)}, r"cell_angstrom\[1\] as a multiple"),
        (WHOLE, {"grip_angstrom": 0.3 * X}, "grip_angstrom as a multiple"),
        (WHOLE, {"cut_share": 0.1}, "cuts of one row"),
    ],
)
def test_refused(pattern, changed, told):
    with pytest.raises(ValueError, match=told):
        graphene(pattern, tiny(**changed), 1.42)
