"""The supernet is the networks it holds; DARTS, its sparse and annealed gates, and its selection by perturbation."""

from __future__ import annotations

import importlib
from dataclasses import replace
from itertools import islice, product

import numpy as np
import pytest
import torch

from surrogates import Architecture, Block, Dataset, LevelData, TrainingConfig
from surrogates.nas.lab import BudgetSpent, search_with
from surrogates.nas.live import LiveLab, Task
from surrogates.nas.methods.darts import Darts, _Training, darts, select_by_perturbation
from surrogates.nas.methods.supernet import Supernet, best_first, sparsemax
from surrogates.nas.space import ArchitectureSpace, Cap
from surrogates.nas.table import TableLab
from tests.surrogates.nas.problems import RUNGS, live_lab, made_up_table, ticking
from tests.surrogates.toy import SHAPE, Toy, level_data

FOUR = ArchitectureSpace(
    length=2,
    operations=(("spectral", 3), ("residual", 0), ("dilated", 2), ("identity", 0)),
    widths=(4,),
    resolutions=(6,),
)


def supernet(space=FOUR, seed=0, **given):
    torch.manual_seed(seed)
    made = Supernet(space, SHAPE, 3, **given)
    with torch.no_grad():
        made.scores.normal_()
    return made


@pytest.mark.parametrize("choice", [(0, 1), (2, 2), (3, 0), (3, 3)])
def test_a_pruned_supernet_is_the_built_network_with_its_weights(choice):
    whole = supernet()
    pruned = whole.pruned(choice)
    assert whole.architecture(choice) == FOUR.decode((*choice, *[0] * (len(FOUR.options) - 2)))
    built = whole.architecture(choice).build(SHAPE, 3)
    assert {n: p.shape for n, p in pruned.state_dict().items()} == {n: p.shape for n, p in built.state_dict().items()}
    designs = torch.rand(5, *SHAPE)
    mixed = whole(designs)
    whole.select(choice)
    torch.testing.assert_close(pruned(designs), whole(designs), rtol=0, atol=0)
    assert not torch.allclose(pruned(designs), mixed)


def test_a_supernet_of_dense_layers():
    space = ArchitectureSpace(length=2, operations=(("dense", 0), ("identity", 0)), widths=(5,), stems=("pixels",))
    whole = supernet(space)
    whole.select((0, 1))
    designs = torch.rand(2, *SHAPE)
    torch.testing.assert_close(whole.pruned((0, 1))(designs), whole(designs), rtol=0, atol=0)


def test_blocks_of_several_widths_are_refused():
    with pytest.raises(ValueError, match="one width"):
        supernet(like=Architecture((Block("residual", 4), Block("residual", 6)), resolution=6))


def test_the_best_path_keeps_to_the_cap():
    limit = Architecture((Block("residual", 4),), resolution=6).n_parameters(SHAPE, 3)
    space = FOUR.capped(Cap(SHAPE, 3, limit))
    whole = supernet(space)
    with torch.no_grad():
        whole.scores[:] = torch.tensor([3.0, 2.0, 1.0, 0.0])
    assert space.admits(whole.architecture(whole.best_path()))
    assert supernet(FOUR).best_path() == tuple(supernet(FOUR).scores.argmax(dim=1).tolist())


def test_sparsemax_is_the_projection_on_the_simplex():
    torch.manual_seed(0)
    scores = torch.randn(50, 5, dtype=torch.float64)
    weights = sparsemax(scores)
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(50, dtype=torch.float64))
    assert (weights >= 0).all() and (weights == 0).any()
    # The projection p of z satisfies <z - p, q - p> <= 0 for every q of the simplex, so for its corners.
    slack = (scores - weights)[:, None, :] @ (torch.eye(5, dtype=torch.float64) - weights[:, None, :]).transpose(1, 2)
    assert slack.max() < 1e-12
    assert torch.equal(sparsemax(torch.tensor([2.0, 0.0, 0.0])), torch.tensor([1.0, 0.0, 0.0]))


def in_sample(**config):
    """A task judged on the samples it learns from, so that overfitting does not blur what pruning does."""
    samples = level_data(Toy(), runs=10, steps=8, seed=1, gradients=False)
    renamed = LevelData.values_only(samples.designs, samples.responses, samples.groups + 1000)
    return Task(Dataset({0: samples}), renamed, TrainingConfig(batch_size=10, learning_rate=1e-2, **config), RUNGS)


