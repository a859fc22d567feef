"""The operators of both polarisations against plane-wave theory: dispersion, Fresnel, symmetry, absorbing layers."""

import numpy as np
import pytest
import scipy.sparse.linalg as spla
from numpy.testing import assert_allclose
from scipy.special import h1vp, hankel1, jv, jvp

from physics.fdfd import Axis, Grid, Pml, Rectangle, grid_operator, helmholtz, paint
from physics.fdfd.faces import mean_faces, paint_faces
from physics.fdfd.geometry import Circle
from physics.fdfd.operator import ez_stencil, hz_stencil
from tests.physics.layers import PML, Column, transfer

OMEGA = 2 * np.pi / 1.0
POLARIZATIONS = ("Ez", "Hz")
EVERYWHERE = (-np.inf, np.inf)


def stencil_of(grid, pml, polarization, background, shapes):
    if polarization == "Ez":
        return ez_stencil(grid, pml, OMEGA, paint(grid, background, shapes))
    return hz_stencil(grid, pml, OMEGA, *paint_faces(grid, background, shapes))


def random_stencil(polarization, x, y, lossy=True):
    rng, grid = np.random.default_rng(0), Grid(x, y)

    def eps(nx, ny):
        return rng.uniform(1, 12, (nx, ny)) + (1j * rng.uniform(0, 1, (nx, ny)) if lossy else 0)

    nx, ny = grid.shape
    if polarization == "Ez":
        return ez_stencil(grid, PML, OMEGA, eps(nx, ny))
    east, north = eps(nx + 1, ny), eps(nx, ny + 1)
    east[-1] = east[0] if x.periodic else east[-1]
    north[:, -1] = north[:, 0] if y.periodic else north[:, -1]
    return hz_stencil(grid, PML, OMEGA, east, north)


@pytest.mark.parametrize("polarization", POLARIZATIONS)
def test_empty_lattice_has_the_bands_of_free_space(polarization):
    """The lowest |k + G| of a square lattice, with the scheme's second order."""
    period, eps, k = 1.0, 2.25, np.array([0.7, -1.9])
    m = np.arange(-3, 4) * 2 * np.pi / period
    exact = np.sort((((k[0] + m)[:, None] ** 2 + (k[1] + m) ** 2) / eps).ravel())[:9]
    errors = []
    for n in (12, 24):
        grid = Grid(*(Axis(n, period / n, phase=q * period) for q in k))
        stencil = stencil_of(grid, PML, polarization, eps, ())
        scale = eps if polarization == "Ez" else 1.0
        values = OMEGA**2 - np.linalg.eigvalsh(stencil.matrix().toarray()) / (scale * grid.cell_um**2)
        errors.append(np.abs(np.sort(values)[:9] / exact - 1).max())
    assert errors[1] < 0.02
    assert 1.8 < np.log2(errors[0] / errors[1]) < 2.2


@pytest.mark.parametrize("polarization", POLARIZATIONS)
@pytest.mark.parametrize("axes", ["both", "x", "y", "none"])
def test_the_transpose_is_the_operator_of_the_opposite_phase(polarization, axes):
    def operator(sign):
        x = Axis(6, 0.05, phase=sign * 0.7) if axes in ("both", "x") else Axis(6, 0.05, (2, 0))
        y = Axis(7, 0.05, phase=sign * -1.3) if axes in ("both", "y") else Axis(7, 0.05, (1, 3))
        return random_stencil(polarization, x, y)

    forward, backward = operator(1), operator(-1)
    assert abs(forward.matrix().T - backward.matrix()).max() < 1e-13
    assert abs(forward.transposed.matrix() - backward.matrix()).max() == 0
    if axes == "none":
        assert abs(forward.matrix() - forward.matrix().T).max() == 0


@pytest.mark.parametrize("polarization", POLARIZATIONS)
def test_lossless_media_without_absorbing_layers_are_hermitian(polarization):
    matrix = random_stencil(polarization, Axis(5, 0.1, phase=0.4), Axis(6, 0.1), lossy=False).matrix()
    assert abs(matrix - matrix.conj().T).max() < 1e-14


