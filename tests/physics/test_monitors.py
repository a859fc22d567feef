"""Fluxes, absorption and amplitudes: exact balances, physical units, derivatives."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from physics.fdfd.grid import Axis, Grid, Pml
from physics.fdfd.linear import Factor
from physics.fdfd.monitors import Amplitude, Work, absorbed, far_field, line_flux, outward_flux
from physics.fdfd.operator import ez_stencil, hz_stencil
from physics.fdfd.ports import Port, stencil_port
from physics.fdfd.sources import box, plane_wave, plane_wave_source, point_current
from tests.physics.guides import slab_stencil

OMEGA = 2 * np.pi
POLARIZATIONS = ["Ez", "Hz"]


def solve(stencil, load):
    return Factor(stencil.matrix(), ordered=False).solve(load.ravel()).reshape(stencil.shape)


def random_medium(polarization, loss, cell_um=0.05, phases=(None, None), cells=(60, 56)):
    """Noise between permittivity 1 and 4 within 0.5 um of the centre, its loss up to ``loss``, air elsewhere."""
    rng = np.random.default_rng(7)
    grid = Grid(*(Axis(n, cell_um, 0 if p is not None else 14, p) for n, p in zip(cells, phases, strict=True)))

    def noise(shape):
        x, y = (np.abs(np.arange(n) - (n - 1) / 2) * cell_um < 0.5 for n in shape)
        filled = np.outer(x, y)
        values = 1 + (3 * rng.random(shape) + 1j * loss * rng.random(shape)) * filled
        return values if loss else values.real

    (nx, ny), pml = grid.shape, Pml(0.7)
    if polarization == "Ez":
        return grid, ez_stencil(grid, pml, OMEGA, noise((nx, ny)))
    return grid, hz_stencil(grid, pml, OMEGA, noise((nx + 1, ny)), noise((nx, ny + 1)))


@pytest.mark.parametrize("polarization", POLARIZATIONS)
def test_a_lossless_region_without_sources_lets_all_power_out_again(polarization):
    grid, stencil = random_medium(polarization, 0.0)
    source = point_current(grid, OMEGA, (0.31, 0.22))
    field = solve(stencil, source)
    scale = Work(source).value(field)
    assert scale > 0
    for x_um, y_um in (((-0.4, 0.1), (-0.5, 0.5)), ((0.4, 0.6), (-0.6, 0.1))):
        inside = box(grid, x_um, y_um)
        assert abs(outward_flux(stencil, inside).value(field)) < 1e-12 * scale
        assert abs(absorbed(stencil, inside).value(field)) < 1e-12 * scale
    for reach in (0.4, 0.55, 0.65):
        around = box(grid, (-reach, reach), (-reach, reach))
        assert_allclose(outward_flux(stencil, around).value(field), scale, rtol=1e-11)
    sides = [line_flux(stencil, "y", 41, slice(17, 39)), line_flux(stencil, "y", 17, slice(17, 39))]
    sides += [line_flux(stencil, "x", 38, slice(18, 42)), line_flux(stencil, "x", 16, slice(18, 42))]
    east, west, north, south = (side.value(field) for side in sides)
    assert_allclose(east - west + north - south, scale, rtol=1e-11)


@pytest.mark.parametrize("phases", [(None, None), (0.7, None), (0.0, -1.1)])
@pytest.mark.parametrize("polarization", POLARIZATIONS)
def test_every_region_balances_its_power(polarization, phases):
    """Work of the sources = absorbed + outward flux, on regions that cut absorbers, periods and PML alike."""
    loss = 0.8
    grid, stencil = random_medium(polarization, loss, phases=phases)
    source = point_current(grid, OMEGA, (0.31, 0.22)) + 2j * point_current(grid, OMEGA, (-0.43, 0.05))
    field = solve(stencil, source)
    rng = np.random.default_rng(1)
    for inside in (box(grid, (0.0, 0.9), (-0.5, 0.3)), box(grid, (-9, 9), (-9, 9)), rng.random(grid.shape) < 0.5):
        work = Work(np.where(inside, source, 0.0)).value(field)
        total = absorbed(stencil, inside).value(field) + outward_flux(stencil, inside).value(field)
        assert_allclose(total, work, rtol=1e-10, atol=1e-13)
    assert outward_flux(stencil, box(grid, (-9, 9), (-9, 9))).value(field) == 0
    assert absorbed(stencil, box(grid, (-0.5, 0.5), (-0.5, 0.5))).value(field) > 0


@pytest.mark.parametrize(("polarization", "permittivity"), [("Ez", 1.0), ("Ez", 2.0), ("Hz", 2.0)])
def test_line_current_radiates_its_textbook_power(polarization, permittivity):
    """omega |I|^2 / 8 per length for an electric current, times the permittivity for a magnetic one."""
    errors = []
    for cell_um in (0.05, 0.025):
        axis = Axis(round(2.4 / cell_um), cell_um, round(0.7 / cell_um))
        grid, (nx, ny) = Grid(axis, axis), (axis.cells, axis.cells)
        if polarization == "Ez":
            stencil = ez_stencil(grid, Pml(0.7), OMEGA, np.full((nx, ny), permittivity))
        else:
            east, north = np.full((nx + 1, ny), permittivity), np.full((nx, ny + 1), permittivity)
            stencil = hz_stencil(grid, Pml(0.7), OMEGA, east, north)
        field = solve(stencil, point_current(grid, OMEGA, (0.0, 0.0), 2.0))
        power = outward_flux(stencil, box(grid, (-0.4, 0.4), (-0.4, 0.4))).value(field) / (2 * OMEGA)
        exact = OMEGA * 4 / 8 * (permittivity if polarization == "Hz" else 1.0)
        errors.append(abs(power / exact - 1))
    assert errors[1] < 0.03 and errors[0] / errors[1] > 3.4, errors


@pytest.mark.parametrize("polarization", POLARIZATIONS)
def test_a_mode_carries_the_flux_of_its_amplitude(polarization):
    grid = Grid(Axis(80, 0.05, 20), Axis(80, 0.05, 20))
    omega = 2 * np.pi / 1.55
    stencil = slab_stencil(grid, Pml(1.0), omega, polarization, 0.5, 9.0, 2.1)
    source, out = (stencil_port(Port(s, s), [], grid, stencil, (0.5, 0.5)) for s in ("west", "east"))
    field = solve(stencil, np.sqrt(2) * source.w)  # a unit of power
    for index in (24, 40, 57):
        assert_allclose(line_flux(stencil, "y", index).value(field), 1.0, rtol=1e-7)
    assert_allclose(Amplitude(out.w / np.sqrt(2)).value(field), 1.0, rtol=1e-6)
    assert Amplitude(source.w / np.sqrt(2), source.own).value(field) < 1e-8


def monitors(grid, stencil, source):
    inside, corner = box(grid, (-0.35, 0.2), (-0.5, 0.4)), (16, 16)
    vector = np.random.default_rng(3).normal(size=(2, *grid.shape))
    return {
        "outward": outward_flux(stencil, inside),
        "line": line_flux(stencil, "y", 39, slice(20, 30)),
        "absorbed": absorbed(stencil, inside),
        "work": Work(source),
        "amplitude": Amplitude(vector[0] + 1j * vector[1], 0.3 - 0.2j),
        "far": far_field(stencil, grid, box(grid, (-0.65, 0.65), (-0.65, 0.65)), plane_wave(stencil, corner, 0.9)),
    }


@pytest.mark.parametrize("polarization", POLARIZATIONS)
def test_cotangents_are_derivatives(polarization):
    grid, stencil = random_medium(polarization, 0.8)
    rng = np.random.default_rng(5)
    source, field, step = rng.normal(size=(3, *grid.shape)) + 1j * rng.normal(size=(3, *grid.shape))
    for name, monitor in monitors(grid, stencil, source).items():
        difference = (monitor.value(field + step) - monitor.value(field - step)) / 2  # exact for quadratic forms
        gradient = monitor.cotangent(field)
        assert gradient.shape == field.shape
        assert_allclose((np.conj(gradient) * step).sum().real, difference, rtol=1e-9, err_msg=name)


@pytest.mark.parametrize("angle", [0.0, 1.0, 2.3])
@pytest.mark.parametrize("polarization", POLARIZATIONS)
def test_gradients_by_one_adjoint_solve_have_second_order_remainders(polarization, angle):
    """dP = -Re(lambda^T dA f); in Hz the change is of the couplings too."""
    grid, stencil = random_medium(polarization, 0.8)
    inside = box(grid, (-0.55, 0.55), (-0.55, 0.55))
    source = plane_wave_source(stencil, grid, inside, plane_wave(stencil, (16, 16), angle))
    rng = np.random.default_rng(6)
    inner = box(grid, (-0.3, 0.3), (-0.3, 0.3))
    change = replace(
        stencil,
        diagonal=inner * rng.normal(size=grid.shape),
        east=inner * rng.normal(size=grid.shape) * (polarization == "Hz"),
        north=inner * rng.normal(size=grid.shape) * (polarization == "Hz"),
    )
    factor = Factor(stencil.matrix(), ordered=False)
    field = factor.solve(source.ravel()).reshape(grid.shape)

    def at(t):
        moved = (getattr(stencil, a) + t * getattr(change, a) for a in ("diagonal", "east", "north"))
        return solve(replace(stencil, **dict(zip(("diagonal", "east", "north"), moved, strict=True))), source)

    steps = 1e-3 * 0.5 ** np.arange(3)
    fields = [at(t) for t in steps]
    outside = {k: m for k, m in monitors(grid, stencil, source).items() if k not in ("outward", "absorbed")}
    for name, monitor in {**outside, "outward": outward_flux(stencil, inside)}.items():
        adjoint = factor.solve(np.conj(monitor.cotangent(field)).ravel())
        slope = -(adjoint * (change.matrix() @ field.ravel())).sum().real
        rest = [abs(monitor.value(f) - monitor.value(field) - t * slope) for f, t in zip(fields, steps, strict=True)]
        rates = np.log2(np.array(rest[:-1]) / rest[1:])
        assert np.all(np.abs(rates - 2) < 0.15), (name, rest, rates)


def test_unfit_lines_are_refused():
    _, stencil = random_medium("Ez", 0.0)
    with pytest.raises(ValueError, match="along x or y"):
        line_flux(stencil, "z", 3)
    for index in (-1, 59):
        with pytest.raises(ValueError, match="row 0 to 58"):
            line_flux(stencil, "y", index)