BRANCHES = ArchitectureSpace(length=2, operations=FOUR.operations[:3], widths=(4,), resolutions=(6,))


def test_pruning_a_softmax_supernet_costs_accuracy_and_retraining_gives_it_back():
    method = Darts(epochs=20, share=0.3, score_rate=0.01)
    found = [darts(method, LiveLab(BRANCHES, in_sample()), np.random.default_rng(s)) for s in range(3)]
    assert np.mean([result.gap for result in found]) > 0.02
    assert all(result.retrained_error < result.pruned_error for result in found)
    assert all(result.entropy.shape == (20, 2) and (result.entropy[-1] > 0.5).all() for result in found)


def test_annealing_ends_the_spread_and_the_gap():
    method = Darts(epochs=10, temperatures=(1.0, 1e-3), share=0.3, score_rate=0.01)
    result = darts(method, LiveLab(BRANCHES, in_sample()), np.random.default_rng(0))
    assert method.name == "darts-annealed"
    assert (result.entropy[0] > 1.0).all() and (result.entropy[-1] < 0.05).all()
    assert abs(result.gap) < 0.01


def test_sparsemax_gives_exact_zeros():
    result = darts(
        Darts("sparsemax", (1.0, 0.1), epochs=6), live_lab(space=FOUR, gradients=False), np.random.default_rng(0)
    )
    assert (result.weights == 0).any()
    np.testing.assert_allclose(result.weights.sum(axis=1), 1, rtol=1e-6)


def test_a_search_is_charged_and_ends_in_a_network_trained_from_scratch():
    lab = live_lab(space=FOUR, gradients=False)
    result = darts(Darts(epochs=2, seeds=(0, 1)), lab, np.random.default_rng(0))
    assert [trial.architecture for trial in lab.trials] == [result.architecture] * 2
    assert result.retrained_error == pytest.approx(np.mean([trial.error for trial in lab.trials]))
    assert lab.spent == pytest.approx(result.cpu_seconds + sum(trial.cpu_seconds for trial in lab.trials))
    again = search_with(Darts(epochs=2, seeds=(0, 1)), live_lab(space=FOUR, gradients=False), seed=0)
    assert again.best == result.architecture and again.error == result.retrained_error


def test_perturbation_sees_through_misleading_weights():
    # All that the supernet knows goes through the residual branches; the scores favour the dilated ones, which give 0.
    whole = supernet(seed=1)
    with torch.no_grad():
        whole.scores[:] = torch.tensor([0.0, 1.0, 2.0, 0.0])
        for mixture in whole.mixtures:
            for number in ("0", "2"):
                for parameter in mixture.branches[number].parameters():
                    parameter.zero_()
    designs = torch.rand(20, *SHAPE)
    with torch.no_grad():
        wanted = whole(designs)

    def error():
        with torch.no_grad():
            return float(((whole(designs) - wanted) ** 2).mean())

    assert whole.best_path() == (2, 2)
    assert select_by_perturbation(whole, error, np.random.default_rng(0)) == (1, 1)
    torch.testing.assert_close(whole.pruned((1, 1))(designs), whole(designs), rtol=0, atol=0)


def test_perturbation_leaves_the_operation_whose_removal_costs_most_in_every_block(monkeypatch):
    # Has nothing to do with the scores; another operation in each block.
    cost = torch.tensor([[0.1, 0.4, 0.2, 0.3], [0.2, 0.1, 0.3, 0.4]])
    left = []

    def told(supernet, error, *rest):
        choice = select_by_perturbation(supernet, lambda: float((cost * ~supernet.alive).sum()), *rest)
        left.append((choice, supernet.alive.clone()))
        return choice

    monkeypatch.setattr(importlib.import_module(Darts.__module__), "select_by_perturbation", told)
    method = Darts(epochs=2, selection="perturbation", tuning=1)
    result = darts(method, live_lab(space=FOUR, gradients=False), np.random.default_rng(0))
    ((choice, alive),) = left
    assert method.name == "darts-perturbation" and choice == (1, 3)
    assert alive.tolist() == [[False, True, False, False], [False, False, False, True]]
    assert result.architecture == result.supernet.architecture((1, 3))
    assert np.isfinite([result.pruned_error, result.retrained_error]).all()


