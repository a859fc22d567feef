"""The reduced window against plain full solves: edges, periods, Bloch phases, resonances, hopeless input."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose
from scipy.linalg import lapack

from physics.base import SimulationError
from physics.devices import waveguide_bend
from physics.fdfd import Axis, Coefficients, Grid, Pml, RegionFactor, Stencil, condense, ez_stencil, hz_stencil, linear
from physics.fdfd import region as region_module
from physics.fdfd.linear import Factor
from physics.fdfd.region import Region, ring_of

OMEGA, CELL = 2 * np.pi / 1.55, 0.04


def random_stencil(rng, shape, periodic, phase, window, *, lossy):
    """Random couplings; inside the window real unless ``lossy``."""
    i0, i1, j0, j1 = window

    def draw():
        values = rng.uniform(0.3, 1.3, shape) + 0.1j * rng.random(shape)
        if not lossy:
            values[i0:i1, j0:j1] = values[i0:i1, j0:j1].real
        return values

    diagonal, east, north = draw() - 4, draw(), draw()
    if not periodic[0]:
        east[-1] = 0
    if not periodic[1]:
        north[:, -1] = 0
    return Stencil(diagonal, east, north, (phase[0] * periodic[0], phase[1] * periodic[1]))


def coefficients_of(stencil, window):
    """The stencil's own coefficients in a window, real where they are."""
    i0, i1, j0, j1 = window
    parts = (part[i0:i1, j0:j1] for part in (stencil.diagonal, stencil.east, stencil.north))
    return Coefficients(*(part.copy() if np.imag(part).any() else np.real(part).copy() for part in parts))


def cells_of(shape, window):
    i0, i1, j0, j1 = window
    return np.arange(shape[0] * shape[1]).reshape(shape)[i0:i1, j0:j1].ravel()


def with_design(stencil, window, diagonal):
    changed = stencil.diagonal.astype(complex)
    changed[window[0] : window[1], window[2] : window[3]] = diagonal
    return Stencil(changed, stencil.east, stencil.north, stencil.phase)


def spans(n):
    """Windows of three cells or more along an axis of n that touch no end, either, both."""
    return sorted({(0, n), (0, n - 1), (1, n), (1, n - 1), (0, 3), (n - 3, n)})


PERIODS = [(False, False), (True, False), (False, True), (True, True)]


@pytest.mark.parametrize("lossy", [False, True], ids=["real", "complex"])
@pytest.mark.parametrize("periodic", PERIODS)
@pytest.mark.parametrize("shape", [(3, 3), (3, 6), (6, 5), pytest.param((9, 8), marks=pytest.mark.slow)])
def test_windows_anywhere_equal_the_full_solve(shape, periodic, lossy):
    rng = np.random.default_rng([*shape, *periodic, lossy])
    cells = shape[0] * shape[1]
    windows = [(*x, *y) for x, y in itertools.product(spans(shape[0]), spans(shape[1]))]
    for window in windows:
        if window[1] - window[0] < 3 or window[3] - window[2] < 3:
            continue
        stencil = random_stencil(rng, shape, periodic, (0.7, -1.1), window, lossy=lossy)
        sources, receivers = rng.random((cells, 2)) + 0j, rng.random((cells, 3)) + 1j
        region = condense(stencil, window, sources, receivers)
        i0, i1, j0, j1 = window
        design = with_design(stencil, window, stencil.diagonal[i0:i1, j0:j1] + rng.random((i1 - i0, j1 - j0)))
        factor = RegionFactor(region, coefficients_of(design, window))
        full = design.matrix().toarray()
        tolerance = 1e-14 * np.linalg.cond(full)
        expected, adjoint = np.linalg.solve(full, sources), np.linalg.solve(full.T, receivers)
        products = receivers.T @ expected
        own = cells_of(shape, window)
        field, back = factor.solve(region.sources), factor.solve(region.receivers, transposed=True)
        for found, wanted in (
            (field, expected[own]),
            (back, adjoint[own]),
            (region.constant + region.receivers.T @ field, products),
            (region.constant + back.T @ region.sources, products),
        ):
            assert_allclose(found, wanted, rtol=0, atol=tolerance * np.abs(wanted).max(), err_msg=f"{window}")
        assert not factor.pivoted
        assert region.wraps == (
            periodic[0] and window[:2] == (0, shape[0]),
            periodic[1] and window[2:] == (0, shape[1]),
        )


