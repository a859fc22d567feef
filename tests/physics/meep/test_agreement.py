"""Two solvers that share no line of Maxwell's equations give the same scattering parameters, phases included."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.interpolate import RegularGridInterpolator

from physics.fdfd.geometry import Circle, Polygon
from physics.fdfd.ports import Port
from tests.meep import needs_meep
from tests.physics.meep.problems import (
    CLADDING,
    CORE,
    WIDTH_UM,
    bend,
    extrapolated,
    grey,
    ladder,
    pixels,
    ports_device,
    ring,
    through,
    turn,
)

pytestmark = needs_meep
POLARIZATIONS = ("Ez", "Hz")
SIDES = ("west", "east", "south", "north")


def guide():
    """The density of the uninterrupted guide from west to east."""
    return (np.abs(pixels()[1]) < WIDTH_UM / 2).astype(float)


@pytest.mark.parametrize("polarization", POLARIZATIONS)
def test_bend(polarization):
    simulator = ladder(bend(polarization=polarization), (0.05, 0.04))
    fine, first, second = (simulator.simulate(ring(), level) for level in range(3))
    for meep in (first, second):
        assert np.allclose(meep["transmission"], fine["transmission"], atol=0.02)
        assert meep["reflection"] < 2e-3
    limit = extrapolated(np.angle(first["s"][1]), np.angle(second["s"][1]), 0.05 / 0.04)
    assert abs(limit - np.angle(fine["s"][1])) < 0.15


@pytest.mark.parametrize("polarization", POLARIZATIONS)
def test_straight_guide_sends_everything_on(polarization):
    simulator = ladder(through(polarization=polarization), (0.05,))
    response = simulator.simulate(guide(), 1)
    assert np.allclose(response["transmission"], 1, atol=5e-3)
    assert response["reflection"] < 2e-3


@pytest.mark.slow
@pytest.mark.parametrize("polarization", POLARIZATIONS)
def test_differences_shrink_with_the_cells(polarization):
    cells = (0.05, 0.1 / 3, 0.025)
    simulator = ladder(bend(polarization=polarization, fdfd_um=(0.0125,)), cells)
    s = [simulator.simulate(ring(), level)["s"][1, 0] for level in range(4)]
    errors = np.abs(np.array(s[1:]) - s[0])
    assert (np.diff(errors) < 0).all()
    order = np.log(errors[0] / errors[-1]) / np.log(cells[0] / cells[-1])
    assert order > 1.2
    straight = ladder(through(polarization=polarization, fdfd_um=(0.0125,)), cells)
    phases = [straight.simulate(guide(), level)["s"][1, 0] for level in range(4)]
    limit = turn(phases[1], phases[0]) * -1 / 3 + turn(phases[3], phases[0]) * 4 / 3
    assert abs(limit) < 0.05


@pytest.mark.parametrize("polarization", POLARIZATIONS)
def test_reciprocity(polarization):
    simulator = ladder(bend(polarization=polarization))
    device = ports_device(simulator.device.ports, ("in", "out"), polarization=polarization)
    both = ladder(device).simulate(grey(), 1)
    assert set(both) == {"s", "power"}
    s = both["s"][..., 0]
    assert np.array_equal(both["power"][..., 0], np.abs(s) ** 2)
    assert abs(s[0, 1] - s[1, 0]) < 5e-3
    assert np.allclose(simulator.simulate(grey(), 1)["s"], s[:, :1], atol=1e-12)


def scattering(device, design, cells_um):
    """S-parameters of FDFD, then of Meep's levels, ``ports x sources``."""
    simulator = ladder(device, cells_um)
    return [simulator.simulate(design, level)["s"].reshape(len(device.ports), -1) for level in range(1 + len(cells_um))]


def same_turns(meep, fdfd, strong=0.2, turns=0.5, sizes=0.1):
    """Equal phases where light goes, and equal sizes."""
    assert np.abs(np.abs(meep) - np.abs(fdfd)).max() < sizes
    through = np.abs(fdfd) > strong
    assert through.any()
    assert np.abs(turn(meep, fdfd)[through]).max() < turns


