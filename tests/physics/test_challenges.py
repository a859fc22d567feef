"""The standard problems' devices; their agreement with ceviche_challenges is a referee's test."""

import numpy as np
import pytest

from physics.devices.challenges import CHALLENGES, ceviche_reading, challenge_device

SHAPES = {  # full, lightweight: invrs-gym's sizes over 10 and 40 nm
    "waveguide_bend": ((160, 160), (40, 40)),
    "beam_splitter": ((320, 200), (80, 50)),
    "power_splitter": ((160, 160), (40, 40)),
    "mode_converter": ((160, 160), (40, 40)),
    "wdm": ((640, 640), (80, 80)),
}


@pytest.fixture(scope="module")
def bend():
    return challenge_device("waveguide_bend", lightweight=True)


@pytest.mark.parametrize("name", CHALLENGES)
def test_sizes_wavelengths_and_materials(name):
    full, light = challenge_device(name), challenge_device(name, lightweight=True)
    assert (full.design_shape, light.design_shape) == SHAPES[name]
    assert (full.pixel_um, light.pixel_um) == (0.01, 0.04) == (full.cells_um[-1], light.cells_um[-1])
    assert (len(full.wavelength_um), light.wavelength_um) == (6, (1.27, 1.29))
    assert full.permittivity == light.permittivity == (2.25, 12.25)
    assert light.source == light.ports[0].name


def test_ports_are_whole_cells_from_the_design():
    for name in CHALLENGES:
        for lightweight in (False, True):
            device = challenge_device(name, lightweight=lightweight)
            for port in device.ports:
                cells = port.distance_um / device.cells_um[-1]
                assert cells == pytest.approx(round(cells), abs=1e-6)


def test_mirror_images_exchange_the_outputs():
    device = challenge_device("power_splitter", lightweight=True)
    density = device.example_designs(np.random.default_rng(0), 1)[0]
    there, back = (device.simulate(d, 0)["s"] for d in (density, density[:, ::-1]))
    np.testing.assert_allclose(there[[0, 2, 1]], back, atol=1e-9)


def test_the_bend_is_its_own_mirror_image_in_the_diagonal(bend):
    density = bend.example_designs(np.random.default_rng(1), 1)[0]
    there, back = (bend.simulate(d, 0)["s"] for d in (density, density.T))
    np.testing.assert_allclose(there[1], back[1], atol=1e-9)


def test_a_symmetric_design_does_not_convert_modes():
    device = challenge_device("mode_converter", lightweight=True)
    density = device.example_designs(np.random.default_rng(2), 1)[0]
    assert np.abs(device.simulate((density + density[:, ::-1]) / 2, 0)["s"][1]).max() < 1e-9


def test_other_cells_and_wavelengths(bend):
    device = challenge_device("waveguide_bend", wavelength_um=(1.3,), cells_um=(0.02,))
    assert (device.design_shape, device.wavelength_um, device.cells_um) == ((160, 160), (1.3,), (0.02,))
    assert device.identity != bend.identity


def test_the_reading_of_a_reflectionless_device_is_the_monitor_s_share(bend):
    """S11 = 0 reads -31 dB in cells of 40 nm and -56 dB in cells of 10 nm; S21 is left alone."""
    s = np.array([[0.0, 0.0], [1.0, 0.5j]])
    read = ceviche_reading(bend, s)
    assert 20 * np.log10(np.abs(read[0])) == pytest.approx([-31, -31], abs=0.6)
    np.testing.assert_allclose(read[1], s[1])
    full = challenge_device("waveguide_bend")
    fine = ceviche_reading(full, np.zeros((2, 6)))
    assert 20 * np.log10(np.abs(fine[0])) == pytest.approx([-55.7] * 6, abs=0.5)


def test_the_reading_is_that_of_the_shifted_wavelength(bend):
    nominal = challenge_device("waveguide_bend", lightweight=True, wavelength_um=(1.32, 1.34))
    s = np.array([[0.1, 0.1j], [0.9, 0.9j]])
    shifted = ceviche_reading(bend.with_parameters(wavelength_shift_um=0.05), s)
    np.testing.assert_allclose(shifted, ceviche_reading(nominal, s), rtol=1e-12)
    assert np.abs(shifted - ceviche_reading(bend, s)).max() > 1e-4


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="Expected a challenge among waveguide_bend"):
        challenge_device("bend")