@pytest.mark.parametrize("periodic", PERIODS)
def test_derivative_is_that_of_the_products(periodic):
    """Each coefficient of the window by itself, against complex steps."""
    rng = np.random.default_rng(1)
    shape, window = (6, 5), (0, 6, 0, 5) if all(periodic) else (0, 6, 1, 5) if periodic[0] else (1, 5, 0, 5)
    stencil = random_stencil(rng, shape, periodic, (0.4, 0.9), window, lossy=True)
    sources, receivers = rng.random((30, 2)) + 0j, rng.random((30, 2)) + 1j
    region = condense(stencil, window, sources, receivers)
    factor = RegionFactor(region, coefficients_of(stencil, window))
    field, adjoint = factor.solve(region.sources), factor.solve(region.receivers, transposed=True)
    found = region.derivative(adjoint, field)  # of the trace of the products
    i0, _, j0, _ = window
    step = 1e-6
    for name in ("diagonal", "east", "north"):
        expected = np.zeros(region.shape, dtype=complex)
        for i, j in itertools.product(range(*window[:2]), range(*window[2:])):
            values = []
            for sign in (1, -1):
                parts = {key: getattr(stencil, key).copy() for key in ("diagonal", "east", "north")}
                parts[name][i, j] += sign * step
                moved = np.linalg.solve(Stencil(**parts, phase=stencil.phase).matrix().toarray(), sources)
                values.append(np.trace(receivers.T @ moved))
            expected[i - i0, j - j0] = (values[0] - values[1]) / (2 * step)
        # Couplings from the window's last cells to others count where they stay in the window.
        if name == "east" and not region.wraps[0]:
            expected[-1] = 0
        if name == "north" and not region.wraps[1]:
            expected[:, -1] = 0
        assert_allclose(getattr(found, name), expected, rtol=1e-6, atol=1e-8 * np.abs(expected).max())


def eigenvalue(w, h, i, j):
    """Of minus the five-point Laplacian of w x h cells between walls."""
    return 4 - 2 * np.cos(i * np.pi / (w + 1)) - 2 * np.cos(j * np.pi / (h + 1))


def in_absorber(cells):
    """A uniform medium between absorbing layers."""
    grid = Grid(Axis(cells, CELL, 12), Axis(cells, CELL, 12))
    return ez_stencil(grid, Pml(12 * CELL), OMEGA, np.full((cells, cells), 2.1))


DISTANCES = [1e-2, 1e-4, 1e-6, 1e-8, 1e-10, 1e-12, 1e-14, 0.0]
# Cells a side of the window; the box that is singular and its mode: the interior, a half of it, a leaf.
SINGULAR = [(24, (22, 22), (5, 4)), (11, (4, 9), (2, 3)), (11, (4, 4), (1, 2)), (24, (10, 22), (3, 3))]


