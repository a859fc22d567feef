"""Tiny sheets torn by LAMMPS."""

from __future__ import annotations

import numpy as np
import pytest

from physics.kirigami.md import quantities, run_md
from tests.physics.kirigami.md.problems import CUT, WHOLE, needs_md, quick, tiny

pytestmark = needs_md


@pytest.fixture(scope="module")
def torn():
    """A whole and a cut sheet, slowly enough for the grips to agree."""
    settings = quick(rate_per_ps=0.1, equilibration_ps=0.3)
    return {name: run_md(pattern, tiny(), settings, seed=3) for name, pattern in (("whole", WHOLE), ("cut", CUT))}


def test_whole_sheet_tears_near_its_ideal_strength(torn):
    curve = torn["whole"]
    assert curve.torn and curve.atoms == 144
    assert 75 < curve.stress_gpa.max() < 110
    assert 0.12 < curve.rupture_strain < 0.35
    after = curve.strain >= curve.rupture_strain - 1e-9
    assert (curve.stress_gpa[after] == 0).all() and (curve.temperature_k[after] == 0).all()
    assert (curve.stress_gpa[~after][:10] > 0).all()
    assert 700 < quantities(curve)["modulus"] < 1250


def test_cuts_make_it_stretch(torn):
    whole, cut = (quantities(torn[name]) for name in ("whole", "cut"))
    assert cut["strength"] < 0.6 * whole["strength"]
    assert cut["modulus"] < 0.7 * whole["modulus"]
    assert cut["yield_strain"] > whole["yield_strain"]


def test_grips_agree(torn):
    for curve in torn.values():
        held = curve.strain < curve.rupture_strain - 0.03
        assert np.allclose(curve.stress_gpa, (curve.left_gpa + curve.right_gpa) / 2)
        apart = np.abs(curve.left_gpa - curve.right_gpa)[held].mean()
        assert apart < 0.1 * curve.stress_gpa.max()


def test_seeds_are_replicates(torn):
    settings = quick(rate_per_ps=0.1, equilibration_ps=0.3)
    again, other = (run_md(CUT, tiny(), settings, seed=seed) for seed in (3, 4))
    assert np.array_equal(again.stress_gpa, torn["cut"].stress_gpa)
    assert again.rupture_strain == torn["cut"].rupture_strain
    assert not np.array_equal(other.stress_gpa, torn["cut"].stress_gpa)


def test_a_sheet_that_holds_is_told():
    curve = run_md(WHOLE, tiny(), quick(strain_max=0.05), seed=0)
    assert not curve.torn
    assert curve.rupture_strain == pytest.approx(0.05)
    assert (curve.stress_gpa > 0).all()


def test_bath_along_the_load_drags():
    # A bath at rest pulls back what moves with the grips: forces m v / damping, outward at both.
    dragged, free = (
        run_md(WHOLE, tiny(), quick(thermostat=axes, damping_ps=0.02, strain_max=0.04)) for axes in ("xyz", "yz")
    )
    assert np.mean(dragged.stress_gpa - free.stress_gpa) > 1.0


def test_temperature():
    curve = run_md(WHOLE, tiny(), quick(temperature_k=300.0, strain_max=0.1, rate_per_ps=0.05, equilibration_ps=0.5))
    assert 200 < curve.temperature_k.mean() < 400


@pytest.mark.parametrize("seed", [-1, 1.5, 2**70])
def test_seed_at_the_door(seed):
    with pytest.raises(ValueError, match="seed"):
        run_md(WHOLE, tiny(), quick(), seed=seed)
