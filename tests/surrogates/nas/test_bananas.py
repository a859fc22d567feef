"""BANANAS: paths tell order, truncation loses nothing, the ensemble knows what it has seen, the search beats chance."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import spearmanr

from surrogates import Architecture, Block
from surrogates.nas.lab import search_with
from surrogates.nas.methods import Bananas, RandomSearch
from surrogates.nas.methods.bananas import ensemble, path_encoding
from surrogates.nas.table import TableLab
from tests.surrogates.nas.problems import SMALL, made_up_table, regret

A, B = Block("spectral", 12, 6), Block("residual", 12)
SPACE = made_up_table().space
EVERYTHING = made_up_table().architectures


def ordered(seed: int) -> np.ndarray:
    """Errors of all networks that depend on which operation follows which, and on nothing else."""
    rng = np.random.default_rng(seed)
    worth: dict[tuple[str, str], float] = {}
    chains = [[block.operation for block in architecture.blocks] for architecture in EVERYTHING]
    return 3 + np.array([sum(worth.setdefault(pair, rng.normal()) for pair in pairwise(chain)) for chain in chains])


def judged(labels: int, seed: int, encode) -> tuple[float, float]:
    """Rank correlation and mean error of what the ensemble says of networks it has not seen."""
    errors = ordered(seed)
    rows = np.random.default_rng(seed).permutation(len(errors))
    seen, asked = rows[:labels], rows[labels:]
    features = encode([EVERYTHING[k] for k in seen], [EVERYTHING[k] for k in asked])
    told = ensemble(features[0], errors[seen], features[1], 5, seed).mean(axis=0)
    return float(spearmanr(told, errors[asked])[0]), float(np.abs(told - errors[asked]).mean())


def genes(seen, asked):
    """One-hot, place by place."""
    return tuple(np.stack([SPACE.features(architecture) for architecture in those]) for those in (seen, asked))


def test_the_encoding_counts_runs_that_are_frequent():
    seen = [Architecture((A, B)), Architecture((A, A, B)), Architecture((B,))]
    first, second = path_encoding(seen, [Architecture((A, B, A, B))])
    # in, A, B, out; in-A, A-B, B-out, A-B-out; seven genes that are all alike.
    assert first.shape == (3, 8 + 7) and second.shape == (1, 8 + 7)
    assert sorted(first[1]) == [1] * 14 + [2] and sorted(second[0]) == [1] * 12 + [2] * 3
    whole = path_encoding(seen, seen, 1)[0]
    assert whole.shape[1] > 15 and len(np.unique(whole, axis=0)) == 3


def test_paths_tell_order_and_the_error_falls_with_labels():
    by_paths, by_genes = (
        np.mean([[judged(labels, seed, encode) for labels in (30, 120)] for seed in range(3)], axis=0)
        for encode in (path_encoding, genes)
    )
    assert by_paths[1, 0] > by_genes[1, 0] + 0.15 and by_paths[1, 0] > 0.85
    assert by_paths[1, 1] < 0.7 * by_paths[0, 1]


def test_truncation_loses_nothing():
    few, many = (
        np.mean([judged(60, seed, partial(path_encoding, least=least)) for seed in range(3)], axis=0)
        for least in (2, 1)
    )
    some = EVERYTHING[::4]
    assert path_encoding(some, some)[0].shape[1] < 0.5 * path_encoding(some, some, 1)[0].shape[1]
    assert few[1] <= many[1]


def test_the_ensemble_agrees_on_what_it_has_seen():
    errors = ordered(0)
    rows = np.random.default_rng(0).permutation(len(errors))
    seen, asked = path_encoding([EVERYTHING[k] for k in rows[:60]], [EVERYTHING[k] for k in rows])
    told = ensemble(seen, errors[rows[:60]], asked, 5, 0)
    assert told.shape == (5, len(errors))
    spread = told.std(axis=0)
    assert spread[:60].mean() < 0.5 * spread[60:].mean()
    np.testing.assert_array_equal(told, ensemble(seen, errors[rows[:60]], asked, 5, 0))


def test_errors_below_zero_are_predicted_too():
    seen, asked = path_encoding(EVERYTHING[:60], EVERYTHING[60:80])
    errors = ordered(0)[:60]
    low = ensemble(seen, errors - 10, asked, 2, 0)
    assert np.isfinite(low).all() and abs(low.mean() + 10 - errors.mean()) < 1


def test_bananas_beat_chance():
    tables = [made_up_table(seed=seed) for seed in range(2)]
    chance = np.mean([regret(RandomSearch(), table, 25, 10) for table in tables])
    assert np.mean([regret(Bananas(batch=5), table, 25, 3) for table in tables]) < 0.6 * chance


def test_batches_are_mutants_of_the_best_and_the_ensemble_is_charged():
    table = made_up_table()
    lab = TableLab(table)
    found = search_with(Bananas(initial=10, batch=5, parents=2, networks=18), lab, 0)
    asked = [trial.architecture for trial in found.trials]
    assert len(asked) == len(set(asked)) == 18
    for start in (10, 15):
        best = sorted(found.trials[:start], key=lambda trial: trial.error)[:2]
        around = {mutant for trial in best for mutant in table.space.neighbours(trial.architecture)}
        assert set(asked[start : start + 5]) <= around
    assert found.spent > sum(trial.cpu_seconds for trial in found.trials)
    again = search_with(Bananas(initial=10, batch=5, parents=2, networks=18), TableLab(table), 0)
    assert [trial.architecture for trial in again.trials] == asked


def test_bananas_end_with_the_space_and_bear_what_diverges():
    table = made_up_table()
    table.error[::3] = np.inf
    found = search_with(Bananas(networks=25), TableLab(table), 0)
    assert len(found.trials) == 25 and np.isfinite(found.error)
    table.error[:] = np.inf
    lab = TableLab(table)
    with pytest.raises(ValueError, match="finite error"):
        search_with(Bananas(networks=15), lab, 0)
    assert len(lab.trials) == 15
    few = TableLab(made_up_table())
    few.space = SMALL
    few.table.number.update({architecture: row for row, architecture in enumerate(SMALL.everything())})
    assert len(search_with(Bananas(initial=1, batch=2), few, 0).trials) == len(SMALL.everything())


@pytest.mark.parametrize("bad", [{"initial": 0}, {"batch": 0}, {"members": 1}])
def test_impossible_settings_are_refused(bad):
    with pytest.raises(ValueError, match="Expected numbers"):
        Bananas(**bad)