@pytest.mark.parametrize("turned", [False, True], ids=["across-y", "across-x"])
@pytest.mark.parametrize("polarization", POLARIZATIONS)
@pytest.mark.parametrize("degrees", [0.0, 35.0, 62.0])
@pytest.mark.parametrize("slab", [6.25, 4.0 + 0.8j, -9.0 + 0.6j])
def test_slab_reflects_and_transmits_as_fresnel_says(polarization, degrees, slab, turned):
    """Airy's formula to second order, the slab's faces inside cells, at the same place in them at each resolution."""
    about, resolutions = (0.05, (0.002, 0.001)) if slab.real < 0 else (0.4, (0.02, 0.01))
    below, above = 1.44, 1.0 if degrees < 50 else 2.0
    kx = OMEGA * np.sqrt(below) * np.sin(np.radians(degrees))
    errors = []
    for h in resolutions:
        face, thickness = 0.31 * h, about + 0.43 * h
        column = Column(2 * round(2.0 / h), h, round(1.2 / h), kx, width=2, turned=turned)
        sides = [((-np.inf, face), below), ((face, face + thickness), slab), ((face + thickness, np.inf), above)]
        shapes = [Rectangle(*((s, EVERYWHERE) if turned else (EVERYWHERE, s)), eps) for s, eps in sides]
        field = column.solve(stencil_of(column.grid, PML, polarization, 1.0, shapes), round(1.3 / h))
        incident, reflected = column.waves(field, np.arange(round(1.4 / h), round(1.9 / h)), OMEGA, below, face)
        upper = np.arange(round(2.55 / h), round(2.75 / h))
        out, back = column.waves(field, upper, OMEGA, above, face + thickness)
        exact = transfer(polarization, OMEGA, kx, [(thickness, slab)], (below, above))
        assert abs(back / out) < 1e-5
        errors.append(np.abs(np.array([reflected, out]) / incident - exact).max())
    assert errors[1] < 0.02
    assert 1.8 < np.log2(errors[0] / errors[1]) < 2.3, errors


@pytest.mark.parametrize("polarization", POLARIZATIONS)
@pytest.mark.parametrize("index", [1.0, 1.45, 3.48])
def test_absorbing_layers_over_angle_and_index(polarization, index):
    """The default layer, 20 cells a wavelength: below -60 dB up to 60 degrees, below -40 dB up to 75."""
    h, pml = 1 / (20 * index), Pml()
    for degrees in (0, 15, 30, 45, 60, 75):
        kx = OMEGA * index * np.sin(np.radians(degrees))
        layers = round(pml.thickness_um / h)
        column = Column(2 * layers + 90, h, (layers, layers + 30), kx)
        stencil = stencil_of(column.grid, pml, polarization, index**2, ())
        field = column.solve(stencil, layers + 50)
        towards, back = column.waves(field, np.arange(layers + 5, layers + 45), OMEGA, index**2, 0.0)[::-1]
        assert abs(back / towards) < (1e-3 if degrees <= 60 else 1e-2), (degrees, abs(back / towards))


def mie(polarization, k, radius, eps, x, y, orders=12):
    """Field scattered by a cylinder from a plane wave along x (Bohren and Huffman, section 8.4), outside of it."""
    n = np.arange(-orders, orders + 1)
    m = np.sqrt(eps)
    u, v = (m, 1.0) if polarization == "Ez" else (1.0, m)
    j, dj, h, dh = (f(n, k * radius) for f in (jv, jvp, hankel1, h1vp))
    inner, d_inner = jv(n, m * k * radius), jvp(n, m * k * radius)
    amplitude = -(v * dj * inner - u * j * d_inner) / (v * dh * inner - u * h * d_inner)
    distance, angle = np.hypot(x, y), np.arctan2(y, x)
    return np.sum(1j**n * amplitude * hankel1(n, k * distance[..., None]) * np.exp(1j * n * angle[..., None]), axis=-1)