@pytest.mark.parametrize(
    ("distance", "lossy"), [*((d, False) for d in DISTANCES), *((d, True) for d in (1e-6, 1e-12, 0.0))]
)
@pytest.mark.parametrize(("side", "box", "mode"), SINGULAR)
def test_resonances_of_parts_of_the_window_cost_no_accuracy(side, box, mode, distance, lossy):
    cells = 36 + side
    stencil, window = in_absorber(cells), (18, 18 + side, 18, 18 + side)
    diagonal = np.full((side, side), -4 + eigenvalue(*box, *mode) * (1 + distance), dtype=complex)
    if lossy:
        diagonal[0, 0] += 0.1j  # on the ring: complex arithmetic, the same resonance
    design = with_design(stencil, window, diagonal)
    rng = np.random.default_rng(0)
    sources = rng.standard_normal((cells**2, 2)) + 1j
    receivers = rng.standard_normal((cells**2, 2)) + 0j
    region = condense(stencil, window, sources, receivers)
    factor = RegionFactor(region, coefficients_of(design, window))
    reference = Factor(design.matrix(), ordered=False)
    own = cells_of(stencil.shape, window)
    for loads, right, transposed in ((sources, region.sources, False), (receivers, region.receivers, True)):
        expected = reference.solve(loads, transposed)[own]
        error = np.abs(factor.solve(right, transposed) - expected).max()
        assert error < 1e-10 * np.abs(expected).max()
    if distance == 0:  # the sweep does pass through the resonance
        assert factor.pivoted
    if distance == 1e-2:
        assert not factor.pivoted


def test_a_resonance_would_cost_accuracy_without_refinement():
    side, box, mode = SINGULAR[0]
    stencil, window = in_absorber(60), (18, 42, 18, 42)
    design = with_design(stencil, window, -4 + eigenvalue(*box, *mode) * (1 + 1e-8))
    loads = np.random.default_rng(0).standard_normal((3600, 1)) + 0j
    region = condense(stencil, window, loads)
    factor = RegionFactor(region, coefficients_of(design, window))
    careless, refined = factor._once(region.sources, False), factor.solve(region.sources)
    expected = Factor(design.matrix(), ordered=False).solve(loads)[cells_of((60, 60), window)]
    assert np.abs(careless - expected).max() > 1e-10 * np.abs(expected).max()
    assert np.abs(refined - expected).max() < 1e-12 * np.abs(expected).max()
    assert region.shape == (side, side) and not factor.pivoted


@pytest.mark.parametrize("distance", DISTANCES)
def test_resonances_in_hz_cost_no_accuracy(distance):
    """The interior of a window of one permittivity, at an eigenvalue of its own operator."""
    grid = Grid(Axis(40, CELL, 8), Axis(40, CELL, 8))
    window = (12, 28, 12, 28)
    squared = eigenvalue(14, 14, 3, 2)
    core = squared * (1 + distance) / (OMEGA * CELL) ** 2  # Hz: Laplacian / eps + (omega h)^2
    faces = np.full((41, 40), 2.1), np.full((40, 41), 2.1)
    stencil = hz_stencil(grid, Pml(8 * CELL), OMEGA, *faces)
    faces[0][12:29, 12:28] = faces[1][12:28, 12:29] = core
    design = hz_stencil(grid, Pml(8 * CELL), OMEGA, *faces)
    outside = stencil.diagonal.copy()  # the design's, faces on the window's edge included
    i0, i1, j0, j1 = window
    changed = Stencil(design.diagonal.copy(), design.east, design.north)
    changed.diagonal[i0:i1, j0:j1] = outside[i0:i1, j0:j1]
    loads = np.random.default_rng(0).standard_normal((1600, 2)) + 0j
    region = condense(changed, window, loads)
    factor = RegionFactor(region, coefficients_of(design, window))
    expected = Factor(design.matrix(), ordered=False).solve(loads)[cells_of((40, 40), window)]
    assert np.abs(factor.solve(region.sources) - expected).max() < 1e-10 * np.abs(expected).max()
    assert factor.pivoted or distance > 0


def plain(side=12, cells=24):
    stencil = in_absorber(2 * 12 + cells)
    window = (24, 24 + side, 24, 24 + side)
    loads = np.random.default_rng(0).standard_normal((stencil.diagonal.size, 2)) + 0j
    return stencil, window, loads, condense(stencil, window, loads)


