"""Beams as ports and the grating coupler: propagation, reciprocity, power, the grating equation, gradients."""

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from physics.base import Differentiable, HasExamples, HasFields, HasParameters, HasRefinement, HasSetup
from physics.devices.couplers.beams import Beam, beam_vector
from physics.devices.couplers.grating_coupler import GratingCoupler
from physics.devices.couplers.library import grating_coupler, uniform_grating
from physics.fdfd import Axis, Grid, Pml
from physics.fdfd.exterior import condense
from physics.fdfd.materials import SILICA
from physics.fdfd.materials import SILICON as DISPERSIVE_SILICON
from physics.fdfd.modes import analytic_slab_index
from physics.fdfd.operator import ez_stencil, hz_stencil
from physics.fdfd.region import Coefficients, RegionFactor
from physics.testing import check_simulator

INDEX, WAVELENGTH_UM = 1.45, 1.55
OMEGA = 2 * math.pi / WAVELENGTH_UM


def small(**changes):
    return GratingCoupler(**{"length_um": 4.0, "waist_um": 1.6, "cells_um": (0.05,), "pixel_um": 0.05} | changes)


def empty(polarization, cell_um, width_um=12.0, height_um=4.5):
    """A uniform medium with absorbing layers on all sides."""
    layers = round(1 / cell_um)
    grid = Grid(Axis(round(width_um / cell_um), cell_um, layers), Axis(round(height_um / cell_um), cell_um, layers))
    nx, ny = grid.shape
    pml = Pml(1.0, log_reflection=-20)
    if polarization == "Ez":
        return grid, ez_stencil(grid, pml, OMEGA, np.full((nx, ny), INDEX**2))
    return grid, hz_stencil(grid, pml, OMEGA, np.full((nx + 1, ny), INDEX**2), np.full((nx, ny + 1), INDEX**2))


