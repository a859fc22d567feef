"""From density to stencil: adjoints by Taylor rate, locality, exact painting, and layered media against theory."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from physics.fdfd import Axis, Grid, Pml, Rectangle, paint
from physics.fdfd.dispersion import Constant
from physics.fdfd.faces import mean_faces, paint_faces
from physics.fdfd.geometry import Circle
from physics.fdfd.media import DesignMap
from physics.fdfd.operator import ez_stencil, hz_stencil
from physics.fdfd.stencil import Stencil
from tests.physics.layers import PML, Column, transfer

OMEGA = 2 * np.pi / 1.55
POLARIZATIONS = ("Ez", "Hz")
LOSSLESS, LOSSY = (2.0, 12.0), (2.0 + 0.1j, 5.0 + 3.0j)
# Axis along x and the design on it: inside, over the whole period, at one end of it, at the domain's edge.
PLACES = {
    "inside": (Axis(20, 0.04, 3), (-0.2, 0.17)),
    "whole period": (Axis(20, 0.04, phase=0.3), (-0.4, 0.4)),
    "end of a period": (Axis(20, 0.04, phase=0.3), (-0.4, 0.1)),
    "edge of the domain": (Axis(20, 0.04, (2, 0)), (-0.1, 0.4)),
}


def design_map(polarization, place="inside", permittivity=LOSSLESS, turned=False):
    """A design of 7 x 9 pixels that divide no cell, next to static shapes."""
    (x, x_um), (y, y_um) = PLACES[place], (Axis(18, 0.04, (2, 3)), (-0.13, 0.15))
    shapes = (Rectangle((-9.0, 0.03), (-0.11, 0.12), 12.0), Rectangle((0.05, 0.19), (-9.0, 9.0), 3.0 + 0.5j))
    pixels = (7, 9)
    if turned:
        x, x_um, y, y_um, pixels = y, y_um, x, x_um, pixels[::-1]
        shapes = tuple(shape.transposed for shape in shapes)
    return DesignMap(Grid(x, y), Pml(0.1), OMEGA, polarization, 2.1, shapes, x_um, y_um, pixels, permittivity)


def painted(level, density):
    """The stencil of the domain with every pixel painted as a rectangle."""
    (x, y), (low, high) = level._pixel_lines, level.permittivity
    pixels = [
        Rectangle((x[i], x[i + 1]), (y[j], y[j + 1]), low + density[i, j] * (high - low))
        for i, j in np.ndindex(level.pixels)
    ]
    shapes = [*level.shapes, *pixels]
    if level.polarization == "Ez":
        return ez_stencil(level.grid, level.pml, level.omega, paint(level.grid, level.background, shapes))
    return hz_stencil(level.grid, level.pml, level.omega, *paint_faces(level.grid, level.background, shapes))


def assembled(level, density):
    """The static stencil with the window's values put in."""
    i0, i1, j0, j1 = level.window
    arrays = [a.astype(complex) for a in (level.static.diagonal, level.static.east, level.static.north)]
    for array, values in zip(arrays, level.values(density), strict=True):
        array[i0:i1, j0:j1] = values
    return Stencil(*arrays, level.static.phase)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("permittivity", [LOSSLESS, LOSSY], ids=["lossless", "lossy"])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("polarization", POLARIZATIONS)
def test_the_window_holds_all_that_painted_pixels_change(polarization, place, permittivity, turned):
    level = design_map(polarization, place, permittivity, turned)
    density = np.random.default_rng(0).random(level.pixels)
    ours, whole = assembled(level, density).matrix(), painted(level, density).matrix()
    assert abs(ours - whole).max() < 1e-13 * abs(whole).max()
    # Painted anew, not put into the window: the density changed nothing outside it.
    i0, i1, j0, j1 = level.window
    outside = np.ones(level.grid.shape, dtype=bool)
    outside[i0:i1, j0:j1] = False
    empty = painted(level, np.zeros(level.pixels)).matrix()
    changed = abs(whole - empty).tocsr()[outside.ravel()]
    assert changed.max() == 0
    assert abs(whole - empty).max() > 1e-3


