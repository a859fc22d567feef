"""Ready-made devices: ports, symmetries, polarisations, materials, refusals."""

import inspect

import numpy as np
import pytest
from numpy.testing import assert_allclose

from physics import devices
from physics.devices import beam_splitter, straight_guide, straight_waveguide, waveguide_bend
from physics.devices.junctions import channel_name, demultiplexer, mode_converter, waveguide_crossing
from physics.fdfd.materials import SILICA, SILICON

COARSE = {"cells_um": 0.05, "pixel_um": 0.05}
MAKERS = (waveguide_bend, straight_waveguide, beam_splitter, waveguide_crossing, demultiplexer, mode_converter)


def draw(device, seed=0):
    return device.example_designs(np.random.default_rng(seed), 2)[1]


def band(maker):
    return {"channels_um": (1.5, 1.6)} if maker is demultiplexer else {"wavelength_um": 1.55}


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("polarization", ["Ez", "Hz"])
def test_every_device_takes_polarisations_and_materials(maker, polarization):
    device = maker(
        polarization=polarization, core_permittivity=SILICON, cladding_permittivity=SILICA, **band(maker), **COARSE
    )
    s = device.simulate(draw(device), 0)["s"]
    assert device.polarization == polarization
    assert device.permittivity == (SILICA, SILICON)
    assert (np.sum(np.abs(s) ** 2, axis=0) <= 1 + 1e-9).all()
    numbers = maker(polarization=polarization, **band(maker), **COARSE).simulate(draw(device), 0)["s"]
    assert np.abs(numbers - s).max() > 1e-4


@pytest.mark.parametrize("maker", MAKERS)
def test_every_device_refuses_what_does_not_guide(maker):
    with pytest.raises(ValueError, match="core_permittivity above"):
        maker(core_permittivity=2.0, **COARSE)
    with pytest.raises(ValueError, match="fits the design region"):
        maker(width_um=5.0, **COARSE)
    with pytest.raises(ValueError, match="width_um finite and above 0"):
        maker(width_um=-0.5, **COARSE)
    with pytest.raises(ValueError, match="polarization"):
        maker(polarization="TE", **COARSE)


def test_a_polarised_guide_passes_all_its_light():
    for polarization in ("Ez", "Hz"):
        device = straight_waveguide(1.55, polarization=polarization, width_um=0.48, cells_um=0.04, pml_um=1.0)
        assert abs(device.simulate(straight_guide(device), 0)["transmission"][0, 0] - 1) < 1e-6


@pytest.mark.parametrize("polarization", ["Ez", "Hz"])
def test_a_crossing_has_the_symmetries_of_the_square(polarization):
    device = waveguide_crossing(1.55, polarization=polarization, **COARSE)
    density = draw(device)
    plain = device.simulate(density, 0)["s"][:, 0]
    mirrored = device.simulate(density[:, ::-1], 0)["s"][:, 0]
    assert_allclose(mirrored, plain[[0, 1, 3, 2]], atol=1e-11)
    symmetric = sum(np.rot90(image, k) for image in (density, density.T) for k in range(4)) / 8
    s = device.simulate(symmetric, 0)["s"][:, 0]
    assert abs(s[2] - s[3]) < 1e-11
    turned = device.simulate(density.T, 0)["s"][:, 0]  # by the diagonal "in" becomes "south": other light altogether
    assert np.abs(turned - plain).max() > 1e-3


def test_a_plain_crossing_leaks_to_both_sides_alike():
    device = waveguide_crossing(1.55, cells_um=0.04)
    one = straight_guide(straight_waveguide(1.55, cells_um=0.04))
    cross = np.maximum(one, one.T)
    through, north, south = device.simulate(cross, 0)["transmission"][:, 0]
    assert 0.5 < through < 0.95
    assert 0.001 < north < 0.1
    assert abs(north - south) < 1e-12


def test_a_demultiplexer_has_a_port_a_channel():
    device = demultiplexer((1.45, 1.5, 1.6), spacing_um=1.2, design_um=(3.0, 3.6), **COARSE)
    assert [port.name for port in device.ports] == ["in", "1450nm", "1500nm", "1600nm"]
    assert [port.centre_um for port in device.ports] == [0.0, -1.2, 0.0, 1.2]
    assert device.wavelength_um == (1.45, 1.5, 1.6)
    assert device.size_um == (3.0, 3.6)
    assert channel_name(1.5475) == "1547.5nm"
    wide = demultiplexer(wavelength_um=(1.46, 1.47, 1.48, 1.59, 1.60, 1.61), **COARSE)
    assert wide.fidelities[0].quantity("transmission").shape == (2, 6)


def test_a_demultiplexer_is_its_own_mirror_image_with_channels_exchanged():
    device = demultiplexer((1.5, 1.6), **COARSE)
    density = draw(device)
    s, mirrored = (device.simulate(d, 0)["s"] for d in (density, density[:, ::-1]))
    assert_allclose(mirrored, s[[0, 2, 1]], atol=1e-11)


def test_bad_channels_are_refused():
    with pytest.raises(ValueError, match="two channels"):
        demultiplexer((1.55,), **COARSE)
    with pytest.raises(ValueError, match="differ"):
        demultiplexer((1.55, 1.55), **COARSE)
    with pytest.raises(ValueError, match=r"0\.3 um apart with width_um=0\.5"):
        demultiplexer(spacing_um=0.3, **COARSE)


@pytest.mark.parametrize("polarization", ["Ez", "Hz"])
def test_a_symmetric_design_converts_no_mode(polarization):
    device = mode_converter(1.55, polarization=polarization, **COARSE)
    density = draw(device)
    even = (density + density[:, ::-1]) / 2
    out, direct = device.simulate(even, 0)["transmission"][:, 0]
    assert out < 1e-20 < direct
    assert device.simulate(density, 0)["transmission"][0, 0] > 1e-5


def test_a_mode_that_the_guide_does_not_carry_is_refused():
    with pytest.raises(ValueError, match="carries mode 5"):
        mode_converter(mode=5, **COARSE)
    with pytest.raises(ValueError, match="1 or more"):
        mode_converter(mode=0, **COARSE)


def test_all_devices_are_found_in_the_package():
    for name in ("waveguide_crossing", "demultiplexer", "mode_converter", "grating_coupler"):
        assert name in devices.__all__
        assert inspect.getdoc(getattr(devices, name))
