"""A method of search as a strategy's way to its surrogate."""

import hashlib
import json
from dataclasses import dataclass, replace

import numpy as np
import pytest

from surrogates import Dataset, LevelData, SearchError, TrainingConfig
from surrogates.architecture import Architecture, Block
from surrogates.choice import ArchitectureChoice
from surrogates.evaluation import PullBack, late_rows, mean_cosine
from surrogates.nas.cache import TrialCache
from surrogates.nas.choice import by_method
from surrogates.nas.lab import Rung
from surrogates.nas.live import LiveLab, Task
from surrogates.nas.methods import FixedNets, RandomSearch, SuccessiveHalving
from surrogates.nas.rungs import Measured, measured_lab
from surrogates.nas.space import ArchitectureSpace
from tests.surrogates.nas.problems import SMALL, live_task
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
    with pytest.raises(TypeError, match="Expected a method"):
        by_method(RandomSearch)


CANDIDATES = (Rung(1), Rung(2, share=0.4), Rung(3), Rung(1, resolution=3))


def measuring(**changes) -> ArchitectureChoice:
    rungs = Measured(CANDIDATES, networks=4, share=1.0, **changes.pop("measured", {}))
    return halving(**{"rungs": rungs, **changes})


def test_rungs_are_those_that_a_pilot_admits(data):
    seen = []
    result = measuring(measured={"least": -0.999}).choose(data, seed=0, progress=seen.append)
    assert [report.rung for report in result.rungs] == [CANDIDATES[k] for k in (1, 3, 0, 2)]
    assert result.rungs[-1].admitted
    assert {report.networks for report in result.rungs} == {4}
    assert all(report.interval[0] <= report.correlation <= report.interval[1] for report in result.rungs)
    assert "admitted" in str(result.rungs[0])
    # The pilot's networks may win, and its trials are charged once.
    assert sum(trial.state == "complete" for trial in result.trials) >= 4
    assert len({trial.number for trial in seen}) == len(result.trials)
    assert result.cpu_seconds >= sum(trial.cpu_seconds for trial in result.trials) * (1 - 1e-9)


def test_a_measured_ladder_replays_and_outlives_a_kill(data, tmp_path, monkeypatch):
    trained = counted(monkeypatch)
    shown = []

    def killed(trial):
        shown.append(trial)
        if len(shown) == 8:
            raise Killed

    path = tmp_path / "study.journal"
    with pytest.raises(Killed):
        measuring().choose(data, seed=0, journal_path=path, progress=killed)
    before = len(trained)
    memory = Memory()
    first, second = (measuring().choose(data, seed=0, journal_path=path, memo=memory) for _ in range(2))
    # Nothing that was trained before the kill, or in the pilot, is trained again.
    assert before >= 8 and len(trained) == len(set(trained))
    assert memory.computed == 1
    assert first.rungs == second.rungs and first.architecture == second.architecture
    again = measuring().choose(data, seed=0, journal_path=path)
    assert again.rungs == first.rungs and again.cpu_seconds == pytest.approx(first.cpu_seconds)
    assert len(trained) == len(set(trained))


def counted(monkeypatch) -> list:
    """What was trained: network, samples, resolution, seed and the epochs at the end."""
    trained = []
    climb = LiveLab._climb

    def counting(lab, learner, rung):
        entry = climb(lab, learner, rung)
        trained.append((learner.architecture, len(learner.data.pooled), learner.seed, learner.epoch))
        return entry

    monkeypatch.setattr(LiveLab, "_climb", counting)
    return trained


def test_a_pilot_that_leaves_a_rung_out_hands_on_its_trials(data, monkeypatch):
    trained = counted(monkeypatch)
    task = live_task(rungs=(Rung(1), Rung(2), Rung(4)))
    monkeypatch.setattr("surrogates.nas.rungs.admitted", lambda reports: (Rung(2), Rung(4)))
    measured = Measured(task.rungs, networks=4, share=1.0)
    lab, _ = measured_lab(measured, SMALL, task, 1e9, TrialCache(), seed=0)
    alone = LiveLab(SMALL, lab.task)
    for trial in (lab.trials[0], lab.trials[-1]):
        other = alone.ask(trial.architecture, trial.rung, trial.seed)
        assert trial.error == other.error
        np.testing.assert_array_equal(trial.curve, other.curve)
    assert len(trained) == 4 * (3 + 3) + 1 + 2
    spent = lab.spent
    assert spent == pytest.approx(sum(trial.cpu_seconds for trial in lab.trials))
    lab.ask(lab.trials[0].architecture, 0, 0)
    assert lab.spent == spent


def test_a_pilot_ends_at_its_share_of_the_budget_but_measures(data):
    rungs = Measured((Rung(1), Rung(2)), networks=6, share=1.0)
    result = halving(rungs=rungs, budget_cpu_seconds=1e-6).choose(data, seed=0)
    assert {report.networks for report in result.rungs} == {4}
    assert len(result.trials) == 4


@pytest.mark.parametrize(
    ("candidates", "wrong"),
    [
        ((Rung(3, share=0.5),), "Expected a candidate of all samples"),
        ((Rung(3), Rung(3)), "each candidate once"),
        ((Rung(3, share=0.5), Rung(9, share=0.5), Rung(9)), "one number of epochs"),
    ],
)
def test_candidates_that_make_no_ladder_are_refused(candidates, wrong):
    with pytest.raises(ValueError, match=wrong):
        Measured(candidates)


