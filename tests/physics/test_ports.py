"""Modes, ports and absorbing layers: analytic dispersion, straight guides, energy, reciprocity."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from physics.devices import beam_splitter, quarter_ring, straight_guide, straight_waveguide, waveguide_bend
from physics.fdfd import Axis, Grid, Pml, Port, Rectangle, paint, slab_mode
from physics.fdfd.linear import Factor
from physics.fdfd.operator import ez_stencil, second_difference
from physics.fdfd.ports import port_vector, stencil_port
from tests.physics.guides import slab_stencil

WAVELENGTH, OMEGA = 1.55, 2 * np.pi / 1.55


@pytest.mark.parametrize("side", ["west", "south", "east", "north"])
def test_straight_guide_transmits_everything_in_every_direction(side):
    device = straight_waveguide((WAVELENGTH,), cells_um=(0.04,))
    across = side in ("south", "north")
    opposite = {"west": "east", "east": "west", "south": "north", "north": "south"}[side]
    shapes = tuple(Rectangle(s.y_um, s.x_um, s.permittivity) if across else s for s in device.shapes)
    ports = (Port("in", side), Port("out", opposite))
    density = straight_guide(device)
    s = replace(device, shapes=shapes, ports=ports).simulate(density.T if across else density, 0)["s"][:, 0]
    assert abs(abs(s[1]) - 1) < 1e-8
    assert 20 * np.log10(abs(s[0])) < -80
    # The phase is referred to the edges of the design region: k times its length.
    section = paint(device.scene(0).grid, 2.1, device.shapes)[0]
    mode = slab_mode(section, 0.04, OMEGA)
    assert_allclose(s[1], np.exp(1j * mode.phase * 2.0 / 0.04), atol=1e-6)


@pytest.mark.parametrize("mode", [0, 1])
def test_modes_of_a_straight_guide_do_not_mix(mode):
    device = straight_waveguide((WAVELENGTH,), cells_um=(0.04,))
    ports = (Port("in", "west", mode=mode), Port("even", "east", mode=0), Port("odd", "east", mode=1))
    power = replace(device, ports=ports).simulate(straight_guide(device), 0)["transmission"][:, 0]
    assert_allclose(power, [mode == 0, mode == 1], atol=1e-6)


def outflow(device, density):
    """Power through the four sides of a box outside all ports, per unit of source power, the field's own check."""
    fields = device.fields(density, 0)
    ez, axis = fields.values["Ez"][0], device.scene(0).grid.x
    k = axis.pml_cells + 1
    assert axis.cells * 0.04 / 2 - k * 0.04 > max(size / 2 + device.ports[0].distance_um for size in device.size_um)
    inside, omega = slice(k, -k), 2 * np.pi / device.wavelength_um[0]
    x = np.imag(np.conj(ez[:-1]) * ez[1:])[:, inside].sum(axis=1) / (2 * omega)
    y = np.imag(np.conj(ez[:, :-1]) * ez[:, 1:])[inside].sum(axis=0) / (2 * omega)
    return {"west": -x[k - 1], "east": x[-k], "south": -y[k - 1], "north": y[-k]}


@pytest.mark.parametrize("make", [waveguide_bend, beam_splitter])
def test_energy_is_conserved(make):
    device = replace(make((WAVELENGTH,), cells_um=(0.04,)), pml=Pml(1.5))
    for density in device.example_designs(np.random.default_rng(1), 2):
        flux, response = outflow(device, density), device.simulate(density, 0)
        assert_allclose(sum(flux.values()), 1.0, atol=1e-6)
        guided = response["transmission"].sum() + response["reflection"].sum()
        assert 0 < guided < 1
        power = np.abs(response["s"][:, 0]) ** 2
        for side in {port.side for port in device.ports}:
            through = sum(p for p, port in zip(power, device.ports, strict=True) if port.side == side)
            assert through < flux[side] + 1e-6


def test_scattering_is_reciprocal():
    device = beam_splitter((1.5, 1.6), cells_um=(0.04,))
    density = device.example_designs(np.random.default_rng(2), 1)[0]
    names = [port.name for port in device.ports]
    matrix = np.stack([replace(device, source=name).simulate(density, 0)["s"] for name in names])
    assert_allclose(matrix, matrix.transpose(1, 0, 2), atol=1e-12)
    assert np.abs(matrix).max() > 0.1