def through_nothing(polarization, cell_um, waists_um, angle_deg, distance_um, offset_um):
    """S-matrix of a beam from the north and one from the south along the same axis, but for the offset."""
    grid, stencil = empty(polarization, cell_um)
    c, s = math.cos(math.radians(angle_deg)), math.sin(math.radians(angle_deg))
    upper = Beam(waists_um[0], angle_deg, distance_um / 2 * s, distance_um / 2 * c)
    lower = Beam(waists_um[1], -angle_deg, -distance_um / 2 * s + offset_um * c, -distance_um / 2 * c - offset_um * s)
    layer = round(1.5 / cell_um)
    vectors = [beam_vector(beam, grid, stencil, side, layer) for beam, side in ((upper, "north"), (lower, "south"))]
    w = np.stack([vector.w.ravel() for vector in vectors], axis=1)
    nx, ny = grid.shape
    window = (nx // 2 - 4, nx // 2 + 4, ny // 2 - 4, ny // 2 + 4)  # any will do
    region = condense(stencil, window, w)
    inside = (slice(*window[:2]), slice(*window[2:]))
    parts = Coefficients(*(part[inside] for part in (stencil.diagonal, stencil.east, stencil.north)))
    field = RegionFactor(region, parts).solve(region.sources)
    return region.constant + region.receivers.T @ field + np.diag([vector.own for vector in vectors])


def spectral_overlap(waists_um, distance_um, offset_um):
    """Power between two Gaussian beams by quadrature over their angular spectra, each wave weighted by its flux."""
    k = OMEGA * INDEX
    across = np.linspace(-k, k, 40002)[1:-1]
    along = np.sqrt(k**2 - across**2)

    def gauss(waist):
        return np.exp(-((across * waist / 2) ** 2))

    first, second = (gauss(waist) for waist in waists_um)
    passed = (first * second * along * np.exp(1j * (along * distance_um + across * offset_um))).sum()
    return abs(passed) ** 2 / ((first**2 * along).sum() * (second**2 * along).sum())


CASES = [
    ((2.0, 2.0), 0.0, 0.0, 0.0),
    ((1.8, 2.2), 15.0, 3.0, 0.0),
    ((2.0, 1.5), -20.0, 6.0, 0.0),
    ((2.0, 2.0), 10.0, 3.0, 1.0),
]


@pytest.mark.parametrize("polarization", ["Ez", "Hz"])
@pytest.mark.parametrize(("waists", "angle", "distance", "offset"), CASES)
def test_a_beam_propagates_as_its_angular_spectrum(polarization, waists, angle, distance, offset):
    s = through_nothing(polarization, 0.1, waists, angle, distance, offset)
    assert abs(s[0, 1] - s[1, 0]) < 1e-13
    assert abs(abs(s[1, 0]) ** 2 - spectral_overlap(waists, distance, offset)) < 0.012
    assert max(abs(s[0, 0]), abs(s[1, 1])) ** 2 < 1e-7


def test_the_error_of_a_beam_falls_with_the_square_of_the_cell():
    case = ((1.5, 1.5), 10.0, 2.0, 0.8)
    exact = spectral_overlap(case[0], case[2], case[3])
    coarse, fine = (abs(abs(through_nothing("Ez", cell, *case)[1, 0]) ** 2 - exact) for cell in (0.125, 0.0625))
    assert 1.9 < math.log2(coarse / fine) < 2.3


def test_the_overlap_of_wide_beams_is_the_paraxial_one():
    waists, distance = (2.7, 2.3), 4.0
    spread = distance * WAVELENGTH_UM / INDEX / (math.pi * waists[0] * waists[1])
    paraxial = 2 / math.sqrt((waists[0] / waists[1] + waists[1] / waists[0]) ** 2 + spread**2)
    s = through_nothing("Ez", 0.1, waists, 5.0, distance, 0.0)
    assert abs(abs(s[1, 0]) ** 2 - paraxial) < 1e-3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"waist_um": 6.0}, "crosses the domain"),
        ({"x_um": 5.0}, "crosses the domain"),
        ({"waist_um": 0.5}, "waist of 1 wavelength"),
        ({"angle_deg": 80.0}, "steeper or wider"),
    ],
)
def test_beams_that_the_grid_cannot_hold_are_refused(change, message):
    grid, stencil = empty("Ez", 0.1)
    with pytest.raises(ValueError, match=message):
        beam_vector(replace(Beam(2.0, 0.0, 0.0, 0.0), **change), grid, stencil, "north", 15)


def test_a_beam_needs_a_uniform_medium_at_its_plane():
    grid, stencil = empty("Ez", 0.1)
    with pytest.raises(ValueError, match="uniform"):
        beam_vector(Beam(2.0, 0.0, 0.0, 0.0), grid, stencil, "north", 5)
    stencil.diagonal[60, 29] += 0.1
    with pytest.raises(ValueError, match="uniform"):
        beam_vector(Beam(2.0, 0.0, 0.0, 0.0), grid, stencil, "north", 15)
    with pytest.raises(ValueError, match="north or south"):
        beam_vector(Beam(2.0, 0.0, 0.0, 0.0), grid, stencil, "west", 15)


@pytest.mark.parametrize("polarization", ["Ez", "Hz"])
def test_both_directions_are_equal_and_no_power_is_made(polarization):
    device = small(polarization=polarization, wavelength_um=(1.5, 1.55))
    for design in device.example_designs(np.random.default_rng(1), 3):
        response = device.simulate(design, 0)
        s = response["s"]
        assert np.abs(s[0, 1] - s[1, 0]).max() < 1e-12
        assert_allclose(response["efficiency"], np.abs(s[1, 0]) ** 2)
        assert (np.linalg.norm(s, ord=2, axis=(0, 1)) <= 1 + 1e-6).all()


@pytest.mark.parametrize("polarization", ["Ez", "Hz"])
def test_an_unetched_layer_lets_the_guide_pass_and_couples_nothing(polarization):
    device = small(polarization=polarization)
    response = device.simulate(np.ones(device.design_shape), 0)
    assert response["efficiency"].max() < 1e-5
    assert response["reflection"][0].max() < 1e-6


