"""Diffraction orders: slabs against Airy's formula, gratings against energy and reciprocity."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from physics.fdfd.grid import Axis, Grid, Pml
from physics.fdfd.linear import Factor
from physics.fdfd.monitors import Amplitude, absorbed, line_flux
from physics.fdfd.operator import ez_stencil, hz_stencil
from physics.fdfd.orders import floquet_orders

OMEGA = 2 * np.pi
POLARIZATIONS = ["Ez", "Hz"]


def cell(polarization, cell_um, period_um, phase, pieces, cover=1.0):
    """A period along x: air below, pieces (x_um, y_um, permittivity) aligned with the cells, ``cover`` above 0.4 um."""
    period, height = round(period_um / cell_um), round(3.2 / cell_um)
    grid = Grid(Axis(period, cell_um, phase=phase), Axis(height, cell_um, round(1.0 / cell_um)))
    fine = Grid(Axis(2 * period, cell_um / 2), Axis(2 * height, cell_um / 2))
    x, y = np.meshgrid(fine.x.centres_um, fine.y.centres_um, indexing="ij")
    half = np.where(y > 0.4, cover, 1.0).astype(complex)
    for (left, right), (low, high), value in pieces:
        half[(left < x) & (x < right) & (low < y) & (y < high)] = value
    half = half if np.any(half.imag) else half.real
    if polarization == "Ez":
        pairs = half.reshape(period, 2, height, 2)
        return grid, ez_stencil(grid, Pml(1.0), OMEGA, pairs.mean(axis=(1, 3)))
    # Interfaces on cell edges: the normal field lies on them (harmonic mean), and so does the tangential (arithmetic).
    columns = half[::2, ::2]
    around = np.concatenate([columns[-1:], columns, columns[:1]])
    stacked = np.concatenate([columns[:, :1], columns, columns[:, -1:]], axis=1)
    east, north = (around[1:] + around[:-1]) / 2, (stacked[:, 1:] + stacked[:, :-1]) / 2
    return grid, hz_stencil(grid, Pml(1.0), OMEGA, east, north)


def scattering(stencil, layer):
    """Orders and S-matrix of both sides; ``layer`` counts from either boundary."""
    south, north = (floquet_orders(stencil, side, layer) for side in ("south", "north"))
    orders = [*south, *north]
    factor = Factor(stencil.matrix(), ordered=False)
    fields = factor.solve(np.stack([o.source.ravel() for o in orders], axis=1))
    s = np.stack([o.extraction.ravel() for o in orders]) @ fields + np.diag([o.own for o in orders])
    return south, north, s, [f.reshape(stencil.shape) for f in fields.T]


def airy(polarization, permittivity, thickness_um, angle):
    """Power reflected and transmitted by a slab in air (Born and Wolf, section 1.6.4)."""
    ky = OMEGA * np.cos(angle)
    inside = OMEGA * np.sqrt(permittivity - np.sin(angle) ** 2 + 0j)
    ratio = inside / ky if polarization == "Ez" else inside / (permittivity * ky)
    r, turn = (1 - ratio) / (1 + ratio), np.exp(2j * inside * thickness_um)
    reflected = r * (1 - turn) / (1 - r**2 * turn)
    transmitted = (1 - r**2) * np.sqrt(turn) / (1 - r**2 * turn)
    return abs(reflected) ** 2, abs(transmitted) ** 2


@pytest.mark.parametrize("angle", [0.0, 0.7])
@pytest.mark.parametrize("permittivity", [4.0, 4.0 + 0.8j])
@pytest.mark.parametrize("polarization", POLARIZATIONS)
def test_slab_reflects_and_transmits_as_airy_says(polarization, permittivity, angle):
    exact, errors = airy(polarization, permittivity, 0.4, angle), []
    for cell_um in (0.04, 0.02):
        phase = OMEGA * np.sin(angle) * 0.2
        _, stencil = cell(polarization, cell_um, 0.2, phase, [((-9, 9), (-0.2, 0.2), permittivity)])
        _, _, s, _ = scattering(stencil, round(1.1 / cell_um))
        assert s.shape == (2, 2)
        errors.append(np.abs(np.abs(s[:, 0]) ** 2 - exact).max())
    assert errors[1] < 0.02 and errors[0] / errors[1] > 3.0, errors


GRATING = [((-0.3, 0.1), (-0.2, 0.2), 6.0), ((0.1, 0.5), (-0.2, 0.0), 3.0)]


@pytest.mark.parametrize("loss", [0.0, 0.5j])
@pytest.mark.parametrize("phase", [0.0, 0.6])
@pytest.mark.parametrize("polarization", POLARIZATIONS)
def test_grating_keeps_energy_and_reciprocity(polarization, phase, loss):
    pieces = [(x, y, value + loss) for x, y, value in GRATING]
    grid, stencil = cell(polarization, 0.05, 1.5, phase, pieces, cover=2.25)
    south, north, s, fields = scattering(stencil, 22)
    orders = [*south, *north]
    assert len(south) < len(north)
    # The grating equation, k_x = phase / period + 2 pi m / period, up to the mesh's dispersion.
    for order, index in [(o, 1.0) for o in south] + [(o, 1.5) for o in north]:
        assert_allclose(np.sin(order.angle), (phase + 2 * np.pi * order.order) / (1.5 * index * OMEGA), atol=0.02)
    inside = np.zeros(grid.shape, dtype=bool)
    inside[:, 24:40] = True
    lost = [absorbed(stencil, inside).value(f) for f in fields]
    error = np.abs((np.abs(s) ** 2).sum(axis=0) + lost - 1)  # the PML's, which grows towards grazing
    assert np.all(error < np.where(np.abs([o.angle for o in orders]) < np.pi / 3, 2e-5, 2e-4)), error
    assert (max(np.abs(lost)) < 1e-12) == (loss == 0)
    # Power through a line is that of the orders beyond it.
    above = (np.abs(s[len(south) :, 0]) ** 2).sum()
    assert_allclose(line_flux(stencil, "x", 40).value(fields[0]), above, atol=3e-5)
    _, _, back, _ = scattering(replace(stencil, phase=(-phase, 0.0)), 22)
    turned = [len(south) - 1 - i for i in range(len(south))] + [len(orders) - 1 - i for i in range(len(north))]
    assert_allclose(s, back[np.ix_(turned, turned)].T, atol=1e-12)


def test_own_reflection_belongs_to_the_source():
    _, stencil = cell("Ez", 0.05, 1.2, 0.4, GRATING)
    south, north, s, fields = scattering(stencil, 22)
    orders = [*south, *north]
    column = [Amplitude(o.extraction, o.own if i == 1 else 0.0).value(fields[1]) for i, o in enumerate(orders)]
    assert_allclose(column, np.abs(s[:, 1]) ** 2, rtol=1e-9)


def test_unfit_layers_are_refused():
    _, stencil = cell("Ez", 0.05, 1.2, 0.4, GRATING)
    with pytest.raises(ValueError, match="periodic along its west side"):
        floquet_orders(stencil, "west", 5)
    with pytest.raises(ValueError, match="layer from 1"):
        floquet_orders(stencil, "south", 0)
    for layer in (10, 30):  # in the PML, in the grating
        with pytest.raises(ValueError, match="uniform lossless layers"):
            floquet_orders(stencil, "south", layer)
