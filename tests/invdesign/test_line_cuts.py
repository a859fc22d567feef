"""Straight cuts at any place and angle: areas, gradients, symmetry, and what can be made."""

import math

import numpy as np
import pytest
import torch

from invdesign import LineCuts, Problem, Target, adjoint, run
from invdesign.budget import Budget
from invdesign.spaces import Near
from physics.kirigami import (
    KirigamiLadder,
    LinearLevel,
    Sheet,
    cut_distance,
    material,
    severed,
    small_graphene_sheet,
    without_loose,
)

SHEET = small_graphene_sheet().pixels((24, 30))
PX, PY = SHEET.cell_angstrom
SPACE = LineCuts(SHEET, 2, 4.19, (4.0, 30.0))


def test_density_removes_the_area_of_the_slits():
    inside = [[20.0, 10.0, 9.0, 0.3], [35.0, 24.0, 12.0, -0.6]]
    theta = torch.from_numpy(SPACE.parameters(inside))
    for beta in (8.0, 64.0, math.inf):
        removed = float((1 - SPACE.at(beta).decode(theta)).sum()) * PX * PY
        assert removed == pytest.approx(4.19 * 21.0, rel=0.01)


def test_a_straight_slit_on_pixel_edges_is_exact_and_agrees_with_cells():
    coarse = small_graphene_sheet()
    pattern = np.ones((3, 5))
    pattern[1, 1:4] = 0
    (long, wide), line = coarse.cell_angstrom, np.array([[0.0, 0.0, 0.0, 0.0]])
    line[0] = [1.5 * long, 2.5 * wide, 3 * wide, 0.0]
    space = LineCuts(SHEET, 1, coarse.cut_share * long, (1.0, 30.0))
    wanted = material(pattern, coarse, SHEET.cells)
    density = space.at(math.inf).decode(torch.from_numpy(space.parameters(line))).numpy()
    # A boundary along an axis is blurred by a twentieth of a pixel.
    np.testing.assert_allclose(density, wanted, atol=0.02)
    np.testing.assert_array_equal(space.binarize(space.parameters(line)), wanted.round())


@pytest.mark.parametrize("space", [SPACE, LineCuts(SHEET, 2, 4.19, (4.0, 30.0), symmetry=("mirror_x", "rotation180"))])
@pytest.mark.parametrize("beta", [8.0, 256.0])
def test_gradients_by_taylor_rate(space, beta):
    rng = np.random.default_rng(3)
    sharp, weight = space.at(beta), torch.from_numpy(rng.standard_normal(SHEET.cells))
    theta = torch.tensor(0.2 + 0.6 * rng.random(space.size), requires_grad=True)
    value = (sharp.decode(theta) * weight).sum()
    value.backward()
    direction = torch.from_numpy(rng.standard_normal(space.size))
    rest = []
    for step in (1e-4, 5e-5, 2.5e-5):
        moved = (sharp.decode(theta.detach() + step * direction) * weight).sum()
        rest.append(abs(float(moved - value.detach() - step * (theta.grad @ direction))))
    rates = np.log2(np.array(rest[:-1]) / np.array(rest[1:]))
    assert (rates > 1.8).all()


@pytest.mark.parametrize("name", ["mirror_x", "mirror_y", "rotation180"])
def test_symmetric_designs_are_their_own_images(name):
    space = LineCuts(SHEET, 2, 4.19, (4.0, 20.0), symmetry=name, minimum_ligament_angstrom=2.0)
    flips = {"mirror_x": (0,), "mirror_y": (1,), "rotation180": (0, 1)}[name]
    for seed in range(5):
        theta = space.sample(np.random.default_rng(seed))
        for array in (space.decode(torch.from_numpy(theta)).numpy(), space.binarize(theta)):
            np.testing.assert_allclose(array, np.flip(array, flips), atol=1e-12)


