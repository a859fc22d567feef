"""Beyond buckling: gradients by Taylor rate, imperfections, and limit points, where there is no gradient."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from physics.base import SimulationError
from physics.kirigami import GRAPHENE, Imperfection, LatticeLevel, Sheet, imperfection_spread
from physics.kirigami.adjoint import gradient
from physics.kirigami.equilibrium import follow, smallest_eigenvalue
from physics.kirigami.lattice_energy import lattice
from tests.physics.kirigami.patterns import MIXED, PRISTINE, SERPENTINE, TINY

LEVEL = LatticeLevel(8.0, strain=(0.05, 0.15, 0.3))
# Grey, so that every cell has a slope.
BUCKLED = 0.1 + 0.8 * SERPENTINE


def taylor_rates(level, design, cotangents, steps=4, first=1e-3):
    """Rates at which the remainder of a linear model falls, halving the step each time."""
    response, slope = level.vjp(TINY, GRAPHENE, design, cotangents)
    direction = np.random.default_rng(3).random(design.shape) - design

    def value(answer):
        return sum(float((np.asarray(weight) * answer[name]).sum()) for name, weight in cotangents.items())

    h = first * 0.5 ** np.arange(steps)
    line, start = float((slope * direction).sum()), value(response)
    ahead = np.array([value(level.simulate(TINY, GRAPHENE, design + step * direction)) for step in h])
    remainder = np.abs(ahead - start - h * line)
    assert abs(line) * h[0] > 3 * remainder[0]
    return np.log2(remainder[:-1] / remainder[1:])


@pytest.mark.parametrize("load", [0, 1, 2])
def test_gradient_of_stress_at_buckled_loads(load):
    shape = LEVEL.deformed(TINY, GRAPHENE, BUCKLED, LEVEL.strain[load])
    assert np.ptp(shape.moved[:, 2]) > 2
    assert taylor_rates(LEVEL, BUCKLED, {"stress": np.eye(3)[load]})[-1] > 1.9


@pytest.mark.parametrize("load", [0, 1, 2])
def test_gradient_of_local_strain_at_buckled_loads(load):
    assert taylor_rates(LEVEL, BUCKLED, {"local_strain": np.eye(3)[load]})[-1] > 1.9


@pytest.mark.parametrize(
    "name", ["modulus", "poisson_ratio", "yield_strain_estimate", "strength_estimate", "toughness_estimate"]
)
def test_gradient_of_scalars(name):
    assert taylor_rates(LEVEL, 0.4 + 0.5 * MIXED, {name: np.array(1.0)})[-1] > 1.9


def test_gradient_in_a_flat_state():
    flat = replace(LEVEL, imperfection=Imperfection(0.0))
    design = 0.8 + 0.2 * PRISTINE * np.linspace(0, 1, 5)
    assert np.ptp(flat.deformed(TINY, GRAPHENE, design).moved[:, 2]) == 0
    assert taylor_rates(flat, design, {"stress": np.array([0.0, 0.0, 1.0])})[-1] > 1.9


def test_imperfections_and_signs_agree_beyond_buckling():
    curves, spread = imperfection_spread(LEVEL, TINY, GRAPHENE, BUCKLED)
    assert curves.shape == (4, 3)
    # Mirror images have the same stress; other shapes nearly.
    np.testing.assert_allclose(curves[0::2], curves[1::2], rtol=1e-6)
    assert spread < 0.05


def test_buckling_softens():
    flat = replace(LEVEL, imperfection=Imperfection(0.0))
    stiff, soft = (level.simulate(TINY, GRAPHENE, SERPENTINE)["stress"] for level in (flat, LEVEL))
    assert (soft < 0.7 * stiff).all()


def test_steps_on_the_way_do_not_matter():
    many = replace(LEVEL, strain=(0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3))
    few, all_of_them = (level.simulate(TINY, GRAPHENE, SERPENTINE)["stress"] for level in (LEVEL, many))
    np.testing.assert_allclose(all_of_them[[1, 3, 6]], few, rtol=1e-8)


def test_gradient_is_refused_where_the_flat_sheet_is_unstable():
    flat = replace(LEVEL, imperfection=Imperfection(0.0))
    with pytest.raises(SimulationError, match=r"limit or bifurcation point.*larger imperfection"):
        flat.vjp(TINY, GRAPHENE, SERPENTINE, {"stress": np.ones(3)})
    # Cotangents that ask for none of these loads need no gradient there.
    _, slope = flat.vjp(TINY, GRAPHENE, SERPENTINE, {"stress": np.zeros(3)})
    assert not slope.any()


def test_gradient_is_refused_at_the_onset_of_buckling():
    level = LatticeLevel(8.0, strain=(0.3,), imperfection=Imperfection(0.0))
    unstable = level.stretched(TINY, GRAPHENE, SERPENTINE)
    shared, relative = unstable.lattice, unstable.relative

    def lowest(strain):
        return smallest_eigenvalue(shared, follow(shared, relative, [strain])[0], relative)

    low, high = 0.0, 0.1
    assert lowest(high) < 0
    for _ in range(24):
        middle = (low + high) / 2
        low, high = (middle, high) if lowest(middle) > 0 else (low, middle)
    onset = replace(level, strain=(low,)).stretched(TINY, GRAPHENE, SERPENTINE)
    assert onset.curve[0].factor.negative == 0
    with pytest.raises(SimulationError, match="limit or bifurcation point"):
        gradient(onset, {"stress": np.ones(1)})
    before = replace(level, strain=(0.5 * low,)).stretched(TINY, GRAPHENE, SERPENTINE)
    assert gradient(before, {"stress": np.ones(1)}).shape == TINY.cells


def test_a_compressed_sheet_arches():
    sheet = Sheet((1, 4), (100.0, 10.0), 1.0, 0.0, periodic_y=True)
    shared = lattice(sheet, GRAPHENE, 10.0, 1e-8, Imperfection(0.02))
    relative = np.ones(len(shared.mesh.area))
    states = follow(shared, relative, [-0.00005, -0.00025, -0.02])
    # The smallest eigenvalue falls towards the onset and rises again on the buckled branch.
    lowest = [smallest_eigenvalue(shared, state, relative) for state in states]
    assert 0 < lowest[1] < 0.3 * min(lowest[0], lowest[2])
    # An arch: the height of a cosine as long as the sheet, 2 L sqrt(shortening) / pi, shortened beyond Euler's strain.
    height = np.ptp(states[2].u[:, 2])
    assert height == pytest.approx(2 * 100 * np.sqrt(0.02 - 0.00025) / np.pi, rel=0.05)