@pytest.mark.parametrize("permittivity", [LOSSLESS, LOSSY, (1.0, -11.0 + 1.2j)], ids=["lossless", "lossy", "metal"])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("polarization", POLARIZATIONS)
def test_pull_back_is_the_derivative(polarization, place, permittivity):
    """The remainder of the Taylor series falls with the square of the step, at several points."""
    level = design_map(polarization, place, permittivity)
    for seed in range(3):
        rng = np.random.default_rng(seed)
        density, step = rng.uniform(0.1, 0.9, level.pixels), 0.1 * rng.standard_normal(level.pixels)
        weights = [rng.standard_normal(a.shape) + 1j * rng.standard_normal(a.shape) for a in level.values(density)]

        def loss(at, weights=weights):
            # Quadratic, so that Ez, whose values are linear in the density, has a second order too.
            return sum(np.sum(np.real(w * (a + a**2))) for w, a in zip(weights, level.values(at), strict=True))

        values = level.values(density)
        slope = np.sum(
            step * level.pull_back(density, *(w * (1 + 2 * a) for w, a in zip(weights, values, strict=True)))
        )
        errors = [abs(loss(density + t * step) - loss(density) - t * slope) for t in (3e-3, 3e-4)]
        assert np.log10(errors[0] / errors[1]) > 1.9


@pytest.mark.parametrize("polarization", POLARIZATIONS)
def test_static_is_density_zero(polarization):
    level = design_map(polarization)
    i0, i1, j0, j1 = level.window
    static = (level.static.diagonal, level.static.east, level.static.north)
    for whole, window in zip(static, level.values(np.zeros(level.pixels)), strict=True):
        assert np.array_equal(whole[i0:i1, j0:j1], window)


@pytest.mark.parametrize("polarization", POLARIZATIONS)
def test_values_are_real_where_everything_is(polarization):
    level = replace(design_map(polarization), shapes=())
    density = np.full(level.pixels, 0.5)
    assert {a.dtype for a in level.values(density)} == {np.dtype(float)}
    assert level.values(density)[0].flags.c_contiguous
    lossy = replace(level, permittivity=LOSSY).values(density)
    assert lossy[0].dtype == complex
    assert level.pull_back(density, *(a * 1j for a in lossy)).dtype == float
    absorbing = replace(level, grid=Grid(Axis(20, 0.04, 8), level.grid.y))
    assert absorbing.values(density)[0].dtype == complex


def test_windows():
    """The touched cells for Ez; a layer more for Hz, the whole period where that would wrap."""
    assert design_map("Ez").window == (5, 15, 5, 13)
    assert design_map("Hz").window == (4, 16, 4, 14)
    assert design_map("Ez", "end of a period").window[:2] == (0, 13)
    assert design_map("Hz", "end of a period").window[:2] == (0, 20)
    assert design_map("Hz", "edge of the domain").window[:2] == (6, 20)


