"""What curves say: yield, rupture, and estimates of failure with their derivatives."""

from __future__ import annotations

import numpy as np
import pytest

from physics.kirigami import curve_quantities
from physics.kirigami.readout import estimates

STRAIN = np.linspace(0.05, 0.5, 10)


def test_a_triangle():
    strain = np.linspace(0, 0.4, 41)
    stress = np.where(strain <= 0.3, 100 * strain, 0.0)
    found = curve_quantities(strain, stress)
    assert found["modulus"] == pytest.approx(100)
    assert found["yield_strain"] == pytest.approx(0.3)
    assert found["rupture_strain"] == pytest.approx(0.31)
    assert found["strength"] == pytest.approx(30)
    assert found["toughness"] == pytest.approx(0.5 * 30 * 0.3)


def test_yield_is_the_first_maximum_above_the_threshold():
    stress = np.array([0.5, 0.4, 3.0, 2.5, 4.0, 5.0, 0.2, 0.1, 0.0, 0.0])
    found = curve_quantities(STRAIN, stress, threshold_gpa=1.0)
    assert found["yield_strain"] == pytest.approx(0.15)
    assert found["strength"] == 5.0
    assert found["rupture_strain"] == pytest.approx(0.35)


def test_without_a_maximum_yield_is_the_last_point():
    found = curve_quantities(STRAIN, 10 * STRAIN)
    assert found["yield_strain"] == found["rupture_strain"] == pytest.approx(0.5)


@pytest.mark.parametrize("strain", [STRAIN[::-1], STRAIN - 1, STRAIN[:1], np.full(10, np.nan)])
def test_curves_that_are_none(strain):
    with pytest.raises(ValueError, match="Expected"):
        curve_quantities(strain, np.ones(len(strain)))


@pytest.mark.parametrize("failure", [0.02, 0.11, 0.9])
def test_derivatives_of_estimates(failure):
    rng = np.random.default_rng(1)
    stress, local = np.cumsum(rng.random(10)), np.cumsum(rng.random(10)) / 15
    found = estimates(STRAIN, stress, local, failure)
    step = 1e-6
    for name in found.values:
        for index in range(10):
            bump = step * np.eye(10)[index]
            for ahead, back, slope in (
                ((stress + bump, local), (stress - bump, local), found.by_stress[name][index]),
                ((stress, local + bump), (stress, local - bump), found.by_local[name][index]),
            ):
                high, low = (estimates(STRAIN, *pair, failure).values[name] for pair in (ahead, back))
                assert slope == pytest.approx((high - low) / (2 * step), rel=1e-6, abs=1e-8)


def test_estimates_of_a_straight_line():
    found = estimates(STRAIN, 100 * STRAIN, 0.5 * STRAIN, 0.11).values
    assert found["yield_strain_estimate"] == pytest.approx(0.22)
    assert found["strength_estimate"] == pytest.approx(22)
    assert found["toughness_estimate"] == pytest.approx(0.5 * 22 * 0.22)