@pytest.mark.parametrize("polarization", POLARIZATIONS)
def test_ports_on_all_sides(polarization):
    ports = [Port(side, side, 0.0, 0.3) for side in SIDES]
    x, y = pixels()
    # A crossing with a slanted mirror: light goes straight on and to both sides, differently from every side.
    design = np.where((np.abs(x) < 0.2) | (np.abs(y) < 0.2), 1.0, 0.0) * (1 - 0.8 * (np.abs(x + y - 0.1) < 0.12))
    device = ports_device(ports, ("west", "north"), polarization=polarization)
    fdfd, meep = scattering(device, design, (0.04,))
    same_turns(meep, fdfd)


@pytest.mark.slow
@pytest.mark.parametrize("polarization", POLARIZATIONS)
def test_two_modes_on_all_sides(polarization):
    ports = [Port(f"{side}{mode}", side, 0.0, 0.3, mode) for side in SIDES for mode in (0, 1)]
    names = tuple(port.name for port in ports)
    design = bend().example_designs(np.random.default_rng(3), 1)[0]
    device = ports_device(ports, names, width_um=0.7, polarization=polarization, fdfd_um=(0.0125,))
    fdfd, meep = scattering(device, design, (0.025,))
    same_turns(meep, fdfd, strong=0.15, turns=0.5)
    assert np.abs(meep - meep.T).max() < 0.01


@pytest.mark.parametrize("polarization", POLARIZATIONS)
def test_first_odd_mode(polarization):
    ports = [Port("in", "west", 0.0, 0.3), Port("odd", "east", 0.0, 0.3, 1), Port("down", "south", 0.0, 0.3, 1)]
    x, y = pixels()
    # Off the axis, so that the even mode excites the odd ones.
    design = np.where((np.abs(y - 0.15) < 0.3) | (np.abs(x + 0.15) < 0.3) & (y < 0), 1.0, 0.0)
    device = ports_device(ports, "in", width_um=0.7, polarization=polarization)
    fdfd, meep = scattering(device, design, (0.04,))
    same_turns(meep[1:], fdfd[1:])


@pytest.mark.parametrize("polarization", POLARIZATIONS)
def test_circles_and_polygons(polarization):
    stub = Polygon(((-1.0, 0.1), (-0.8, 0.1), (-0.75, 0.5), (-1.05, 0.55)), CORE)
    post = Circle((0.75, -0.35), 0.12, CORE)
    ports = (Port("in", "west", 0.0, 0.6), Port("out", "east", 0.0, 0.6))
    settings = {"polarization": polarization, "margin_um": 0.8}
    device = ports_device(ports, "in", shapes=(stub, post), **settings)
    fdfd, meep = scattering(device, guide(), (0.04,))
    assert abs(fdfd[1, 0]) < 0.98  # the shapes do matter
    assert np.abs(np.abs(meep) - np.abs(fdfd)).max() < 0.06
    assert abs(turn(meep[1], fdfd[1])[0]) < 0.5


@pytest.mark.parametrize("polarization", POLARIZATIONS)
def test_fields(polarization):
    simulator = ladder(through(polarization=polarization), (0.04,))
    low, high = (simulator.fields(guide(), level) for level in (0, 1))
    assert list(low.values) == list(high.values) == [polarization]
    assert high.values[polarization].shape == (1, len(high.x_um), len(high.y_um))
    assert high.permittivity.shape == (len(high.x_um), len(high.y_um))
    assert np.allclose(low.wavelength_um, high.wavelength_um)

    points = np.array([(x_um, y_um) for x_um in (-0.6, -0.2, 0.3) for y_um in (0.0, 0.1)])
    meep, fdfd = (
        RegularGridInterpolator((fields.x_um, fields.y_um), fields.values[polarization][0])(points)
        for fields in (high, low)
    )
    assert np.abs(np.abs(meep / fdfd) - 1).max() < 0.1
    assert np.abs(turn(meep, fdfd)).max() < 0.35
    assert np.abs(turn(meep, fdfd))[:2].max() < 0.1  # at the edge, where the phase is 0
    assert np.abs(np.angle(meep[:2])).max() < 0.1
    inside = RegularGridInterpolator((high.x_um, high.y_um), high.permittivity)([(0.3, 0.0), (0.3, 0.5)])
    assert np.allclose(inside, (CORE, CLADDING), rtol=1e-6)