@pytest.mark.parametrize("turned", [False, True], ids=["across-y", "across-x"])
@pytest.mark.parametrize("permittivity", [(1.0, 6.0), (1.5, 4.0 + 0.5j)], ids=["lossless", "lossy"])
@pytest.mark.parametrize("polarization", POLARIZATIONS)
def test_layers_of_pixels_reflect_like_layered_media(polarization, permittivity, turned):
    """Second order against transfer matrices at 40 degrees, pixels of 4.4 cells."""
    omega, density = 2 * np.pi, np.array([1.0, 0.3, 0.8, 0.0, 1.0, 0.6])
    kx = omega * np.sin(np.radians(40))
    low, high = permittivity
    errors = []
    for h in (0.02, 0.01):
        column = Column(2 * round(1.8 / h), h, round(1.0 / h), kx, width=1 if turned else 3, turned=turned)
        face, pixel = 0.21 * h, 4.4 * h * round(0.02 / h)
        along, across = (face, face + len(density) * pixel), (-column.width * h / 2, column.width * h / 2)
        x_um, y_um, pixels = (along, across, (6, 1)) if turned else (across, along, (1, 6))
        level = DesignMap(column.grid, PML, omega, polarization, 1.0, (), x_um, y_um, pixels, permittivity)
        field = column.solve(assembled(level, density.reshape(pixels)), round(1.1 / h))
        incident, reflected = column.waves(field, np.arange(round(1.2 / h), round(1.7 / h)), omega, 1.0, face)
        out, _ = column.waves(field, np.arange(round(2.5 / h), round(2.6 / h)), omega, 1.0, along[1])
        layers = [(pixel, low + rho * (high - low)) for rho in density]
        exact = transfer(polarization, omega, kx, layers, (1.0, 1.0))
        errors.append(np.abs(np.array([reflected, out]) / incident - exact).max())
    assert errors[1] < 0.05
    assert 1.8 < np.log2(errors[0] / errors[1]) < 2.3, errors


def test_faces_of_one_interface():
    """Harmonic along the field's normal, arithmetic along its tangent, over the dual cell."""
    grid = Grid(Axis(4, 1.0), Axis(4, 1.0))
    upper = Rectangle((-np.inf, np.inf), (0.25, np.inf), 4.0)
    east, north = paint_faces(grid, 1.0, [upper])
    assert_allclose(east, np.tile([1, 1, 1 / (0.25 + 0.75 / 4), 4], (5, 1)))
    assert_allclose(north, np.tile([1, 1, 0.75 + 0.25 * 4, 4, 4], (4, 1)))
    turned = paint_faces(grid, 1.0, [upper.transposed])
    assert_allclose(turned[0], north.T)
    assert_allclose(turned[1], east.T)


def test_faces_across_a_period_see_both_sides():
    grid = Grid(Axis(4, 1.0, phase=0.0), Axis(2, 1.0))
    east, _ = paint_faces(grid, 1.0, [Rectangle((1.5, 2.0), (-9, 9), 5.0)])
    assert_allclose(east[:, 0], [3, 1, 1, 1, 3])
    cells = np.arange(8.0).reshape(4, 2)
    east, north = mean_faces(grid, cells)
    assert_allclose(east[:, 0], [3, 1, 3, 5, 3])
    assert_allclose(north[1], [2, 2.5, 3])


def test_a_circle_beside_the_design_is_seen():
    level = replace(design_map("Hz"), shapes=(Circle((0.3, 0.0), 0.12, 9.0),))
    density = np.random.default_rng(0).random(level.pixels)
    ours, whole = assembled(level, density).matrix(), painted(level, density).matrix()
    assert abs(ours - whole).max() < 0.05 * abs(whole).max()  # the disc is sampled between other lines


def test_design_maps_are_checked():
    level = design_map("Hz")
    for wrong, message in (
        ({"polarization": "TE"}, "Ez, Hz"),
        ({"x_um": (-0.5, 0.1)}, "inside the domain"),
        ({"y_um": (0.1, -0.1)}, "inside the domain"),
        ({"pixels": (0, 3)}, "one pixel or more"),
        ({"pixels": (2.5, 3)}, "whole number"),
        ({"omega": -1.0}, "omega above 0"),
        ({"permittivity": (2.0, 3.0 - 1.0j)}, "passive material"),
        ({"background": Constant(1.5)}, "background as a number"),
    ):
        with pytest.raises(ValueError, match=message):
            replace(level, **wrong)
    with pytest.raises(ValueError, match="density of shape"):
        level.values(np.ones((9, 7)))
    with pytest.raises(ValueError, match="resolved"):
        _ = replace(level, shapes=(Rectangle((0, 1), (0, 1), Constant(1.5)),)).static