def test_what_is_made_holds_together():
    space = LineCuts(SHEET, 6, 4.19, (4.0, 30.0), minimum_ligament_angstrom=4.0)
    shortened = 0
    for seed in range(12):
        theta = space.sample(np.random.default_rng(seed))
        made = space.binarize(theta)
        assert set(np.unique(made)) <= {0.0, 1.0}
        assert not severed(made, SHEET) and cut_distance(made, SHEET) >= 4.0 - 1e-9
        np.testing.assert_array_equal(without_loose(made, SHEET), made)
        assert (made < 1).any()
        shortened += not space.valid(theta)
    assert shortened > 0
    # A cut through the whole width is shortened until a ligament is left.
    through = LineCuts(SHEET, 1, 4.19, (60.0, 60.0), minimum_ligament_angstrom=4.0)
    middle = np.full(4, 0.5)
    assert not through.valid(middle)
    assert not severed(through.binarize(middle), SHEET)


def test_cuts_that_can_be_made_together_are_made_as_they_are():
    """Of two cuts too close to each other that a third one joins, none is shortened."""
    space = LineCuts(SHEET, 3, 4.19, (4.0, 30.0), minimum_ligament_angstrom=6.0)
    lines = [[24.0, 13.0, 6.0, 0.0], [24.0, 22.0, 6.0, 0.0], [24.0, 17.5, 8.0, 0.0]]
    theta = space.parameters(lines)
    assert not LineCuts(SHEET, 2, 4.19, (4.0, 30.0), minimum_ligament_angstrom=6.0).valid(theta[:8])
    assert space.valid(theta)
    slits = SPACE.at(math.inf).decode(torch.from_numpy(theta[:8])).numpy() < 0.45
    assert slits.any() and (space.binarize(theta)[slits] == 0).all()


def test_parameters_and_lines_are_inverse_and_a_density_is_fitted():
    lines = np.array([[15.0, 12.0, 14.0, 0.2], [36.0, 26.0, 10.0, -0.4]])
    theta = SPACE.parameters(lines)
    np.testing.assert_allclose(SPACE.lines(torch.from_numpy(theta)).numpy(), lines)
    density = SPACE.at(math.inf).decode(torch.from_numpy(theta)).numpy()
    again = SPACE.at(math.inf).decode(torch.from_numpy(SPACE.encode(density))).numpy()
    assert np.abs(again - density).mean() < 0.02
    with pytest.raises(ValueError, match="2 cuts"):
        SPACE.encode(np.indices(SHEET.cells).sum(0) % 2.0)


def test_periodic_sides_carry_a_cut_on():
    ring = LineCuts(Sheet((10, 20), (2.0, 2.0), 1.0, 4.0, periodic_y=True), 1, 4.0, (10.0, 10.0))
    made = ring.binarize(ring.parameters([[10.0, 1.0, 10.0, 0.0]]))
    moved = ring.binarize(ring.parameters([[10.0, 21.0, 10.0, 0.0]]))
    np.testing.assert_array_equal(np.roll(made, 10, axis=1), moved)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"sheet": small_graphene_sheet()}, "cells are pixels"),
        ({"cuts": 0}, "a cut at least"),
        ({"width_angstrom": 1.0}, "finer pixels"),
        ({"length_angstrom": (5.0, 2.0)}, "lengths ascending"),
        ({"length_angstrom": 5.0}, "lowest, highest"),
        ({"angle_rad": (-4.0, 0.0)}, "angles ascending"),
        ({"beta": 0.0}, "beta"),
        ({"symmetry": "mirror_z"}, "symmetries among"),
    ],
)
def test_what_makes_no_sense_is_refused(changed, told):
    given = {"sheet": SHEET, "cuts": 1, "width_angstrom": 4.19, "length_angstrom": (4.0, 20.0)} | changed
    with pytest.raises(ValueError, match=told):
        LineCuts(**given)
    with pytest.raises(ValueError, match="no erosion"):
        SPACE.offset(0.1)


