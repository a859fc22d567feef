"""The outside of a window: fields everywhere, both eliminations, resonances of its boxes and of the whole."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from physics.base import SimulationError
from physics.devices import waveguide_bend
from physics.fdfd import Coefficients, Exterior, RegionFactor, Stencil, condense, exterior
from physics.fdfd.exterior import _Pivoted
from physics.fdfd.linear import Factor
from tests.physics.test_region import DISTANCES, PERIODS, cells_of, eigenvalue, in_absorber, random_stencil

WINDOWS = [(2, 7, 1, 6), (0, 5, 3, 8), (4, 9, 0, 8), (0, 9, 2, 6), (3, 6, 0, 8), (1, 9, 1, 8), (0, 8, 0, 7)]
PARTS = ("schur", "sources", "receivers", "constant")


@pytest.mark.parametrize("periodic", PERIODS)
@pytest.mark.parametrize("window", WINDOWS)
def test_field_outside_and_both_eliminations(window, periodic):
    rng = np.random.default_rng([*window, *periodic])
    stencil = random_stencil(rng, (9, 8), periodic, (0.7, -1.1), window, lossy=True)
    sources, receivers = rng.random((72, 2)) + 0j, rng.random((72, 3)) + 1j
    fast = Exterior(stencil, window, sources, receivers)
    assert fast.sound()
    full = stencil.matrix().toarray()
    expected = np.linalg.solve(full, sources)
    own = cells_of((9, 8), window)
    ring = own[condense(stencil, window, sources).ring]
    outside = np.setdiff1d(np.arange(72), own)
    tolerance = 1e-14 * np.linalg.cond(full[np.ix_(outside, outside)])
    scale = np.abs(expected).max()
    found = fast.field(expected[ring])
    assert_allclose(found[outside], expected[outside], atol=tolerance * scale)
    assert np.array_equal(found[ring], expected[ring]) and not found[np.setdiff1d(own, ring)].any()
    safe = _Pivoted(stencil, window, sources, receivers)
    for part in PARTS:
        wanted = getattr(safe, part)
        assert_allclose(getattr(fast, part), wanted, atol=tolerance * np.abs(wanted).max(), err_msg=part)


@pytest.mark.parametrize("periodic", PERIODS)
def test_a_window_of_the_whole_domain_has_no_outside(periodic):
    rng = np.random.default_rng(0)
    stencil = random_stencil(rng, (6, 5), periodic, (0.7, -1.1), (0, 6, 0, 5), lossy=True)
    outer = Exterior(stencil, (0, 6, 0, 5), np.ones((30, 1)), np.ones((30, 2)))
    assert outer.sound()
    assert not outer.schur.any() and not outer.constant.any() and not outer.sources.any()


@pytest.fixture
def pivoted(monkeypatch):
    """How often the safe elimination was used."""
    calls = []

    class Counted(_Pivoted):
        def __init__(self, *args):
            calls.append(1)
            super().__init__(*args)

    monkeypatch.setattr(exterior, "_Pivoted", Counted)
    return calls


def walled(diagonal):
    """Unit couplings between walls."""
    east, north = np.ones(diagonal.shape, dtype=complex), np.ones(diagonal.shape, dtype=complex)
    east[-1] = north[:, -1] = 0
    return Stencil(diagonal, east, north)


def s_parameters(stencil, window, sources, receivers):
    """(products by the reduced system, by a full solve)."""
    i0, i1, j0, j1 = window
    region = condense(stencil, window, sources, receivers)
    parts = (part[i0:i1, j0:j1] for part in (stencil.diagonal, stencil.east, stencil.north))
    field = RegionFactor(region, Coefficients(*parts)).solve(region.sources)
    full = receivers.T @ Factor(stencil.matrix(), ordered=False).solve(sources)
    return region.constant + region.receivers.T @ field, full


@pytest.mark.parametrize("distance", DISTANCES)
def test_resonances_of_a_box_of_the_outside_cost_no_accuracy(distance, pivoted):
    """Walls instead of absorbing layers; the box west of the window, 19 x 50 cells, is singular."""
    window = (20, 30, 20, 30)
    diagonal = np.full((50, 50), -4 + eigenvalue(19, 50, 3, 5) * (1 + distance), dtype=complex)
    diagonal[20:30, 20:30] += 0.1j
    rng = np.random.default_rng(0)
    sources, receivers = rng.standard_normal((2500, 2)) + 1j, rng.standard_normal((2500, 3)) + 0j
    found, expected = s_parameters(walled(diagonal), window, sources, receivers)
    assert np.abs(found - expected).max() < 1e-10 * np.abs(expected).max()
    assert bool(pivoted) == (distance < 1e-5)


@pytest.mark.parametrize("distance", [1e-2, 1e-4, 1e-5, 1e-6, 1e-8, 1e-12, 0.0])
def test_a_resonance_of_the_whole_outside_is_exact_or_refused(distance):
    """The outside alone, 30 x 20 cells between walls and the ring, is singular: there the split itself loses digits."""
    diagonal = np.full((50, 20), -4 + eigenvalue(30, 20, 3, 5) * (1 + distance), dtype=complex)
    diagonal[:20] += 0.1j
    rng = np.random.default_rng(0)
    sources, receivers = rng.standard_normal((1000, 2)) + 1j, rng.standard_normal((1000, 2)) + 0j
    if distance > 5e-5:
        found, expected = s_parameters(walled(diagonal), (0, 20, 0, 20), sources, receivers)
        assert np.abs(found - expected).max() < 1e-10 * np.abs(expected).max()
    else:
        with pytest.raises(SimulationError, match="lossless resonance"):
            condense(walled(diagonal), (0, 20, 0, 20), sources, receivers)


def test_an_exactly_singular_outside_is_refused_without_a_warning():
    stencil = walled(np.full((9, 9), -4.0 + 0j))
    zero = np.zeros((9, 9), dtype=complex)
    cut = Stencil(np.where(np.arange(9)[:, None] < 3, 0, stencil.diagonal), zero, zero)
    with pytest.raises(SimulationError):
        condense(cut, (4, 8, 2, 7), np.ones((81, 1), dtype=complex))


@pytest.mark.parametrize("name", ["diagonal", "east", "north"])
def test_stencils_that_are_not_numbers_are_refused(name):
    stencil = in_absorber(40)
    getattr(stencil, name)[3, 3] = np.nan
    with pytest.raises(SimulationError):
        condense(stencil, (15, 25, 15, 25), np.ones((1600, 1), dtype=complex))


def test_loads_that_the_fast_elimination_misses_are_eliminated_safely(monkeypatch, pivoted):
    stencil, window = in_absorber(40), (15, 25, 15, 25)
    loads = np.random.default_rng(0).standard_normal((1600, 2)) + 0j
    expected = condense(stencil, window, loads)
    assert not pivoted
    solve = Exterior._solve_skeleton
    monkeypatch.setattr(Exterior, "_solve_skeleton", lambda *a, **k: solve(*a, **k) * (1 + 1e-9))
    found = condense(stencil, window, loads)
    assert pivoted
    for part in ("exterior", "sources", "constant"):
        wanted = getattr(expected, part)
        assert_allclose(getattr(found, part), wanted, atol=1e-11 * np.abs(wanted).max())


@pytest.mark.parametrize("polarization", ["Ez", "Hz"])
def test_fields_everywhere_equal_a_full_solve(polarization, monkeypatch):
    bend = waveguide_bend(1.55, design_um=1.2, pixel_um=0.04, cells_um=0.04, margin_um=0.4, pml_um=0.4)
    device = replace(bend, polarization=polarization, permittivity=(2.1, 12.1 + 0.2j))
    scene, rng = device.scene(0), np.random.default_rng(0)
    density = rng.random(device.design_shape)
    loads = rng.standard_normal((scene.grid.shape[0] * scene.grid.shape[1], 2)) + 0j
    expected = Factor(scene.stencil(density).matrix(), ordered=False).solve(loads)
    assert_allclose(scene.everywhere(density, loads), expected, atol=1e-11 * np.abs(expected).max())
    monkeypatch.setattr(Exterior, "sound", lambda self: False)
    assert_allclose(scene.everywhere(density, loads), expected, atol=1e-11 * np.abs(expected).max())
