"""Meep's adjoint against central differences of Meep's own answers, and against the adjoint of FDFD."""

from __future__ import annotations

import numpy as np
import pytest

from physics.testing import check_simulator, random_cotangents
from tests.meep import needs_meep
from tests.physics.meep.problems import bend, binary, grey, ladder, ring, through

pytestmark = needs_meep
DESIGNS = {"smooth": ring, "grey": grey, "binary": binary}
BAND = (1.5, 1.55, 1.6)


def derivatives(simulator, design, directions, step=1e-3, seed=0):
    """(adjoint, central difference) along directions of a random linear loss."""
    rng = np.random.default_rng(seed)
    inside = np.clip(design, 2 * step, 1 - 2 * step)
    level = len(simulator.fidelities) - 1
    cotangents = random_cotangents(simulator.simulate(inside, level), rng)

    def loss(density):
        response = simulator.simulate(density, level)
        return sum(np.vdot(c, response[name]).real for name, c in cotangents.items())

    gradient = simulator.vjp(inside, level, cotangents)[1]
    pairs = []
    for _ in range(directions):
        direction = rng.uniform(-1, 1, design.shape)
        finite = (loss(inside + step * direction) - loss(inside - step * direction)) / (2 * step)
        pairs.append((np.sum(gradient * direction), finite))
    return np.array(pairs).T, np.linalg.norm(gradient) / np.sqrt(3)


def agree(simulator, design, directions=2, tolerance=0.01):
    """A random direction's derivative is about the gradient's norm over sqrt(3): a chance zero is no trouble."""
    (adjoint, finite), scale = derivatives(simulator, design, directions)
    assert np.abs(adjoint - finite).max() < tolerance * scale, (adjoint, finite, scale)


@pytest.mark.parametrize("name", DESIGNS)
def test_adjoint_is_the_derivative(name):
    agree(ladder(bend()), DESIGNS[name](), directions=1)


@pytest.mark.parametrize("wavelengths", [1.55, BAND])
def test_adjoint_is_the_derivative_for_hz(wavelengths):
    agree(ladder(bend(wavelengths, polarization="Hz")), grey(), directions=1)


def test_adjoint_is_the_derivative_over_wavelengths():
    # meep.adjoint fits one pulse to all wavelengths, which takes longer to ring down.
    agree(ladder(bend(BAND), transits=25), binary(), directions=1)


def test_a_short_run_has_a_right_gradient_too():
    """The strength of meep.adjoint's own pulse, which is longer than this run, would be off by some ten per cent."""
    agree(ladder(through(), transits=4), np.clip(grey(), 0.3, 0.7), directions=1)


@pytest.mark.slow
def test_adjoint_is_the_derivative_for_two_sources():
    agree(ladder(through(source=("in", "out"))), grey(), directions=1)


@pytest.mark.slow
@pytest.mark.parametrize("name", DESIGNS)
@pytest.mark.parametrize("polarization", ["Ez", "Hz"])
@pytest.mark.parametrize("wavelengths", [1.55, BAND])
@pytest.mark.parametrize("cell_um", [0.05, 0.04])
def test_adjoint_everywhere(name, polarization, wavelengths, cell_um):
    simulator = ladder(bend(wavelengths, polarization=polarization), (cell_um,), transits=25)
    agree(simulator, DESIGNS[name](), directions=3)


def test_each_pixel_has_its_own_derivative():
    simulator, design, step = ladder(bend()), grey(), 1e-3
    cotangents = {"transmission": np.ones((1, 1))}
    gradient = simulator.vjp(design, 1, cotangents)[1]
    for pixel in ((0, 12), (23, 23), np.unravel_index(np.abs(gradient).argmax(), gradient.shape)):
        change = np.zeros(design.shape)
        change[pixel] = step
        upper, lower = (simulator.simulate(design + way * change, 1)["transmission"] for way in (1, -1))
        finite = ((upper - lower) / (2 * step)).item()
        assert abs(gradient[pixel] - finite) < 0.02 * np.abs(gradient).max()


@pytest.mark.parametrize("polarization", ["Ez", "Hz"])
def test_gradient_points_where_that_of_fdfd_does(polarization):
    simulator = ladder(bend(polarization=polarization))
    low, high = (simulator.vjp(ring(), level, {"transmission": np.ones((1, 1))})[1] for level in (0, 1))
    cosine = np.sum(low * high) / np.linalg.norm(low) / np.linalg.norm(high)
    assert cosine > 0.95
    assert 0.8 < np.linalg.norm(high) / np.linalg.norm(low) < 1.25


def test_conformance():
    simulator = ladder(bend(fdfd_um=(0.05,)))
    check_simulator(simulator, levels=[0])
    report = check_simulator(simulator, levels=[1], points=1, gradient_tolerance=0.01)
    assert report.gradient_errors["meep-2d-50nm"] < 0.01


def test_zero_cotangents_have_no_gradient():
    simulator = ladder(bend())
    assert not simulator.vjp(grey(), 1, {})[1].any()