def test_a_descent_on_cuts_meets_a_stiffness_and_ends_in_a_pattern():
    """Two cuts that leave too stiff a sheet grow until it is as soft as asked for, and no softer."""
    coarse = SHEET.pixels((12, 15))
    space = LineCuts(coarse, 2, 4.19, (4.0, 34.0), angle_rad=(-0.5, 0.5), minimum_ligament_angstrom=4.0)
    problem = Problem(
        space,
        KirigamiLadder(coarse, levels=(LinearLevel(),)),
        [Target("modulus", lower=400, upper=440, weight=0.01, softness=5.0)],
    )
    start = space.parameters([[15.0, 18.0, 27.0, 0.2], [36.0, 18.0, 27.0, -0.2]])
    before = float(problem.evaluate(start, binary=True).responses["nominal"]["modulus"])
    strategy = adjoint(optimizer="lbfgsb", betas=(16.0, 128.0), evaluations=12, start=start, starts=1)
    best = run(problem, strategy, budget=Budget(solves=40)).best
    assert best is not None and before > 500
    assert set(np.unique(best.design)) == {0.0, 1.0}
    assert 390 < float(best.response["modulus"]) < 450


def test_a_box_about_given_cuts_holds_the_designs_near_them():
    centre = SPACE.parameters([[15.0, 12.0, 14.0, 0.2], [36.0, 26.0, 10.0, -0.4]])
    near = Near(SPACE, tuple(centre), reach=0.1)
    half = np.full(8, 0.5)
    np.testing.assert_allclose(near.whole(torch.from_numpy(half)).numpy(), centre)
    np.testing.assert_array_equal(near.binarize(half), SPACE.binarize(centre))
    rng = np.random.default_rng(0)
    theta = near.sample(rng)
    whole = near.whole(torch.from_numpy(theta)).numpy()
    assert abs(whole - centre).max() <= 0.1 + 1e-12
    np.testing.assert_allclose(near.within(whole), theta)
    np.testing.assert_allclose(near.encode(SPACE.at(math.inf).decode(torch.from_numpy(centre)).numpy()), half, atol=0.1)
    tensor = torch.from_numpy(theta)
    torch.testing.assert_close(near.at(64.0).decode(tensor), SPACE.at(64.0).decode(torch.from_numpy(whole)))
    assert near.size == 8 and near.shape == SHEET.cells and near.offset(0.0).space is SPACE
    for changed in ({"centre": (0.5,)}, {"centre": (2.0,) * 8}, {"reach": 0.0}):
        with pytest.raises(ValueError, match="Expected a"):
            Near(**({"space": SPACE, "centre": tuple(centre), "reach": 0.1} | changed))


def test_distances_between_cuts():
    sheet = Sheet((8, 10), (2.0, 3.0), 1.0, 0.0)
    pattern = np.ones((8, 10))
    assert cut_distance(pattern, sheet) == math.inf
    pattern[2, 3:6] = 0
    assert cut_distance(pattern, sheet) == pytest.approx(3 * 3.0)  # to the nearer side
    pattern[5, 4] = 0
    assert cut_distance(pattern, sheet) == pytest.approx(2 * 2.0)
    pattern[2, :3] = 0
    assert cut_distance(pattern, sheet) == pytest.approx(2 * 2.0)  # the side is now a part of the cut
    pattern[3, 6] = 0
    assert cut_distance(pattern, sheet) == 0  # corner to corner
    ring = Sheet((8, 10), (2.0, 3.0), 1.0, 0.0, periodic_y=True)
    around = np.ones((8, 10))
    around[4, :8] = 0
    assert cut_distance(around, ring) == pytest.approx(2 * 3.0)  # from one of its ends to the other
    with pytest.raises(ValueError, match="pixels"):
        cut_distance(np.ones((3, 5)), small_graphene_sheet())


def test_what_hangs_on_no_grip_falls_out():
    sheet = Sheet((7, 7), (2.0, 2.0), 1.0, 0.0)
    pattern = np.ones((7, 7))
    pattern[1:6, 1:6] = 0
    pattern[3, 3] = 1
    left = without_loose(pattern, sheet)
    assert left[3, 3] == 0 and left.sum() == pattern.sum() - 1
