"""Labs: what is asked twice is paid once, promotion costs the difference, a kill loses the running rung."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from surrogates import Architecture, Block, TrainingConfig
from surrogates.nas.cache import TrialCache
from surrogates.nas.lab import BudgetSpent, Found, Rung, Shapes, anytime, incumbent, search_with
from surrogates.nas.learner import Learner
from surrogates.nas.live import LiveLab
from surrogates.nas.methods import RandomSearch
from surrogates.nas.table import SearchTable, TableLab, tabulated
from tests.surrogates.nas.problems import RUNGS, SMALL, live_lab, live_task, made_up_table
from tests.surrogates.toy import SHAPE

NETWORK = Architecture((Block("residual", 4),), resolution=6)
NETWORKS = made_up_table().architectures


def learner(task):
    return Learner(NETWORK, task.config, task.samples(task.rungs[-1]), task.codec, 9, seed=3)


def test_training_put_down_and_taken_up_is_the_same_training():
    task = live_task()
    whole = learner(task)
    check = whole.prepared(task.held_out)
    for _ in range(4):
        whole.advance(check, "both")
    first = learner(task)
    for _ in range(2):
        first.advance(check, "both")
    second = learner(task)
    second.resume(first.checkpoint())
    for _ in range(2):
        second.advance(check, "both")
    assert second.curve == whole.curve
    for name, array in whole.weights().items():
        np.testing.assert_array_equal(array, second.weights()[name])


def test_training_learns():
    trial = live_lab().ask(NETWORK)
    assert trial.error == trial.curve[-1] < 0.9 * trial.curve[0]
    assert set(trial.measures) >= {"value_error", "r2", "gradient_cosine", "step_error", "parameters", "latency_ms"}
    assert 0 < trial.measures["step_error"] < 1.5


@pytest.mark.parametrize("make", [live_lab, lambda **k: TableLab(made_up_table(), **k)])
def test_the_same_question_costs_nothing_and_promotion_the_difference(make):
    lab = make()
    network = next(iter(lab.space.everything()))
    low, again = lab.ask(network, 0), lab.ask(network, 0)
    assert again is low and len(lab.trials) == 1
    high = lab.ask(network, 2)
    assert lab.spent == pytest.approx(low.cpu_seconds + high.cpu_seconds)
    direct = make()
    np.testing.assert_array_equal(direct.ask(network, 2).curve, high.curve)
    assert high.rung == 2 and len(high.curve) == RUNGS[-1].epochs
    if isinstance(lab, TableLab):
        assert direct.spent == pytest.approx(lab.spent)


@pytest.mark.parametrize("make", [live_lab, lambda budget: TableLab(made_up_table(), budget)])
def test_a_spent_budget_ends_a_search(make):
    lab = make(budget=1e-9)
    networks = lab.space.everything()
    lab.ask(networks[0], 0)
    with pytest.raises(BudgetSpent):
        lab.ask(networks[1], 0)
    with pytest.raises(BudgetSpent):
        lab.charge(1.0)


def test_searches_share_a_cache_and_pay_alike(tmp_path):
    first = LiveLab(SMALL, live_task(), cache=TrialCache(tmp_path))
    one = first.ask(NETWORK, 1)
    second = LiveLab(SMALL, live_task(), cache=TrialCache(tmp_path))
    other = second.ask(NETWORK, 1)
    assert other.error == one.error and other.cpu_seconds == one.cpu_seconds
    # Goes on from the checkpoint of the first.
    np.testing.assert_array_equal(second.ask(NETWORK, 2).curve, live_lab().ask(NETWORK, 2).curve)


def test_damaged_files_are_trained_again(tmp_path):
    first = LiveLab(SMALL, live_task(), cache=TrialCache(tmp_path))
    wanted = first.ask(NETWORK, 1).error
    for file in tmp_path.iterdir():
        file.write_bytes(file.read_bytes()[: len(file.read_bytes()) // 2])
    assert LiveLab(SMALL, live_task(), cache=TrialCache(tmp_path)).ask(NETWORK, 1).error == wanted


def test_rungs_of_other_data_begin_anew():
    rungs = (Rung(2, share=0.5), Rung(4, share=0.5), Rung(4), Rung(4, resolution=4))
    assert [b.continues(a) for a, b in pairwise(rungs)] == [True, False, False]
    lab = live_lab(rungs=rungs)
    assert len(lab.task.samples(rungs[0])) == 20
    errors = [lab.ask(NETWORK, k).error for k in range(4)]
    assert len(set(errors)) == 4
    assert len({rung.key for rung in rungs}) == 4


def test_a_network_that_diverges_is_told_as_such():
    lab = live_lab(learning_rate=1e18)
    assert lab.ask(NETWORK, 0).error == float("inf")
    with pytest.raises(ValueError, match="finite error"):
        incumbent(lab.trials)


def test_the_incumbent_is_the_best_mean_at_the_highest_rung():
    lab = TableLab(made_up_table())
    a, b, c = lab.space.everything()[:3]
    for network, rung, seed in ((a, 0, 0), (b, 2, 0), (b, 2, 1), (c, 2, 0)):
        lab.ask(network, rung, seed)
    means = {b: lab.table.final[lab.table.number[b]], c: lab.table.error[lab.table.number[c], 2, 0]}
    assert incumbent(lab.trials) == (min(means, key=means.get), pytest.approx(min(means.values())))
    seen = anytime(lab.trials)
    assert seen[0][1] == a and [s for s, _ in seen] == sorted(s for s, _ in seen)


def test_search_ends_with_what_it_found():
    class Two:
        name = "two"

        def __call__(self, lab, rng):
            while True:
                lab.ask(lab.space.sample(rng))

    found = search_with(Two(), TableLab(made_up_table(), 60.0), seed=0)
    assert found.method == "two" and found.spent >= 60.0
    assert found.best in {trial.architecture for trial in found.trials}


def test_a_table_is_what_training_gave_and_survives_its_file(tmp_path):
    lab = live_lab(rungs=RUNGS[:2])
    table = tabulated(lab, "toy", 2, {"made": "here"})
    assert len(table.architectures) == len(SMALL.everything()) == 7
    replay = TableLab(table)
    for network in table.architectures[:3]:
        assert replay.ask(network, 1).error == lab.ask(network, 1).error
    assert replay.ask(table.architectures[0], 1, seed=1).error == lab.ask(table.architectures[0], 1, seed=1).error
    table.save(tmp_path / "table.npz")
    read = SearchTable.load(tmp_path / "table.npz", SMALL)
    assert read.architectures == table.architectures and read.rungs == table.rungs
    np.testing.assert_allclose(read.error, table.error, rtol=1e-6)
    np.testing.assert_allclose(read.curves, table.curves, rtol=1e-6)
    assert set(read.measures) == set(table.measures) and read.notes == {"made": "here"}
    assert read.shapes == table.shapes == lab.shapes == Shapes(SHAPE, lab.task.codec.n_outputs) == TableLab(read).shapes
    (tmp_path / "table.npz").write_bytes(b"no archive")
    with pytest.raises(ValueError, match="does not read"):
        SearchTable.load(tmp_path / "table.npz", SMALL)


def test_a_table_without_shapes_reads(tmp_path):
    table = made_up_table()
    table.save(tmp_path / "old.npz")
    with np.load(tmp_path / "old.npz", allow_pickle=False) as archive:
        assert "shapes" not in str(archive["about"])
    read = SearchTable.load(tmp_path / "old.npz", table.space)
    assert read.shapes is None is TableLab(read).shapes
    replace(read, shapes=Shapes((24, 20), 7)).save(tmp_path / "new.npz")
    assert SearchTable.load(tmp_path / "new.npz", table.space).shapes == Shapes((24, 20), 7)


@pytest.mark.parametrize("bad", [((), 7), ((24, 0), 7), ((24, 20), 0)])
def test_impossible_shapes_are_refused(bad):
    with pytest.raises(ValueError, match="at least 1 each"):
        Shapes(*bad)


@pytest.mark.parametrize("shift", [0, 1, 5])
def test_a_table_answers_for_its_own_seeds_alone(shift):
    table = made_up_table()
    lab = TableLab(table, shift=shift)
    network = table.architectures[0]
    trials = [lab.ask(network, seed=seed) for seed in range(table.seeds)]
    assert lab.seeds == table.seeds == len(trials) and live_lab().seeds is None
    assert [trial.seed for trial in trials] == [0, 1]
    assert {trial.error for trial in trials} == set(table.error[0, -1])
    for seed in (2, -1):
        with pytest.raises(ValueError, match=f"seed from 0 to 1, as many as the table has. Got {seed}"):
            lab.ask(network, seed=seed)
    assert len(lab.trials) == 2


def test_the_rate_of_the_winner_is_that_of_its_best_training():
    lab = TableLab(made_up_table())
    low, high = lab.ask(NETWORKS[0], 0), lab.ask(NETWORKS[0], 2)
    other = lab.ask(NETWORKS[1], 2)
    rated = [replace(t, measures={"learning_rate": r}) for t, r in ((low, 1e-3), (high, 2e-3), (other, 4e-3))]

    def found(trials):
        return Found("by hand", NETWORKS[0], high.error, tuple(trials), lab.spent)

    assert found(rated).learning_rate == 2e-3
    better = replace(rated[1], error=high.error / 2, measures={"learning_rate": 8e-3})
    assert found([*rated, better]).learning_rate == 8e-3
    assert found([low, high, other]).learning_rate is None is found([]).learning_rate


def test_networks_beyond_a_table_are_refused():
    with pytest.raises(KeyError, match="table's space"):
        TableLab(made_up_table()).ask(NETWORK)


def test_gradient_weight_zero_of_the_genotype_counts():
    task = live_task()
    plain = Learner(NETWORK, TrainingConfig(), task.samples(RUNGS[-1]), task.codec, 9, seed=0)
    blind = Learner(
        Architecture(NETWORK.blocks, resolution=6, gradient_weight=0.0), TrainingConfig(), task.samples(RUNGS[-1]),
        task.codec, 9, seed=0,
    )  # fmt: skip
    assert plain.gradient_weight == 1.0 and blind.gradient_weight == 0.0


def test_weights_are_those_of_the_last_rung_at_its_resolution():
    lab = live_lab(rungs=(Rung(1), Rung(2, resolution=4)))
    wanted = lab.weights(NETWORK)
    fresh = NETWORK.build(lab.task.held_out.design_shape, lab.task.codec.n_outputs).state_dict()
    readout = "trunk.readout.linear.weight"
    assert wanted[readout].shape[1] < fresh[readout].shape[1]
    # A table drops its checkpoints: the same training again.
    lab.cache.forget_checkpoint(lab.task.key(NETWORK, 1, 0))
    again = lab.weights(NETWORK)
    assert all(np.array_equal(again[name], array) for name, array in wanted.items())
    with pytest.raises(KeyError, match="diverged"):
        live_lab(rungs=RUNGS[:1], learning_rate=1e18).weights(NETWORK)


def test_a_trial_is_kept_under_all_that_makes_it(monkeypatch):
    task = live_task()
    keys = {task.key(NETWORK, 1, 0), task.key(NETWORK, 2, 0), task.key(NETWORK, 1, 1)}
    keys |= {live_task(rungs=RUNGS[:2]).key(NETWORK, 1, 0), live_task(monitor="value").key(NETWORK, 1, 0)}
    monkeypatch.setattr(torch, "__version__", "0.0")
    assert len(keys | {task.key(NETWORK, 1, 0)}) == 6


@pytest.mark.parametrize("rungs", [(Rung(3), Rung(1)), (Rung(3, share=0.5), Rung(3, share=0.5))])
def test_rungs_that_do_not_ascend_are_refused(rungs):
    with pytest.raises(ValueError, match="more epochs"):
        live_task(rungs=rungs)


def test_a_search_without_any_training_says_so():
    with pytest.raises(ValueError, match="random to train one network at least"):
        search_with(RandomSearch(), TableLab(made_up_table(), 0.0), 0)
