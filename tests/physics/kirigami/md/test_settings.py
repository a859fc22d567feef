"""Protocols at the door, their grid, and what a curve says."""

from __future__ import annotations

import numpy as np
import pytest

from physics.kirigami.md import MdSettings, quantities
from physics.kirigami.md.quantities import yield_index
from tests.physics.kirigami.md.problems import curve


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"potential": "reaxff"}, "tersoff, rebo, airebo"),
        ({"temperature_k": 0.0}, "temperature_k > 0"),
        ({"rate_per_ps": -1.0}, "rate_per_ps > 0"),
        ({"rate_per_ps": float("nan")}, "rate_per_ps > 0"),
        ({"rate_per_ps": 50.0}, "two time steps"),
        ({"timestep_ps": 0.01}, "at most 0.002"),
        ({"timestep_ps": "fast"}, "real number"),
        ({"strain_max": 0.001}, "strain_max from strain_step"),
        ({"bond_range_angstrom": (2.0, 1.9)}, "ascending"),
        ({"bond_range_angstrom": (1.9, 2.6)}, "below second neighbours"),
        ({"bond_range_angstrom": 1.92}, "2 real numbers"),
        ({"imperfection_angstrom": 3.0}, "between 0 and 0.5"),
        ({"thermostat": "x"}, "'yz' or 'xyz'"),
    ],
)
def test_refused(given, told):
    with pytest.raises(ValueError, match=told):
        MdSettings(**given)


def test_grid():
    settings = MdSettings(strain_step=0.01, strain_max=0.3)
    assert settings.points == 30
    assert np.allclose(settings.strain, np.linspace(0.01, 0.3, 30))
    assert MdSettings(bond_range_angstrom=[1.7, 2]).bond_range == (1.7, 2.0)


def test_yield_passes_noise_and_stops_at_a_fall():
    rng = np.random.default_rng(0)
    rise = np.linspace(0, 20, 80) + 0.3 * rng.standard_normal(80)
    stress = np.concatenate([rise, [12.0, 25.0, 30.0, 0.0]])
    assert abs(yield_index(stress) - 79) <= 2
    assert yield_index(np.linspace(0, 5, 11)) == 10
    assert yield_index(np.array([0.0, 2.0, 4.0, 0.0, 0.0])) == 2
    assert yield_index(np.zeros(5)) == 4


def test_quantities_of_a_triangle():
    found = quantities(curve([10.0, 20.0, 30.0, 0.0, 0.0], rupture_strain=0.04))
    assert found["modulus"] == pytest.approx(1000)
    assert found["yield_strain"] == pytest.approx(0.03)
    assert found["strength"] == pytest.approx(30)
    assert found["toughness"] == pytest.approx(0.45)
    assert found["rupture_strain"] == 0.04


def test_strength_may_lie_beyond_yield():
    found = quantities(curve([10.0, 20.0, 10.0, 40.0, 0.0]))
    assert found["yield_strain"] == pytest.approx(0.02)
    assert found["strength"] == 40
