import json
from dataclasses import replace

import numpy as np
import optuna
import pytest
import torch

from surrogates import Dataset, DeepEnsemble, SearchError, TrainingConfig, fixed, search, training, trials
from surrogates.choice import ArchitectureChoice
from surrogates.choice import SearchError as ChoiceError
from surrogates.families import FAMILIES, baseline, mlp
from surrogates.trials import FAILURES
from tests.surrogates.toy import Toy, dataset, level_data

QUICK = {"trials": 9, "epochs": 9, "min_epochs": 1, "families": ("mlp",)}


class Killed(Exception):
    pass


class DictMemo:
    """Stores payloads; dies instead of computing one too many."""

    def __init__(self, allowed=100):
        self.stored, self.computed, self.allowed = {}, [], allowed

    def __call__(self, kind, inputs, compute):
        key = kind + json.dumps(inputs, sort_keys=True, allow_nan=False)
        if key not in self.stored:
            if len(self.computed) == self.allowed:
                raise Killed
            payload = compute()
            assert all(isinstance(a, np.ndarray) and a.dtype.kind in "biuf" for a in payload.values())
            self.stored[key] = payload
            self.computed.append(inputs["number"])
        return self.stored[key]


@pytest.fixture(scope="module")
def data():
    return dataset(runs=6, steps=4)


def same(one, two):
    assert len(one) == len(two)
    for a, b in zip(one, two, strict=True):
        assert (a.number, a.architecture, a.config, a.state, a.error) == (
            b.number,
            b.architecture,
            b.config,
            b.state,
            b.error,
        )
        np.testing.assert_array_equal(a.curve, b.curve)
        np.testing.assert_equal(a.value, b.value)


def test_same_seed_same_trials(data):
    one, two, other = (search(**QUICK).choose(data, seed=seed).trials for seed in (3, 3, 4))
    same(one, two)
    assert [t.config.learning_rate for t in one] != [t.config.learning_rate for t in other]


def test_result_is_the_best_complete_trial(data):
    seen = []
    spec = search(**QUICK, members=3, config=TrainingConfig(epochs=4, weight_decay=0.02))
    result = spec.choose(data, seed=0, progress=seen.append)
    same(tuple(seen), result.trials)
    complete = [t for t in result.trials if t.state == "complete"]
    best = min(complete, key=lambda t: t.value)
    assert result.architecture == best.architecture
    assert result.config == replace(best.config, epochs=4, pretraining_epochs=result.config.pretraining_epochs)
    assert result.config.weight_decay == 0.02
    assert result.cpu_seconds >= sum(t.cpu_seconds for t in result.trials) > 0
    assert all(t.latency_ms > 0 for t in complete)
    ensemble = spec.ensemble(result)
    assert (ensemble.architecture, ensemble.members, ensemble.config) == (best.architecture, 3, result.config)
    assert not ensemble.fitted


def test_pruned_trials_are_cut_short(data):
    trials = search(**QUICK).choose(data, seed=0).trials
    pruned = [t for t in trials if t.state == "pruned"]
    assert pruned
    assert all(len(t.curve) in (1, 3) and np.isnan(t.value) for t in pruned)
    assert all(len(t.curve) == 9 for t in trials if t.state == "complete")


@pytest.mark.parametrize("killed_at", [0, 1, 5])
def test_a_killed_search_replays_to_the_same_study(data, tmp_path, killed_at):
    journal = tmp_path / "study.journal"
    whole = search(**QUICK).choose(data, seed=0).trials
    memo = DictMemo(allowed=killed_at)
    with pytest.raises(Killed):
        search(**QUICK).choose(data, seed=0, memo=memo, journal_path=journal)
    (tmp_path / "study.journal.lock").symlink_to("left behind by the kill")
    memo.allowed = 100
    resumed = search(**QUICK).choose(data, seed=0, memo=memo, journal_path=journal)
    same(resumed.trials, whole)
    assert memo.computed == list(range(9))
    replayed = search(**QUICK).choose(data, seed=0, memo=memo, journal_path=journal)
    same(replayed.trials, whole)
    assert memo.computed == list(range(9))
    assert [t.cpu_seconds for t in replayed.trials] == [t.cpu_seconds for t in resumed.trials]
    study = journal_study(journal)
    assert [t.state.name.lower().replace("fail", "failed") for t in study.trials] == [t.state for t in whole]
    for told, record in zip(study.trials, whole, strict=True):
        assert list(told.intermediate_values.values()) == record.curve[:, 1].tolist()
    assert (tmp_path / "study.journal.old").exists()


