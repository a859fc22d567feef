"""Plane stress against closed forms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from physics.kirigami import GRAPHENE, KirigamiLadder, LinearLevel, Sheet, hanakata_sheet, mos2_sheet
from physics.kirigami.membrane import GPA
from physics.kirigami.quads import element_stiffness
from physics.testing import check_simulator
from tests.physics.kirigami.patterns import PRISTINE, SERPENTINE

MODULUS = GRAPHENE.modulus_ev * GPA / 3.35


def answer(sheet, design, membrane=GRAPHENE, **level):
    return KirigamiLadder(sheet, membrane, (LinearLevel(**level),)).simulate(design, 0)


def test_graphene_has_a_modulus_of_a_terapascal():
    assert pytest.approx(1015, rel=0.01) == MODULUS


def test_pristine_sheet_of_held_width_is_exact():
    sheet = replace(hanakata_sheet(), periodic_y=True)
    assert float(answer(sheet, PRISTINE)["modulus"]) == pytest.approx(MODULUS / (1 - 0.165**2), rel=1e-9)


def test_pristine_sheet_without_contraction_is_exact():
    found = answer(hanakata_sheet(), PRISTINE, replace(GRAPHENE, poisson_ratio=0.0))
    assert float(found["modulus"]) == pytest.approx(MODULUS, rel=1e-9)
    assert float(found["poisson_ratio"]) == pytest.approx(0, abs=1e-12)
    assert float(found["yield_strain_estimate"]) == pytest.approx(0.15, rel=1e-9)
    assert float(found["strength_estimate"]) == pytest.approx(0.15 * MODULUS, rel=1e-9)


def test_a_long_strip_tends_to_the_material():
    found = [
        answer(Sheet((1, 1), (40.0 * n, 40.0), 1.0, 0.0), np.ones((1, 1)), spacing_angstrom=5.0) for n in (4, 8, 16)
    ]
    stiffening = np.array([float(f["modulus"]) / MODULUS - 1 for f in found])
    # What the grips stiffen lies at the ends, so that its share falls with the length.
    np.testing.assert_allclose(stiffening[:-1] / stiffening[1:], 2, rtol=0.05)
    missing = 0.165 - np.array([float(f["poisson_ratio"]) for f in found])
    np.testing.assert_allclose(missing[:-1] / missing[1:], 2, rtol=0.05)


@pytest.mark.parametrize("size", [(1.0, 1.0), (5.0, 1.0), (1.0, 3.0)])
def test_one_element_bends_as_a_beam(size):
    curvature, (a, b) = 0.1, size
    corners = np.array([(-a, -b), (a, -b), (a, b), (-a, b)]) / 2
    displacement = np.zeros(8)
    displacement[0::2] = curvature * corners.prod(axis=1)
    energy = 0.5 * displacement @ element_stiffness(size, 0.3) @ displacement
    assert energy == pytest.approx(0.5 * curvature**2 * b**3 / 12 * a, rel=1e-12)


def test_a_long_ligament_bends_as_a_beam():
    # Two cuts from opposite sides leave a beam along y with guided ends: F / u = E d^3 / l^3, where l is its length
    # and what the joints add.
    depth, roots, widths = 10.0, [], (120.0, 240.0)
    for width in widths:
        sheet = Sheet((12, round(width / 10)), (5.0, 10.0), 1.0, 0.0)
        pattern = np.ones(sheet.cells)
        pattern[4, :-1] = 0
        pattern[7, 1:] = 0
        modulus = float(answer(sheet, pattern, spacing_angstrom=2.5)["modulus"])
        stiffness = modulus / GPA * sheet.thickness_angstrom * width / sheet.length_angstrom
        roots.append(stiffness ** (-1 / 3))
    slope = (roots[1] - roots[0]) / (widths[1] - widths[0])
    assert slope == pytest.approx(GRAPHENE.modulus_ev ** (-1 / 3) / depth, rel=0.03)


def test_strain_concentrates_with_the_length_of_a_cut():
    sheet = Sheet((9, 20), (5.0, 5.0), 1.0, 0.0)
    estimates = []
    for half in (0, 2, 4, 6, 8):
        pattern = np.ones(sheet.cells)
        pattern[4, 10 - half : 10 + half] = 0
        estimates.append(float(answer(sheet, pattern)["yield_strain_estimate"]))
    assert (np.diff(estimates) < 0).all()


def test_a_cut_softens_and_order_of_rows_does_not_matter():
    sheet = hanakata_sheet()
    soft, back = (float(answer(sheet, p)["modulus"]) for p in (SERPENTINE, SERPENTINE[::-1]))
    assert 0 < soft < 0.01 * MODULUS
    assert back == pytest.approx(soft, rel=1e-8)


def test_modulus_converges_in_the_mesh():
    found = [float(answer(hanakata_sheet(), SERPENTINE, spacing_angstrom=s)["modulus"]) for s in (8.4, 4.2, 2.1)]
    steps = np.abs(np.diff(found))
    assert (steps[1:] < 0.6 * steps[:-1]).all()


@pytest.mark.parametrize("sheet", [hanakata_sheet(), mos2_sheet(20), hanakata_sheet().pixels((12, 10))])
def test_conformance(sheet):
    report = check_simulator(KirigamiLadder(sheet, levels=(LinearLevel(8.0),)))
    assert min(report.taylor_slopes["linear"]) > 1.9


@pytest.mark.parametrize("wrong", [{"spacing_angstrom": 0}, {"failure_strain": -1}, {"power": 1}])
def test_levels_that_are_none(wrong):
    with pytest.raises(ValueError, match="Expected"):
        LinearLevel(**wrong)
