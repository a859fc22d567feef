"""An infinite dielectric cylinder at normal incidence against the series of Bohren and Huffman, section 8.4."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import h1vp, hankel1, jv, jvp

from physics.fdfd.faces import paint_faces
from physics.fdfd.geometry import Circle, paint
from physics.fdfd.grid import Axis, Grid, Pml
from physics.fdfd.linear import Factor
from physics.fdfd.monitors import Work, absorbed, far_field, outward_flux
from physics.fdfd.operator import ez_stencil, hz_stencil
from physics.fdfd.sources import box, plane_wave, plane_wave_source

WAVELENGTH, RADIUS = 1.0, 0.3
OMEGA = 2 * np.pi / WAVELENGTH


def coefficients(polarization, permittivity, surroundings=1.0, terms=15):
    """b_n (E along the axis, eq. 8.30) or a_n (H along it, eq. 8.32) for n = 0, 1, ..."""
    m, x, n = np.sqrt(permittivity / surroundings + 0j), OMEGA * np.sqrt(surroundings) * RADIUS, np.arange(terms)
    inner, inner_slope, outer, outer_slope = jv(n, m * x), jvp(n, m * x), jv(n, x), jvp(n, x)
    wave, wave_slope = hankel1(n, x), h1vp(n, x)
    if polarization == "Ez":
        return (inner * outer_slope - m * inner_slope * outer) / (inner * wave_slope - m * inner_slope * wave)
    return (m * inner * outer_slope - inner_slope * outer) / (m * inner * wave_slope - inner_slope * wave)


def mie_widths(polarization, permittivity, surroundings=1.0):
    """Scattering and extinction cross-section per length in um (eq. 8.36 to 8.38)."""
    c, per = coefficients(polarization, permittivity, surroundings), 4 / (OMEGA * np.sqrt(surroundings))
    weight = np.where(np.arange(len(c)) == 0, 1.0, 2.0)
    return per * (weight * np.abs(c) ** 2).sum(), per * (weight * c.real).sum()


def cylinder(polarization, cell_um, permittivity, surroundings=1.0):
    """Stencil and grid of the cylinder."""
    thickness, size = 0.6, 2.4
    axis = Axis(round(size / cell_um), cell_um, round(thickness / cell_um))
    grid, pml = Grid(axis, axis), Pml(thickness)
    disc = [Circle((0.0, 0.0), RADIUS, permittivity)]
    if polarization == "Ez":
        return ez_stencil(grid, pml, OMEGA, paint(grid, surroundings, disc)), grid
    return hz_stencil(grid, pml, OMEGA, *paint_faces(grid, surroundings, disc)), grid


def widths(polarization, cell_um, permittivity, angle=0.3, surroundings=1.0):
    """Scattering, absorption, extinction widths and that of the optical theorem, of a full solve."""
    stencil, grid = cylinder(polarization, cell_um, permittivity, surroundings)
    wave = plane_wave(stencil, (grid.x.low_pml + 1, grid.y.low_pml + 1), angle)
    total, outside = (box(grid, (-r, r), (-r, r)) for r in (0.42, 0.52))
    load = plane_wave_source(stencil, grid, total, wave)
    field = Factor(stencil.matrix(), ordered=False).solve(load.ravel()).reshape(grid.shape)
    forward = far_field(stencil, grid, outside, wave).amplitude(field)
    powers = [
        outward_flux(stencil, outside).value(field),
        absorbed(stencil, total).value(field),
        Work(load).value(field),
        -forward.imag,
    ]
    return np.array(powers) / wave.intensity(cell_um)


def test_series_keeps_energy_and_the_limit_of_thin_cylinders():
    for polarization in ("Ez", "Hz"):
        scattered, extinct = mie_widths(polarization, 4.0)
        assert_allclose(scattered, extinct, rtol=1e-12)
        scattered, extinct = mie_widths(polarization, 4.0 + 1j)
        assert extinct > scattered > 0
    # Born: f = eps - 1 over the disc, exact to first order.
    assert_allclose(mie_widths("Ez", 1 + 1e-6j)[1], OMEGA * 1e-6 * np.pi * RADIUS**2, rtol=1e-5)


@pytest.mark.parametrize(
    ("polarization", "cells_um", "ratio"),
    [
        ("Ez", (0.04, 0.02), 3.4),
        ("Hz", (0.03, 0.015), 1.7),
    ],  # orders 2 and 1 (faces neglect the tensor off its diagonal)
)
@pytest.mark.parametrize(("permittivity", "surroundings"), [(4.0, 1.0), (4.0 + 1.0j, 1.0), (5.0, 2.0)])
def test_cylinder_scatters_and_absorbs_as_the_series_says(polarization, cells_um, ratio, permittivity, surroundings):
    scattered, extinct = mie_widths(polarization, permittivity, surroundings)
    exact = np.array([scattered, extinct - scattered, extinct, extinct])
    errors = []
    for cell_um in cells_um:
        found = widths(polarization, cell_um, permittivity, surroundings=surroundings)
        # The grid's own balance and optical theorem hold to rounding, whatever the mesh.
        assert_allclose(found[0] + found[1], found[2], rtol=1e-10)
        assert_allclose(found[3], found[2], rtol=1e-10)
        assert np.imag(permittivity) > 0 or abs(found[1]) < 1e-12
        errors.append(np.abs(found - exact).max() / extinct)
    assert errors[1] < 0.012 and errors[0] / errors[1] > ratio, errors


@pytest.mark.parametrize("polarization", ["Ez", "Hz"])
def test_far_field_has_the_pattern_of_the_series(polarization):
    """T(theta) of eq. 8.39: c_0 + 2 sum of c_n cos(n theta), here amplitude = -4 i c T, c the coupling outside."""
    stencil, grid = cylinder(polarization, 0.02, 4.0, 2.0)
    corner = (grid.x.low_pml + 1, grid.y.low_pml + 1)
    total, outside = (box(grid, (-r, r), (-r, r)) for r in (0.42, 0.52))
    load = plane_wave_source(stencil, grid, total, plane_wave(stencil, corner, 0.0))
    field = Factor(stencil.matrix(), ordered=False).solve(load.ravel()).reshape(grid.shape)
    c = coefficients(polarization, 4.0, 2.0)
    for theta in np.linspace(0, 2 * np.pi, 9):
        found = far_field(stencil, grid, outside, plane_wave(stencil, corner, theta)).amplitude(field)
        series = c[0] + 2 * (c[1:] * np.cos(np.arange(1, len(c)) * theta)).sum()
        coupling = 1.0 if polarization == "Ez" else 0.5
        assert_allclose(found, -4j * coupling * series, atol=0.05 * abs(4 * coupling * c).max())
