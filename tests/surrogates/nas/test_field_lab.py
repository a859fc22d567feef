"""Searches on the error of whole fields: the same methods, the same bookkeeping as for responses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from surrogates import Architecture, Block
from surrogates.data import DataError
from surrogates.families import mlp
from surrogates.fields import FieldTraining, helmholtz
from surrogates.nas.cache import TrialCache
from surrogates.nas.field_lab import FieldLab, FieldTask
from surrogates.nas.field_learner import FieldLearner
from surrogates.nas.lab import BudgetSpent, Rung, Shapes, incumbent, search_with
from surrogates.nas.methods import (
    Bananas,
    Evolution,
    FixedNets,
    FreezeThaw,
    GaussianProcess,
    Hyperband,
    LocalSearch,
    ProxyRanking,
    RandomSearch,
    SuccessiveHalving,
    TopK,
    TpeHyperband,
)
from surrogates.nas.space import ArchitectureSpace
from tests.surrogates.fields.toy import SHAPE, SOURCE, SPACING, solved

RUNGS = (Rung(1), Rung(3), Rung(9))
TRAIN, HELD_OUT = solved(32, 1), solved(16, 2)
SPACE = ArchitectureSpace(
    length=2, operations=(("spectral", 3), ("residual", 0), ("identity", 0)), widths=(4,), resolutions=(6,)
)
NETWORK = Architecture((Block("residual", 4),), resolution=6)
CONFIG = FieldTraining(batch_size=8, learning_rate=1e-2)
CACHE = TrialCache()


def equation():
    return helmholtz(lambda d, c: 0.5 * d + (1 + 0.4j), lambda c: c[:, 0], torch.from_numpy(SOURCE), SPACING)


def task(rungs=RUNGS, config=CONFIG, **given) -> FieldTask:
    return FieldTask(TRAIN, HELD_OUT, config, rungs, **given)


def lab(budget=float("inf"), cache=None, space=SPACE, watch=None, **given) -> FieldLab:
    return FieldLab(space, task(**given), budget, cache or TrialCache(), watch=watch)


@pytest.fixture(scope="module")
def final():
    """Error of all seven networks, fully trained."""
    whole = FieldLab(SPACE, task(), cache=CACHE)
    return {network: whole.ask(network).error for network in SPACE.everything()}


def test_what_is_judged_is_the_averaged_networks_field_of_other_groups(final):
    one = FieldLab(SPACE, task(), cache=CACHE)
    trial = one.ask(NETWORK)
    learner = one.task.learner(NETWORK, 2, 0)
    learner.resume(CACHE.checkpoint(one.task.key(NETWORK, 2, 0)))
    designs, conditions, _ = HELD_OUT.tensors()
    predicted = learner.averaged(designs, one.task.units.conditions(conditions)).numpy()
    predicted = predicted * np.sqrt(np.mean(np.abs(TRAIN.fields) ** 2))
    errors = [np.linalg.norm(p - f) / np.linalg.norm(f) for p, f in zip(predicted, HELD_OUT.fields, strict=True)]
    assert trial.error == final[NETWORK] == pytest.approx(np.mean(errors), rel=1e-5)
    assert trial.error == trial.curve[-1] == trial.measures["relative_error"] < 0.9 * trial.curve[0]
    assert len(trial.curve) == 9
    assert trial.measures["parameters"] > 0 and trial.measures["latency_ms"] > 0
    assert "residual" not in trial.measures


@pytest.mark.parametrize(
    "method",
    [
        RandomSearch(),
        TopK(networks=5, keep=3, rounds=1),
        SuccessiveHalving(networks=6),
        GaussianProcess(initial=3),
        Evolution(population=3, sample=2),
        LocalSearch(),
        Bananas(initial=3),
        Hyperband(),
        TpeHyperband(),
        FreezeThaw(initial=3),
        ProxyRanking(networks=7, keep=4, rounds=1),
    ],
    ids=lambda method: method.name,
)
def test_methods_search_on_the_error_of_fields(method, final):
    found = search_with(method, FieldLab(SPACE, task(), 60.0, CACHE), seed=0)
    assert found.error == final[found.best] <= np.median(list(final.values()))
    assert found.spent >= sum(trial.cpu_seconds for trial in found.trials)


def test_the_learning_rate_is_tuned_for_given_networks():
    networks = (mlp(), NETWORK)
    found = search_with(FixedNets(networks, (1e-3, 1e-2)), lab(rungs=RUNGS[:2]), seed=0)
    # A network behind the stem "pixels" has no field.
    assert [np.isfinite(trial.error) for trial in found.trials] == [False, True]
    assert (found.trials[0].cpu_seconds, found.best, found.learning_rate) == (0.0, NETWORK, 1e-2)


def test_charges_add_up_and_promotion_costs_the_difference():
    one = lab()
    low, again = one.ask(NETWORK, 0), one.ask(NETWORK, 0)
    assert again is low and len(one.trials) == 1
    high, other = one.ask(NETWORK, 2), one.ask(NETWORK, 0, seed=1)
    assert one.spent == pytest.approx(low.cpu_seconds + high.cpu_seconds + other.cpu_seconds)
    assert min(low.cpu_seconds, high.cpu_seconds) > 0
    direct = lab()
    np.testing.assert_array_equal(direct.ask(NETWORK, 2).curve, high.curve)
    # From the cache of the first, at the same charge: of all rungs, where none was paid for.
    cached = lab(cache=one.cache)
    assert cached.ask(NETWORK, 2).cpu_seconds == pytest.approx(low.cpu_seconds + high.cpu_seconds)
    assert cached.ask(NETWORK, 0).cpu_seconds == 0


def test_searches_share_a_folder_and_go_on_from_its_checkpoints(tmp_path):
    one = lab(cache=TrialCache(tmp_path)).ask(NETWORK, 1)
    second = lab(cache=TrialCache(tmp_path))
    other = second.ask(NETWORK, 1)
    assert (other.error, other.cpu_seconds) == (one.error, one.cpu_seconds)
    np.testing.assert_array_equal(second.ask(NETWORK, 2).curve, lab().ask(NETWORK, 2).curve)
    assert (len(list(tmp_path.glob("*.json"))), len(list(tmp_path.glob("*.npz")))) == (3, 1)


def test_the_key_tells_what_decides_a_trial_and_nothing_else():
    base = task()
    key = base.key(NETWORK, 1, 0)
    for same in (replace(NETWORK, resolution=9), replace(NETWORK, head="mean"), replace(NETWORK, gradient_weight=0.0)):
        assert base.key(same, 1, 0) == key
    others = [
        base.key(replace(NETWORK, padding="circular"), 1, 0),
        base.key(NETWORK, 2, 0),
        base.key(NETWORK, 1, 1),
        task(config=replace(CONFIG, learning_rate=1e-3)).key(NETWORK, 1, 0),
        task(conditioning="attention").key(NETWORK, 1, 0),
        task(residual=equation(), residual_identity="toy").key(replace(NETWORK, gradient_weight=1.0), 1, 0),
        FieldTask(TRAIN, solved(8, 3), CONFIG, RUNGS).key(NETWORK, 1, 0),
    ]
    assert len({key, *others}) == 1 + len(others)


def test_shares_begin_anew():
    half = lab(rungs=(Rung(2, share=0.5), Rung(4, share=0.5), Rung(4)))
    assert len(half.task.samples(half.rungs[0])) == 16
    assert len({half.ask(NETWORK, k).error for k in range(3)}) == 3
    keys = {half.task.key(NETWORK, k, 0) for k in range(3)} | {task(rungs=(Rung(4),)).key(NETWORK, 0, 0)}
    assert len(keys) == 3  # all samples for four epochs are the same training, whatever else is asked


def test_a_checkpoint_that_another_process_drops_is_not_missed(tmp_path, monkeypatch):
    other, epochs = lab(cache=TrialCache(tmp_path)), []
    other.ask(NETWORK, 0)
    advance = FieldLearner.advance
    monkeypatch.setattr(FieldLearner, "advance", lambda self, *rest: epochs.append(self.epoch) or advance(self, *rest))

    class Late(TrialCache):
        """Before its first look at a checkpoint the other process goes on from it."""

        def checkpoint(self, key):
            if not epochs:
                other.ask(NETWORK, 1)
            return super().checkpoint(key)

    seen = []
    late = lab(cache=Late(tmp_path), watch=seen.append)
    assert late.ask(NETWORK, 2).error == other.ask(NETWORK, 2).error
    assert epochs == list(range(1, 9))  # none of them twice
    assert seen == late.trials


def test_a_spent_budget_ends_a_search():
    one = lab(budget=1e-9)
    one.ask(NETWORK, 0)
    with pytest.raises(BudgetSpent):
        one.ask(NETWORK, 1)
    with pytest.raises(BudgetSpent):
        one.charge(1.0)


def test_a_network_that_diverges_has_an_infinite_error_and_is_charged():
    one = lab(config=replace(CONFIG, learning_rate=1e18))
    low, high = one.ask(NETWORK, 0), one.ask(NETWORK, 2)
    assert low.error == high.error == float("inf")
    assert one.spent >= low.cpu_seconds > 0
    with pytest.raises(ValueError, match="finite error"):
        incumbent(one.trials)


def test_the_weight_of_the_equation_is_searched_as_a_gene():
    weights = replace(SPACE, operations=(("residual", 0),), length=1, gradient_weights=(None, 2.0))
    given = {"residual": equation(), "residual_identity": "toy", "unsolved": solved(16, 3), "rungs": RUNGS[1:]}
    one = lab(space=weights, **given)
    found = search_with(RandomSearch(), one, seed=0)
    trials = {trial.architecture.gradient_weight: trial for trial in found.trials if trial.rung == 1}
    assert set(trials) == {None, 2.0}
    assert trials[2.0].measures["residual"] < 0.8 * trials[None].measures["residual"]
    ensemble = one.task.ensemble(trials[2.0].architecture, members=1)
    assert (ensemble.config.residual_weight, ensemble.config.epochs) == (2.0, 9)
    assert ensemble.fit(TRAIN, seed=0, residual=one.task.residual, unsolved=one.task.unsolved).relative_error > 0
    assert one.task.training(trials[None].architecture).residual_weight == 0


def test_misuse():
    with pytest.raises(ValueError, match="stem 'grid'"):
        lab(space=replace(SPACE, stems=("pixels",)))
    with pytest.raises(ValueError, match="one value of resolution"):
        lab(space=replace(SPACE, resolutions=(6, 8)))
    with pytest.raises(ValueError, match=r"a residual to give a weight of 0\.1"):
        lab(space=replace(SPACE, gradient_weights=(0.0, 0.1)))
    with pytest.raises(ValueError, match="a residual to give a weight of 2"):
        task(config=replace(CONFIG, residual_weight=2.0))
    with pytest.raises(ValueError, match="residual_identity"):
        task(residual=equation())
    with pytest.raises(ValueError, match="order them"):
        task(rungs=(Rung(3), Rung(1)))
    with pytest.raises(ValueError, match="epochs and share"):
        task(rungs=(Rung(3, resolution=4),))
    with pytest.raises(ValueError, match="one rung"):
        task(rungs=())
    with pytest.raises(DataError, match="not trained on"):
        FieldTask(TRAIN, TRAIN, CONFIG, RUNGS)
    with pytest.raises(DataError, match="of the shapes"):
        task(unsolved=replace(HELD_OUT, conditions=None))
    assert lab().shapes == Shapes(SHAPE, 2)