def journal_study(path):
    backend = optuna.storages.journal.JournalFileBackend(str(path))
    storage = optuna.storages.JournalStorage(backend)
    (study,) = optuna.get_all_study_names(storage)
    return optuna.load_study(study_name=study, storage=storage)


def test_a_longer_search_goes_on_from_a_shorter_one(data):
    memo = DictMemo()
    short = search(**QUICK | {"trials": 4}).choose(data, seed=0, memo=memo).trials
    long = search(**QUICK).choose(data, seed=0, memo=memo).trials
    same(long[:4], short)
    assert memo.computed == list(range(9))


def test_a_failing_trial_is_recorded_and_the_search_goes_on(data):
    spec = search(**QUICK | {"trials": 4, "epochs": 2})
    diverging = replace(spec, rules=replace(spec.rules, config=replace(spec.rules.config, weight_decay=1e30)))
    with pytest.raises(SearchError, match="diverged"):
        diverging.choose(data, seed=0)

    class FirstFails(DictMemo):
        def __call__(self, kind, inputs, compute):
            payload = super().__call__(kind, inputs, compute)
            return (
                payload | {"failure": np.array(FAILURES.index("training diverged"))}
                if inputs["number"] == 0
                else payload
            )

    trials = spec.choose(data, seed=0, memo=FirstFails()).trials
    assert [t.state == "failed" for t in trials] == [True, False, False, False]
    assert trials[0].error == "training diverged"


@pytest.mark.parametrize("error", [MemoryError("full"), torch.cuda.OutOfMemoryError("full")])
def test_a_trial_out_of_memory_is_recorded_but_not_remembered(data, monkeypatch, error):
    def full(*args, **options):
        raise error

    memo, spec = DictMemo(), search(**QUICK | {"trials": 2, "epochs": 2})
    with monkeypatch.context() as patch, pytest.raises(SearchError, match="out of memory"):
        patch.setattr(trials, "train", full)
        spec.choose(data, seed=0, memo=memo)
    assert not memo.stored
    assert [t.state for t in spec.choose(data, seed=0, memo=memo).trials] == ["complete"] * 2


def test_other_errors_are_not_mistaken_for_failed_trials(data, monkeypatch):
    def broken(*args, **options):
        raise RuntimeError("imag is not implemented for tensors with non-complex dtypes")

    monkeypatch.setattr(trials, "train", broken)
    with pytest.raises(RuntimeError, match="imag"):
        search(**QUICK).choose(data, seed=0)


def test_the_gradient_weight_stays_off(data):
    spec = search(**QUICK | {"trials": 7, "epochs": 2}, config=TrainingConfig(gradient_weight=0.0))
    assert {t.config.gradient_weight for t in spec.choose(data, seed=0).trials} == {0.0}


@pytest.mark.parametrize("rate", [2e-2, 1e-4])
def test_the_first_guess_is_the_given_configuration(data, rate):
    config = TrainingConfig(learning_rate=rate, gradient_weight=20.0)
    (trial,) = search(**QUICK | {"trials": 1, "epochs": 2}, config=config).choose(data, seed=0).trials
    assert (trial.config.learning_rate, trial.config.gradient_weight) == (rate, 20.0)


