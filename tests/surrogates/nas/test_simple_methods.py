"""Methods that ask for ordinary trainings: each does what its paper says of it, and beats chance where it says so."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import binomtest

from surrogates import Architecture, Block
from surrogates.families import FAMILIES, baseline
from surrogates.nas.lab import search_with
from surrogates.nas.learner import Learner, monitored
from surrogates.nas.methods import Evolution, FixedNets, LocalSearch, RandomSearch, TopK
from surrogates.nas.methods.fresh import fresh
from surrogates.nas.space import ArchitectureSpace, Cap
from surrogates.nas.table import SearchTable, TableLab
from tests.surrogates.nas.problems import RUNGS, SMALL, full_cost, live_lab, made_up_table


def final_errors(method, offset: int = 0) -> np.ndarray:
    """Of the networks found in ``tables x seeds`` replays, each at the cost of 30 networks."""
    found = np.zeros((4, 40))
    for number, row in enumerate(found):
        table = made_up_table(seed=number)
        for seed in range(len(row)):
            lab = TableLab(table, 30 * full_cost(table), shift=seed)
            row[seed] = table.final[table.number[search_with(method, lab, seed + offset).best]]
    return found


def no_better(method, offset: int = 0) -> float:
    """Sign test in pairs of replays: the chance that a method which is no better than random search does as well."""
    own, chance = final_errors(method, offset), final_errors(RandomSearch())
    better, worse = int((own < chance).sum()), int((own > chance).sum())
    return float(binomtest(better, better + worse, alternative="greater").pvalue)


def test_random_search_tries_everything_once_and_ends():
    lab = TableLab(made_up_table())
    found = search_with(RandomSearch(), lab, 0)
    assert [t.architecture for t in found.trials] != lab.space.everything()
    assert {t.architecture for t in found.trials} == set(lab.space.everything())
    assert len(found.trials) == len(lab.space.everything()) and {t.rung for t in found.trials} == {2}


def test_searches_are_repeated_by_their_seed():
    for method in (RandomSearch(), TopK(10, 2), LocalSearch(), Evolution()):
        one, two, other = (
            [t.architecture for t in search_with(method, TableLab(made_up_table(), 200.0), seed).trials]
            for seed in (3, 3, 4)
        )
        assert one == two != other


def test_fresh_networks_end_with_the_space():
    rng = np.random.default_rng(0)
    everything = SMALL.everything()
    assert fresh(SMALL, rng, set(everything[:-1])) == everything[-1]
    assert fresh(SMALL, rng, set(everything[:-1]), lambda: everything[0]) == everything[-1]
    assert fresh(SMALL, rng, set(everything)) is None


def with_first_rung(correlated: bool) -> SearchTable:
    """A table whose first rung ranks networks exactly as the last, or not at all."""
    table = made_up_table(noise=0.0)
    error = table.error.copy()
    rng = np.random.default_rng(0)
    for seed in range(table.seeds):
        error[:, 0, seed] = 0.5 + error[:, -1, seed] if correlated else rng.permutation(error[:, -1, seed])
    return replace(table, error=error)


def test_top_k_is_as_good_as_its_first_rung():
    good, blind = with_first_rung(True), with_first_rung(False)
    everything = len(good.architectures)
    method = TopK(networks=everything, keep=3, rounds=1)
    found = search_with(method, TableLab(good), 0)
    assert found.error == good.error[:, -1, 0].min()
    # All at the first rung, three to the end.
    assert len(found.trials) == everything + 3
    assert found.spent < good.cpu_seconds[:, :, 0].sum() / 4
    for seed in range(2):
        assert search_with(method, TableLab(blind, shift=seed), seed).error > good.error[:, -1, seed].min() + 0.01


@pytest.mark.parametrize("first_better", [True, False])
def test_local_search_ends_where_no_neighbour_is_better(first_better):
    table = made_up_table()
    for seed in range(5):
        lab = TableLab(table)
        found = search_with(LocalSearch(first_better=first_better, descents=1), lab, seed)
        around = table.space.neighbours(found.best)
        tried = {t.architecture: t.error for t in found.trials}
        assert set(around) <= set(tried)
        assert all(tried[neighbour] >= found.error for neighbour in around)
    assert len(search_with(LocalSearch(descents=3), TableLab(table), 0).trials) > len(found.trials)


def lucky_table() -> tuple[SearchTable, Architecture]:
    """A middling network whose first training came out far below all others; its next forty do not."""
    table = made_up_table(noise=0.0)
    row = int(np.argsort(table.final)[len(table.final) // 2])
    error, seconds, curves = (
        np.repeat(a[:, :, 1:], 40, axis=2) for a in (table.error, table.cpu_seconds, table.curves)
    )
    error[row, :, 0] = 0.01
    return replace(table, error=error, cpu_seconds=seconds, curves=curves, measures={}), table.architectures[row]


def test_ageing_forgets_a_lucky_network_that_the_other_keeps():
    table, lucky = lucky_table()
    near = {lucky, *table.space.neighbours(lucky)}

    def late_children_near_it(ageing: bool, seed: int) -> float:
        lab = TableLab(table)
        lab.space = Biased(lab.space, lucky)
        method = Evolution(population=12, sample=24, ageing=ageing, retrain=True, cycles=150)
        found = [t.architecture for t in search_with(method, lab, seed).trials]
        assert found[0] == lucky
        return float(np.mean([architecture in near for architecture in found[-40:]]))

    ageing, other = (np.mean([late_children_near_it(kind, seed) for seed in range(4)]) for kind in (True, False))
    assert ageing < 0.4 < 0.6 < other


class Biased:
    """A space whose first draw is given."""

    def __init__(self, space: ArchitectureSpace, first: Architecture) -> None:
        self.space, self.first = space, [first]

    def sample(self, rng):
        """The given one first."""
        return self.first.pop() if self.first else self.space.sample(rng)

    def __getattr__(self, name):
        return getattr(self.space, name)


def test_evolution_breeds_by_one_gene():
    table = made_up_table()
    found = search_with(Evolution(population=5, sample=3, cycles=30), TableLab(table), 1)
    trials = found.trials
    assert len(trials) == 35 and len({t.architecture for t in trials}) == 35
    known = [t.architecture for t in trials[:5]]
    bred = 0
    for trial in trials[5:]:
        bred += any(trial.architecture in table.space.neighbours(parent) for parent in known[-5:])
        known.append(trial.architecture)
    assert bred >= 28


@pytest.mark.parametrize("method", [TopK(40, 4), LocalSearch(), Evolution(population=8)])
def test_cheap_searches_beat_chance(method):
    assert no_better(method) < 1e-3


def test_chance_does_not_beat_chance():
    assert min(no_better(RandomSearch(), offset) for offset in (1000, 2000, 3000)) > 0.01


def test_fixed_nets_are_asked_in_order_of_a_table():
    lab = TableLab(made_up_table())
    search_with(FixedNets(), lab, 0)
    wanted = [baseline(name) for name in FAMILIES if baseline(name) in lab.space]
    assert [t.architecture for t in lab.trials] == wanted and len(wanted) >= 2


def test_fixed_nets_are_each_trained_at_their_best_rate():
    networks = (
        Architecture((Block("residual", 4),), resolution=6),
        Architecture((Block("spectral", 4),), resolution=6),
    )
    rates = (1e-6, 1e-2)
    lab = live_lab(rungs=RUNGS[:1])
    found = search_with(FixedNets(networks, rates), lab, 0)
    assert [t.architecture for t in found.trials] == list(networks)
    assert [t.measures["learning_rate"] for t in found.trials] == [1e-2, 1e-2]
    for trial in found.trials:
        assert trial.error == lab.at_rate(1e-2).ask(trial.architecture).error
        assert trial.error < lab.at_rate(1e-6).ask(trial.architecture).error
    assert found.learning_rate == 1e-2
    # The winner's own weights, unlike those at the lab's rate, have its error.
    trained, check = lab.at_rate(found.learning_rate), lab.task.held_out
    learner = Learner(found.best, trained.task.config, lab.task.samples(RUNGS[0]), lab.task.codec, 1, 0)
    learner.network.load_state_dict({n: torch.from_numpy(a) for n, a in trained.weights(found.best).items()})
    learner.average = learner.network.state_dict()
    assert monitored(learner.measure(learner.prepared(check)), lab.task.config.monitor) == pytest.approx(found.error)
    assert any(not np.array_equal(a, lab.weights(found.best)[n]) for n, a in trained.weights(found.best).items())
    assert found.spent == pytest.approx(sum(t.cpu_seconds for t in found.trials))
    one = live_lab(budget=1e-9, rungs=RUNGS[:1])
    assert len(search_with(FixedNets(networks, rates), one, 0).trials) == 1


def test_fixed_nets_of_another_space_are_refused():
    other = FixedNets((Architecture((Block("residual", 4),), resolution=6),))
    with pytest.raises(ValueError, match="of the table's space"):
        search_with(other, TableLab(made_up_table()), 0)


def test_fixed_nets_beyond_the_cap_are_left_out():
    small, large = (Architecture((Block("residual", width),), resolution=6) for width in (4, 16))
    lab = live_lab(rungs=RUNGS[:1])
    design_shape, n_outputs = lab.shapes.design_shape, lab.shapes.n_outputs
    most = small.n_parameters(design_shape, n_outputs)
    lab.space = SMALL.capped(Cap(design_shape, n_outputs, most))
    for rates in ((), (1e-2,)):
        found = search_with(FixedNets((large, small), rates), lab, 0)
        assert {trial.architecture for trial in found.trials} == {small}
    lab.space = SMALL.capped(Cap(design_shape, n_outputs, most - 1))
    with pytest.raises(ValueError, match="within the cap"):
        FixedNets((large, small), ())(lab, np.random.default_rng(0))
    # The space's genes have no part in it.
    blind = replace(small, coordinates=False)
    assert blind not in SMALL and blind.n_parameters(design_shape, n_outputs) < most
    FixedNets((large, blind), ())(lab, np.random.default_rng(0))
    assert lab.trials[-1].architecture == blind


def test_evolution_ends_where_a_table_has_nothing_more_to_tell():
    table = made_up_table()
    small = table.space.everything()[:6]
    lab = TableLab(table)
    lab.space = Few(table.space, small)
    found = search_with(Evolution(population=3, retrain=True), lab, 0)
    assert {t.architecture for t in found.trials} == set(small) and len(found.trials) == 6 * table.seeds


class Few:
    """Some networks of a space, all neighbours of each other."""

    def __init__(self, space: ArchitectureSpace, networks) -> None:
        self.space, self.networks = space, networks

    def sample(self, rng):
        """One of them."""
        return self.networks[rng.integers(len(self.networks))]

    def mutate(self, architecture, rng):
        """Any of them."""
        return self.sample(rng)

    def __getattr__(self, name):
        return getattr(self.space, name)


@pytest.mark.parametrize("bad", [lambda: TopK(3, 4), lambda: Evolution(population=1)])
def test_impossible_settings_are_refused(bad):
    with pytest.raises(ValueError, match="Expected"):
        bad()


@pytest.mark.parametrize("rung", [len(RUNGS), -len(RUNGS) - 1])
def test_local_search_names_a_rung_that_the_lab_has_not(rung):
    lab = TableLab(made_up_table())
    with pytest.raises(ValueError, match="Expected one of 3 rungs"):
        LocalSearch(rung=rung)(lab, np.random.default_rng(0))
    assert not lab.trials
    with pytest.raises(ValueError, match="Expected descents"):
        LocalSearch(descents=0)
