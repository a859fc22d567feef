"""Discrete spaces: validity, symmetry orbits, moves, and the round trip through theta and densities."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from invdesign import Problem, Scenario, Target
from invdesign.spaces import CutGrid, DiscreteSpace, Listed, RowCuts
from invdesign.spaces.row_cuts import mos2_row_cuts
from tests.invdesign.sheets import small_table

SPACES = {
    "rows": RowCuts(3, ((0, 0), (0, 4), (5, 4), (8, 6)), 10.0, 10),
    "grid": CutGrid((3, 5)),
    "ligaments": CutGrid((4, 7), minimum_ligament=2, whole_cells=True),
    "mirrored": CutGrid((4, 6), minimum_ligament=2, whole_cells=True, symmetry=("mirror_x", "mirror_y")),
    "turned": CutGrid((3, 6), minimum_ligament=2, symmetry=("rotation180",)),
    "rows alike": RowCuts(5, ((0, 0), (0, 4), (5, 4)), 10.0, 10, symmetry="mirror_x"),
    "rows turned": RowCuts(5, ((0, 0), (0, 4), (6, 4), (3, 4)), 10.0, 10, symmetry="rotation180"),
    "ring": CutGrid((4, 6), minimum_ligament=3, whole_cells=True, periodic_y=True),
    "listed": Listed(CutGrid((2, 3)), [[1, 0, 1, 0, 1, 1], [1, 1, 1, 0, 1, 1], [0, 0, 1, 1, 0, 0]]),
}


@pytest.fixture(params=SPACES.values(), ids=SPACES.keys())
def space(request):
    return request.param


def test_it_is_a_discrete_space(space):
    assert isinstance(space, DiscreteSpace)
    assert space.at(8.0) is space
    assert space.offset(0.0) is space


def test_draws_and_moves_are_valid_and_moves_move(space):
    rng = np.random.default_rng(0)
    codes = np.array([space.draw(rng) for _ in range(60)])
    assert space.valid(codes).all()
    moved = np.array([space.mutate(row, rng) for row in codes])
    assert space.valid(moved).all()
    assert (moved != codes).any(1).mean() > 0.5
    crossed = np.array([space.crossover(a, b, rng) for a, b in zip(codes, moved, strict=True)])
    assert space.valid(crossed).all()
    for row in codes[:5]:
        near = space.neighbours(row)
        assert ((near != row).sum(1) == 1).all()
        assert space.valid(near).all()


def test_theta_and_densities_give_the_codes_back(space):
    rng = np.random.default_rng(1)
    codes = np.array([space.draw(rng) for _ in range(20)])
    theta = space.theta(codes)
    assert theta.min() >= 0 and theta.max() <= 1
    assert (space.codes(theta) == codes).all()
    density = space.decode(torch.from_numpy(theta)).numpy()
    assert density.shape == (20, *space.shape)
    assert set(np.unique(density)) <= {0.0, 1.0}
    assert (space.binarize(theta[0]) == density[0]).all()
    assert (space.encode(density[0]) == theta[0]).all()


def test_orbits_have_one_canonical_member_and_the_same_features(space):
    rng = np.random.default_rng(2)
    codes = np.array([space.draw(rng) for _ in range(30)])
    images = space.orbit(codes)
    assert (images[0] == codes).all()
    for image in images:
        assert (space.canonical(image) == space.canonical(codes)).all()
        assert np.allclose(space.features(image), space.features(codes))
    assert len(np.unique(space.features(space.canonical(codes)), axis=0)) == len(
        np.unique(space.canonical(codes), axis=0)
    )


def test_everything_lists_each_valid_design_once():
    # 31 of the 32 patterns of a row hold together.
    everything = CutGrid((3, 5)).everything(1 << 15)
    assert len(everything) == len(np.unique(everything, axis=0)) == 31**3
    assert CutGrid((3, 5)).everything((1 << 15) - 1) is None
    assert len(mos2_row_cuts().everything(50_000)) == 13**4
    assert len(SPACES["listed"].everything(3)) == 3


def test_connectivity_is_that_of_a_flood_fill():
    space = CutGrid((4, 4), whole_cells=True)
    codes = np.random.default_rng(3).integers(0, 2, (200, 16))
    for pattern, valid in zip(space.patterns(codes), space.valid(codes), strict=True):
        parts, _ = ndimage.label(pattern)
        assert valid == bool((set(parts[0]) & set(parts[-1])) - {0})
    assert 0 < space.valid(codes).sum() < 200


def test_a_ring_joins_its_sides():
    pattern = np.array([[1, 0, 0, 0], [1, 0, 0, 1], [0, 0, 0, 1.0]])
    codes = pattern.reshape(1, -1).astype(int)
    assert not CutGrid((3, 4), whole_cells=True).valid(codes)[0]
    assert CutGrid((3, 4), whole_cells=True, periodic_y=True).valid(codes)[0]
    assert CutGrid((1, 4), periodic_y=True).ligament(np.array([[1, 0, 0, 1.0]])) == 2
    assert CutGrid((1, 4)).ligament(np.array([[1, 0, 0, 1.0]])) == 1


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: RowCuts(2, ((0, 0), (0, 10)), 10.0, 10), "leave a ligament"),
        (lambda: RowCuts(2, ((0, 0), (0, 4), (0.2, 4)), 10.0, 10), "differ"),
        (lambda: RowCuts(2, ((0, 0),), 10.0), "two options"),
        (lambda: RowCuts(2, ((0, 0), (0, 6)), 10.0, 10, minimum_ligament_angstrom=5), "ligament of 5"),
        (lambda: CutGrid((0, 3)), "rows and columns"),
        (lambda: CutGrid((2, 3), minimum_ligament=4), "ligament of 1 to 3"),
        (lambda: CutGrid((2, 3), symmetry=("diagonal",)), "mirror_x"),
        (lambda: Listed(CutGrid((2, 3)), np.zeros((0, 6))), "one design at least"),
        (lambda: Listed(CutGrid((2, 3)), [[2, 0, 0, 0, 0, 0]]), "below"),
    ],
)
def test_senseless_spaces_are_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_a_scenario_of_etching_is_refused():
    table, space = small_table()
    with pytest.raises(ValueError, match="erosion"):
        Problem(space, table, [Target("strain", goal="maximize")], [Scenario("over", erosion=0.1)])


@pytest.mark.parametrize(
    ("name", "flips"),
    [("mirrored", (1,)), ("mirrored", (2,)), ("turned", (1, 2)), ("rows alike", (1,)), ("rows turned", (1, 2))],
)
def test_symmetric_designs_are_their_own_images(name, flips):
    space, rng = SPACES[name], np.random.default_rng(5)
    patterns = space.patterns(np.array([space.draw(rng) for _ in range(20)]))
    np.testing.assert_array_equal(patterns, np.flip(patterns, flips))
    assert space.size < patterns[0].size


def test_symmetries_that_make_no_sense_are_refused():
    cuts = ((0, 0), (0, 4), (5, 4))
    assert CutGrid((3, 5), symmetry="mirror_x", equivalent="mirror_y") == CutGrid(
        (3, 5), symmetry=("mirror_x",), equivalent=("mirror_y",)
    )
    with pytest.raises(ValueError, match="symmetries among"):
        CutGrid((3, 5), symmetry=("rotation90",))
    with pytest.raises(ValueError, match="equivalent mirrors"):
        CutGrid((3, 5), equivalent=("rotation180",))
    with pytest.raises(ValueError, match="symmetry None"):
        RowCuts(3, cuts, 10.0, 10, symmetry="mirror_y")
    with pytest.raises(ValueError, match="mirror image of every cut"):
        RowCuts(3, cuts, 10.0, 10, symmetry="rotation180")
    with pytest.raises(ValueError, match="its own mirror image"):
        RowCuts(3, ((0, 4), (6, 4)), 10.0, 10, symmetry="rotation180")