def test_a_small_space_has_nothing_to_measure_on(data):
    few = ArchitectureSpace(length=1, operations=(("spectral", 3), ("residual", 0)), widths=(4,), resolutions=(6,))
    with pytest.raises(SearchError, match="give the rungs themselves"):
        measuring(space=few).choose(data, seed=0)


def test_judges_on_the_later_half_of_held_out_runs(data):
    held = []

    @dataclass(frozen=True)
    class Looks:
        name: str = "looks"

        def __call__(self, lab, rng):
            held.append(lab.task.held_out)
            lab.ask(lab.space.sample(rng))

    for late in (0.5, 1.0):
        by_method(Looks(), space=SMALL, rungs=RUNGS[:1], config=CONFIG, late=late).choose(data, seed=0)
    half, whole = held
    assert 2 * len(half) == len(whole)
    for group in np.unique(whole.groups):
        run = whole.designs[whole.groups == group]
        np.testing.assert_array_equal(half.designs[half.groups == group], run[3:])
    assert len(half.gradients) == len(half)
    with pytest.raises(ValueError, match="late samples"):
        by_method(RandomSearch(), late=0.0)


def test_a_run_of_one_sample_keeps_it():
    groups = np.array([4, 7, 4, 4, 9, 7])
    np.testing.assert_array_equal(late_rows(groups, 0.5), [2, 3, 4, 5])
    np.testing.assert_array_equal(late_rows(groups, 1), range(6))
    with pytest.raises(ValueError, match="share"):
        late_rows(groups, 1.5)


def test_the_cosine_in_the_latent_variables_is_that_of_what_is_pulled_back():
    task = live_task(rungs=(Rung(2),))
    seen = []

    def heavy_first(designs, gradients):
        seen.append(designs)
        return gradients * (np.arange(gradients.shape[1]) < 1)[:, None]

    same = PullBack("identity", lambda designs, gradients: gradients)
    network = SMALL.sample(np.random.default_rng(0))
    plain = LiveLab(SMALL, task).ask(network)
    assert "latent_cosine" not in plain.measures
    measures = LiveLab(SMALL, replace(task, latent=same)).ask(network).measures
    assert measures["latent_cosine"] == measures["gradient_cosine"] == plain.measures["gradient_cosine"]
    lab = LiveLab(SMALL, replace(task, latent=PullBack("first row", heavy_first)))
    trial = lab.ask(network)
    measures = trial.measures
    assert trial.error == pytest.approx((measures["value_error"] + 1 - measures["latent_cosine"]) / 2)
    assert trial.error != plain.error
    learner = lab._trained(network, 0)
    check = learner.prepared(task.held_out)
    learner.network.load_state_dict(learner.average)
    predicted = check.full_gradients(learner.network)[:, 0]
    assert trial.measures["latent_cosine"] == pytest.approx(mean_cosine(predicted, check.full[:, 0]))
    np.testing.assert_array_equal(seen[0], task.held_out.designs[check.rows])


def test_a_network_that_diverges_is_told_as_such_in_the_latent_variables_too():
    pull_back = PullBack("identity", lambda designs, gradients: gradients)
    trial = LiveLab(SMALL, replace(live_task(rungs=(Rung(2),), learning_rate=1e18), latent=pull_back)).ask(
        SMALL.sample(np.random.default_rng(0))
    )
    assert trial.error == np.inf


def test_a_pull_back_is_part_of_a_trials_key():
    task = live_task()
    network = SMALL.sample(np.random.default_rng(0))
    first, second = (replace(task, latent=PullBack(name, np.multiply)) for name in ("a", "b"))
    assert len({one.key(network, 0, 0) for one in (task, first, second)}) == 3
    with pytest.raises(ValueError, match="identity"):
        PullBack("", np.multiply)
    with pytest.raises(ValueError, match="each of 2"):
        PullBack("sum", lambda designs, gradients: gradients.sum(axis=0))(np.zeros((2, 3, 3)), np.ones((2, 3, 3)))


def test_tasks_without_a_pull_back_keep_the_keys_of_kept_trials():
    made = Architecture((Block("spectral", 4, 3),), resolution=6)
    arrays = np.zeros((2, 4, 4)), {"t": np.arange(2.0)[:, None]}, np.arange(2)
    samples = LevelData.values_only(*arrays)
    held_out = LevelData.values_only(*arrays[:2], np.arange(2) + 2)
    task = Task(Dataset({0: samples}), held_out, TrainingConfig(), (Rung(1), Rung(3)))
    inputs = {
        "architecture": made.to_json(),
        "config": {
            name: value
            for name, value in TrainingConfig().to_json().items()
            if name not in ("epochs", "pretraining_epochs", "transfer_rate", "patience", "device")
        },
        "made_by": TrainingConfig().made_by(),
        "data": [Dataset({0: samples}).key, held_out.key],
        "rungs": ["e1", "e3"],
        "total": 3,
        "seed": 5,
        "measures": 2,
    }
    assert task.key(made, 1, 5) == hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()