def test_pivoting_agrees_with_the_fronts(monkeypatch):
    stencil, window, _, region = plain()
    coefficients = coefficients_of(stencil, window)
    fast = RegionFactor(region, coefficients)
    fields = fast.solve(region.sources), fast.solve(region.sources, True)

    def singular(*_):
        raise np.linalg.LinAlgError("singular")

    monkeypatch.setattr(region_module, "Elimination", singular)
    slow = RegionFactor(region, coefficients)
    for field, transposed in zip(fields, (False, True), strict=True):
        assert_allclose(slow.solve(region.sources, transposed), field, atol=1e-12 * np.abs(field).max())
    assert slow.pivoted and not fast.pivoted


def test_a_singular_ring_is_pivoted(monkeypatch):
    stencil, window, _, region = plain()
    expected = RegionFactor(region, coefficients_of(stencil, window)).solve(region.sources)
    monkeypatch.setattr(region_module, "zgetrf", lambda *a, **k: (*lapack.zgetrf(*a, **k)[:2], 1))
    factor = RegionFactor(region, coefficients_of(stencil, window))
    assert_allclose(factor.solve(region.sources), expected, atol=1e-12 * np.abs(expected).max())
    assert factor.pivoted


def test_a_failing_solve_on_the_ring_is_named(monkeypatch):
    stencil, window, _, region = plain()
    factor = RegionFactor(region, coefficients_of(stencil, window))
    monkeypatch.setattr(region_module, "zgetrs", lambda *a, **k: (a[2], -1))
    with pytest.raises(SimulationError, match="LAPACK"):
        factor.solve(region.sources)


def test_the_matrix_of_a_region_is_that_of_its_factor():
    stencil, window, _, region = plain()
    factor = RegionFactor(region, coefficients_of(stencil, window))
    field = factor.solve(region.sources)
    assert_allclose(factor.matrix() @ field, region.sources, atol=1e-12 * np.abs(region.sources).max())


def test_loads_inside_at_the_edge_and_of_any_layout():
    """Real ones, in Fortran order, zero ones."""
    stencil, window, _, region = plain()
    factor = RegionFactor(region, coefficients_of(stencil, window))
    loads = np.asfortranarray(np.random.default_rng(2).standard_normal((144, 3)))
    loads[:, 1] = 0
    field = factor.solve(loads)
    assert not field[:, 1].any()
    expected = Factor(factor.matrix(), ordered=False).solve(loads.astype(complex))
    assert_allclose(field, expected, atol=1e-12 * np.abs(expected).max())
    assert not factor.solve(np.zeros((144, 2))).any()


@pytest.mark.parametrize("contrast", [1e-8, 1e8, 1e8j])
def test_large_contrasts_stay_exact(contrast):
    """Metal-like and void-like cells side by side: errors by the residual, which is always seen."""
    stencil, window, loads, region = plain()
    rng = np.random.default_rng(3)
    side = region.shape[0]
    diagonal = -4 + 0.3 * rng.random((side, side)) + contrast * (rng.random((side, side)) > 0.5)
    design = with_design(stencil, window, diagonal)
    factor = RegionFactor(region, coefficients_of(design, window))
    expected = Factor(design.matrix(), ordered=False).solve(loads)[cells_of(stencil.shape, window)]
    assert_allclose(factor.solve(region.sources), expected, atol=1e-11 * np.abs(expected).max())


@pytest.mark.parametrize("bad", [np.nan, np.inf, complex(np.nan, 1.0)])
def test_coefficients_that_are_not_numbers_are_refused(bad):
    stencil, window, _, region = plain()
    coefficients = coefficients_of(stencil, window)
    diagonal = coefficients.diagonal.astype(complex if isinstance(bad, complex) else float)
    diagonal[5, 5] = bad
    factor = RegionFactor(region, Coefficients(diagonal, coefficients.east, coefficients.north))
    with np.errstate(invalid="ignore"), pytest.raises(SimulationError, match="backward error"):
        factor.solve(region.sources)


