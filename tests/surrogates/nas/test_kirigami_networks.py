"""The comparison of searched and fixed networks on kirigami: its splits, its answers, its pick."""

import numpy as np
import pytest
import torch

from benchmarks.kirigami_answers import (
    FEATURES,
    HALF,
    OURS,
    PROCESS,
    QUICK,
    Answer,
    Cell,
    Subset,
    asked,
    family,
    shares,
    space,
)  # fmt: skip
from benchmarks.kirigami_networks import best_fixed
from benchmarks.kirigami_regression import Data
from benchmarks.mos2_problem import Mos2
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


class Told(Cell):
    """Knows what each method would say."""

    def _searched(self, name: str) -> Answer:
        return Answer(np.full((3, 2), 1.0), 10.0, self._fit(name, *self.subset.parts))

    def _plain(self, name: str) -> Answer:
        return Answer(np.full((3, 2), 2.0 if name == PROCESS else 3.0), 5.0)

    def _fit(self, name, rows, test):
        exact = np.log(self.subset.data.labels[test])
        if name == HALF:
            return exact + np.where(np.arange(len(exact)) % 2, 4.0, -4.0)[:, None]
        return exact + {PROCESS: 1.0, FEATURES: -0.25}[name] * exact.std(0)


def test_ours_has_the_shares_that_suit_the_validation_orbits_and_costs_all(subset: Subset, tmp_path) -> None:
    cell = Told(subset, 0, QUICK, tmp_path)
    ours = cell.answer(OURS)
    np.testing.assert_allclose(ours.values, 0.2 * 2 + 0.8 * 3, rtol=1e-2)
    assert ours.cpu_seconds >= 20
    again = Cell(subset, 0, QUICK, tmp_path)
    np.testing.assert_array_equal(again.answer(OURS).values, ours.values)
    assert again.answer(OURS).cpu_seconds == ours.cpu_seconds
    assert {again.answer(name).cpu_seconds for name in (HALF, PROCESS, FEATURES)} == {10.0, 5.0}
    assert len(again.answer(HALF).held) == len(subset.parts[1])


def test_shares_are_those_of_the_true_mean_none_negative() -> None:
    rng = np.random.default_rng(0)
    answers = rng.normal(size=(3, 40, 2))
    wanted = np.array([0.7, 0.0, 0.3])
    np.testing.assert_allclose(shares(answers, np.tensordot(wanted, answers, 1)), wanted, atol=1e-6)
    np.testing.assert_allclose(shares(answers, 3 * answers[0]), [1, 0, 0], atol=1e-6)


def test_best_fixed_net_is_that_of_the_highest_mean() -> None:
    assert best_fixed({"resnet": [0.5, 0.6], "mlp": [0.7, 0.3], "ours": [0.9, 0.9]}) == "resnet"
    assert best_fixed({"ours": [0.9]}) == ""