def test_a_supernet_leaves_the_lab_its_budget_for_the_retraining(monkeypatch):
    ticking(monkeypatch)
    lab = live_lab(budget=6.0, space=FOUR, gradients=False)
    result = darts(Darts(), lab, np.random.default_rng(0))
    # After four epochs of 1 s there is not twice that left.
    assert result.entropy.shape == (4, 2) and lab.spent - lab.trials[0].cpu_seconds < 6 <= lab.spent
    assert [trial.architecture for trial in lab.trials] == [result.architecture]
    assert result.retrained_error == lab.trials[0].error and result.cpu_seconds < 6
    assert np.isnan([result.supernet_error, result.pruned_error, result.gap]).all()
    found = search_with(Darts(), live_lab(budget=6.0, space=FOUR, gradients=False), 0)
    assert found.best == result.architecture and found.error == result.retrained_error
    several = darts(Darts(seeds=(0, 1)), live_lab(budget=6.0, space=FOUR, gradients=False), np.random.default_rng(0))
    assert several.retrained_error == result.retrained_error


def test_choice_by_perturbation_ends_with_the_budget_too(monkeypatch):
    ticking(monkeypatch)
    tuned = []
    monkeypatch.setattr(_Training, "tune", lambda self: tuned.append(self.supernet.alive.sum(dim=1).tolist()))
    lab = live_lab(budget=4.5, space=FOUR, gradients=False)
    result = darts(Darts(epochs=2, selection="perturbation"), lab, np.random.default_rng(0))
    # One of two blocks by perturbation, the other by weight.
    assert [sorted(alive) for alive in tuned] == [[1, 4]]
    assert np.isfinite(result.retrained_error) and lab.spent - lab.trials[0].cpu_seconds < 4.5


def test_a_budget_of_one_epoch_gives_a_choice_without_a_training(monkeypatch):
    ticking(monkeypatch)
    lab = live_lab(budget=1.0, space=FOUR, gradients=False)
    result = darts(Darts(), lab, np.random.default_rng(0))
    assert result.architecture in FOUR and len(result.entropy) == 1 and not lab.trials
    assert np.isnan([result.supernet_error, result.pruned_error, result.retrained_error]).all()
    with pytest.raises(ValueError, match="raise the budget"):
        search_with(Darts(), live_lab(budget=1.0, space=FOUR, gradients=False), 0)
    with pytest.raises(BudgetSpent):
        darts(Darts(), live_lab(budget=0.0, space=FOUR, gradients=False), np.random.default_rng(0))


def test_paths_come_by_falling_product():
    rng = np.random.default_rng(0)
    weights = rng.dirichlet(np.ones(4), size=3).round(1)  # with ties and zeros
    found = list(best_first(weights))
    assert sorted(found) == list(product(range(4), repeat=3))
    scores = np.log(np.maximum(weights, 1e-30))[range(3), found].sum(axis=1)
    assert (np.diff(scores) <= 1e-9).all()
    assert list(best_first(np.full((2, 2), 0.5))) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    # Of 7^40, only those that are taken are made.
    many = list(islice(best_first(rng.dirichlet(np.ones(7), size=40)), 500))
    assert len(set(many)) == 500


def test_the_best_path_of_a_deep_supernet_keeps_to_the_cap(monkeypatch):
    space = replace(FOUR, length=14)  # 4^14 paths
    whole = supernet(space)
    with torch.no_grad():
        whole.scores[:] = torch.tensor([0.0, 3.0, 1.0, 2.0])
        whole.scores[5, 3] = 2.5
    best = whole.architecture(whole.best_path())
    assert best.blocks == (Block("residual", 4),) * 14
    asked = []
    limit = best.n_parameters(SHAPE, 3) - 1
    whole.space = space.capped(Cap(SHAPE, 3, limit))
    monkeypatch.setattr(ArchitectureSpace, "admits", lambda self, a: asked.append(a) or self.cap.admits(a))
    assert whole.best_path() == (1,) * 5 + (3,) + (1,) * 8
    assert len(asked) == 2


def test_a_table_cannot_train_a_supernet():
    with pytest.raises(TypeError, match="LiveLab"):
        darts(Darts(), TableLab(made_up_table()), np.random.default_rng(0))
