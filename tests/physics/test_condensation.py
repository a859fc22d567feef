"""The condensed system against plain full solves, also where an eliminated block is singular."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose

from physics.base import SimulationError
from physics.fdfd import Axis, Grid, Pml, condense, grid_operator, helmholtz
from physics.fdfd.condense import _eliminate, _Natural, _Pivoted
from physics.fdfd.dissection import nested_dissection
from physics.fdfd.linear import Factor

OMEGA, CELL = 2 * np.pi / 1.55, 0.04
GRID = Grid(Axis(60, CELL, 12), Axis(60, CELL, 12))
PML = Pml(12 * CELL)
DESIGN = np.zeros((60, 60), dtype=bool)
DESIGN[18:42, 18:42] = True


def operator(permittivity):
    return grid_operator(GRID, PML, OMEGA, permittivity)


def loads(rng):
    b = np.zeros((60, 60, 2), dtype=complex)
    b[14:16, 20:40, 0] = rng.standard_normal((2, 20)) + 1j
    b[30, 14, 1] = b[30, 30, 1] = b[18, 20, 1] = 1.0  # also on the design region and its ring
    return b.reshape(-1, 2)


def guide():
    permittivity = np.full((60, 60), 2.1)
    permittivity[:, 24:36] = 12.1
    return permittivity


def full(permittivity, b):
    return sp.linalg.splu(operator(permittivity)).solve(b)


@pytest.mark.parametrize("seed", [0, 1])
def test_condensed_equals_full_solve(seed):
    rng = np.random.default_rng(seed)
    b = loads(rng)
    system = condense(operator(guide()), DESIGN, b)
    permittivity = guide()
    permittivity[DESIGN] = rng.uniform(2.1, 12.1, DESIGN.sum())
    change = (OMEGA * CELL) ** 2 * (permittivity - guide()).ravel()[system.cells]
    field = system.factor(change).solve(system.loads)
    expected = full(permittivity, b)
    assert_allclose(field, expected[system.cells], atol=1e-12 * np.abs(expected).max())
    products = system.constant + system.loads.T @ field
    assert_allclose(products, b.T @ expected, atol=1e-12 * np.abs(products).max())


def test_order_has_every_cell_once():
    mask = np.random.default_rng(0).random((23, 37)) > 0.3
    order = nested_dissection(mask)
    assert np.array_equal(np.sort(order), np.flatnonzero(mask))


def interior_resonance():
    """Permittivity of a uniform design region at which its block inside the ring is singular, exactly in theory.

    The Dirichlet Laplacian of 22 x 22 cells has eigenvalues 2 cos(i pi / 23) + 2 cos(j pi / 23) - 4.
    """
    squared = 4 - 2 * np.cos(5 * np.pi / 23) - 2 * np.cos(4 * np.pi / 23)
    return squared / (OMEGA * CELL) ** 2


@pytest.mark.parametrize("distance", [1e-2, 1e-4, 1e-6, 1e-8, 1e-10, 1e-12, 1e-14, 0.0])
def test_resonance_of_the_design_region_costs_no_accuracy(distance):
    b = loads(np.random.default_rng(0))
    system = condense(operator(guide()), DESIGN, b)
    permittivity = guide()
    permittivity[DESIGN] = interior_resonance() * (1 + distance)
    change = (OMEGA * CELL) ** 2 * (permittivity - guide()).ravel()[system.cells]
    factor = system.factor(change)
    expected = full(permittivity, b)[system.cells]
    if distance == 0:  # the sweep does pass through the resonance: without refinement digits are lost
        assert np.abs(factor._lu.solve(system.loads) - expected).max() > 1e-10 * np.abs(expected).max()
    for column in range(2):  # forward and adjoint
        error = np.abs(factor.solve(system.loads[:, column]) - expected[:, column]).max()
        assert error < 1e-10 * np.abs(expected[:, column]).max()


@pytest.mark.parametrize("distance", [1e-2, 1e-6, 1e-10, 0.0])
def test_resonance_of_a_dissected_block_of_the_exterior_costs_no_accuracy(distance):
    """Walls instead of absorbing layers; the first block of the dissection, 15 x 30 cells, is singular."""
    squared = 4 - 2 * np.cos(2 * np.pi / 16) - 2 * np.cos(3 * np.pi / 31)
    permittivity = np.full((60, 60), squared / (OMEGA * CELL) ** 2 * (1 + distance))
    lossy = permittivity + 0j
    lossy[DESIGN] += 0.1j
    axis = Axis(60, CELL).stretch(OMEGA, PML)
    matrix = helmholtz(lossy, CELL, OMEGA, axis, axis)
    b = loads(np.random.default_rng(0))
    system = condense(matrix, DESIGN, b)
    field = system.factor(np.zeros(len(system.cells))).solve(system.loads)
    expected = Factor(matrix, ordered=False).solve(b)[system.cells]
    assert np.abs(field - expected).max() < 1e-9 * np.abs(expected).max()


def blocks():
    matrix = operator(guide())
    inside = DESIGN.ravel()
    exterior = nested_dissection(~DESIGN)
    coupled = abs(matrix[:, np.flatnonzero(~inside)]).sum(axis=1) > 0
    ring = np.flatnonzero(inside & coupled)
    return matrix[exterior][:, exterior].tocsc(), matrix[exterior][:, ring].tocsc(), matrix[ring][:, ring].toarray()


def test_fast_and_safe_elimination_agree():
    a_ee, a_er, a_rr = blocks()
    fast, safe = _Natural(a_ee, a_er, a_rr), _Pivoted(a_ee, a_er, a_rr)
    assert_allclose(fast.schur, safe.schur, atol=1e-12 * np.abs(safe.schur).max())
    rhs = np.ones((a_ee.shape[0], 1), dtype=complex)
    solution, residual = fast.solve(rhs)
    assert_allclose(solution, safe.solve(rhs), atol=1e-11)
    assert residual < 1e-13
    schur, inverse = _eliminate(a_ee, a_er, a_rr, rhs)
    assert np.array_equal(schur, fast.schur) and np.array_equal(inverse, solution)


def test_loads_that_the_fast_elimination_misses_are_eliminated_safely(monkeypatch):
    b = loads(np.random.default_rng(0))
    expected = full(guide(), b)
    solve = _Natural._solve

    def sloppy(self, rhs):
        return solve(self, rhs) * (1.5 if rhs.shape[1] == 2 else 1.0)  # the probe is one column, the loads are two

    monkeypatch.setattr(_Natural, "_solve", sloppy)
    system = condense(operator(guide()), DESIGN, b)
    field = system.factor(np.zeros(len(system.cells))).solve(system.loads)
    assert_allclose(field, expected[system.cells], atol=1e-11 * np.abs(expected).max())


def test_elimination_with_a_vanishing_pivot_falls_back():
    a_ee, a_er, a_rr = blocks()
    spoiled = a_ee.tolil()
    spoiled[0, 0] = 0.0
    spoiled[1, 1] = 0.0
    spoiled = spoiled.tocsc()
    schur, _ = _eliminate(spoiled, a_er, a_rr, np.ones((a_ee.shape[0], 1), dtype=complex))
    expected = a_rr - a_er.T @ sp.linalg.splu(spoiled).solve(a_er.toarray())
    assert_allclose(schur, expected, atol=1e-10 * np.abs(expected).max())


def test_a_design_touches_only_the_reduced_diagonal():
    changed = guide()
    changed[DESIGN] += np.random.default_rng(0).random(DESIGN.sum())
    difference = (operator(changed) - operator(guide())).tocoo()
    touched = np.flatnonzero(difference.data)
    assert np.array_equal(difference.row[touched], difference.col[touched])
    assert DESIGN.ravel()[difference.row[touched]].all()


def test_pivoting_replaces_a_useless_factorisation():
    matrix = sp.csc_array(np.array([[1e-17, 1.0], [1.0, 1.0]], dtype=complex))
    factor = Factor(matrix, ordered=True)
    rhs = np.array([1.0, 2.0], dtype=complex)
    assert_allclose(matrix @ factor.solve(rhs), rhs, rtol=1e-13)


@pytest.mark.parametrize("matrix", [np.ones((2, 2)), np.array([[np.nan, 1], [1, 1]])])
def test_a_solve_without_a_small_residual_is_refused(matrix):
    with pytest.raises(SimulationError, match="backward error"):
        Factor(sp.csc_array(matrix.astype(complex)), ordered=True).solve(np.array([1.0, 2.0], dtype=complex))
