"""Currents against the line source's Hankel function, plane waves against the discrete dispersion."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import hankel1

from physics.fdfd.grid import Axis, Grid, Pml
from physics.fdfd.linear import Factor
from physics.fdfd.operator import ez_stencil, hz_stencil
from physics.fdfd.sources import box, line_current, plane_wave, plane_wave_source, point_current, total_field_source

OMEGA, PML = 2 * np.pi, Pml(0.8)
POLARIZATIONS = ["Ez", "Hz"]


def uniform(grid, polarization, permittivity=1.0, pml=PML):
    nx, ny = grid.shape
    if polarization == "Ez":
        return ez_stencil(grid, pml, OMEGA, np.full((nx, ny), permittivity))
    east, north = np.full((nx + 1, ny), permittivity), np.full((nx, ny + 1), permittivity)
    return hz_stencil(grid, pml, OMEGA, east, north)


def solve(stencil, load):
    return Factor(stencil.matrix(), ordered=False).solve(load.ravel()).reshape(stencil.shape)


def square(cell_um, size_um=3.2, pml_um=0.8):
    axis = Axis(round(size_um / cell_um), cell_um, round(pml_um / cell_um))
    return Grid(axis, axis)


@pytest.mark.parametrize("radius_um", [None, 0.1])
@pytest.mark.parametrize(("polarization", "permittivity"), [("Ez", 1.0), ("Ez", 2.0), ("Hz", 2.0)])
def test_point_current_radiates_the_hankel_function(polarization, permittivity, radius_um):
    """(laplacian + k^2) G = delta has G = H0(k r) / (4 i); a Gaussian of deviation s weighs it by exp(-(k s)^2 / 2)."""
    k, errors, place = OMEGA * np.sqrt(permittivity), [], (0.11, -0.07)
    for cell_um in (0.04, 0.02):
        grid = square(cell_um)
        field = solve(uniform(grid, polarization, permittivity), point_current(grid, OMEGA, place, 2.0, radius_um))
        x, y = np.meshgrid(grid.x.centres_um, grid.y.centres_um, indexing="ij")
        r = np.hypot(x - place[0], y - place[1])
        there = (r > 0.5) & (np.abs(x) < 0.75) & (np.abs(y) < 0.75)
        exact = -1j * OMEGA * 2.0 * hankel1(0, k * r[there]) / 4j
        exact *= 1.0 if radius_um is None else np.exp(-((k * radius_um) ** 2) / 2)
        exact *= permittivity if polarization == "Hz" else 1.0
        errors.append(np.abs(field[there] - exact).max() / np.abs(exact).max())
    assert errors[1] < 0.06 and errors[0] / errors[1] > 3.4, errors


def test_sheet_current_radiates_plane_waves_to_both_sides():
    """E'' + k^2 E = -i omega J delta(x): E = -(omega / 2 k) J exp(i k |x|)."""
    errors = []
    for cell_um in (0.04, 0.02):
        grid = Grid(Axis(round(3.2 / cell_um), cell_um, round(0.8 / cell_um)), Axis(5, cell_um, phase=0.0))
        field = solve(uniform(grid, "Ez"), line_current(grid, OMEGA, "y", 0.13, np.full(5, 2.0)))
        near = np.abs(grid.x.centres_um) < 0.7
        exact = -np.exp(1j * OMEGA * np.abs(grid.x.centres_um[near] - 0.13))
        errors.append(np.abs(field[near] - exact[:, None]).max())
    assert errors[1] < 0.02 and errors[0] / errors[1] > 3.4, errors
    turned = Grid(grid.y, grid.x)
    assert_allclose(solve(uniform(turned, "Ez"), line_current(turned, OMEGA, "x", 0.13, np.full(5, 2.0))), field.T)


@pytest.mark.parametrize("angle", [0.0, 0.4, np.pi / 4, 2.0, -1.2, np.pi])
@pytest.mark.parametrize("polarization", POLARIZATIONS)
def test_plane_wave_does_not_leak_from_the_total_field_region(polarization, angle):
    grid = square(0.05)
    stencil = uniform(grid, polarization, 2.25)
    wave = plane_wave(stencil, (20, 20), angle)
    k = np.hypot(*wave.step) / 0.05
    assert_allclose(k, 1.5 * OMEGA, rtol=0.01)
    assert_allclose(np.arctan2(wave.step[1], wave.step[0]), np.arctan2(np.sin(angle), np.cos(angle)), atol=1e-12)
    inside = box(grid, (-0.5, 0.4), (-0.3, 0.6))
    field = solve(stencil, plane_wave_source(stencil, grid, inside, wave))
    assert_allclose(field, np.where(inside, wave.field(grid), 0.0), atol=1e-11)
    impedance = 1.5 if polarization == "Ez" else 1 / 1.5
    assert_allclose(wave.intensity(0.05), OMEGA * impedance, rtol=0.03)


def test_scattered_field_is_the_difference_of_two_fields():
    """Outside: u - f solves A s = -(A - A_0) f, for any structure within."""
    grid = square(0.05)
    permittivity = np.ones(grid.shape, dtype=complex)
    permittivity[30:36, 28:35] = 4.0 + 0.5j
    background, stencil = uniform(grid, "Ez"), ez_stencil(grid, Pml(0.8), OMEGA, permittivity)
    wave, inside = plane_wave(background, (20, 20), 0.7), box(grid, (-0.5, 0.5), (-0.5, 0.5))
    field = solve(stencil, plane_wave_source(stencil, grid, inside, wave))
    incident = wave.field(grid)
    scattered = solve(stencil, -(stencil.diagonal - background.diagonal) * incident)
    assert_allclose(field, scattered + np.where(inside, incident, 0.0), atol=1e-11)


@pytest.mark.parametrize("vertical", [False, True])
@pytest.mark.parametrize("polarization", POLARIZATIONS)
def test_plane_wave_enters_a_periodic_cell_at_an_angle(polarization, vertical):
    along, cells, angle = Axis(90, 0.04, 25), 12, 0.5
    wanted = plane_wave(uniform(Grid(Axis(4, 0.04), Axis(4, 0.04)), polarization), (1, 1), angle)
    across = Axis(cells, 0.04, phase=float(np.real(wanted.step[1])) * cells)
    grid = Grid(across, along) if vertical else Grid(along, across)
    stencil = uniform(grid, polarization, pml=Pml(1.0))
    wave = plane_wave(stencil, (5, 30) if vertical else (30, 5), np.pi / 2 - angle if vertical else angle)
    inside = np.zeros((90, cells), dtype=bool)
    inside[30:] = True
    inside = inside.T if vertical else inside
    field = solve(stencil, plane_wave_source(stencil, grid, inside, wave))
    field, incident = (f.T if vertical else f for f in (field, wave.field(grid)))
    assert_allclose(field[30:65], incident[30:65], atol=1e-4)
    assert np.abs(field[25:30]).max() < 1e-4
    other = Grid(Axis(90, 0.04, 25), Axis(cells, 0.04, phase=0.3))
    inside = np.zeros(other.shape, dtype=bool)
    inside[30:] = True
    with pytest.raises(ValueError, match=r"phase 0\.3 of the period along y"):
        plane_wave_source(uniform(other, "Ez", pml=Pml(1.0)), other, inside, wanted)


def test_regions_that_cut_structures_or_pml_are_refused():
    grid = square(0.05)
    permittivity = np.ones(grid.shape)
    permittivity[30:36, 28:35] = 4.0
    stencil = ez_stencil(grid, Pml(0.8), OMEGA, permittivity)
    wave = plane_wave(stencil, (20, 20), 0.7)
    for reach in (0.1, 1.2):
        with pytest.raises(ValueError, match="wave's own medium"):
            plane_wave_source(stencil, grid, box(grid, (-reach, reach), (-reach, reach)), wave)
    with pytest.raises(ValueError, match="boolean mask"):
        total_field_source(stencil, np.ones((3, 3), dtype=bool), wave.field(grid))
    with pytest.raises(ValueError, match="in which waves propagate"):
        plane_wave(uniform(grid, "Ez", -2.0), (20, 20), 0.1)


def test_sources_off_the_grid_are_refused():
    grid = square(0.05)
    with pytest.raises(ValueError, match="source within"):
        point_current(grid, OMEGA, (0.0, 1.7))
    with pytest.raises(ValueError, match="radius_um above 0"):
        point_current(grid, OMEGA, (0.0, 0.0), radius_um=0.0)
    with pytest.raises(ValueError, match="along x or y"):
        line_current(grid, OMEGA, "z", 0.0, np.ones(64))
    with pytest.raises(ValueError, match="64 in all"):
        line_current(grid, OMEGA, "x", 0.0, np.ones(63))