@pytest.mark.parametrize("polarization", POLARIZATIONS)
@pytest.mark.parametrize("eps", [4.0, 6.0 + 1.0j])
def test_cylinder_scatters_as_mie_says(polarization, eps):
    """Second order for Ez. Hz neglects the coupling of Ex and Ey at a curved interface: 2 % from 14 cells a wavelength
    in the cylinder, falling slowly, half of what plain means of the cells leave."""

    def error(h, stencil):
        axis = Axis(2 * round(1.3 / h), h, round(0.6 / h))
        grid, disc = Grid(axis, axis), [Circle((0.0, 0.0), 0.3, eps)]
        empty, matrix = (stencil(grid, shapes).matrix() for shapes in ((), disc))
        x, y = np.meshgrid(axis.centres_um, axis.centres_um, indexing="ij")
        # With the incident wave e, A (e + f) = A_empty e gives the scattered field f.
        incident = np.exp(1j * OMEGA * x)
        scattered = spla.spsolve(matrix, (empty - matrix) @ incident.ravel()).reshape(grid.shape)
        ring = (np.hypot(x, y) > 0.45) & (np.maximum(abs(x), abs(y)) < 0.65)
        exact = mie(polarization, OMEGA, 0.3, eps, x[ring], y[ring])
        return np.linalg.norm(scattered[ring] - exact) / np.linalg.norm(exact)

    def ours(grid, shapes):
        return stencil_of(grid, Pml(0.6), polarization, 1.0, shapes)

    def plain(grid, shapes):
        return hz_stencil(grid, Pml(0.6), OMEGA, *mean_faces(grid, paint(grid, 1.0, shapes)))

    coarse, fine = error(0.05, ours), error(0.025, ours)
    if polarization == "Ez":
        assert fine < 0.025
        assert 1.8 < np.log2(coarse / fine) < 2.3
    else:
        assert fine < 0.02
        assert coarse > 1.4 * fine
        assert error(0.05, plain) > 2 * coarse


def test_a_layer_on_one_end_leaves_the_other_reflecting():
    column = Column(160, 0.05, (20, 0), 0.0)
    for polarization in POLARIZATIONS:
        field = column.solve(stencil_of(column.grid, PML, polarization, 1.0, ()), 100)
        up, down = column.waves(field, np.arange(105, 155), OMEGA, 1.0, 0.0)
        assert_allclose(abs(down / up), 1, atol=1e-12)
        up, down = column.waves(field, np.arange(30, 95), OMEGA, 1.0, 0.0)
        assert abs(up / down) < 1e-5


def test_matrix_and_stencil_agree():
    grid = Grid(Axis(9, 0.05, 2), Axis(8, 0.05, (1, 2)))
    eps = np.random.default_rng(1).uniform(1, 12, grid.shape)
    x, y = grid.x.stretch(OMEGA, PML), grid.y.stretch(OMEGA, PML)
    ours = grid_operator(grid, PML, OMEGA, eps)
    assert abs(ours - ez_stencil(grid, PML, OMEGA, eps).matrix()).max() == 0
    assert abs(ours - helmholtz(eps, 0.05, OMEGA, x, y)).max() == 0


def test_axes_are_checked():
    assert Axis(10, 0.1, (3, 3)) == Axis(10, 0.1, 3)
    unequal = Axis(10, 0.1, (3, 1))
    assert (unequal.low_pml, unequal.high_pml) == (3, 1)
    for wrong, message in (
        ({"pml_cells": (6, 5)}, "absorbing cells"),
        ({"pml_cells": -1}, "absorbing cells"),
        ({"pml_cells": (1, 2, 3)}, "one number"),
        ({"pml_cells": 2, "phase": 0.0}, "no PML on a periodic axis"),
        ({"phase": np.inf}, "finite phase"),
        ({"phase": 1j}, "real number"),
    ):
        with pytest.raises(ValueError, match=message):
            Axis(10, 0.1, **wrong)


def test_media_are_checked():
    grid = Grid(Axis(4, 0.1, phase=0.0), Axis(5, 0.1))
    with pytest.raises(ValueError, match="permittivity of shape"):
        ez_stencil(grid, PML, OMEGA, np.ones((5, 5)))
    with pytest.raises(ValueError, match="north_permittivity of shape"):
        hz_stencil(grid, PML, OMEGA, np.ones((5, 5)), np.ones((4, 5)))
    east = np.ones((5, 5))
    east[0] = 2.0
    with pytest.raises(ValueError, match="outer faces of a period"):
        hz_stencil(grid, PML, OMEGA, east, np.ones((4, 6)))