def test_the_beam_sees_the_stack_of_layers():
    """Under a beam wide enough to be a plane wave the reflection is that of the films (Airy)."""
    device = small(
        length_um=2.0,
        core_um=0.35,
        box_um=0.8,
        margin_um=0.5,
        waist_um=5.0,
        angle_deg=0.0,
        substrate=2.1,
        cells_um=(0.05, 0.025),
    )
    film, cladding = device.core**0.5, device.cladding**0.5
    single = (cladding - film) / (cladding + film)
    turn = np.exp(2j * OMEGA * film * device.core_um)
    exact = abs(single * (1 - turn) / (1 - single**2 * turn)) ** 2
    coarse, fine = (device.simulate(np.ones(device.design_shape), level)["reflection"][1, 0] for level in (0, 1))
    assert exact > 0.3
    assert abs(fine - exact) < 0.01
    assert abs(fine - exact) < 0.4 * abs(coarse - exact)


def test_a_shallow_grating_radiates_where_the_grating_equation_says():
    """n_guide - wavelength / period = n_cladding sin(angle), n_guide the mean of the two layers' indices."""
    period = 0.6
    device = GratingCoupler(
        length_um=10.0,
        pixel_um=0.04,
        cells_um=(0.04,),
        core_um=0.24,
        etch_um=0.04,
        box_um=1.0,
        angle_deg=0.0,
        waist_um=3.6,
        substrate=2.1,
    )
    design = uniform_grating(device, period)
    index = np.mean([analytic_slab_index(t, device.core, device.cladding, 1.55) for t in (0.24, 0.2)])
    expected = math.degrees(math.asin((index - 1.55 / period) / math.sqrt(device.cladding)))
    off = np.array([-6.0, -3.0, 0.0, 3.0, 6.0])
    found = [device.with_parameters(angle_deg=expected + a).simulate(design, 0)["efficiency"][0] for a in off]
    assert max(found) > 0.1
    assert max(found[0], found[-1]) < 0.5 * max(found)
    assert abs((off * found).sum() / sum(found)) < 2.0  # cells of 40 nm change the guide's index by 1.5 degrees' worth


def test_the_phase_of_the_beam_is_that_of_its_waist():
    """Farther up the waist, the same wave arrives with its phase, k times the height."""
    low, high = (small(angle_deg=0.0, waist_um=2.5, beam_height_um=h) for h in (0.0, 0.1))
    design = uniform_grating(low, 0.6)
    turned = high.simulate(design, 0)["s"][1, 0, 0] / low.simulate(design, 0)["s"][1, 0, 0]
    assert abs(np.angle(turned) - OMEGA * math.sqrt(low.cladding) * 0.1) < 0.03
    assert abs(abs(turned) - 1) < 0.01


@pytest.mark.parametrize("polarization", ["Ez", "Hz"])
def test_conformance(polarization):
    report = check_simulator(small(polarization=polarization), points=3)
    assert all(slope > 1.9 for slopes in report.taylor_slopes.values() for slope in slopes)


def test_gradients_by_every_quantity_with_absorbing_media():
    device = small(core=12.1 + 0.2j, substrate=12.0 + 1j)
    report = check_simulator(device, points=2)
    assert all(slope > 1.9 for slopes in report.taylor_slopes.values() for slope in slopes)


def test_it_offers_what_devices_offer():
    device = small()
    for protocol in (Differentiable, HasFields, HasExamples, HasSetup, HasRefinement, HasParameters):
        assert isinstance(device, protocol)
    refined = device.refined()
    assert refined.cells_um == (0.025,)
    assert refined.design_shape == device.design_shape
    assert device.identity == replace(device, threads=1).identity != replace(device, angle_deg=11.0).identity


