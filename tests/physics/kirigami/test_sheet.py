"""Geometry: what a pattern means in space, and which patterns can be made."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from physics.kirigami import (
    Sheet,
    binary_pattern,
    hanakata_sheet,
    material,
    minimum_ligament,
    mos2_sheet,
    row_cuts,
    severed,
    small_graphene_sheet,
)
from tests.physics.kirigami.patterns import PRISTINE, SERPENTINE


def test_hanakata_sheet_is_the_published_one():
    sheet = hanakata_sheet()
    # 34 x 80 rectangular cells, of which 2 a grip.
    assert sheet.length_angstrom + 2 * sheet.grip_angstrom == pytest.approx(34 * 4.19)
    assert sheet.width_angstrom == pytest.approx(80 * 2.419)
    assert sheet.cut_share * sheet.cell_angstrom[0] == pytest.approx(3 * 4.19)


def test_small_sheet_has_under_a_thousand_atoms():
    sheet = small_graphene_sheet()
    cells = (sheet.length_angstrom + 2 * sheet.grip_angstrom) / 4.19 * sheet.width_angstrom / 2.419
    assert 4 * cells == pytest.approx(960)


def test_no_fully_cut_row_leaves_the_published_number_of_patterns():
    rows = [np.array(row) for row in itertools.product((0, 1), repeat=5)]
    whole = sum(not severed(np.array([row])) for row in rows)
    assert whole**3 == 29791


@pytest.mark.parametrize("px", [(7, 9), (60, 40), (1, 1)])
def test_raster_keeps_the_area(px):
    sheet = hanakata_sheet()
    density = np.random.default_rng(0).random(sheet.cells)
    share = material(density, sheet, px).mean()
    assert share == pytest.approx(1 - sheet.cut_share * (1 - density.mean()), rel=1e-12)


def test_raster_shows_a_cut_where_it_is():
    sheet = Sheet((2, 2), (10.0, 10.0), 0.4, 0.0)
    image = material(np.array([[0, 1], [1, 1]]), sheet, (20, 20))
    expected = np.ones((20, 20))
    expected[3:7, :10] = 0
    np.testing.assert_allclose(image, expected, atol=1e-12)


def test_severed_pixels_need_a_path_through_edges():
    sheet = Sheet((3, 3), (1.0, 1.0), 1.0, 0.0)
    diagonal = np.eye(3)
    assert severed(diagonal, sheet)
    assert not severed(np.array([[1, 0, 0], [1, 1, 0], [0, 1, 1]]), sheet)
    assert not severed(diagonal, Sheet((3, 3), (1.0, 1.0), 0.5, 0.0))
    across = np.array([[1, 0, 0], [1, 0, 1], [0, 0, 1]])
    assert severed(across, sheet)
    assert not severed(across, Sheet((3, 3), (1.0, 1.0), 1.0, 0.0, periodic_y=True))


def test_minimum_ligament_of_rows():
    sheet = hanakata_sheet()
    long, wide = sheet.cell_angstrom
    assert minimum_ligament(PRISTINE, sheet) == math.inf
    one = PRISTINE.copy()
    one[1, 1] = 0
    assert minimum_ligament(one, sheet) == pytest.approx(wide)
    assert minimum_ligament(SERPENTINE, sheet) == pytest.approx(0.7 * long)
    apart = PRISTINE.copy()
    apart[0, 1], apart[1, 2] = 0, 0
    assert minimum_ligament(apart, sheet) == pytest.approx(0.7 * long)
    skew = np.ones((3, 9))
    skew[0, 3], skew[1, 5] = 0, 0
    other = Sheet((3, 9), (10.0, 4.0), 0.3, 0.0)
    assert minimum_ligament(skew, other) == pytest.approx(math.hypot(7, 4))


def test_minimum_ligament_of_pixels():
    sheet = Sheet((6, 6), (2.0, 3.0), 1.0, 0.0)
    pattern = np.ones((6, 6))
    pattern[2, 2], pattern[3, 3] = 0, 0
    assert minimum_ligament(pattern, sheet) == 0
    pattern[2, 3] = 0
    assert minimum_ligament(pattern, sheet) == pytest.approx(6)
    pattern = np.ones((6, 6))
    pattern[1:4, 1], pattern[1:4, 3] = 0, 0
    assert minimum_ligament(pattern, sheet) == pytest.approx(3)
    pattern[1, 2] = 0
    assert minimum_ligament(pattern, sheet) == pytest.approx(3)


def test_minimum_ligament_across_a_period():
    pattern = np.ones((1, 6))
    pattern[0, [0, 4]] = 0
    assert minimum_ligament(pattern, Sheet((1, 6), (9.0, 3.0), 0.5, 0.0, periodic_y=True)) == pytest.approx(3)
    assert minimum_ligament(pattern, Sheet((1, 6), (9.0, 3.0), 0.5, 0.0)) == pytest.approx(3)
    pattern[0, 4], pattern[0, 3] = 1, 0
    assert minimum_ligament(pattern, Sheet((1, 6), (9.0, 3.0), 0.5, 0.0, periodic_y=True)) == pytest.approx(6)


def test_row_cuts_have_the_exact_length_and_wrap():
    sheet = mos2_sheet()
    cuts = np.array([[25.3139, 60], [177.197, 140], [126.57, 100], [0, 0]])
    density = row_cuts(sheet, cuts)
    assert density.shape == sheet.cells
    np.testing.assert_allclose((1 - density).sum(axis=1) * sheet.cell_angstrom[1], cuts[:, 1])
    assert density[1, 0] == 0 and density[1, 30] == 1
    with pytest.raises(ValueError, match="starts in"):
        row_cuts(sheet, cuts - 30)


def test_pixels_cover_the_same_sheet():
    sheet = hanakata_sheet()
    fine = sheet.pixels((30, 40))
    assert (fine.length_angstrom, fine.width_angstrom) == pytest.approx((sheet.length_angstrom, sheet.width_angstrom))
    assert fine.cut_share == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"cells": (0, 5)},
        {"cell_angstrom": (0.0, 1.0)},
        {"cut_share": 0.0},
        {"cut_share": 1.1},
        {"grip_angstrom": -1.0},
        {"thickness_angstrom": math.nan},
    ],
)
def test_sheets_that_are_none(wrong):
    given = {"cells": (3, 5), "cell_angstrom": (1.0, 1.0), "cut_share": 0.3, "grip_angstrom": 0.0}
    with pytest.raises(ValueError, match="Expected"):
        Sheet(**(given | wrong))


def test_only_binary_patterns_are_made():
    assert binary_pattern(SERPENTINE, hanakata_sheet()).sum() == 3
    with pytest.raises(ValueError, match="zeros and ones"):
        binary_pattern(0.5 * PRISTINE, hanakata_sheet())