def test_bend_is_symmetric_in_the_transpose():
    device = waveguide_bend((WAVELENGTH,), cells_um=(0.04,))
    density = device.example_designs(np.random.default_rng(3), 1)[0]
    assert_allclose(
        device.simulate(density, 0)["transmission"], device.simulate(density.T, 0)["transmission"], rtol=1e-9
    )
    ring = quarter_ring(device)
    assert np.array_equal(ring, ring.T)


def test_splitter_is_symmetric_in_its_axis():
    device = beam_splitter((WAVELENGTH,), cells_um=(0.04,))
    density = device.example_designs(np.random.default_rng(4), 1)[0]
    one, other = (device.simulate(d, 0)["transmission"][:, 0] for d in (density, density[:, ::-1]))
    assert_allclose(one, other[::-1], rtol=1e-9)


def test_quarter_ring_transmits_what_converged_meshes_say():
    device = waveguide_bend((WAVELENGTH,))
    coarse, fine = (device.simulate(quarter_ring(device), level)["transmission"].item() for level in (0, 1))
    assert_allclose([coarse, fine], 0.961, atol=0.004)  # 0.9609 on 10 nm cells


@pytest.mark.parametrize("angle", [0.0, 30.0, 60.0, 75.0])
@pytest.mark.parametrize("permittivity", [1.0, 2.1, 12.1])
def test_pml_reflects_little_over_angle_and_index(angle, permittivity):
    """A plane wave of transverse wavenumber k_y in one dimension: k_y shifts the permittivity."""
    cell, pml = 0.02, Pml()
    axis = Axis(160, cell, round(pml.thickness_um / cell))
    effective = permittivity * np.cos(np.radians(angle)) ** 2
    stretch = axis.stretch(OMEGA, pml)
    # The transverse wavenumber enters as -k_y^2 s_x, like a change of permittivity.
    matrix = second_difference(stretch).toarray() + np.diag((OMEGA * cell) ** 2 * effective * stretch.centre)
    source = np.zeros(160, dtype=complex)
    source[80] = 1.0
    field = np.linalg.solve(matrix, source)
    phase = 2 * np.arcsin(OMEGA * cell * np.sqrt(effective) / 2)
    near, far = field[100], field[101]
    outgoing = (far - near * np.exp(-1j * phase)) / (2j * np.sin(phase))
    incoming = (near * np.exp(1j * phase) - far) / (2j * np.sin(phase))
    limit = 1e-3 if angle <= 60 else 3e-2
    assert abs(incoming) < limit * abs(outgoing)


def test_log_reflection_is_that_of_the_amplitude():
    cell, pml = 0.005, Pml(0.6, log_reflection=-6.0)
    axis = Axis(480, cell, 120)
    stretch = axis.stretch(OMEGA, pml)
    matrix = second_difference(stretch).toarray() + np.diag((OMEGA * cell) ** 2 * stretch.centre)
    source = np.zeros(480, dtype=complex)
    source[240] = 1.0
    near, far = np.linalg.solve(matrix, source)[250:252]
    step = np.exp(2j * np.arcsin(OMEGA * cell / 2))
    reflected = abs((near * step - far) / (far - near / step))
    assert_allclose(np.log(reflected), -6.0, atol=0.15)


def test_thicker_pml_changes_little():
    device = waveguide_bend((WAVELENGTH,), cells_um=(0.04,))
    thick = replace(device, pml=Pml(1.2), margin_um=1.2)
    density = device.example_designs(np.random.default_rng(5), 1)[0]
    assert_allclose(thick.simulate(density, 0)["s"], device.simulate(density, 0)["s"], atol=2e-3)


def two_guides(width_um, ports):
    """Guides at y = 0.8 (0.48 um wide) and -0.8; only the former continues through the design region."""
    device = straight_waveguide((WAVELENGTH,), breadth_um=3.0, cells_um=(0.04,))
    shapes = tuple(
        Rectangle((-np.inf, np.inf), (y - w / 2, y + w / 2), 12.1) for y, w in ((0.8, 0.48), (-0.8, width_um))
    )
    density = np.zeros(device.design_shape)
    middle = (np.arange(device.design_shape[1]) + 0.5) * device.pixel_um - 1.5
    density[:, np.abs(middle - 0.8) < 0.24] = 1.0
    return replace(device, shapes=shapes, ports=ports), density


