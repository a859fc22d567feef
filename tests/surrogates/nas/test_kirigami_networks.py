"""The comparison of searched and fixed networks on kirigami: its splits, its answers, its pick."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks.kirigami_answers import FEATURES, OURS, QUICK, RATES, Answer, Cell, Size, Subset, family, shares, space
from benchmarks.kirigami_networks import best_fixed
from benchmarks.kirigami_regression import Data
from benchmarks.kirigami_training import Final, asked, settle
from benchmarks.mos2_problem import Mos2
from surrogates import TrainingConfig
from surrogates.encoding import ResponseCodec
from surrogates.nas.methods.supernet import Supernet
from surrogates.runtime import seeded
from tests.mos2 import table_or_skip


@pytest.fixture(scope="module")
def subset() -> Subset:
    return Subset(Data(Mos2(table_or_skip())), 300, 1)


def test_no_orbit_is_on_two_sides(subset: Subset) -> None:
    train, check = subset.parts
    orbit = subset.data.table.orbit
    sides = [set(orbit[rows]) for rows in (train, check, subset.test)]
    assert len(train) + len(check) == 300
    assert 45 <= len(check) <= 75
    for k in range(3):
        assert not sides[k] & sides[k - 1]


def test_samples_come_with_their_mirror_images(subset: Subset) -> None:
    samples = subset.samples(subset.rows[:5])
    assert len(samples) == 10
    np.testing.assert_array_equal(samples.designs[5:], samples.designs[:5, ::-1])
    np.testing.assert_array_equal(samples.responses["strain"][5:], samples.responses["strain"][:5])
    np.testing.assert_allclose(np.exp(samples.responses["strain"][:5]), subset.data.labels[subset.rows[:5], 0])


def test_answers_do_not_change_under_the_mirror(subset: Subset) -> None:
    torch.manual_seed(0)
    network = family("resnet").build((4, 40), 2)
    sheets = subset.data.sheets[:7]
    one, two = (asked(network, s, np.zeros(2), np.ones(2)) for s in (sheets, sheets[:, ::-1]))
    np.testing.assert_allclose(one, two, atol=1e-6)
    assert np.ptp(one) > 0
    moved = asked(network, sheets, np.array([1.0, 2.0]), np.array([3.0, 3.0]))
    np.testing.assert_allclose(moved, 3 * one + [1, 2], atol=1e-6)


def test_fixed_nets_see_the_sheets_as_they_are() -> None:
    assert family("fno").pooled_shape((4, 40)) == (4, 40)
    assert {a.pooled_shape((4, 40)) for a in space().everything()} == {(4, 40)}


class Counting(Cell):
    """Counts what is trained."""

    trained = 0

    def _trained(self, architecture, rate, spent, budget):
        self.trained += 1
        assert spent <= self.budget
        return Answer(np.full((len(self.subset.test), 2), rate), spent + 1.0, 4)


def test_an_answer_is_found_once_and_kept(subset: Subset, tmp_path) -> None:
    cell = Counting(subset, 0, QUICK, tmp_path)
    one = cell.answer("mlp")
    assert one.values[0, 0] in RATES
    assert cell.answer("mlp") is one
    assert cell.trained == 1
    again = Counting(subset, 0, QUICK, tmp_path)
    np.testing.assert_array_equal(again.answer("mlp").values, one.values)
    assert (again.answer("mlp").cpu_seconds, again.answer("mlp").members, again.trained) == (one.cpu_seconds, 4, 0)


def test_features_have_as_many_networks_as_there_is_time_for(subset: Subset, monkeypatch) -> None:
    asked_for = []

    def fit(self, name, rows, test, seed=0):
        asked_for.append((name, seed))
        return np.full((len(test), 2), {"linear": 1.0, "rows": float(seed % 100)}[name])

    monkeypatch.setattr(Cell, "_fit", fit)
    monkeypatch.setattr(Data, "features_cpu_seconds", 7.0)
    cell = Cell(subset, 1, replace(QUICK, members=3, cpu_seconds={300: 1e9}))
    one = cell.answer(FEATURES)
    assert asked_for == [("linear", 0), ("rows", 100), ("rows", 101), ("rows", 102)]
    assert (one.values == (1.0 + 1.0) / 2).all()
    assert one.cpu_seconds >= 7
    assert Cell(subset, 1, replace(QUICK, cpu_seconds={300: 0.0})).answer(FEATURES).members == 1


def test_ours_are_features_or_the_shares_that_suit_the_validation_orbits(subset: Subset, monkeypatch) -> None:
    def exact(rows):
        return np.log(subset.data.labels[rows])

    def searched(self, name, budget):
        check = exact(self.subset.parts[1])
        return Answer(np.full((len(self.subset.test), 2), 1.0), budget, 4), check + check.std(0)

    monkeypatch.setattr(Data, "features_cpu_seconds", 7.0)
    monkeypatch.setattr(Cell, "_fit", lambda self, name, rows, test, seed=0: exact(test) - 0.25 * exact(test).std(0))
    monkeypatch.setattr(Cell, "_searched", searched)
    size = replace(QUICK, cpu_seconds={300: 10.0, 3_000: 10.0}, epochs={3_000: 4}, mixed_epochs={3_000: 2})
    ours = Cell(Subset(subset.data, 3_000, 1), 0, size).answer(OURS)
    fitted = exact(subset.test) - 0.25 * exact(subset.test).std(0)
    np.testing.assert_allclose(ours.values, 0.2 + 0.8 * fitted, rtol=1e-4)
    assert ours.cpu_seconds == pytest.approx(10.0, abs=0.5)
    few = Cell(subset, 0, replace(size, epochs={300: 4}, mixed_epochs={300: 2}))
    assert few.answer(OURS) is few.answer(FEATURES)


def test_shares_are_those_of_the_true_mean_none_negative() -> None:
    rng = np.random.default_rng(0)
    answers = rng.normal(size=(3, 40, 2))
    wanted = np.array([0.7, 0.0, 0.3])
    np.testing.assert_allclose(shares(answers, np.tensordot(wanted, answers, 1)), wanted, atol=1e-6)
    np.testing.assert_allclose(shares(answers, 3 * answers[0]), [1, 0, 0], atol=1e-6)


def test_other_subsets_and_sizes_have_answers_of_their_own(subset: Subset, tmp_path) -> None:
    cells = [Cell(subset, 0, QUICK, tmp_path), Cell(subset, 1, QUICK, tmp_path)]
    cells += [Cell(subset, 0, Size(), tmp_path), Cell(Subset(subset.data, 300, 2), 0, QUICK, tmp_path)]
    assert len({cell._file(FEATURES) for cell in cells}) == 4


def test_a_network_is_trained_until_the_time_is_gone(subset: Subset) -> None:
    final = Final(family("mlp"), TrainingConfig(batch_size=32), subset.samples(subset.rows[:40]), 2, 3)
    assert final.answers(subset.data.sheets[:5], 0, 0.0)[1] == 1
    values, members = final.answers(subset.data.sheets[:5], 0, 1e9)
    assert members == 3
    assert values.shape == (5, 2)


def test_a_supernet_settles_on_the_samples_with_its_scores_as_they_are(subset: Subset) -> None:
    samples = subset.samples(subset.rows[:40])
    codec = ResponseCodec.fit(samples.responses)
    with seeded(0):
        supernet = Supernet(space(), (4, 40), codec.n_outputs)
    scores = supernet.scores.detach().clone()

    def error() -> float:
        found = asked(supernet, subset.data.sheets[subset.rows[:40]], np.zeros(2), np.ones(2))
        wanted = (np.log(subset.data.labels[subset.rows[:40]]) - codec.mean) / codec.scale
        return float(((found - wanted) ** 2).mean())

    before = error()
    settle(supernet, codec, samples, TrainingConfig(batch_size=8), 6, 1e9, 0)
    assert error() < 0.9 * before
    assert torch.equal(supernet.scores, scores)
    settled = error()
    settle(supernet, codec, samples, TrainingConfig(batch_size=8), 6, 0.0, 0)
    assert error() == settled


def test_best_fixed_net_is_that_of_the_highest_mean() -> None:
    assert best_fixed({"resnet": [[0.5], [0.6]], "mlp": [[0.7], [0.3]], "features": [[0.9], [0.9]]}) == "resnet"
    assert best_fixed({"features": [[0.9]]}) == ""