def test_loads_that_are_not_numbers_are_refused():
    stencil, window, _, region = plain()
    loads = region.sources.copy()
    loads[3] = np.nan
    with pytest.raises(SimulationError, match="backward error"):
        RegionFactor(region, coefficients_of(stencil, window)).solve(loads)


@pytest.mark.parametrize("shape", [(2, 5), (5, 2), (1, 1)])
def test_windows_without_interior_are_refused(shape):
    with pytest.raises(ValueError, match="refine the mesh"):
        ring_of(*shape)


@pytest.mark.parametrize("window", [(-1, 4, 0, 5), (0, 9, 0, 5), (4, 4, 0, 5), (5, 3, 0, 5), (0, 5, 2, 99)])
def test_windows_that_leave_the_domain_are_refused(window):
    stencil = random_stencil(np.random.default_rng(0), (8, 8), (False, False), (0, 0), (2, 6, 2, 6), lossy=True)
    with pytest.raises(ValueError, match="inside 8 x 8"):
        condense(stencil, window, np.zeros((64, 1), dtype=complex))


def test_pivoting_replaces_a_useless_factorisation(monkeypatch):
    matrix = sp.csc_array(np.array([[1e-17, 1.0], [1.0, 1.0]], dtype=complex))
    rhs = np.array([1.0, 2.0], dtype=complex)
    expected = Factor(matrix, ordered=True).solve(rhs)  # one that refinement cures
    assert_allclose(matrix @ expected, rhs, rtol=1e-13)
    monkeypatch.setattr(linear, "natural_lu", lambda given: linear.pivoted_lu(given + 1e3 * sp.eye_array(2)))
    factor = Factor(matrix, ordered=True)
    assert_allclose(factor.solve(rhs), expected, rtol=1e-13)
    assert factor.pivoted


@pytest.mark.parametrize("matrix", [np.ones((2, 2)), np.array([[np.nan, 1], [1, 1]])])
def test_a_solve_without_a_small_residual_is_refused(matrix):
    with pytest.raises(SimulationError, match="backward error"):
        Factor(sp.csc_array(matrix.astype(complex)), ordered=True).solve(np.array([1.0, 2.0], dtype=complex))


@pytest.mark.parametrize("polarization", ["Ez", "Hz"])
def test_a_design_changes_nothing_that_is_eliminated(polarization):
    """Outside the window no entry moves, nor a coupling into it; on a mesh that does not divide the pixels too."""
    for cell_um in (0.04, 0.037):
        bend = waveguide_bend(1.55, design_um=0.8, pixel_um=0.04, cells_um=cell_um, margin_um=0.4, pml_um=0.3)
        scene = replace(bend, polarization=polarization).scene(0)
        rng = np.random.default_rng(0)
        one, other = (scene.stencil(rng.random(bend.design_shape)).matrix() for _ in range(2))
        difference = (one - other).tocoo()
        moved = np.abs(difference.data) > 0
        inside = np.zeros(scene.grid.shape, dtype=bool).ravel()
        inside[cells_of(scene.grid.shape, scene.media.window)] = True
        assert moved.any() and inside[difference.row[moved]].all() and inside[difference.col[moved]].all()


def test_an_estimate_is_the_solution_up_to_refinement():
    rng = np.random.default_rng(3)
    region = Region(
        (0, 12, 0, 9),
        np.zeros((len(ring_of(12, 9)),) * 2, complex),
        *[np.zeros((108, 1), complex)] * 2,
        np.zeros((1, 1)),
    )
    ones = np.ones((12, 9))
    factor = RegionFactor(region, Coefficients(-4.5 - rng.random((12, 9)), ones, ones))
    loads = rng.standard_normal((108, 5)) + 1j
    assert_allclose(factor.estimate(loads), factor.solve(loads), rtol=1e-10)
    assert_allclose(factor.matrix() @ factor.estimate(loads), loads, atol=1e-12)
