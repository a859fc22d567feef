"""Halving on Optuna's ask and tell: exact counts, promotion that resumes, several objectives, several processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
import pytest

from surrogates.nas.cache import TrialCache
from surrogates.nas.lab import Rung, Trial, search_with
from surrogates.nas.live import LiveLab
from surrogates.nas.methods import (
    AsynchronousHalving,
    Hyperband,
    RandomSearch,
    SuccessiveHalving,
    TpeHyperband,
    halving,
    optuna_study,
    tpe_hyperband,
)
from surrogates.nas.pareto import crowding, fronts, pareto, ranked
from surrogates.nas.table import TableLab
from tests.surrogates.nas.problems import RUNGS, SMALL, full_cost, live_task, made_up_table, regret


def asked(trials) -> Counter:
    """Trials at each rung."""
    return Counter(trial.rung for trial in trials)


def test_halving_promotes_one_in_eta_and_costs_less_than_training_all():
    table = made_up_table()
    lab = TableLab(table)
    found = search_with(SuccessiveHalving(networks=27, brackets=1), lab, 0)
    assert asked(found.trials) == {0: 27, 1: 9, 2: 3}
    for rung in (0, 1):
        here = {t.architecture: t.error for t in found.trials if t.rung == rung}
        above = {t.architecture for t in found.trials if t.rung == rung + 1}
        assert above == set(sorted(here, key=here.get)[: len(above)])
    everything = TableLab(table)
    for architecture in {t.architecture for t in found.trials}:
        everything.ask(architecture)
    # 27 + 9 * 2 + 3 * 6 of 27 * 9 epochs.
    assert found.spent < 0.4 * everything.spent


def test_hyperband_has_the_brackets_of_the_paper():
    found = search_with(Hyperband(rounds=1), TableLab(made_up_table(cost_spread=0.0)), 0)
    # Brackets of 9 -> 3 -> 1, of ceil(3 * 3 / 2) = 5 -> 1 at the second rung, and of 3 at the last.
    assert asked(found.trials) == {0: 9, 1: 3 + 5, 2: 1 + 1 + 3}


def test_asynchronous_halving_promotes_as_soon_as_it_may():
    found = search_with(AsynchronousHalving(networks=27), TableLab(made_up_table()), 0)
    rungs = asked(found.trials)
    assert rungs[0] == 27 and 9 <= rungs[1] <= 27 // 2 and 3 <= rungs[2] <= rungs[1] // 2
    first = next(n for n, t in enumerate(found.trials) if t.rung == 1)
    assert first == 3


@pytest.mark.parametrize("method", [SuccessiveHalving(27), AsynchronousHalving()])
def test_halving_beats_chance(method):
    tables = [made_up_table(seed=seed) for seed in range(4)]
    chance = np.mean([regret(RandomSearch(), table, 12, 20) for table in tables])
    assert np.mean([regret(method, table, 12, 8) for table in tables]) < 0.85 * chance


def test_a_pruner_that_only_stops_spends_more_a_network_than_promotion():
    table = made_up_table()
    budget = 12 * full_cost(table)
    halved = search_with(SuccessiveHalving(27), TableLab(table, budget), 0)
    pruned = search_with(TpeHyperband(), TableLab(table, budget), 0)
    networks = [len({t.architecture for t in found.trials}) for found in (halved, pruned)]
    assert networks[0] > 1.3 * networks[1] > 1.3 * 12


def test_tpe_concentrates_on_the_good_values_of_a_gene():
    early, late = [], []
    for seed in range(4):
        table = made_up_table(noise=0.0, cost_spread=0.0, seed=seed)
        codes = np.array([table.space.encode(a)[0] for a in table.architectures])
        means = [table.final[codes == code].mean() for code in range(table.space.options[0])]
        found = search_with(TpeHyperband(pruned=False, networks=45), TableLab(table), seed)
        chosen = [table.space.encode(t.architecture)[0] for t in found.trials if t.rung == 0]
        good = np.isin(chosen, np.argsort(means)[:2])
        early.append(good[:10].mean())
        late.append(good[15:].mean())
    assert np.mean(late) > 1.4 * np.mean(early)


@pytest.mark.parametrize("method", [SuccessiveHalving(17, brackets=1, sampler="tpe"), TpeHyperband(networks=17)])
def test_a_network_proposed_again_gives_its_turn_to_one_that_differs_in_one_gene(method, monkeypatch):
    class Stubborn(optuna.samplers.RandomSampler):
        def sample_independent(self, study, trial, name, distribution):
            return distribution.choices[1]

    for module in (halving, tpe_hyperband):
        monkeypatch.setattr(module, "make_sampler", lambda name, seed: Stubborn())
    table = made_up_table()
    found = search_with(method, TableLab(table), 0)
    first, *others = [t.architecture for t in found.trials if t.rung == 0][:17]
    assert set(others) == set(table.space.neighbours(first))


def test_the_study_is_told_everything(tmp_path):
    journal = tmp_path / "study.log"
    for given in (journal, str(journal)):  # begun anew, not added to
        found = search_with(
            SuccessiveHalving(9, sampler="tpe", journal=given, brackets=1), TableLab(made_up_table()), 0
        )
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(journal)))
    study = optuna.load_study(study_name="halving", storage=storage)
    told = [t for t in study.trials if t.state.name in ("COMPLETE", "PRUNED")]
    assert len(told) == len(found.trials) == 9 + 3 + 1
    assert study.best_value == pytest.approx(found.error)
    assert [t.user_attrs["rung"] for t in told] == [t.rung for t in found.trials]
    for one, trial in zip(told, found.trials, strict=True):
        assert list(one.intermediate_values.values()) in ([], [trial.error])
        assert one.user_attrs["architecture"] == trial.architecture.key


def test_fronts_and_crowding_are_those_of_a_drawn_example():
    values = np.array([[1, 4], [2, 2], [4, 1], [3, 3], [4, 4], [2.5, 1.9]], dtype=float)
    assert fronts(values).tolist() == [0, 0, 0, 1, 2, 0]
    spread = crowding(values[[0, 1, 5, 2]])
    assert np.isinf(spread[[0, 3]]).all()
    np.testing.assert_allclose(spread[1:3], [1.5 / 3 + 2.1 / 3, 2 / 3 + 1 / 3])
    assert ranked(values).tolist() == [0, 2, 1, 5, 3, 4]
    assert ranked(np.array([[1.0, np.inf], [2.0, 2.0], [np.inf, np.inf]]))[-1] == 2


def test_halving_of_two_objectives_finds_their_front():
    table = made_up_table(noise=0.0)
    objectives = ("error", "latency_ms")
    both = SuccessiveHalving(81, objectives=objectives, brackets=1)
    lab = TableLab(table)
    found = pareto(search_with(both, lab, 0).trials, objectives)
    assert asked(lab.trials) == {0: 81, 1: 27, 2: 9} and len(found) >= 3
    errors, latencies = np.array([values for _, values in found]).T
    assert (np.diff(errors) > 0).all() and (np.diff(latencies) < 0).all()
    single = search_with(SuccessiveHalving(81, brackets=1), TableLab(table), 0)
    # Of error alone, the quick ones are lost.
    assert latencies.min() < min(t.measures["latency_ms"] for t in single.trials if t.rung == 2)
    assert pareto(single.trials)[0][0] == single.best
    with pytest.raises(KeyError, match="Expected objectives among"):
        pareto(single.trials, ("beauty",))


def test_diverged_networks_are_not_promoted():
    table = made_up_table()
    table.error[::2] = np.inf
    for method in (SuccessiveHalving(27, brackets=1), AsynchronousHalving(networks=27)):
        found = search_with(method, TableLab(table), 0)
        assert all(np.isfinite(t.error) for t in found.trials if t.rung > 0) and asked(found.trials)[0] == 27


@pytest.mark.parametrize("method", [SuccessiveHalving(), Hyperband(), AsynchronousHalving()])
@pytest.mark.parametrize("share", [0.0, 0.5])
def test_searches_end_where_nothing_is_left(method, share):
    table = made_up_table()
    table.error[: round(share * len(table.error))] = np.inf
    found = search_with(method, TableLab(table), 0)
    assert {t.architecture for t in found.trials} == set(table.architectures)
    assert np.isfinite(found.error)


def test_a_bracket_that_diverges_whole_does_not_end_the_search():
    table = made_up_table()
    table.error[:] = np.inf
    lab = TableLab(table)
    with pytest.raises(ValueError, match="finite error"):
        search_with(SuccessiveHalving(networks=9, brackets=2), lab, 0)
    assert asked(lab.trials) == {0: 18}


def test_a_pruner_needs_steps_that_rise():
    table = made_up_table()
    lab = TableLab(replace(table, rungs=(Rung(9, share=0.3), Rung(9, share=0.6), Rung(9))))
    with pytest.raises(ValueError, match="rising epochs"):
        search_with(TpeHyperband(), lab, 0)


def test_a_worker_gives_the_best_of_the_study(tmp_path):
    table = made_up_table()
    table.measures["gradient_cosine"] = np.full(table.error.shape, np.nan)
    method = AsynchronousHalving(journal=tmp_path / "study.log", networks=27)
    first = search_with(method, TableLab(table), 0)
    assert all(trial.cpu_seconds > 0 for trial in first.trials)  # all its own
    top = {(t.architecture, t.error) for t in first.trials if t.rung == 2}
    own = TableLab(table, budget_cpu_seconds=1e-9)
    later = search_with(replace(method, networks=None), own, 1)
    paid = [trial for trial in later.trials if trial.cpu_seconds > 0]
    assert len(paid) == 1 and later.spent == paid[0].cpu_seconds
    assert later.best == first.best and later.error == first.error
    others = [trial for trial in later.trials if trial.cpu_seconds == 0]
    assert {(t.architecture, t.error) for t in others} == top - {(paid[0].architecture, paid[0].error)}
    winner = next(t for t in others if t.architecture == first.best)
    same = next(t for t in first.trials if t.architecture == first.best and t.rung == 2)
    assert winner.rung == 2 and np.isnan(winner.measures["gradient_cosine"])
    np.testing.assert_equal(dict(winner.measures), dict(same.measures))
    np.testing.assert_array_equal(winner.curve, same.curve)
    # One that comes when all is done has the best of all the same.
    last = TableLab(table)
    assert search_with(method, last, 2).best == first.best and last.spent == 0


def test_a_journal_of_another_search_is_refused(tmp_path):
    table = made_up_table()
    method = AsynchronousHalving(journal=tmp_path / "study.log", networks=4)
    search_with(method, TableLab(table), 0)
    for other in (replace(table, rungs=table.rungs[:2]), replace(table, space=SMALL)):
        with pytest.raises(ValueError, match="give another file"):
            search_with(method, TableLab(other), 0)
    with pytest.raises(ValueError, match="give another file"):
        search_with(replace(method, objectives=("error", "latency_ms")), TableLab(table), 0)


WORKER = """
import sys
from pathlib import Path
from surrogates.nas.cache import TrialCache
from surrogates.nas.lab import search_with
from surrogates.nas.live import LiveLab
from surrogates.nas.methods import AsynchronousHalving
from tests.surrogates.nas.problems import RUNGS, SMALL, live_task
from surrogates.nas.lab import Rung

