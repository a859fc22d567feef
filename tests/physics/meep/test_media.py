"""Absorption, dispersion and corners, against FDFD and against devices built for the same medium."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from physics.fdfd.geometry import Circle, Rectangle
from physics.fdfd.materials import SILICA, SILICON, SILICON_ABSORBING
from physics.meep.description import groups
from tests.meep import needs_meep
from tests.physics.meep.problems import CLADDING, CORE, bend, grey, ladder, ring, through, turn
from tests.physics.meep.test_gradient import agree

pytestmark = needs_meep


@pytest.mark.parametrize("polarization", ["Ez", "Hz"])
def test_absorbing_shape(polarization):
    design = np.ones((24, 24))  # light spreads to the absorbers above and below
    changes = []
    for level in (0, 1):
        sizes = []
        for value in (CORE, CORE + 3j):
            plates = tuple(Rectangle((-0.5, 0.5), (low, low + 0.6), value) for low in (-0.9, 0.3))
            device = through(shapes=plates, polarization=polarization)
            sizes.append(np.abs(ladder(device, (0.04,)).simulate(design, level)["s"][1, 0]))
        changes.append(sizes[1] - sizes[0])
    assert abs(changes[0]) > 0.02
    assert abs(changes[1] - changes[0]) < 0.35 * abs(changes[0])


def test_gradient_beside_absorption():
    agree(ladder(through(shapes=(Circle((0.0, 0.75), 0.1, CORE + 3j),))), grey(), directions=1)


@pytest.mark.parametrize(
    "permittivity", [(CLADDING, CORE + 0.1j), (CLADDING + 1e-3j, CORE), (CLADDING, SILICON_ABSORBING)]
)
def test_absorbing_design_is_refused(permittivity):
    device = replace(bend(1.1, (0.0125,)), permittivity=permittivity)
    with pytest.raises(ValueError, match="lossless media of density 0 and 1"):
        ladder(device, (0.025,))


def test_dispersion():
    device = bend((1.5, 1.6), core_permittivity=SILICON, cladding_permittivity=SILICA)
    assert groups(device) == ((1,), (0,))
    simulator = ladder(device, (0.04,))
    fdfd, meep = (simulator.simulate(ring(), level) for level in (0, 1))
    assert np.abs(meep["transmission"] - fdfd["transmission"]).max() < 0.02
    assert np.abs(turn(meep["s"][1], fdfd["s"][1])).max() < 0.4
    alone = ladder(bend(1.6, core_permittivity=SILICON, cladding_permittivity=SILICA), (0.04,))
    assert np.allclose(alone.simulate(ring(), 1)["s"][:, 0], meep["s"][:, 1], atol=1e-9)


@pytest.mark.slow
def test_gradient_with_dispersion():
    device = bend((1.5, 1.6), core_permittivity=SILICON, cladding_permittivity=SILICA)
    agree(ladder(device), grey(), directions=1)


def test_wavelengths_together_are_those_alone():
    together = ladder(bend((1.6, 1.5)), transits=20.0)
    assert groups(together.device) == ((0, 1),)
    s = together.simulate(ring(), 1)["s"]
    for i, wavelength in enumerate((1.6, 1.5)):
        alone = ladder(bend(wavelength), transits=20.0).simulate(ring(), 1)["s"][:, 0]
        assert np.allclose(s[:, i], alone, atol=0.01)


def test_shifted_wavelength_is_that_wavelength():
    simulator = ladder(bend(1.55))
    shifted = simulator.with_parameters(wavelength_shift_um=0.02)
    assert shifted.identity != simulator.identity
    s = shifted.simulate(ring(), 1)["s"]
    assert np.allclose(s, ladder(bend(1.57)).simulate(ring(), 1)["s"], atol=1e-9)
    assert not np.allclose(s, simulator.simulate(ring(), 1)["s"], atol=1e-2)


@pytest.mark.slow
def test_temperature_changes_the_medium():
    simulator = ladder(bend(1.55, core_permittivity=SILICON, cladding_permittivity=SILICA))
    hot = simulator.with_parameters(temperature_k=393.15)
    changes = [
        turn(hot.simulate(ring(), level)["s"][1], simulator.simulate(ring(), level)["s"][1])[0] for level in (0, 1)
    ]
    assert changes[0] > 0.01
    assert abs(changes[1] / changes[0] - 1) < 0.1