def test_fields_carry_unit_power_from_either_port():
    device = small(substrate=2.1)
    fields = device.fields(np.ones(device.design_shape), 0)
    assert list(fields.values) == ["Ez, guide", "Ez, beam"]
    guide, beam = (fields.values[name][0] for name in fields.values)
    h, omega = device.cells_um[0], OMEGA
    column = np.argmin(np.abs(fields.x_um))
    through = np.imag(guide[column].conj() * (guide[column + 1] - guide[column]) / h).sum() * h / (2 * omega)
    assert abs(through - 1) < 0.02  # the flux between two columns is that of the mode to second order
    top, row = fields.y_um > 0.15, np.argmin(np.abs(fields.y_um - 0.5))
    inner = np.abs(fields.x_um) < 4.0
    down = -np.imag(beam[inner, row].conj() * (beam[inner, row + 1] - beam[inner, row])).sum() / (2 * omega)
    reflected = device.simulate(np.ones(device.design_shape), 0)["reflection"][1, 0]
    assert top.any()
    assert abs(down - (1 - reflected)) < 0.05


def test_fields_show_the_real_part_of_an_absorbing_medium():
    device = small(core=12.1 + 0.1j)
    shown = device.fields(np.ones(device.design_shape), 0).permittivity
    assert shown.dtype == np.float64 and shown.max() == pytest.approx(12.1)


def test_materials_temperature_and_wavelength_shift_reach_the_media():
    device = small(core=DISPERSIVE_SILICON, cladding=SILICA, box=SILICA, substrate=DISPERSIVE_SILICON)
    design = uniform_grating(device, 0.6)
    base = device.simulate(design, 0)["s"]
    for name, value in (("temperature_k", 350.0), ("wavelength_shift_um", 0.01), ("beam_x_um", 0.3)):
        assert np.abs(device.with_parameters(**{name: value}).simulate(design, 0)["s"] - base).max() > 1e-4
    shifted = device.with_parameters(wavelength_shift_um=0.01).simulate(design, 0)["s"]
    assert_allclose(shifted, replace(device, wavelength_um=(1.56,)).simulate(design, 0)["s"], atol=1e-12)
    with pytest.raises(ValueError, match="parameters among"):
        device.with_parameters(colour=1.0)
    with pytest.raises(ValueError, match="angle_deg in"):
        device.with_parameters(angle_deg=80.0)


def test_a_full_etch_and_an_end_of_the_slab():
    full = small(etch_um=0.22, slab_beyond=False)
    assert full.simulate(np.zeros(full.design_shape), 0)["reflection"][0, 0] > 0.1  # a facet
    assert full.design_shape == (80, 1)


def test_a_uniform_grating_is_exact_in_area():
    device = small()
    density = uniform_grating(device, 0.63, 0.4, 0.1)
    assert density.shape == device.design_shape
    assert_allclose(density[:2], 1.0)
    grooves = 6 * 0.63 * 0.4 + min(3.9 - 6 * 0.63, 0.63 * 0.4)
    assert_allclose((1 - density).sum() * device.pixel_um, grooves)
    with pytest.raises(ValueError, match="groove_share"):
        uniform_grating(device, 0.63, 1.5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"polarization": "Ex"}, "polarization"),
        ({"etch_um": 0.3}, "etch"),
        ({"length_um": 4.02}, "whole number of pixels"),
        ({"angle_deg": 60.0}, "45 degrees"),
        ({"cells_um": (0.1,)}, "8 or more cells"),
        ({"cells_um": (0.02, 0.04)}, "coarse to fine"),
        ({"cladding": 13.0}, "higher permittivity"),
        ({"box_um": 0.05}, "decayed"),
        ({"waist_um": 0.5}, "waist"),
        ({"core_um": 0.1, "etch_um": 0.05}, "4 or more cells"),
        ({"threads": 0}, "threads"),
        ({"beam_x_um": math.nan}, "finite"),
        ({"wavelength_um": ()}, "wavelength_um"),
    ],
)
def test_what_cannot_be_simulated_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        small(**change)


def test_the_ready_made_coupler_takes_a_third_of_the_light_with_equal_grooves():
    device = grating_coupler(cells_um=0.04)
    efficiency = max(device.simulate(uniform_grating(device, p), 0)["efficiency"][0] for p in (0.62, 0.63, 0.64))
    assert 0.35 < efficiency < 0.5