folder = Path(sys.argv[1])
rungs = (Rung(1), Rung(3), Rung(int(sys.argv[3])))
lab = LiveLab(SMALL, live_task(rungs=rungs), cache=TrialCache(folder / "cache"))
search_with(AsynchronousHalving(eta=2, journal=folder / "study.log"), lab, int(sys.argv[2]))
"""


def states(journal: Path) -> list:
    """Trials of the shared study so far."""
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(journal)))
    return optuna.load_study(study_name="asynchronous halving", storage=storage).trials


def start(folder: Path, seed: int, epochs: int) -> subprocess.Popen:
    """A worker on a shared journal and cache."""
    command = [sys.executable, "-c", WORKER, str(folder), str(seed), str(epochs)]
    return subprocess.Popen(command, cwd=Path(__file__).parents[3], env={**os.environ, "OMP_NUM_THREADS": "1"})


def test_a_killed_worker_loses_its_running_rung_only(tmp_path):
    epochs = 400  # longer than it lives
    journal, folder = tmp_path / "study.log", tmp_path / "cache"
    worker = start(tmp_path, 0, epochs)
    try:
        # Until it trains at the last rung.
        while True:
            assert worker.poll() is None
            running = [t for t in states(journal) if t.state.name == "RUNNING"] if _begun(journal) else []
            if any(t.user_attrs.get("rung") == 2 and set(t.params) == set(SMALL.distributions()) for t in running):
                break
            time.sleep(0.1)
    finally:
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    finished = {p.name: p.stat().st_mtime_ns for p in folder.glob("*.json")}
    told = [t for t in states(journal) if t.state.name == "PRUNED"]
    assert len(told) == len(finished) >= 3
    (lost,) = [t for t in states(journal) if t.state.name == "RUNNING"]

    # The next worker takes up the lost rung first.
    asked_for: list[tuple[str, int]] = []

    class Interrupted(LiveLab):
        def ask(self, architecture, rung=-1, seed=0):
            asked_for.append((architecture.key, rung))
            raise KeyboardInterrupt

    rungs = (*RUNGS[:2], Rung(epochs))
    lab = Interrupted(SMALL, live_task(rungs=rungs), cache=TrialCache(folder))
    with pytest.raises(KeyboardInterrupt):
        AsynchronousHalving(eta=2, journal=journal)(lab, np.random.default_rng(1))
    assert asked_for == [(SMALL.suggest(optuna.trial.FixedTrial(lost.params)).key, 2)]
    after = states(journal)
    assert after[lost.number].state.name == "FAIL" and after[-1].state.name == "FAIL"
    # And goes on from the checkpoint below: nothing that was finished is trained again.
    assert {p.name: p.stat().st_mtime_ns for p in folder.glob("*.json")} == finished
    network = SMALL.suggest(optuna.trial.FixedTrial(lost.params))
    assert TrialCache(folder).checkpoint(lab.task.key(network, 1, 0)) is not None


def test_what_another_worker_takes_between_queueing_and_asking_is_its_own(tmp_path, monkeypatch):
    def worker(seed):
        sampler = optuna.samplers.RandomSampler(seed)
        study = optuna_study.make_study("shared", ("error",), sampler, None, tmp_path / "study.log", True)
        lab = TableLab(made_up_table())
        return optuna_study.RungStudy(lab, np.random.default_rng(seed), ("error",), study, True)

    one, other = worker(0), worker(1)
    first, second = one.new(), other.new()
    enqueue, taken = one.study.enqueue_trial, []

    def and_lose(*args, **kwargs):
        enqueue(*args, **kwargs)
        taken.append(other.new())

    monkeypatch.setattr(one.study, "enqueue_trial", and_lose)
    assert one.at(first.architecture, 1) is None
    assert [(t.architecture, t.rung) for t in taken] == [(first.architecture, 1)]
    monkeypatch.setattr(one.study, "enqueue_trial", enqueue)
    # What another had queued, and was not quick enough to ask for, is run in place of one's own.
    other.study.enqueue_trial(dict(made_up_table().space.parameters(second.architecture)), user_attrs={"rung": 1})
    assert one.at(first.architecture, 2) is None
    assert {(t.architecture, t.rung) for t in one.tried() if t.values is not None} == {
        (first.architecture, 0), (second.architecture, 0), (first.architecture, 1), (second.architecture, 1),
    }  # fmt: skip
    assert one.at(first.architecture, 2).rung == 2


def _begun(journal: Path) -> bool:
    if not journal.exists():
        return False
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(journal)))
    return bool(storage.get_all_studies())


@pytest.mark.slow
def test_two_workers_share_one_study(tmp_path):
    workers = [start(tmp_path, seed, 9) for seed in (0, 1)]
    assert [worker.wait() for worker in workers] == [0, 0]
    trials = [t for t in states(tmp_path / "study.log") if t.state.name in ("COMPLETE", "PRUNED")]
    done = Counter((SMALL.suggest(optuna.trial.FixedTrial(t.params)), t.user_attrs["rung"]) for t in trials)
    # Each network at each rung once, all networks tried, by both.
    assert set(done.values()) == {1}
    assert {a for a, rung in done if rung == 0} == set(SMALL.everything())
    assert sum(rung == 2 for _, rung in done) >= 1
    assert len({t.user_attrs["worker"] for t in trials}) == 2


@pytest.mark.parametrize("bad", [{"eta": 1}, {"eta": 0}, {"networks": 0}])
def test_settings_that_prune_nothing_are_refused(bad):
    with pytest.raises(ValueError, match=f"Expected {next(iter(bad))} of at least"):
        TpeHyperband(**bad)


def test_what_is_not_known_of_a_network_puts_it_on_no_front():
    trials = [
        Trial(architecture, 1, 0, error, {"cosine": cosine}, np.zeros(0), 1.0, 1.0)
        for architecture, error, cosine in zip(
            made_up_table().architectures[:3], (0.1, 0.2, 0.3), (0.5, np.nan, 0.9), strict=True
        )
    ]
    front = pareto(trials, ("error", "-cosine"))
    assert [float(values[0]) for _, values in front] == [0.1, 0.3]
    assert len(pareto(trials[1:2], ("-cosine",))) == 1
