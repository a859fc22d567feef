"""The lattice's energy, its derivatives, and what it is the energy of."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from physics.kirigami import (
    GRAPHENE,
    Imperfection,
    LatticeLevel,
    LinearLevel,
    Sheet,
    film,
    hanakata_sheet,
    mos2_sheet,
    small_graphene_sheet,
)
from physics.kirigami.elements import hinge_energy
from physics.kirigami.equilibrium import follow, smallest_eigenvalue
from physics.kirigami.lattice_energy import lattice
from physics.kirigami.membrane import GPA
from physics.kirigami.triangles import triangle_mesh
from tests.physics.kirigami.patterns import PRISTINE, SERPENTINE

MODULUS = GRAPHENE.modulus_ev * GPA / 3.35


@pytest.mark.parametrize("sheet", [hanakata_sheet(), mos2_sheet(), small_graphene_sheet().pixels((9, 10))])
def test_lattice_covers_sheet_and_cuts_exactly(sheet):
    mesh = triangle_mesh(sheet, 7.0)
    height = np.ptp(mesh.rest[:, 0])
    assert mesh.area.min() > 0
    assert mesh.area.sum() == pytest.approx(height * sheet.width_angstrom)
    cut = sheet.cut_share * np.prod(sheet.cell_angstrom)
    np.testing.assert_allclose(mesh.cover.T @ mesh.area, cut)


@pytest.mark.parametrize("periodic", [False, True])
def test_force_and_hessian_are_derivatives_of_the_energy(periodic):
    sheet = Sheet((2, 3), (12.0, 10.0), 0.4, 0.0, periodic_y=periodic)
    shared = lattice(sheet, GRAPHENE, 4.0, 1e-3, Imperfection())
    rng = np.random.default_rng(0)
    u, along = (rng.standard_normal(shared.mesh.rest.shape) for _ in range(2))
    relative, scale = rng.random(len(shared.mesh.area)), 0.3
    u *= scale
    step = 1e-5
    high, low = (shared.energy(u + s * step * along, relative) for s in (1, -1))
    _, gradient = shared.energy(u, relative)
    assert (high[0] - low[0]) / (2 * step) == pytest.approx((gradient * along).sum(), rel=1e-7)
    # Over free nodes, and from the grips to free nodes.
    along[~shared.mesh.free] = 0
    along += 0.1 * shared.pull
    hessian, by_pull = shared.hessian(u, relative)
    high, low = (shared.energy(u + s * step * along, relative)[1] for s in (1, -1))
    expected = ((high - low) / (2 * step)).ravel()[shared.free]
    found = hessian @ along.ravel()[shared.free] + 0.1 * by_pull[shared.free]
    np.testing.assert_allclose(found, expected, atol=1e-7 * np.abs(expected).max())
    assert np.abs(hessian - hessian.T).max() < 1e-10 * np.abs(hessian).max()


def test_rigid_motions_cost_nothing():
    sheet = Sheet((1, 1), (30.0, 20.0), 1.0, 0.0)
    shared = lattice(sheet, GRAPHENE, 5.0, 0.0, Imperfection(0.0))
    angle = 0.7
    turn = np.array([[math.cos(angle), 0, -math.sin(angle)], [0, 1, 0], [math.sin(angle), 0, math.cos(angle)]])
    moved = shared.mesh.rest @ turn.T + np.array([1.0, 2.0, 3.0])
    energy, gradient = shared.energy(moved - shared.mesh.rest, np.ones(len(shared.mesh.area)))
    assert abs(energy) < 1e-10
    assert np.abs(gradient).max() < 1e-10


def bent_energy(spacing: float, rows: int, bend) -> float:
    """Energy of the hinges within a patch of a rolled sheet over that of a cylinder of its area."""
    sheet = Sheet((rows, 1), (240.0 / rows, 240.0), 1.0, 0.0)
    shared, radius = lattice(sheet, GRAPHENE, spacing, 1e-6, Imperfection(0.0)), 3000.0
    mesh = shared.mesh
    shape = mesh.rest + bend(mesh.rest - np.array([120.0, 120.0, 0.0]), radius)
    energy = shared.bending * hinge_energy(shared.spokes(shape - mesh.rest))[0]
    middle = mesh.rest[mesh.hinges[:, :2]].mean(axis=1)
    # Whole rows and columns, away from sides and grips.
    row, column = 240.0 / rows if rows > 1 else np.diff(np.unique(mesh.rest[:, 0])).mean(), spacing
    low, high = 10 * row - row / 4, 20 * row - row / 4
    left, right = 10 * column - column / 8, 20 * column - column / 8
    inside = (middle[:, 0] > low) & (middle[:, 0] < high) & (middle[:, 1] > left) & (middle[:, 1] < right)
    return float(energy[inside].sum() / (0.5 * GRAPHENE.bending_ev / radius**2 * (high - low) * (right - left)))


@pytest.mark.parametrize("rows", [1, 32, 45])
def test_cylinders_cost_the_bending_rigidity(rows):
    def roll(axis):
        def bend(x, radius):
            shape = np.zeros_like(x)
            shape[:, 2] = x[:, axis] ** 2 / (2 * radius)
            return shape

        return bend

    # Rows are closer or wider apart than in the equilateral lattice; rolling about either axis costs the same.
    assert bent_energy(8.0, rows, roll(0)) == pytest.approx(1, rel=0.03)
    assert bent_energy(8.0, rows, roll(1)) == pytest.approx(1, rel=0.03)


def test_a_sphere_costs_four_thirds():
    def cap(x, radius):
        shape = np.zeros_like(x)
        shape[:, 2] = (x[:, 0] ** 2 + x[:, 1] ** 2) / (2 * radius)
        return shape

    # (k1 + k2)^2 - 2 (4/3) k1 k2 in units of the cylinder's, for two equal curvatures.
    assert bent_energy(8.0, 1, cap) == pytest.approx(4 / 3, rel=0.03)


def test_pristine_modulus_and_poisson_ratio():
    held = Sheet((1, 4), (60.0, 10.0), 1.0, 0.0, periodic_y=True)
    level = LatticeLevel(5.0, strain=(0.02,), imperfection=Imperfection(0.0))
    found = float(level.simulate(held, GRAPHENE, np.ones((1, 4)))["modulus"])
    # Read at a strain of 0.01, at which lengths of edges are not quite linear in it.
    assert found == pytest.approx(MODULUS / (1 - 0.165**2), rel=5e-3)
    strip = Sheet((1, 1), (320.0, 40.0), 1.0, 0.0)
    answer = level.simulate(strip, GRAPHENE, np.ones((1, 1)))
    assert float(answer["modulus"]) == pytest.approx(MODULUS, rel=0.01)
    linear = LinearLevel(2.5).simulate(strip, GRAPHENE, np.ones((1, 1)))
    assert float(answer["poisson_ratio"]) == pytest.approx(float(linear["poisson_ratio"]), rel=0.06)
    assert float(answer["local_strain"][0]) == pytest.approx(0.02, rel=0.02)


def test_a_compressed_plate_buckles_at_eulers_strain_to_second_order():
    sheet = Sheet((1, 4), (100.0, 10.0), 1.0, 0.0, periodic_y=True)
    plate = GRAPHENE.modulus_ev / (1 - GRAPHENE.poisson_ratio**2)
    euler = 4 * math.pi**2 * GRAPHENE.bending_ev / (plate * sheet.length_angstrom**2)
    errors = []
    for spacing in (10.0, 5.0, 2.5):
        shared = lattice(sheet, GRAPHENE, spacing, 1e-9, Imperfection(0.0))
        relative, strains = np.ones(len(shared.mesh.area)), -euler * np.array([0.95, 1.02])
        states = follow(shared, relative, strains)
        lowest = np.array([smallest_eigenvalue(shared, state, relative) for state in states])
        crossing = 0.95 + 0.07 * lowest[0] / (lowest[0] - lowest[1])
        errors.append(abs(crossing - 1))
    assert errors[-1] < 2e-3
    assert np.log2(errors[0] / errors[1]) > 1.7 and np.log2(errors[1] / errors[2]) > 1.7


def test_a_film_is_a_plate():
    steel = film(200.0, 0.3, 1e6)
    assert steel.modulus_n_per_m == pytest.approx(200e9 * 1e-4)
    assert steel.bending_ev * 1.602176634e-19 == pytest.approx(200e9 * (1e-4) ** 3 / 12 / 0.91)


@pytest.mark.slow
def test_a_buckled_curve_converges_in_the_mesh():
    sheet = small_graphene_sheet()
    curves = [
        LatticeLevel(spacing, strain=(0.1, 0.2, 0.3)).simulate(sheet, GRAPHENE, SERPENTINE)["stress"]
        for spacing in (3.6, 1.8, 0.9)
    ]
    coarse, fine = (np.abs(a - b).max() / b.max() for a, b in itertools.pairwise(curves))
    assert fine < 0.7 * coarse and fine < 0.1


def test_pristine_sheets_do_not_buckle_in_tension():
    level = LatticeLevel(7.0, strain=(0.05, 0.1))
    flat = level.deformed(small_graphene_sheet(), GRAPHENE, PRISTINE)
    assert np.ptp(flat.moved[:, 2]) < level.imperfection.amplitude_angstrom
