"""Sheets of atoms against the geometry of the reference work."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import cKDTree

from physics.kirigami.md import graphene
from physics.kirigami.raster import material
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


def test_pixels_of_whole_cells_are_cells():
    coarse, fine = small_graphene_sheet(), small_graphene_sheet().pixels((12, 15))
    drawn = graphene(material(SERPENTINE, coarse, (12, 15)).round(), fine, 1.42)
    # A raster with its cuts where the coarse cells have theirs, in the third of four rows.
    np.testing.assert_allclose(drawn.gauge_angstrom, graphene(SERPENTINE, coarse, 1.42).gauge_angstrom)
    whole = graphene(np.ones((12, 15)), fine, 1.42)
    np.testing.assert_array_equal(whole.positions, graphene(np.ones((3, 5)), coarse, 1.42).positions)


@pytest.mark.parametrize("pixels", [(24, 30), (30, 40), (60, 75)])
def test_pixels_of_other_sizes_take_the_atoms_in_them(pixels):
    sheet, bond = small_graphene_sheet().pixels(pixels), 1.42
    whole = graphene(np.ones(pixels), sheet, bond)
    np.testing.assert_array_equal(whole.positions, graphene(np.ones((3, 5)), small_graphene_sheet(), bond).positions)
    x, y = (np.arange(n) + 0.5 for n in pixels)
    middle = (abs(x[:, None] / pixels[0] - 0.5) < 0.15) & (abs(y / pixels[1] - 0.5) < 0.25)
    holed = graphene(1.0 - middle, sheet, bond)
    left = {tuple(p) for p in holed.positions.round(6)}
    gone = np.array([p for p in whole.positions.round(6) if tuple(p) not in left])[:, :2]
    # As many as the hole's share of the area, all of them in it or dangling at its edge.
    assert abs(len(gone) / (12 * 15 * 4) - 0.3 * 0.5) < 0.03
    inside = (gone / (3 * bond, np.sqrt(3) * bond) - (2 + 6, 7.5)) / (12, 15)
    assert (abs(inside) < (0.15 + 0.12, 0.25 + 0.1)).all()
    assert neighbours(holed, bond)[holed.types == 1].min() >= 2


def test_what_hangs_on_no_grip_falls_out():
    sheet = Sheet((24, 24), (0.5 * X, 0.5 * Y), 1.0, X)
    ring = np.ones((24, 24))
    ring[4:20, 4:20] = 0
    ring[8:16, 8:16] = 1
    island = ring.copy()
    ring[8:16, 8:16] = 0
    assert len(graphene(island, sheet, 1.42).positions) == len(graphene(ring, sheet, 1.42).positions)
    # One atom that sticks out of an edge goes, too.
    spur = ring.copy()
    spur[4, 12] = 1
    assert len(graphene(spur, sheet, 1.42).positions) == len(graphene(ring, sheet, 1.42).positions)
    ring[10:12] = 0
    with pytest.raises(ValueError, match="severed"):
        graphene(ring, sheet, 1.42)


def test_rasters_of_sheets_that_are_no_whole_cells_are_refused():
    with pytest.raises(ValueError, match="width_angstrom as a multiple"):
        graphene(np.ones((8, 9)), Sheet((8, 9), (0.5 * X, 0.3 * Y), 1.0, X), 1.42)
