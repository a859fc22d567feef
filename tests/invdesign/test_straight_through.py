"""Gradients to discrete designs: slopes of rounded patterns, and descents that end in whole ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from invdesign import Budget, CutGrid, DensitySpace, Problem, RowCuts, Target, relay, run, straight_through
from invdesign.spaces import OneHot
from invdesign.strategies import RandomCodes
from physics.kirigami import Interpolation, KirigamiLadder, LatticeLevel, LinearLevel, Sheet, small_graphene_sheet
from tests.invdesign.toy import Toy

GRID = CutGrid((3, 5))
ROWS = RowCuts(3, ((0, 0), (0, 4), (5, 4), (2, 6)), 10.0, 10)
LINEAR = KirigamiLadder(small_graphene_sheet(), levels=(LinearLevel(),))


@pytest.mark.parametrize("space", [GRID, ROWS, CutGrid((4, 6), symmetry=("rotation180",), minimum_ligament=2)])
def test_probabilities_round_to_the_space_and_come_back(space):
    relaxed, rng = OneHot(space, lift=0.25), np.random.default_rng(0)
    codes = np.array([space.draw(rng) for _ in range(7)])
    theta = relaxed.theta(codes)
    assert theta.shape == (7, relaxed.size) and (theta.sum(1) == space.size).all()
    noisy = theta + 0.4 * rng.random(theta.shape)
    assert (relaxed.codes(noisy) == codes).all()
    np.testing.assert_array_equal(relaxed.binarize(noisy[0]), space.patterns(codes[:1])[0])
    density = relaxed.decode(torch.from_numpy(noisy)).numpy()
    np.testing.assert_allclose(density, 0.25 + 0.75 * space.patterns(codes))
    np.testing.assert_array_equal(relaxed.encode(space.patterns(codes[:1])[0]), theta[0])
    assert (relaxed.sample(rng) <= 1).all() and relaxed.at(8.0) is relaxed


def test_what_would_be_made_holds_together():
    even = np.full(30, 0.5)
    made = OneHot(GRID).binarize(even)
    assert not OneHot(GRID).codes(even).any() and GRID.valid(GRID.coded(made[None]))[0]
    np.testing.assert_array_equal(OneHot(GRID).binarize(even), made)


@pytest.mark.parametrize("space", [GRID, ROWS, CutGrid((4, 6), symmetry=("mirror_x",))])
def test_slopes_are_differences_of_a_linear_function(space):
    """Of a weighted sum of densities, exchanging one option gains exactly the difference of two slopes."""
    relaxed, rng = OneHot(space, lift=0.3), np.random.default_rng(1)
    weight = torch.from_numpy(rng.standard_normal(space.shape))
    codes = space.draw(rng)
    theta = torch.tensor(relaxed.theta(codes), requires_grad=True)
    value = (relaxed.decode(theta) * weight).sum()
    value.backward()
    slopes = theta.grad.numpy()
    for site, option in [(0, 0), (1, 1), (space.size - 1, space.options[-1] - 1)]:
        other = codes.copy()
        other[site] = option
        gain = float((relaxed.decode(torch.from_numpy(relaxed.theta(other))) * weight).sum() - value.detach())
        start = relaxed.starts[site]
        assert gain == pytest.approx(slopes[start + option] - slopes[start + codes[site]], abs=1e-12)


def test_where_nothing_is_lifted_slopes_tell_little():
    """Why cuts are lifted: the rank of what single flips gain, from the slopes with and without."""

    def gains(lift: float) -> float:
        agree = []
        for seed in range(5):
            rng = np.random.default_rng(seed)
            codes = GRID.draw(rng)
            relaxed = OneHot(GRID, lift)
            theta = torch.tensor(relaxed.theta(codes), requires_grad=True)
            density = relaxed.decode(theta)
            _, gradient = LINEAR.vjp(density.detach().numpy(), 0, {"strength_estimate": np.ones(())})
            density.backward(torch.from_numpy(gradient))
            slopes = theta.grad.numpy().reshape(-1, 2)
            first = np.where(codes == 1, slopes[:, 0] - slopes[:, 1], slopes[:, 1] - slopes[:, 0])
            here = float(LINEAR.simulate(GRID.patterns(codes[None])[0], 0)["strength_estimate"])
            near = GRID.neighbours(codes)
            flipped = np.array([int(np.flatnonzero(row != codes)[0]) for row in near])
            true = [float(LINEAR.simulate(p, 0)["strength_estimate"]) - here for p in GRID.patterns(near)]
            rank = [np.argsort(np.argsort(v)) for v in (first[flipped], true)]
            agree.append(np.corrcoef(*rank)[0, 1])
        return float(np.mean(agree))

    assert gains(0.3) > 0.7
    assert gains(0.3) > gains(0.0) + 0.1


def toy_problem() -> Problem:
    """As much as can be through a saturating port, by one of 2^48 patterns; the cheap level is biased."""
    return Problem(CutGrid((6, 8)), Toy((6, 8), levels=2), [Target("transmission", goal="maximize")])


def test_it_goes_beyond_chance_and_ends_in_whole_patterns():
    budget, best = Budget(solves=200), {}
    for name, strategy in {"ours": straight_through(steps=20, starts=1), "chance": RandomCodes()}.items():
        found = [run(toy_problem(), strategy, budget=budget, seed=seed).best for seed in range(2)]
        best[name] = np.median([c.loss for c in found if c is not None])
        for candidate in found:
            assert candidate is not None and set(np.unique(candidate.design)) == {0.0, 1.0}
            assert CutGrid((6, 8)).valid(CutGrid((6, 8)).codes(candidate.theta)[None])[0]
    # Of what is left to the best pattern known, most.
    limit = run(toy_problem(), straight_through(level=1, steps=30, starts=2), budget=Budget(solves=500), seed=9).best
    assert limit is not None
    assert limit.loss <= best["ours"] + 1e-3
    assert best["ours"] - limit.loss < 0.4 * (best["chance"] - limit.loss)


def test_the_same_seed_tells_the_same_story():
    both = [run(toy_problem(), straight_through(steps=5), budget=Budget(solves=150), seed=4) for _ in range(2)]
    assert [c.key for c in both[0].candidates] == [c.key for c in both[1].candidates]
    assert {record.level for record in both[0].records} == {0, 1}


def test_a_band_of_stiffness_is_met():
    band = Target("modulus", lower=300.0, upper=350.0, weight=0.01, softness=10.0)
    problem = Problem(GRID, LINEAR, [band])
    best = run(problem, straight_through(steps=8, starts=2), budget=Budget(solves=160), seed=0).best
    assert best is not None and best.distance == 0


def test_rows_of_cuts_and_symmetric_grids_are_searched_too():
    sheet = Sheet((3, 10), (16.0, 4.0), 0.25, 8.0)
    whole = 1022.0  # GPa, the sheet without cuts
    ladder = KirigamiLadder(sheet, levels=(LinearLevel(),))
    for space in (ROWS, CutGrid((3, 10), symmetry=("rotation180",))):
        problem = Problem(space, ladder, [Target("modulus", goal="minimize", weight=0.01)])
        result = run(problem, straight_through(steps=10, starts=1), budget=Budget(solves=90), seed=1)
        assert result.best is not None
        assert space.valid(space.codes(result.best.theta)[None])[0]
        assert float(result.best.response["modulus"]) < 0.4 * whole


def test_the_lattice_guides_it_too_and_the_reference_has_the_last_word():
    sheet = Sheet((3, 5), (15.0, 8.0), 1 / 3, 0.0)
    lattice = LatticeLevel(strain=(0.1,), interpolation=Interpolation(floor=1e-6))
    problem = Problem(
        GRID,
        KirigamiLadder(sheet, levels=(LinearLevel(), lattice)),
        [Target("modulus", upper=150.0, weight=0.01, softness=10.0)],
    )
    strategy = straight_through(level=1, steps=2, samples=1, verified=1, starts=1)
    result = run(problem, strategy, budget=Budget(solves=10), seed=0)
    assert result.costs.solves_by_fidelity == {"linear": 0, "lattice": result.costs.solves}
    assert len(result.candidates) == 1


@dataclass(frozen=True)
class Ungraded:
    """The linear level without its gradients."""

    name: str = "ungraded"
    cost: float = 1e3
    stochastic: bool = False

    def quantities(self, sheet):
        return LinearLevel().quantities(sheet)

    def simulate(self, sheet, membrane, design, replicate=0):
        return LinearLevel().simulate(sheet, membrane, design, replicate)


def test_a_level_without_gradients_is_told_and_not_searched_at_random():
    ladder = KirigamiLadder(small_graphene_sheet(), levels=(LinearLevel(), Ungraded()))
    problem = Problem(GRID, ladder, [Target("modulus", goal="minimize", weight=0.01)])
    result = run(problem, straight_through(level=1, steps=30), budget=Budget(solves=500), seed=0)
    (note,) = result.noted("given up")
    assert "with gradients" in note["error"]
    assert result.costs.solves < 50 and not result.noted("converged")


def test_it_starts_where_it_is_told():
    pattern = np.array([[0, 0, 0, 0, 1], [1, 0, 0, 0, 0], [0, 0, 0, 0, 1]], dtype=float)
    problem = Problem(GRID, LINEAR, [Target("modulus", goal="minimize", weight=0.01)])
    result = run(problem, straight_through(steps=4, starts=1, start=pattern), budget=Budget(solves=60), seed=0)
    assert result.best is not None and float(result.best.response["modulus"]) < 60
    relayed = relay(RandomCodes(designs=3), straight_through(steps=2, starts=1))
    assert run(problem, relayed, budget=Budget(solves=40), seed=0).best is not None


def test_what_makes_no_sense_is_refused():
    for changed in ({"steps": 0}, {"temperature": (0.1, 1.0)}, {"rate": 0.0}, {"lift": 1.0}, {"starts": 0}):
        with pytest.raises(ValueError, match="Expected"):
            straight_through(**changed)
    with pytest.raises(ValueError, match="lift"):
        OneHot(GRID, 1.0)
    with pytest.raises(ValueError, match="no erosion"):
        OneHot(GRID).offset(0.1)
    dense = Problem(DensitySpace((3, 5), filter_radius_um=0.0), LINEAR, [Target("modulus", upper=1.0)])
    with pytest.raises(TypeError, match="discrete"):
        run(dense, straight_through(), budget=Budget(solves=5))
