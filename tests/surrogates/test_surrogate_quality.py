"""The surrogates' benchmark: its figures where they are known, and all of it in small."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from benchmarks import surrogate_quality
from benchmarks.search_problems import STEPS, steepness
from benchmarks.surrogate_figures import COARSE, COLUMNS, FINE, Bench, Solved, Trivial, covered, judge
from benchmarks.surrogate_quality import QUICK, architecture_of
from surrogates import TrainingConfig
from surrogates.baselines import NearestNeighbour
from surrogates.families import baseline
from surrogates.nas.lab import Rung

TINY = replace(
    QUICK,
    labels=(20, 30),
    coarse_runs=2,
    test_runs=2,
    nets=("mlp",),
    rates=(4e-3,),
    rungs=(Rung(1),),
    networks=2,
    config=TrainingConfig(epochs=1, pretraining_epochs=1),
)


@pytest.fixture(scope="module")
def bench() -> Bench:
    """Few labels."""
    return Bench.made(30, 2, 2)


def test_no_run_is_on_two_sides_and_fewer_labels_are_the_first_runs(bench):
    few, both = bench.data(20), bench.data(30, coarse=True)
    np.testing.assert_array_equal(few.levels[FINE].designs, bench.fine.designs[:20])
    groups = [set(part.groups) for part in (both.levels[FINE], both.levels[COARSE], bench.test)]
    assert [len(one) for one in groups] == [3, 2, 2] and len(set.union(*groups)) == 7
    assert len(bench.data(20, gradients=False).levels[FINE].gradients) == 0
    again = Bench.made(20, 1, 3)
    np.testing.assert_array_equal(again.test.designs[: 2 * STEPS], bench.test.designs)


def test_the_reference_solver_is_the_perfect_surrogate(bench):
    figures = judge(Solved(bench.device, FINE), bench)
    assert figures["response_error"] < 1e-9
    for key in COLUMNS:
        if "cosine" in key or key in ("gain", "actual_over_predicted"):
            assert figures[key] == pytest.approx(1, abs=1e-6), key
    coarse = judge(Solved(bench.device, COARSE), bench)
    assert 0.02 < coarse["response_error"] < 0.5 and 0.5 < coarse["gradient_cosine_density"] < 0.9999
    assert np.isnan(coarse["coverage_90"])


def test_a_step_is_the_ascents_own(bench):
    stepped = bench.stepped(bench.test.gradients[bench.late])
    for number, row in enumerate(bench.late[:-1]):
        if row % STEPS != STEPS - 1:  # what follows is the next design, less steep
            ratio = steepness(row % STEPS) / steepness(row % STEPS + 1)
            following, here = (np.log(d / (1 - d)) for d in (bench.test.designs[row + 1], stepped[number]))
            np.testing.assert_allclose(here, ratio * following, atol=1e-6)


def test_neighbours_among_the_labels_and_coverage_by_hand(bench):
    known = replace(bench, test=bench.fine)
    figures = judge(Trivial(NearestNeighbour, bench.data(30), seed=0), known)
    held_out = figures["response_error"]
    assert 0 < held_out < judge(Trivial(NearestNeighbour, bench.data(30), seed=0), bench)["response_error"]
    true = np.array([0.5 + 0.5j, 2.0 + 0.5j])
    assert covered(true, np.zeros(2) + 0j, np.ones(2) * (1 + 1j)) == 0.75


def test_architectures_are_read():
    assert architecture_of("fno") == baseline("fno")
    assert architecture_of(json.dumps(baseline("unet").to_json())) == baseline("unet")
    known = surrogate_quality.PROBLEMS["bend"].space.everything()[5]
    assert architecture_of(known.key) == known
    with pytest.raises(ValueError, match="Expected a family"):
        architecture_of("perceptron")
    with pytest.raises(SystemExit):
        surrogate_quality.main(["--architecture", '{"blocks": []}'])
    with pytest.raises(ValueError, match="2 or more times"):
        Bench.made(25, 1, 1)


def test_all_of_it_in_small(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(surrogate_quality, "QUICK", TINY)
    surrogate_quality.main(["--quick", "--folder", str(tmp_path)])
    report = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    names = {"found", "mlp", "gaussian process", "mean gradient", "nearest neighbour", "coarse solver"}
    for key in COLUMNS:
        assert set(report[key]) == names
    trained = [value for name, value in report["coverage_90"].items() if name != "coarse solver"]
    assert all(0 <= value <= 1 for value in trained) and report["search_cpu_seconds"] > 0
    assert set(report["gradient_training"]) == {"found", "mlp"}
    assert set(report["low_fidelity"]["gaussian process"]["20"]) == {"with", "without"}
    assert report["labels"] == 30 and set(report["gradient_training"]["mlp"]) == {"30"}
    files = sorted(tmp_path.iterdir())
    before = [file.stat().st_mtime_ns for file in files]
    Bench.made(30, 2, 2, tmp_path)
    assert len(files) == 3 and [file.stat().st_mtime_ns for file in sorted(tmp_path.iterdir())] == before
