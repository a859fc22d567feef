"""ceviche_challenges 1.0.2, on the same arrays: its models' S-parameters, as its monitors read them.

Its monitors mix the two directions a little, see ``ceviche_reading``; apart from that nothing is fitted.
"""

import numpy as np
import pytest

pytest.importorskip("ceviche_challenges", reason="the referee is ceviche_challenges 1.0.2")

from benchmarks.ceviche_models import ceviche_model, ceviche_scattering
from physics.devices.challenges import CHALLENGES, ceviche_reading, challenge_device

FLOOR_DB, TOLERANCE_DB = -30.0, 0.05


def decibels(s):
    return 20 * np.log10(np.abs(s))


def drawn(device):
    """A straight guide from the source's port to the opposite side."""
    _, y = (np.arange(n) + 0.5 - n / 2 for n in device.design_shape)
    centre = device.ports[0].centre_um / device.pixel_um
    return np.tile(np.abs(y - centre) < 0.2 / device.pixel_um, (device.design_shape[0], 1)).astype(float)


def check(device, model, density):
    """Levels above the floor agree, and every amplitude to 2e-4; gives where that floor is exceeded."""
    referee = ceviche_scattering(model, density)
    ours = ceviche_reading(device, device.simulate(density, 0)["s"])
    strong = decibels(referee) > FLOOR_DB
    assert np.abs(decibels(ours) - decibels(referee))[strong].max(initial=0.0) < TOLERANCE_DB
    assert np.abs(np.abs(ours) - np.abs(referee)).max() < 2e-4
    return strong


@pytest.mark.parametrize("name", CHALLENGES)
def test_lightweight_scattering_agrees(name):
    device, model = challenge_device(name, lightweight=True), ceviche_model(name, lightweight=True)
    assert model.design_variable_shape == device.design_shape
    grey, nearly_binary = device.example_designs(np.random.default_rng(0), 2)
    assert check(device, model, grey).all()
    assert check(device, model, (nearly_binary > 0.5).astype(float)).any()
    check(device, model, drawn(device))  # an uninterrupted guide, which reflects and converts nothing


def test_a_quarter_ring_agrees():
    """The density's orientation: an array with x and y exchanged, or upside down, would not bend the light."""
    device = challenge_device("waveguide_bend", lightweight=True)
    x, y = np.meshgrid(*(np.arange(n) + 0.5 for n in device.design_shape), indexing="ij")
    ring = (np.abs(np.hypot(x, y) - 20) < 5).astype(float)
    check(device, ceviche_model("waveguide_bend", lightweight=True), ring)
    assert np.abs(device.simulate(ring, 0)["s"][1]).min() > 0.8


@pytest.mark.slow
@pytest.mark.parametrize("name", ["waveguide_bend", "beam_splitter", "power_splitter", "mode_converter"])
def test_full_scattering_agrees(name):
    device = challenge_device(name, wavelength_um=(1.285,))
    model = ceviche_model(name, wavelength_um=(1.285,))
    assert model.design_variable_shape == device.design_shape
    grey, nearly_binary = device.example_designs(np.random.default_rng(1), 2)
    for density in (grey, (nearly_binary > 0.5).astype(float)):
        check(device, model, density)


@pytest.mark.slow
def test_the_full_demultiplexer_has_the_same_design_variable():
    """Geometry alone: a direct solve of 840 x 760 cells takes minutes."""
    assert ceviche_model("wdm").design_variable_shape == challenge_device("wdm").design_shape
