"""Labs: what is asked twice is paid once, promotion costs the difference, a kill loses the running rung."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from surrogates import Architecture, Block, DataError, LevelData, TrainingConfig
from surrogates.nas import live
from surrogates.nas.cache import TrialCache
from surrogates.nas.lab import BudgetSpent, Found, Rung, Shapes, anytime, chain, incumbent, search_with, unpaid
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
    lab, seen = make(), []
    lab.watch = seen.append
    network = next(iter(lab.space.everything()))
    low, again = lab.ask(network, 0), lab.ask(network, 0)
    assert again is low and len(lab.trials) == 1
    high = lab.ask(network, 2)
    assert seen == lab.trials == [low, high]
    assert lab.spent == pytest.approx(low.cpu_seconds + high.cpu_seconds)
    direct = make()
    np.testing.assert_array_equal(direct.ask(network, 2).curve, high.curve)
    assert high.rung == 2 and len(high.curve) == RUNGS[-1].epochs
    if isinstance(lab, TableLab):
        assert direct.spent == pytest.approx(lab.spent)


# Three trainings: rungs 0 and 1, rung 2, rungs 3 and 4.
MIXED = (Rung(1, share=0.5), Rung(2, share=0.5), Rung(1, resolution=4), Rung(1), Rung(3))


def test_rungs_of_one_training_are_paid_from_the_highest_that_was_asked():
    assert [chain(MIXED, k) for k in range(5)] == [range(2), range(2), range(2, 3), range(3, 5), range(3, 5)]
    for number, asked, owed in (
        (1, (), [0, 1]), (1, (0,), [1]), (0, (1,), []), (1, (0, 1), []),
        (4, (0, 1, 2), [3, 4]), (4, (3,), [4]), (3, (4, 1), []), (2, (1, 3), [2]),
    ):  # fmt: skip
        assert list(unpaid(MIXED, number, lambda k, asked=asked: k in asked)) == owed


def mixed_table() -> SearchTable:
    """Of those rungs; each takes a second."""
    table = made_up_table(rungs=MIXED)
    return replace(table, cpu_seconds=np.ones_like(table.cpu_seconds))


@pytest.mark.parametrize(
    "make", [lambda: live_lab(rungs=MIXED), lambda: TableLab(mixed_table())], ids=["live", "table"]
)
def test_a_rung_that_a_paid_training_came_through_costs_nothing(make):
    lab = make()
    network = next(iter(lab.space.everything()))
    top = lab.ask(network, 4)
    low = lab.ask(network, 3)
    assert low.cpu_seconds == 0 and low.spent == lab.spent == top.cpu_seconds > 0
    np.testing.assert_array_equal(low.curve, top.curve[:1])
    # Other trainings of the network are not paid with it.
    for rung in (2, 1):
        assert lab.ask(network, rung).cpu_seconds > 0
    before = lab.spent
    assert lab.ask(network, 0).cpu_seconds == 0 and lab.spent == before
    assert lab.ask(network, 3, seed=1).cpu_seconds > 0
    assert len(lab.trials) == 6


def test_all_that_a_rung_takes_is_charged(monkeypatch):
    clock = [0.0]

    def timed(*args):
        clock[0] += 5.0
        return 1000.0

    advance = Learner.advance

    def slow(*args):
        clock[0] += 1.0
        return advance(*args)

    monkeypatch.setattr(live.time, "process_time", lambda: clock[0])
    monkeypatch.setattr(live, "latency_ms", timed)
    monkeypatch.setattr(Learner, "advance", slow)
    lab = live_lab()
    assert [lab.ask(NETWORK, rung).cpu_seconds for rung in (0, 1)] == [6.0, 7.0]


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


def epochs_trained(monkeypatch) -> list[int]:
    """Grows by the number of each epoch that is trained."""
    epochs: list[int] = []
    advance = Learner.advance

    def counted(self, *rest):
        epochs.append(self.epoch + 1)
        return advance(self, *rest)

    monkeypatch.setattr(Learner, "advance", counted)
    return epochs


@pytest.mark.parametrize("on_disk", [False, True])
def test_of_a_training_the_highest_checkpoint_alone_is_kept(tmp_path, monkeypatch, on_disk):
    task, epochs = live_task(), epochs_trained(monkeypatch)
    cache = TrialCache(tmp_path if on_disk else None)
    first = LiveLab(SMALL, task, cache=cache)

    def kept():
        return [k for k in range(3) if cache.checkpoint(task.key(NETWORK, k, 0)) is not None]

    first.ask(NETWORK, 0)
    assert kept() == [0]
    middle = first.ask(NETWORK, 1)
    assert kept() == [1] and epochs == [1, 2, 3]
    # Who comes later finds the lower rung, and goes on from the highest; as after a kill.
    cache = TrialCache(tmp_path) if on_disk else cache
    second = LiveLab(SMALL, task, cache=cache)
    assert second.ask(NETWORK, 0).error == first.ask(NETWORK, 0).error and second.ask(NETWORK, 1).error == middle.error
    assert epochs == [1, 2, 3] and second.spent == first.spent
    top = second.ask(NETWORK, 2)
    assert kept() == [2] and epochs == list(range(1, 10))
    assert len(list(tmp_path.glob("*.json"))) == (3 if on_disk else 0)
    # All dropped: the same network once more.
    wanted, judged = second.weights(NETWORK), second.judged(NETWORK, task.held_out)
    assert epochs == list(range(1, 10)) and judged["value_error"] == top.measures["value_error"]
    cache.forget_checkpoint(task.key(NETWORK, 2, 0))
    again = second.weights(NETWORK)
    assert epochs == [*range(1, 10), *range(1, 10)] and kept() == []
    assert all(np.array_equal(again[name], array) for name, array in wanted.items())
    assert second.judged(NETWORK, task.held_out) == judged


def test_entries_stay_as_they_are_where_training_comes_through_them_again(tmp_path, monkeypatch):
    task = live_task()
    wanted = live_lab().ask(NETWORK, 2)
    first = LiveLab(SMALL, task, cache=TrialCache(tmp_path))
    costs = [first.ask(NETWORK, k).cpu_seconds for k in (0, 1)]
    for file in tmp_path.glob("*.npz"):
        file.unlink()
    epochs = epochs_trained(monkeypatch)
    second = LiveLab(SMALL, task, cache=TrialCache(tmp_path))
    np.testing.assert_array_equal(second.ask(NETWORK, 2).curve, wanted.curve)
    assert epochs == list(range(1, 10)) and len(list(tmp_path.glob("*.npz"))) == 1
    third = LiveLab(SMALL, task, cache=TrialCache(tmp_path))
    assert [third.ask(NETWORK, k).cpu_seconds for k in (0, 1)] == costs
    # An entry lost below others that are there.
    (tmp_path / f"{task.key(NETWORK, 0, 0)}.json").unlink()
    fourth = LiveLab(SMALL, task, cache=TrialCache(tmp_path))
    assert fourth.ask(NETWORK, 2).error == wanted.error and epochs == [*range(1, 10), 1]


def test_a_checkpoint_that_another_process_drops_is_not_missed(tmp_path, monkeypatch):
    task = live_task()
    other = LiveLab(SMALL, task, cache=TrialCache(tmp_path))
    other.ask(NETWORK, 0)
    epochs = epochs_trained(monkeypatch)

    class Late(TrialCache):
        """Before its first look at a checkpoint the other process goes on from it."""

        def checkpoint(self, key):
            if not epochs:
                other.ask(NETWORK, 1)
            return super().checkpoint(key)

    late = LiveLab(SMALL, task, cache=Late(tmp_path))
    assert late.ask(NETWORK, 2).error == other.ask(NETWORK, 2).error
    assert epochs == list(range(1 + RUNGS[0].epochs, 10))  # none of them twice


def test_a_network_that_diverges_later_keeps_the_checkpoint_below(monkeypatch):
    lab, advance = live_lab(), Learner.advance

    def diverges(self, *rest):
        if self.epoch >= 2:
            raise live.TrainingDiverged("Expected a finite error. Got nan.")
        return advance(self, *rest)

    monkeypatch.setattr(Learner, "advance", diverges)
    assert np.isfinite(lab.ask(NETWORK, 0).error) and len(lab.ask(NETWORK, 1).curve) == 2
    assert lab.ask(NETWORK, 2).error == lab.ask(NETWORK, 1).error == float("inf")
    assert [lab.cache.checkpoint(lab.task.key(NETWORK, k, 0)) is not None for k in range(3)] == [True, False, False]


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
    with pytest.raises(ValueError, match="asked nothing yet"):
        tabulated(lab, "toy", 2, {})
    (tmp_path / "table.npz").write_bytes(b"no archive")
    with pytest.raises(ValueError, match="does not read"):
        SearchTable.load(tmp_path / "table.npz", SMALL)


def test_a_tables_curve_is_that_of_the_last_rungs_training_alone():
    table = mixed_table()
    lab = TableLab(table)
    curves = [lab.ask(NETWORKS[0], k).curve for k in range(5)]
    assert [len(curve) for curve in curves] == [0, 0, 0, 1, 3]
    for curve in curves[3:]:
        np.testing.assert_array_equal(curve, table.curves[0, : len(curve), 0])


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


def test_tasks_refuse_samples_that_cannot_judge():
    task = live_task()
    held = task.held_out
    shape, response = held.designs.shape[1:], held.responses
    with pytest.raises(DataError, match="split by groups"):
        replace(task, held_out=task.train.levels[task.train.reference])
    with pytest.raises(DataError, match=rf"Expected held-out designs of shape \({shape[0]}, "):
        replace(task, held_out=LevelData.values_only(held.designs[:, 1:], response, held.groups))
    with pytest.raises(DataError, match=r"with \{'other'"):
        replace(task, held_out=LevelData.values_only(held.designs, {"other": np.zeros(len(held))}, held.groups))