def test_trials_are_compared_at_the_same_stage_whatever_the_patience():
    both = Dataset({0: level_data(Toy(0.3), runs=8, steps=3, seed=1), 1: level_data(Toy(), runs=6, steps=3, seed=2)})
    config = TrainingConfig(patience=1, learning_rate=1e-2)
    spec = search(trials=6, epochs=9, pretraining_epochs=9, families=("mlp",), min_epochs=1, config=config)
    result = spec.choose(both, seed=0)
    stages = [0] * 9 + [1] * 9
    assert all(t.curve[:, 0].tolist() == stages[: len(t.curve)] for t in result.trials)
    assert result.config.patience == 1


def test_trials_are_stored_under_what_trained_them(data, monkeypatch):
    memo, spec = DictMemo(), search(**QUICK | {"trials": 1, "epochs": 2})
    spec.choose(data, seed=0, memo=memo)
    monkeypatch.setattr(training, "TRAINING_VERSION", training.TRAINING_VERSION + 1)
    spec.choose(data, seed=0, memo=memo)
    assert memo.computed == [0, 0]


def test_there_is_one_search_error():
    assert SearchError is ChoiceError


def test_caps(data):
    size = baseline("mlp").n_parameters(data.design_shape, 7)
    trials = search(**QUICK | {"epochs": 2, "max_parameters": size}).choose(data, seed=0).trials
    for trial in trials:
        too_large = trial.architecture.n_parameters(data.design_shape, 7) > size
        assert (trial.state == "failed") == too_large
        assert trial.error == ("over the size cap" if too_large else "")
    assert {t.state for t in trials} >= {"failed", "complete"}
    with pytest.raises(SearchError, match="latency"):
        search(trials=1, epochs=3, families=("mlp",), max_latency_ms=1e-6).choose(data, seed=0)


def test_first_trials_are_the_baselines_of_each_family(data):
    trials = search(trials=5, epochs=3, families=tuple(FAMILIES)[:4]).choose(data, seed=0).trials
    assert [t.architecture for t in trials[:4]] == [baseline(family) for family in tuple(FAMILIES)[:4]]


def test_levels_below_are_trained_and_reported_first():
    both = Dataset({0: level_data(Toy(0.15), runs=4, steps=3, seed=3), 1: level_data(Toy(), runs=4, steps=3, seed=1)})
    (trial,) = search(trials=1, epochs=4, pretraining_epochs=2, families=("mlp",)).choose(both, seed=0).trials
    assert trial.curve[:, 0].tolist() == [0, 0, 1, 1, 1, 1]
    assert trial.value == trial.curve[2:, 1].min()


def test_global_settings_are_given_back(data):
    torch.manual_seed(0)
    before = torch.get_rng_state(), torch.get_num_threads(), optuna.logging.get_verbosity()
    search(**QUICK | {"trials": 1}).choose(data, seed=0)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (torch.get_num_threads(), optuna.logging.get_verbosity()) == before[1:]


def test_fixed_has_the_interface_of_search(data):
    spec = fixed(mlp(), members=2, config=TrainingConfig(epochs=2))
    assert hash(spec) == hash(fixed(mlp(), members=2, config=TrainingConfig(epochs=2)))
    hash(search())
    choices: list[ArchitectureChoice] = [spec, search()]
    assert len(choices) == 2
    result = spec.choose(data, seed=0)
    assert (result.trials, result.cpu_seconds) == ((), 0.0)
    ensemble = spec.ensemble(result)
    assert isinstance(ensemble, DeepEnsemble)
    assert ensemble.fit(data, seed=0).reference.n_train > 0


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"families": ("cnn",)}, "families"),
        ({"families": ()}, "families"),
        ({"objective": "fields"}, "objective"),
        ({"trials": 0}, "trial"),
        ({"min_epochs": 30}, "min_epochs"),
    ],
)
def test_impossible_searches_are_refused(bad, message):
    with pytest.raises(ValueError, match=message):
        search(**bad)


def test_gradient_objective_needs_gradients():
    with pytest.raises(ValueError, match="objective="):
        search(**QUICK, objective="gradient").choose(dataset(runs=3, steps=2, gradients=False), seed=0)
