"""Periodic cells: against transfer matrices and RCWA, by energy and reciprocity, by the conformance kit."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from physics.base import Differentiable, HasExamples, HasFields, HasParameters, HasRefinement, HasSetup
from physics.devices.open.absorbers import ATTENUATION, DEEPEST_WAVELENGTHS, HalfSpace, deepened
from physics.devices.open.library import single_pass, solar_texture
from physics.devices.open.periodic import PeriodicDevice
from physics.fdfd.geometry import Circle, Rectangle
from physics.fdfd.grid import Pml
from physics.fdfd.materials import GOLD, SILICON_ABSORBING, Table
from physics.testing import check_simulator
from tests.physics.layers import transfer

INFINITE = (-np.inf, np.inf)
POLARIZATIONS = ("Ez", "Hz")


def device(polarization="Ez", **changes):
    """A layer of 0.4 um of a cell of 0.8 um, one mesh and wavelength."""
    settings = {
        "name": "cell",
        "period_um": 0.8,
        "thickness_um": 0.4,
        "pixel_um": 0.04,
        "permittivity": (1.0, 4.0),
        "wavelength_um": (1.0,),
        "cells_um": (0.04,),
        "polarization": polarization,
    }
    return PeriodicDevice(**(settings | changes))


def layered(polarization, wavelength, angle, layers, outside):
    """Amplitudes of unit flux reflected and transmitted, and the power absorbed, by transfer matrices."""
    omega = 2 * np.pi / wavelength
    kx = omega * np.sqrt(outside[0]) * np.sin(np.radians(angle))
    r, t = transfer(polarization, omega, kx, layers, outside)
    above, below = (
        np.sqrt(omega**2 * eps - kx**2 + 0j) / (1 if polarization == "Ez" else eps) for eps in outside
    )  # fmt: skip
    t = t * np.sqrt(below / above) if np.isreal(outside[1]) else 0.0
    return np.array([r, t]), 1 - abs(r) ** 2 - abs(t) ** 2


@pytest.mark.parametrize("polarization", POLARIZATIONS)
@pytest.mark.parametrize(
    ("film", "substrate"),
    [(4.0, 4.0), (4.0, 2.25), (1.0, 2.25), (4.0 + 1.0j, 2.25), (4.0 + 0.2j, -50.0 + 2.0j), (4.0 + 0.2j, None)],
)
def test_films_reflect_transmit_and_absorb_as_transfer_matrices_say(polarization, film, substrate):
    """Fresnel's interface (equal media), Airy's film, and films that absorb, one of them on a metal."""
    errors = []
    for cell in (0.04, 0.02, 0.01):
        flat = device(
            polarization, period_um=0.2, permittivity=(1.5, film), substrate=substrate, cells_um=(cell,),
            angle_deg=(0.0, 40.0), margin_um=0.24, pixel_um=0.2,
        )  # fmt: skip
        found, worst = flat.simulate(np.ones(flat.design_shape), 0), 0.0
        assert flat.orders == (0,)
        for a, angle in enumerate(flat.angle_deg):
            below = -1e9 + 1j if substrate is None else substrate
            wanted, absorbed = layered(polarization, 1.0, angle, [(0.4, film)], (1.0, below))
            worst = max(worst, np.abs(found["amplitude"][:, 0, a, 0] - wanted).max())
            worst = max(worst, abs(found["absorption"][a, 0] - absorbed))
        errors.append(worst)
    # A metal's skin, 22 nm, is not resolved by the first mesh.
    metal = substrate is not None and substrate.real < 0
    order = np.log2(errors[1] / errors[2]) if metal else np.log2(errors[0] / errors[2]) / 2
    assert order > 1.7 and errors[2] < (0.025 if metal else 8e-3), errors


@pytest.mark.parametrize("polarization", POLARIZATIONS)
def test_power_is_conserved_and_absorbed_where_the_medium_absorbs(polarization):
    sim = device(
        polarization, period_um=1.2, permittivity=(1.0, 4.0 + 0.5j), substrate=2.25, angle_deg=(0.0, -25.0),
        cells_um=(0.03,), pixel_um=0.02, frozen=(Circle((0.2, 0.0), 0.15, 3.0 + 0.2j),),
    )  # fmt: skip
    rho = sim.example_designs(np.random.default_rng(3), 2)[1]
    found = sim.simulate(rho, 0)
    assert len(sim.orders) == 4 and found["design_absorption"].min() > 0.1
    # What is missing is the reflection of the absorbing layers.
    assert_allclose(found["absorption"], found["design_absorption"], atol=3e-6)
    lossless = replace(sim, permittivity=(1.0, 4.0), frozen=()).simulate(rho, 0)
    assert_allclose(lossless["absorption"], 0, atol=3e-6)
    assert_allclose(lossless["design_absorption"], 0, atol=1e-15)
    assert (lossless["efficiency"] > 1e-3).sum() > 10


@pytest.mark.parametrize("polarization", POLARIZATIONS)
def test_orders_are_reciprocal(polarization):
    """Order -1 of a wave at the angle t goes out at -t' and back: from t' into order -1, the same amplitude."""
    period, t = 0.8, np.radians(20.0)
    back = np.degrees(np.arcsin(1 / period - np.sin(t)))
    sim = device(polarization, angle_deg=(20.0, float(back)), permittivity=(1.0, 5.0 + 0.3j), substrate=2.0)
    found = sim.simulate(sim.example_designs(np.random.default_rng(5), 2)[1], 0)
    first, second = found["amplitude"][0, sim.orders.index(-1), :, 0]
    assert abs(first) > 0.05
    assert_allclose(first, second, rtol=1e-6)


@pytest.mark.parametrize("polarization", POLARIZATIONS)
def test_a_binary_grating_agrees_with_coupled_waves(polarization):
    pytest.importorskip("torcwa")
    from physics.rcwa import Metagrating

    settings = {"name": "grating", "period_um": 0.8, "thickness_um": 0.4, "permittivity": (1.0, 4.0)}
    angles = (0.0, 30.0)
    waves = Metagrating(
        **(settings | {"period_um": (0.8,)}), pixel_um=0.2, wavelength_um=(1.0,), substrate=2.25, superstrate=1.0,
        incident="superstrate", angle_deg=angles, polarisation=polarization, harmonics=(40,),
    )  # fmt: skip
    rho = np.array([1.0, 1.0, 0.0, 0.0])[:, None]
    exact, place = waves.simulate(rho, 0)["efficiency"], {m: i for i, (m, _) in enumerate(waves.orders)}
    errors = []
    for cell in (0.04, 0.02):
        mesh = device(polarization, pixel_um=0.2, substrate=2.25, angle_deg=angles, cells_um=(cell,))
        found = mesh.simulate(np.repeat(rho, 2, axis=1), 0)["efficiency"]
        wanted = np.stack([exact[1], exact[0]])[:, [place[m] for m in mesh.orders]]
        errors.append(np.abs(found - wanted).max())
    assert len(mesh.orders) == 3 and errors[1] < 0.02 and errors[1] < 0.5 * errors[0], errors


@pytest.mark.parametrize("polarization", POLARIZATIONS)
@pytest.mark.parametrize(
    ("film", "substrate"), [(4.0, 2.25), (4.0 + 0.5j, 2.25), (3.0, -20.0 + 1.0j), (3.0 + 0.1j, None)]
)
def test_conformance(polarization, film, substrate):
    sim = device(
        polarization,
        permittivity=(1.2, film),
        substrate=substrate,
        wavelength_um=(1.0, 1.1),
        cells_um=(0.05, 0.04),
        angle_deg=(0.0, 35.0),
        shapes=(Rectangle(INFINITE, (0.2, 0.26), 1.5),),
        frozen=(Rectangle((-0.1, 0.1), (-0.2, -0.1), 2.0 + 0.1j),),
    )
    for capability in (Differentiable, HasExamples, HasFields, HasParameters, HasRefinement, HasSetup):
        assert isinstance(sim, capability)
    report = check_simulator(sim, points=2)
    assert min(min(slopes) for slopes in report.taylor_slopes.values()) > 1.95


@pytest.mark.parametrize("polarization", POLARIZATIONS)
def test_gradients_of_silicon_on_gold_at_four_points(polarization):
    sim = device(
        polarization, permittivity=(1.0, SILICON_ABSORBING), substrate=GOLD, wavelength_um=(0.7, 0.8), period_um=0.4,
        thickness_um=0.2, pixel_um=0.02, cells_um=(0.02,), angle_deg=(15.0,),
    )  # fmt: skip
    report = check_simulator(sim, points=4)
    assert min(report.taylor_slopes["fdfd-20nm"]) > 1.95
    found = sim.simulate(sim.example_designs(np.random.default_rng(0), 1)[0], 0)
    assert (found["absorption"] > found["design_absorption"]).all()


def test_levels_and_refinement_converge_and_parameters_shift():
    sim = device(cells_um=(0.04, 0.02), substrate=2.25, angle_deg=(10.0,))
    rho = sim.example_designs(np.random.default_rng(0), 2)[1]
    coarse, fine, finest = (
        s.simulate(rho, level)["efficiency"] for s, level in ((sim, 0), (sim, 1), (sim.refined(), 0))
    )
    assert np.abs(fine - finest).max() < 0.4 * np.abs(coarse - finest).max()
    shifted = sim.with_parameters(wavelength_shift_um=0.05)
    nominal = replace(sim, wavelength_um=(1.05,), orders=shifted.orders)
    assert_allclose(shifted.simulate(rho, 0)["amplitude"], nominal.simulate(rho, 0)["amplitude"], rtol=1e-10)
    assert shifted.identity != sim.identity == replace(sim, threads=1).identity


def test_fields_show_the_standing_wave_above_a_mirror():
    mirror = device(substrate=None, cells_um=(0.02,))
    seen = mirror.fields(np.zeros(mirror.design_shape), 0)
    field, y = seen.values["Ez"][0], seen.y_um
    inside = (y > -0.2) & (y < 0.2)
    shape = np.abs(np.sin(2 * np.pi * (y[inside] + 0.2)))
    profile = np.abs(field[:, inside])
    assert_allclose(profile / profile.max(), np.broadcast_to(shape, profile.shape), atol=0.02)
    assert seen.permittivity[0, y > 0].max() == 1 and np.real(seen.permittivity[0, 0]) < -1e5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"period_um": 0.82}, "whole number of pixels"),
        ({"cells_um": (0.035,)}, "whole number of cells"),
        ({"angle_deg": (90.0,)}, "between -90 and 90"),
        ({"superstrate": 1.0 + 0.1j}, "lossless superstrate"),
        ({"orders": (0,)}, "orders that propagate"),
        ({"orders": (-1, 0, 0, 1)}, "each once"),
        ({"orders": (-1.5, 0, 1)}, "whole number"),
        ({"shapes": (Rectangle(INFINITE, (0.3, 0.9), 2.0),)}, "shapes within"),
        ({"substrate": None, "thickness_um": 0.44, "cells_um": (0.03,)}, "perfect mirror"),
        ({"thickness_um": 0.12}, "4 or more cells thick"),
        ({"polarization": "TM"}, "polarization among"),
    ],
)
def test_what_cannot_be_simulated_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        device(**({"period_um": 1.2} | changes))


def test_orders_are_asked_for_at_every_angle_and_wavelength():
    """Neither the steepest angle nor the shortest wavelength, where this substrate absorbs, has all of them."""
    with pytest.raises(ValueError, match=r"without \[1\]"):
        device(angle_deg=(30.0, -29.0), orders=(-1, 0))
    clearer = Table((0.5, 0.95, 1.0, 2.0), (2.5, 2.5, 2.5, 2.5), (0.1, 0.1, 0.0, 0.0))
    with pytest.raises(ValueError, match=r"without \[-1, 1\]"):
        device(wavelength_um=(0.9, 1.1), substrate=clearer, orders=(0,))


@pytest.mark.parametrize("polarization", POLARIZATIONS)
def test_power_is_conserved_where_an_order_runs_nearly_along_the_layers(polarization):
    """Grazing incidence; an order of the substrate just before and just behind its cut-off at 1.2 um."""
    rho = device().example_designs(np.random.default_rng(3), 2)[1]
    for angles, wavelengths in (((80.0, -85.0, 88.0), (1.0,)), ((0.0,), (1.18, 1.22))):
        sim = device(polarization, angle_deg=angles, wavelength_um=wavelengths, substrate=2.25)
        assert np.abs(sim.simulate(rho, 0)["absorption"]).max() < 3e-4
    assert sim.fields(rho, 0).values[polarization].shape[0] == 2


def test_layers_are_as_asked_where_no_order_runs_along_them():
    layer, air = Pml(1.0, log_reflection=-25.0), HalfSpace(1.0, 1.0, 0.0)
    assert deepened(layer, 0.4, 0.02, 0.4, [air, HalfSpace(1.0, -50.0 + 2.0j, 0.0)]) == layer
    deeper = deepened(layer, 0.4, 0.01, 0.4, [replace(air, transverse=2 * np.pi * np.sin(np.radians(85.0)))])
    assert_allclose(-deeper.log_reflection * np.cos(np.radians(85.0)), ATTENUATION, rtol=0.03)
    assert deepened(layer, 1.0, 0.001, 0.4, [air]).thickness_um == pytest.approx(DEEPEST_WAVELENGTHS)
    thick = Pml(20.0, log_reflection=-50.0)
    assert deepened(thick, 1.0, 0.001, 0.4, [air]) == thick


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"temperature_k": 1000.0}, "temperature_k in"),
        ({"temperature_k": np.nan}, "temperature_k in"),
        ({"wavelength_shift_um": 0.3}, "wavelength_shift_um in"),
        ({"colour": 1.0}, "parameters among"),
    ],
)
def test_parameters_beyond_their_bounds_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        device().with_parameters(**values)


def test_a_single_pass_is_that_of_the_shifted_wavelength():
    film = solar_texture((0.8,)).with_parameters(wavelength_shift_um=0.05)
    assert_allclose(single_pass(film, 0.1), 4 * np.pi * 5e-3 / 0.85 * 0.1, rtol=1e-12)
