"""Morphisms keep the function; children that inherit begin where their parent is."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from surrogates import Architecture, Block
from surrogates.nas.lab import BudgetSpent, search_with
from surrogates.nas.methods.morphisms import Morphisms, climb, inherit, train_from
from surrogates.nas.methods.net2net import Problem, deepened, widened
from surrogates.nas.space import ArchitectureSpace, Cap
from surrogates.nas.table import TableLab
from surrogates.states import load_state
from tests.surrogates.nas.problems import live_lab, made_up_table, ticking

PROBLEM = Problem((24, 20), 7)
NETS = {
    "spectral": (("spectral", 3),),
    "factorised": (("factorised", 3),),
    "convolutions": (("residual", 0), ("dilated", 2)),
    "u": (("u_levels", 2), ("spectral", 3)),
    "dense": (("dense", 0), ("dense", 0)),
    "attention": (("attention", 2),),
}


def network(kind, **rest):
    stem = "pixels" if kind == "dense" else "grid"
    return Architecture(tuple(Block(o, 4, r) for o, r in NETS[kind]), stem=stem, resolution=7, **rest)


def function(architecture, state):
    made = architecture.build(PROBLEM.design_shape, PROBLEM.n_outputs).double()
    load_state(made, state)
    torch.manual_seed(0)
    with torch.no_grad():
        return made(torch.rand(4, *PROBLEM.design_shape, dtype=torch.float64))


@pytest.mark.parametrize("head", ["averages", "mean"])
@pytest.mark.parametrize("kind", [kind for kind in NETS if kind != "attention"])
def test_widening_keeps_the_function(kind, head):
    rng = np.random.default_rng(0)
    small = network(kind, head=head)
    state = PROBLEM.fresh(small, rng)
    large, wider = widened(small, state, 7, rng)
    assert {block.width for block in large.blocks} == {7}
    torch.testing.assert_close(function(large, wider), function(small, state), rtol=0, atol=1e-6)
    noisy = function(*widened(small, state, 7, rng, noise=0.01)) - function(small, state)
    assert 1e-5 < noisy.abs().max() < 0.1


@pytest.mark.parametrize("kind", [kind for kind in NETS if kind != "attention"])
def test_noise_is_in_the_weights_into_copies_alone(kind):
    small = network(kind)
    state = PROBLEM.fresh(small, np.random.default_rng(0))
    large, exact = widened(small, state, 7, np.random.default_rng(1))
    noisy = widened(small, state, 7, np.random.default_rng(1), noise=0.1)[1]
    moved = []
    for name, array in exact.items():
        where = noisy[name] != array
        if array.ndim == 1 or name == "head.weight":
            assert not where.any(), name
            continue
        # Products by frequency have their channels out last but one.
        axis = array.ndim - 2 if name.split(".")[-2] in ("spectral", "down", "along") else 0
        into = np.moveaxis(where, axis, 0).reshape(array.shape[axis], -1)
        # Wholly or not at all; 3 in 7 channels are copies of others.
        assert ((into.all(axis=1)) | (~into.any(axis=1))).all(), name
        assert into.any(axis=1).sum() * 7 == 3 * len(into), name
        # What leads into the channels that were there is what it was, shared out among the copies that it reads.
        kept = np.moveaxis(array, axis, 0)[~into.any(axis=1)]
        assert np.array_equal(np.moveaxis(noisy[name], axis, 0)[~into.any(axis=1)], kept)
        moved.append(name)
    assert len(moved) >= 3
    made = function(large, noisy) - function(small, state)
    assert made.abs().max() > 1e-4
    # No copies, no noise.
    same = widened(small, state, 4, np.random.default_rng(1), noise=0.1)[1]
    assert all(np.array_equal(array, state[name]) for name, array in same.items())


def test_copies_with_noise_part_and_without_it_stay_alike():
    small = network("convolutions", head="mean")
    state = PROBLEM.fresh(small, np.random.default_rng(0))

    def distinct(noise):
        large, wider = widened(small, state, 7, np.random.default_rng(1), noise)
        made = large.build(PROBLEM.design_shape, PROBLEM.n_outputs)
        load_state(made, wider)
        optimiser = torch.optim.SGD(made.parameters(), lr=0.01)
        torch.manual_seed(0)
        designs, wanted = torch.rand(8, *PROBLEM.design_shape), torch.randn(8, PROBLEM.n_outputs)
        for _ in range(3):
            optimiser.zero_grad()
            ((made(designs) - wanted) ** 2).mean().backward()
            optimiser.step()
        rows = made.trunk.stem.lift.weight.detach().flatten(1)
        return len(torch.unique((rows * 1e5).round(), dim=0))

    assert distinct(0.0) == 4 and distinct(0.02) == 7


@pytest.mark.parametrize("start", [Architecture((Block("residual", 6),), resolution=6), Architecture()])
def test_a_start_beyond_the_cap_or_of_another_space_is_refused(start):
    space = ArchitectureSpace(
        length=1, operations=(("residual", 0),), widths=(4, 6), resolutions=(6,), cap=Cap(PROBLEM.design_shape, 7, 3000)
    )
    lab = live_lab(space=space, gradients=False)
    assert (start.blocks[0].width == 6) == (start in space.capped(None)) and start not in space
    with pytest.raises(ValueError, match="within its cap"):
        climb(Morphisms(start=start), lab, np.random.default_rng(0))
    assert not lab.trials and lab.spent == 0


@pytest.mark.parametrize("activation", ["silu", "norm-gelu"])
@pytest.mark.parametrize("kind", NETS)
def test_deepening_keeps_the_function_and_the_new_block_can_learn(kind, activation):
    rng = np.random.default_rng(0)
    small = network(kind, activation=activation)
    state = PROBLEM.fresh(small, rng)
    for position in range(len(small.blocks) + 1):
        large, deeper = deepened(small, state, position, small.blocks[0], PROBLEM, rng)
        assert len(large.blocks) == len(small.blocks) + 1
        torch.testing.assert_close(function(large, deeper), function(small, state), rtol=0, atol=1e-6)
    made = large.build(PROBLEM.design_shape, PROBLEM.n_outputs)
    load_state(made, deeper)
    made(torch.rand(2, *PROBLEM.design_shape)).square().sum().backward()
    assert any(p.grad.abs().max() > 0 for p in made.trunk.steps[-1].branch.parameters())


def test_what_cannot_be_kept_is_refused():
    rng = np.random.default_rng(0)
    for kind, rest in (("attention", {}), ("spectral", {"activation": "norm-silu"})):
        net = network(kind, **rest)
        with pytest.raises(ValueError, match="one width"):
            widened(net, PROBLEM.fresh(net, rng), 8, rng)
    net = network("spectral", activation="exp(x)")
    with pytest.raises(ValueError, match="0 at 0"):
        deepened(net, PROBLEM.fresh(net, rng), 0, net.blocks[0], PROBLEM, rng)


def test_another_operation_inherits_the_rest():
    rng = np.random.default_rng(0)
    parent = Architecture((Block("residual", 4), Block("spectral", 4, 3)), resolution=7)
    child = Architecture((Block("residual", 4), Block("factorised", 4, 3)), resolution=7)
    state = PROBLEM.fresh(parent, rng)
    inherited, kept = inherit(parent, state, child, PROBLEM, rng)
    assert not kept
    same = [name for name in state if not name.startswith("trunk.steps.1.")]
    assert same and all(np.array_equal(inherited[name], state[name]) for name in same)


def test_children_begin_where_their_parent_is():
    lab = live_lab()
    problem = Problem(lab.task.train.design_shape, lab.task.codec.n_outputs)
    parent = Architecture((Block("residual", 4),), resolution=6)
    child = Architecture((Block("residual", 4), Block("spectral", 4, 3)), resolution=6)
    state, _ = train_from(lab, parent, None, 12, np.random.default_rng(0))
    start, kept = inherit(parent, state, child, problem, np.random.default_rng(1))
    assert kept
    inherited = train_from(lab, child, start, 2, np.random.default_rng(2))[1]
    fresh = train_from(lab, child, None, 2, np.random.default_rng(2))[1]
    assert inherited < fresh - 0.05


def test_climbing_goes_down_and_charges_its_training():
    space = ArchitectureSpace(
        length=2, operations=(("spectral", 3), ("residual", 0), ("identity", 0)), widths=(4, 6), resolutions=(6,)
    )
    lab = live_lab(space=space, gradients=False)
    result = climb(Morphisms(steps=2, children=2, first_epochs=4, epochs=2), lab, np.random.default_rng(0))
    assert list(result.errors) == sorted(result.errors, reverse=True) and len(result.path) >= 2
    assert {trial.architecture for trial in lab.trials} == set(result.path)
    assert lab.spent > sum(trial.cpu_seconds for trial in lab.trials)
    with pytest.raises(TypeError, match="LiveLab"):
        climb(Morphisms(), TableLab(made_up_table()), np.random.default_rng(0))


SPACE = ArchitectureSpace(
    length=2, operations=(("spectral", 3), ("residual", 0), ("identity", 0)), widths=(4, 6), resolutions=(6,)
)
QUICK = Morphisms(steps=2, children=2, first_epochs=4, epochs=2)


def test_a_spent_budget_ends_a_climb_with_what_it_found(monkeypatch):
    ticking(monkeypatch)  # 3 s for a network by the lab, 1 s for a child
    problem = Problem(live_lab().task.train.design_shape, live_lab().task.codec.n_outputs)

    def climbed(budget):
        lab = live_lab(budget=budget, space=SPACE, gradients=False)
        result = climb(QUICK, lab, np.random.default_rng(0))
        assert lab.spent <= budget + 3 and len(result.path) == len(result.errors)
        assert np.isfinite(result.errors).all() and list(result.errors) == sorted(result.errors, reverse=True)
        load_state(result.path[-1].build(problem.design_shape, problem.n_outputs), result.state)
        return result, lab

    whole, lab = climbed(float("inf"))
    assert len(whole.path) == 3
    # Spent by the lab's training of the first network.
    first, lab = climbed(2.0)
    assert first.path == whole.path[:1] and first.errors == (lab.trials[0].error,)
    assert all(np.array_equal(array, lab.weights(first.path[0])[name]) for name, array in first.state.items())
    # By its short training; within the first step; after that step.
    assert climbed(3.5)[0].errors == whole.errors[:1]
    partly, lab = climbed(4.5)
    assert len(partly.path) <= 2 and partly.errors[-1] >= whole.errors[1] and len(lab.trials) == 1
    after, lab = climbed(6.5)
    assert after.path == whole.path[:2] and after.errors == whole.errors[:2]
    assert search_with(QUICK, live_lab(budget=2.0, space=SPACE, gradients=False), 0).best == whole.path[0]
    with pytest.raises(BudgetSpent):
        climbed(0.0)


@pytest.mark.parametrize("bad", [{"epochs": 0}, {"first_epochs": 0}, {"steps": -1}, {"children": -1}, {"noise": -0.1}])
def test_numbers_that_train_nothing_are_refused(bad):
    with pytest.raises(ValueError, match=f"Expected {next(iter(bad))} of at least"):
        Morphisms(**bad)
