"""A method of search as a strategy's way to its surrogate."""

import json
from dataclasses import dataclass

import numpy as np
import pytest

from surrogates import Dataset, SearchError, TrainingConfig
from surrogates.choice import ArchitectureChoice
from surrogates.nas.choice import by_method
from surrogates.nas.lab import Rung
from surrogates.nas.methods import FixedNets, RandomSearch, SuccessiveHalving
from tests.surrogates.nas.problems import SMALL
from tests.surrogates.toy import Toy, level_data

RUNGS = (Rung(1), Rung(3))
CONFIG = TrainingConfig(epochs=5, batch_size=8, learning_rate=3e-3)


class Killed(Exception):
    pass


class Memory:
    """Keeps payloads as npz would."""

    def __init__(self):
        self.stored, self.computed = {}, 0

    def __call__(self, kind, inputs, compute):
        key = kind + json.dumps(inputs, sort_keys=True, allow_nan=False)
        if key not in self.stored:
            payload = compute()
            assert all(array.dtype.kind in "biuf" for array in payload.values())
            self.stored[key] = payload
            self.computed += 1
        return self.stored[key]


@pytest.fixture(scope="module")
def data():
    return Dataset({0: level_data(Toy(), runs=6, steps=6, seed=1)})


def halving(**changes) -> ArchitectureChoice:
    given = {"space": SMALL, "rungs": RUNGS, "budget_cpu_seconds": 1e9, "members": 2, "config": CONFIG}
    return by_method(SuccessiveHalving(networks=3, brackets=1), **{**given, **changes})


def test_gives_the_best_of_the_last_rung_ready_to_train(data):
    seen = []
    choice = halving()
    result = choice.choose(data, seed=0, progress=seen.append)
    complete = [trial for trial in result.trials if trial.state == "complete"]
    assert len(result.trials) == 3
    assert [trial.state for trial in result.trials].count("pruned") == 2
    assert result.architecture == min(complete, key=lambda trial: trial.value).architecture
    assert len(seen) == 4  # three at the first rung, one of them at the next
    assert complete[0].curve.shape == (3, 4)
    assert complete[0].latency_ms > 0
    assert result.cpu_seconds == pytest.approx(sum(trial.cpu_seconds for trial in result.trials))
    ensemble = choice.ensemble(result)
    assert (ensemble.architecture, ensemble.members) == (result.architecture, 2)
    assert result.config == CONFIG
    report = ensemble.fit(data, seed=0)
    assert np.isfinite(report.levels[0].value_error)


def test_progress_is_told_of_every_network_whose_rate_is_tuned(data):
    seen = []
    nets = tuple(SMALL.everything()[:2])
    choice = by_method(FixedNets(nets, (1e-3, 4e-3)), space=SMALL, rungs=RUNGS[:1], members=2, config=CONFIG)
    result = choice.choose(data, seed=0, progress=seen.append)
    assert [trial.architecture for trial in seen] == [trial.architecture for trial in result.trials] == list(nets)
    assert result.config.learning_rate in (1e-3, 4e-3)


def test_replays_from_the_memo_the_same(data):
    memory = Memory()
    first, second = (halving().choose(data, seed=0, memo=memory) for _ in range(2))
    assert memory.computed == 1
    assert first.architecture == second.architecture
    assert first.cpu_seconds == second.cpu_seconds
    for one, two in zip(first.trials, second.trials, strict=True):
        np.testing.assert_array_equal(one.curve, two.curve)
        assert (one.architecture, one.state, one.cpu_seconds) == (two.architecture, two.state, two.cpu_seconds)
    halving(budget_cpu_seconds=1e8).choose(data, seed=0, memo=memory)
    halving().choose(data, seed=1, memo=memory)
    assert memory.computed == 3


def test_trials_outlive_a_kill_and_are_charged_again(data, tmp_path):
    def killed(trial):
        raise Killed

    with pytest.raises(Killed):
        halving().choose(data, seed=0, journal_path=tmp_path / "study.journal", progress=killed)
    entries = list((tmp_path / "study.trials").glob("*.json"))
    assert len(entries) == 1
    cost = json.loads(entries[0].read_text())["cpu_seconds"]
    again = halving().choose(data, seed=0, journal_path=tmp_path / "study.journal")
    whole = halving().choose(data, seed=0)
    assert again.architecture == whole.architecture
    assert any(trial.cpu_seconds >= cost for trial in again.trials)
    assert [trial.value for trial in again.trials] == pytest.approx([t.value for t in whole.trials], nan_ok=True)


def test_a_budget_that_ends_early_still_gives_a_network(data):
    result = by_method(
        RandomSearch(), space=SMALL, rungs=RUNGS, budget_cpu_seconds=1e-6, config=CONFIG
    ).choose(data, seed=0)  # fmt: skip
    assert [trial.architecture for trial in result.trials] == [result.architecture]


@dataclass(frozen=True)
class Idle:
    """Trains nothing."""

    name: str = "idle"

    def __call__(self, lab, rng):
        """Does nothing."""


def test_a_search_without_a_network_says_so(data):
    with pytest.raises(SearchError, match="idle"):
        by_method(Idle(), space=SMALL, rungs=RUNGS).choose(data, seed=0)


@pytest.mark.parametrize("given", [{"budget_cpu_seconds": 0.0}, {"rungs": ()}])
def test_bad_settings_are_refused(given):
    with pytest.raises(ValueError, match="Expected a budget above 0"):
        by_method(RandomSearch(), **given)


def test_no_method_is_refused():
    with pytest.raises(TypeError, match="GaussianProcess"):
        by_method("gaussian process")