@pytest.mark.parametrize("width_um", [0.48, 0.6])
def test_the_mode_of_another_guide_is_refused(width_um):
    ports = (Port("in", "west", 0.8), Port("out", "east", 0.8))
    with pytest.raises(ValueError, match="another guide on that side; give every guide a port"):
        two_guides(width_um, ports)
    others = (Port("west", "west", -0.8), Port("east", "east", -0.8))
    device, density = two_guides(width_um, (*ports, *others))
    assert_allclose(device.simulate(density, 0)["transmission"][0], 1.0, atol=1e-6)


def test_a_narrower_guide_without_a_port_does_no_harm():
    device, density = two_guides(0.4, (Port("in", "west", 0.8), Port("out", "east", 0.8)))
    assert_allclose(device.simulate(density, 0)["transmission"], 1.0, atol=1e-6)


def test_ports_beside_their_guide_are_refused():
    device = straight_waveguide((WAVELENGTH,), breadth_um=3.0, cells_um=(0.04,))
    for centre in (1.2, -0.3):
        with pytest.raises(ValueError, match="on the core of a guide"):
            replace(device, ports=(Port("in", "west"), Port("out", "east", centre)))
    for centre in (0.1, -0.2):  # the same mode from anywhere on the core
        moved = replace(device, ports=(Port("in", "west"), Port("out", "east", centre)))
        s = [d.simulate(straight_guide(device), 0)["s"] for d in (moved, device)]
        assert np.array_equal(*s)


def test_unguided_modes_and_cut_tails_are_refused():
    device = straight_waveguide((WAVELENGTH,), cells_um=(0.04,))
    with pytest.raises(ValueError, match="carries mode 7"):
        replace(device, ports=(Port("in", "west", mode=7), Port("out", "east")))
    with pytest.raises(ValueError, match="decayed"):
        slab_mode(np.where(np.abs(np.arange(16) - 7.5) < 5, 12.1, 2.1), 0.04, OMEGA)
    with pytest.raises(ValueError, match="widen margin_um"):
        replace(device, ports=(Port("in", "west", distance_um=2.0), Port("out", "east")))
    with pytest.raises(ValueError, match="straight guide"):
        replace(device, shapes=(Rectangle((-1.7, 0), (-0.25, 0.25), 12.1), device.shapes[1]))


HALF, OPPOSITE = (0.5, 0.5), {"west": "east", "east": "west", "south": "north", "north": "south"}


def guide_scattering(polarization, side, modes, core, width_um=1.0):
    """S-matrix of a straight guide between a side and the opposite one, ``modes`` ports at each, by a full solve."""
    along, across = Axis(80, 0.05, 20), Axis(110, 0.05, 20)
    vertical = side in ("south", "north")
    grid = Grid(across, along) if vertical else Grid(along, across)
    stencil = slab_stencil(grid, Pml(1.0), OMEGA, polarization, width_um, core, 2.1, vertical=vertical)
    ports = [Port(f"{s}{mode}", s, mode=mode) for s in (side, OPPOSITE[side]) for mode in range(modes)]
    vectors = [stencil_port(port, ports, grid, stencil, HALF) for port in ports]
    loads = np.stack([v.w.ravel() for v in vectors], axis=1)
    s = loads.T @ Factor(stencil.matrix(), ordered=False).solve(loads)
    return s + np.diag([v.own for v in vectors]), vectors


@pytest.mark.parametrize("side", ["west", "north"])
@pytest.mark.parametrize("polarization", ["Ez", "Hz"])
def test_every_mode_of_a_straight_guide_goes_through_alone(polarization, side):
    modes = 3
    s, vectors = guide_scattering(polarization, side, modes, 9.0)
    assert_allclose(s, s.T, atol=1e-12)
    phases = np.array([v.mode.phase for v in vectors[:modes]])
    assert phases[0] > phases[1] > phases[2]
    assert_allclose(np.abs(np.diag(s[modes:, :modes])), 1.0, atol=1e-8)
    ideal = np.diag(np.exp(1j * phases * 2 * HALF[0] / 0.05))
    assert_allclose(s[modes:, :modes], ideal, atol=1e-4)
    assert np.all(20 * np.log10(np.abs(s[:modes, :modes])) < -60)


