"""Searches whose leaders are trained again."""

from dataclasses import replace

import numpy as np
import pytest

from surrogates.nas.lab import Rung, search_with
from surrogates.nas.live import LiveLab
from surrogates.nas.methods import Confirmed, FixedNets, RandomSearch, TopK
from surrogates.nas.table import TableLab
from tests.surrogates.nas.problems import live_lab, made_up_table, ticking


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


def begun(lab) -> np.ndarray:
    """CPU seconds that were spent when each training began."""
    return np.array([trial.spent - trial.cpu_seconds for trial in lab.trials])


def test_nothing_is_trained_that_the_budget_does_not_allow():
    table = made_up_table()
    table = replace(
        table,
        error=np.tile(table.error, (1, 1, 20)),
        cpu_seconds=np.tile(table.cpu_seconds, (1, 1, 20)),
        measures={name: np.tile(values, (1, 1, 20)) for name, values in table.measures.items()},
        curves=np.tile(table.curves, (1, 1, 20)),
    )
    whole = budget(table, 30)
    lab = TableLab(table, whole)
    search_with(Confirmed(RandomSearch(), share=0.5, seeds=table.seeds), lab, 0)
    again = np.array([trial.seed > 0 for trial in lab.trials])
    # The method begins within its share, the leaders within the whole: until that is spent, as seeds are left.
    assert begun(lab)[~again].max() < 0.5 * whole <= begun(lab)[again].min()
    assert again.sum() > 5 and begun(lab).max() < whole <= lab.spent
    # Of a budget that the first training spends nothing is left to confirm it.
    lab = TableLab(table, budget(table, 0.1))
    search_with(Confirmed(RandomSearch()), lab, 0)
    assert len(lab.trials) == 1


def test_nothing_is_trained_again_at_another_rate_beyond_the_budget(monkeypatch):
    ticking(monkeypatch)
    spent, learner = [], LiveLab._learner
    monkeypatch.setattr(LiveLab, "_learner", lambda self, *what: spent.append(lab.spent) or learner(self, *what))
    lab = live_lab(budget=8.0, rungs=(Rung(1),))
    networks = tuple(lab.space.everything()[:2])
    search_with(Confirmed(FixedNets(networks, (1e-4, 1e-2)), share=0.5, seeds=99), lab, 0)
    # Each takes a second: four of the method, at either rate, and four of the leader.
    assert spent == list(range(8)) and lab.spent == 8.0
    assert sum(trial.seed > 0 for trial in lab.trials) == 4


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
