"""Objects in free space: against the series for a cylinder, by energy, by reciprocity, by the conformance kit."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from physics.base import Differentiable, HasExamples, HasFields, HasParameters, HasRefinement, HasSetup
from physics.devices import waveguide_bend
from physics.devices.open.library import cloak, cloak_void
from physics.devices.open.scattering import ScatteringDevice
from physics.fdfd.geometry import Circle
from physics.fdfd.grid import Pml
from physics.fdfd.materials import SILICON
from physics.testing import check_simulator
from tests.physics.test_mie import coefficients, mie_widths

RADIUS = 0.3  # of the cylinder of test_mie
POLARIZATIONS = ("Ez", "Hz")


def device(core, polarization="Ez", **changes):
    """A coating region about a cylinder, one wavelength and angle, one mesh."""
    settings = {
        "name": "coated",
        "size_um": (0.8, 0.8),
        "pixel_um": 0.04,
        "permittivity": (1.0, 2.0),
        "wavelength_um": (1.0,),
        "cells_um": (0.04,),
        "margin_um": 0.36,
        "frozen": (Circle((0.0, 0.0), RADIUS, core),),
        "polarization": polarization,
    }
    return ScatteringDevice(**(settings | changes))


def widths(found):
    """Extinction, absorption and scattering widths of the first angle and wavelength."""
    return np.array([found[f"{name}_width_um"][0, 0] for name in ("extinction", "absorption", "scattering")])


@pytest.mark.parametrize(("polarization", "ratio"), [("Ez", 3.4), ("Hz", 1.7)])
@pytest.mark.parametrize("core", [4.0, 4.0 + 1.0j])
def test_a_bare_cylinder_scatters_and_absorbs_as_the_series_says(polarization, ratio, core):
    scattered, extinct = mie_widths(polarization, core)
    exact, errors = np.array([extinct, extinct - scattered, scattered]), []
    for cell in (0.04, 0.02):
        bare = device(core, polarization, cells_um=(cell,), angle_deg=(17.0,))
        found = widths(bare.simulate(np.zeros(bare.design_shape), 0))
        assert_allclose(found[0], found[1] + found[2], rtol=1e-12)
        errors.append(np.abs(found - exact).max() / extinct)
    # Half a pixel per cell of the finer mesh: the frozen circle is drawn on parts of a pixel, not on the pixels.
    assert errors[0] / errors[1] > ratio and errors[1] < 0.03, errors


def test_a_frozen_cylinder_is_that_painted_on_the_mesh():
    """A cylinder beside a void design, and within a larger one."""
    beside = Circle((0.3, 0.0), 0.14, 3.0)
    static = device(1.0, size_um=(0.24, 0.24), margin_um=1.08, frozen=(), shapes=(beside,))
    frozen = device(1.0, size_um=(1.2, 1.2), margin_um=0.6, frozen=(beside,))
    first, second = (d.simulate(np.zeros(d.design_shape), 0) for d in (static, frozen))
    assert_allclose(widths(first), widths(second), rtol=1e-9)
    nothing = device(1.0, frozen=())
    assert_allclose(widths(nothing.simulate(np.zeros(nothing.design_shape), 0)), 0, atol=1e-12)


@pytest.mark.parametrize(("polarization", "ratio"), [("Ez", 3.0), ("Hz", 1.6)])
def test_far_fields_of_a_cylinder_are_those_of_the_series(polarization, ratio):
    """Bohren and Huffman, eq. 8.26 to 8.34: amplitude and phase, in five directions."""
    directions, c = np.array([0.0, 37.0, 90.0, 180.0, 250.0]), coefficients(polarization, 4.0)
    n = np.arange(1, len(c))
    series = -(c[0] + 2 * np.cos(np.outer(np.radians(directions), n)) @ c[1:])
    exact, errors = series * np.exp(-0.25j * np.pi) / np.pi, []  # sqrt(2 / (pi k)), a wavelength of 1 um
    for cell in (0.04, 0.02):
        bare = device(4.0, polarization, cells_um=(cell,), far_field_deg=tuple(directions))
        found = bare.simulate(np.zeros(bare.design_shape), 0)["far_field"][:, 0, 0]
        errors.append(np.abs(found - exact).max() / np.abs(exact).max())
    assert errors[0] / errors[1] > ratio and errors[1] < 0.03, errors


@pytest.mark.parametrize("polarization", POLARIZATIONS)
def test_far_fields_carry_the_scattered_power_and_are_reciprocal(polarization):
    directions = tuple(np.arange(0.0, 360.0, 15.0))
    lossy = device(
        4.0 + 0.5j,
        polarization,
        cells_um=(0.02,),
        far_field_deg=directions,
        angle_deg=(0.0, 90.0),
        permittivity=(1, 2.5),
    )
    found = lossy.simulate(lossy.example_designs(np.random.default_rng(1), 1)[0], 0)
    carried = (np.abs(found["far_field"]) ** 2).mean(axis=0) * 2 * np.pi
    assert_allclose(carried, found["scattering_width_um"], rtol=1e-4)  # but for what the absorbing layers reflect
    assert (found["absorption_width_um"] > 0.05).all()
    # From 0 to 270 degrees as from 90 to 180: both waves reversed.
    first, second = (found["far_field"][directions.index(out), i, 0] for out, i in ((270.0, 0), (180.0, 1)))
    assert_allclose(first, second, rtol=1e-9)


def test_density_under_a_frozen_shape_has_no_influence():
    lossy = device(6.0 + 1j)
    rho = lossy.example_designs(np.random.default_rng(0), 1)[0]
    x = (np.arange(20) - 9.5) * 0.04
    covered = np.hypot(np.abs(x[:, None]) + 0.02, np.abs(x) + 0.02) < RADIUS
    response, gradient = lossy.vjp(rho, 0, {"extinction_width_um": np.ones((1, 1))})
    assert covered.sum() > 100 and np.abs(gradient[covered]).max() < 1e-14 < np.abs(gradient[~covered]).min()
    other = lossy.simulate(np.where(covered, 1 - rho, rho), 0)
    assert_allclose(other["scattering_width_um"], response["scattering_width_um"], rtol=1e-12)


@pytest.mark.parametrize("polarization", POLARIZATIONS)
@pytest.mark.parametrize(("core", "coating"), [(6.0, 2.0), (-10.0 + 1.0j, 2.0), (4.0 + 0.5j, 2.0 + 0.3j)])
def test_conformance(polarization, core, coating):
    sim = device(
        core,
        polarization,
        permittivity=(1.0, coating),
        wavelength_um=(1.0, 1.15),
        cells_um=(0.05, 0.04),
        angle_deg=(0.0, 100.0),
        far_field_deg=(180.0, 45.0, 0.0),
    )
    for capability in (Differentiable, HasExamples, HasFields, HasParameters, HasRefinement, HasSetup):
        assert isinstance(sim, capability)
    report = check_simulator(sim, points=2)
    assert min(min(slopes) for slopes in report.taylor_slopes.values()) > 1.95


def test_gradients_in_a_dispersive_medium_at_four_points():
    sim = device(2.1, wavelength_um=(1.5, 1.6), permittivity=(1.0, SILICON), temperature_k=330.0)
    report = check_simulator(sim, points=4)
    assert min(report.taylor_slopes["fdfd-40nm"]) > 1.95


def test_total_field_is_the_incident_one_where_there_is_nothing():
    nothing = device(1.0, frozen=(), angle_deg=(30.0,), background=2.0, permittivity=(2.0, 3.0))
    seen = nothing.fields(np.zeros(nothing.design_shape), 0)
    clear = np.abs(seen.x_um) < 0.7
    values = seen.values["Ez"][0][np.ix_(clear, clear)]
    assert_allclose(np.abs(values), 1, atol=1e-6)
    k = 2 * np.pi * np.sqrt(2.0)
    x, y = np.meshgrid(seen.x_um[clear], seen.y_um[clear], indexing="ij")
    wave = np.exp(1j * k * (x * np.cos(np.pi / 6) + y * np.sin(np.pi / 6)))
    assert np.abs(values - wave).max() < 0.05
    assert_allclose(seen.permittivity[np.ix_(clear, clear)], 2.0)


def test_levels_and_refinement_converge_and_parameters_shift():
    small = {"size_um": (0.4, 0.4), "frozen": (), "permittivity": (1.0, 5.0), "pml": Pml(0.4), "cells_um": (0.04, 0.02)}
    sim = device(1.0, **small)
    rho = sim.example_designs(np.random.default_rng(0), 2)[1]
    coarse, fine, finest = sim.simulate(rho, 0), sim.simulate(rho, 1), sim.refined().simulate(rho, 0)
    name = "scattering_width_um"
    assert abs(fine[name] - finest[name]).item() < 0.4 * abs(coarse[name] - finest[name]).item()
    shifted = sim.with_parameters(wavelength_shift_um=0.05)
    assert shifted.identity != sim.identity
    nominal = device(1.0, wavelength_um=(1.05,), **small)
    assert_allclose(shifted.simulate(rho, 0)[name], nominal.simulate(rho, 0)[name], rtol=1e-12)
    assert replace(sim, threads=1).identity == sim.identity


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"polarization": "TE"}, "polarization among"),
        ({"angle_deg": ()}, "angle_deg"),
        ({"angle_deg": (0.0, 0.0)}, "distinct"),
        ({"margin_um": 0.1}, "margin_um of 6 cells"),
        ({"cells_um": (0.02, 0.04)}, "coarse to fine"),
        ({"pixel_um": 0.03}, "whole number of pixels"),
        ({"cells_um": (0.08,), "margin_um": 0.6}, "cells per wavelength"),
        ({"permittivity": (2.0, 2.0)}, "two different"),
        ({"shapes": (Circle((0.0, 0.0), 0.1, 2 + 1j),)}, "lossless shapes"),
        ({"background": 1.0 + 0.1j}, "lossless"),
        ({"shapes": (Circle((0.5, 0.0), 0.2, 2.0),)}, "own medium"),
    ],
)
def test_what_cannot_be_simulated_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        device(4.0, **changes)


@pytest.mark.parametrize("polarization", POLARIZATIONS)
def test_answers_at_an_angle_do_not_depend_on_the_other_angles(polarization):
    """Each wave has its own intensity on the mesh."""
    rho = np.random.default_rng(0).random((20, 20))
    lossy = {"permittivity": (1.0, 4.0 + 1.0j), "frozen": (), "far_field_deg": (20.0,)}
    alone, both = (device(1.0, polarization, angle_deg=angles, **lossy) for angles in ((45.0,), (0.0, 45.0)))
    answers, cotangents = [], {"absorption_width_um": 1.0, "scattering_width_um": 0.3}
    for sim, count in ((alone, 1), (both, 2)):
        weights = {name: np.eye(count)[-1][:, None] * value for name, value in cotangents.items()}
        response, gradient = sim.vjp(rho, 0, weights)
        answers.append([gradient, *(value[..., -1, :] for value in response.values())])
    for one, other in zip(*answers, strict=True):
        assert_allclose(other, one, rtol=1e-9, atol=1e-12)


def test_cloaks_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="radius_um < outer_um"):
        cloak(radius_um=1.5)
    with pytest.raises(ValueError, match="Expected a cloak"):
        cloak_void(waveguide_bend(1.55, cells_um=0.04))