@pytest.mark.parametrize("polarization", ["Ez", "Hz"])
@pytest.mark.parametrize("loss", [0.05, 0.5])
def test_a_lossy_guide_attenuates_by_its_own_modes(polarization, loss):
    modes = 2
    s, vectors = guide_scattering(polarization, "west", modes, 9.0 + 1j * loss)
    decay = np.exp(-np.array([v.mode.phase.imag for v in vectors[:modes]]) * 2 * HALF[0] / 0.05)
    assert np.all(decay < 0.99)
    assert_allclose(np.abs(np.diag(s[modes:, :modes])), decay, rtol=1e-7)
    assert np.abs(s[:modes, :modes]).max() < 1e-3


def test_the_earlier_vector_is_that_of_the_ez_stencil():
    grid = Grid(Axis(80, 0.05, 20), Axis(110, 0.05, 20))
    permittivity = np.full(grid.shape, 2.1)
    permittivity[:, 47:63] = 6.0
    stencil = ez_stencil(grid, Pml(1.0), OMEGA, permittivity)
    for port in (Port("in", "west", mode=1), Port("out", "east")):
        one = stencil_port(port, [port], grid, stencil, HALF)
        other = port_vector(port, [port], grid, permittivity, OMEGA, HALF)
        assert_allclose(one.w, other.w, atol=1e-12)
        assert_allclose(one.own, other.own, rtol=1e-11)


def test_a_span_bounds_the_cross_section():
    grid = Grid(Axis(80, 0.05, 20), Axis(110, 0.05, 20))
    stencil = slab_stencil(grid, Pml(1.0), OMEGA, "Hz", 0.8, 6.0, 2.1)
    wide, narrow = (stencil_port(Port("p", "west", span_um=span), [], grid, stencil, HALF) for span in (np.inf, 2.0))
    rows = np.flatnonzero(np.abs(narrow.w).sum(axis=0))
    assert_allclose(grid.y.centres_um[rows[[0, -1]]], [-0.975, 0.975])
    assert_allclose(narrow.mode.phase, wide.mode.phase, rtol=1e-3)
    neighbour = Port("q", "west", 1.0)
    shared = stencil_port(Port("p", "west", span_um=2.0), [neighbour], grid, stencil, HALF)
    assert np.array_equal(shared.w, narrow.w)
    with pytest.raises(ValueError, match="span_um above 0"):
        Port("p", "west", span_um=0.0)
    with pytest.raises(ValueError, match="room for port"):
        stencil_port(Port("p", "west", span_um=0.1), [], grid, stencil, HALF)


@pytest.mark.parametrize("polarization", ["Ez", "Hz"])
def test_changes_along_the_guide_are_refused_even_within_the_pml(polarization):
    grid = Grid(Axis(80, 0.05, 20), Axis(110, 0.05, 20))
    stencil = slab_stencil(grid, Pml(1.0), OMEGA, polarization, 0.8, 6.0, 2.1)
    for array in ("diagonal", "east", "north"):
        for layer in (0, 3, 19, 22):
            changed = getattr(stencil, array).copy()
            changed[layer, 55] *= 1 + 1e-6
            with pytest.raises(ValueError, match="straight guide"):
                stencil_port(Port("p", "west"), [], grid, replace(stencil, **{array: changed}), HALF)


def test_ports_need_a_side_where_the_grid_ends():
    grid = Grid(Axis(80, 0.05, phase=0.0), Axis(110, 0.05, 20))
    stencil = slab_stencil(grid, Pml(1.0), OMEGA, "Ez", 0.8, 6.0, 2.1)
    with pytest.raises(ValueError, match="periodic axis"):
        stencil_port(Port("p", "west"), [], grid, stencil, HALF)


def test_a_port_may_stand_where_the_pml_of_the_other_side_would_be():
    grid = Grid(Axis(64, 0.05, (8, 20)), Axis(110, 0.05, 20))
    stencil = slab_stencil(grid, Pml(1.0), OMEGA, "Ez", 0.8, 6.0, 2.1)
    stencil_port(Port("p", "west", distance_um=0.6), [], grid, stencil, HALF)
    with pytest.raises(ValueError, match="widen margin_um"):
        stencil_port(Port("p", "east", distance_um=0.6), [], grid, stencil, HALF)
