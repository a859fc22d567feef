"""Searches whose leaders are trained again."""

import numpy as np
import pytest

from surrogates.nas.lab import Rung, search_with
from surrogates.nas.methods import Confirmed, FixedNets, RandomSearch, TopK
from surrogates.nas.table import TableLab
from tests.surrogates.nas.problems import live_lab, made_up_table


def budget(table, networks: float) -> float:
    return networks * float(table.cpu_seconds[:, :, 0].sum(axis=1).mean())


def test_the_winner_has_all_its_seeds_and_nobody_with_one_beats_it():
    table = made_up_table(noise=0.1)
    lab = TableLab(table, budget(table, 40))
    found = search_with(Confirmed(RandomSearch()), lab, 0)
    own = {trial.seed for trial in found.trials if trial.architecture == found.best}
    assert own == {0, 1}
    assert found.error == pytest.approx(table.final[table.number[found.best]])
    assert lab.budget_cpu_seconds == budget(table, 40)
    assert found.spent <= lab.budget_cpu_seconds + table.cpu_seconds.sum(axis=1).max()


def test_under_noise_it_finds_better_networks_at_the_same_cost():
    table = made_up_table(noise=0.3)
    spent = budget(table, 160)

    def finals(of) -> np.ndarray:
        labs = [TableLab(table, spent, shift=seed) for seed in range(40)]
        found = [search_with(of, lab, seed) for seed, lab in enumerate(labs)]
        return np.array([table.final[table.number[one.best]] for one in found])

    gain = finals(RandomSearch()) - finals(Confirmed(RandomSearch()))
    assert gain.mean() > max(0.005, 2 * gain.std() / np.sqrt(len(gain)))


def test_without_a_budget_the_method_ends_by_itself():
    found = search_with(Confirmed(TopK(3, 2, rounds=1), seeds=3), live_lab(rungs=(Rung(1), Rung(2))), 0)
    seeds = [trial.seed for trial in found.trials if trial.architecture == found.best and trial.rung == 1]
    assert sorted(seeds) == [0, 1, 2]
    assert len({trial.architecture for trial in found.trials}) == 3


def test_nothing_is_trained_that_the_budget_does_not_allow():
    table = made_up_table()
    lab = TableLab(table, budget(table, 0.5))
    assert search_with(Confirmed(RandomSearch()), lab, 0).trials


@pytest.mark.parametrize("bad", [{"share": 1.0}, {"share": 0.0}, {"seeds": 1}])
def test_what_cannot_be_is_refused(bad):
    with pytest.raises(ValueError, match="Expected a share"):
        Confirmed(RandomSearch(), **bad)


def test_a_tuned_leader_is_trained_again_at_its_own_rate():
    lab = live_lab(rungs=(Rung(1),))
    networks = tuple(lab.space.everything()[:2])
    found = search_with(Confirmed(FixedNets(networks, (1e-4, 1e-2))), lab, 0)
    own = [trial for trial in found.trials if trial.architecture == found.best]
    assert [trial.seed for trial in own] == [0, 1]
    assert len({trial.measures["learning_rate"] for trial in own}) == 1
    assert own[1].error == lab.at_rate(own[0].measures["learning_rate"]).ask(found.best, 0, 1).error
    assert lab.spent == pytest.approx(found.trials[-1].spent)
