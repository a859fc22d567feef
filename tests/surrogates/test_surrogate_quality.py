"""The surrogates' benchmark: its figures where they are known, and all of it in small."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks import surrogate_quality
from benchmarks.search_problems import STEPS, steepness
from benchmarks.surrogate_figures import (
    COARSE,
    COLUMNS,
    FINE,
    Bench,
    Solved,
    Trivial,
    coarse_solver,
    covered,
    judge,
    latency_ms,
    width,
)
from benchmarks.surrogate_quality import architecture_of
from benchmarks.surrogate_study import COMPOSITE, DISCREPANCY, EMBEDDING, FOUND, NEAREST, PEDS, QUICK, Study
from surrogates import ResponseCodec, TrainingConfig
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
    # Two parts vary, with standard deviations of sqrt(8) and sqrt(2).
    codec = ResponseCodec.fit({"s": np.array([[0.0, 1j], [4.0, 3j]])})
    lower, upper = np.array([[1.0 + 0j, 0.0]]), np.array([[3.0 + 0j, 2j]])
    assert width(codec, lower, upper) == pytest.approx(np.mean([2 / 8**0.5, 2 / 2**0.5]))


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


def test_the_coarse_solver_around_which_networks_are_built_is_the_devices(bench):
    designs = bench.test.designs[:2]
    x = torch.from_numpy(designs.copy()).requires_grad_(True)
    s = coarse_solver(bench.device).responses(x)["s"]
    known, gradients = Solved(bench.device, COARSE).vjp(designs)
    np.testing.assert_allclose(s.detach().numpy(), known, rtol=1e-12)
    (own,) = torch.autograd.grad((s[:, -1].abs() ** 2).sum(), x)
    np.testing.assert_allclose(own.numpy(), gradients, atol=1e-9 * np.abs(gradients).max())


def test_latency_asks_for_a_design_only_once(bench):
    asked = []

    class Listening(Solved):
        def vjp(self, designs, cotangents=None):
            asked.append(designs.astype(np.float32).tobytes())
            return designs, designs

    latency_ms(Listening(bench.device, COARSE), bench.test.designs[:1])
    assert len(asked) == len(set(asked)) == 7 and bench.test.designs[:1].astype(np.float32).tobytes() not in asked


def test_fewer_labels_are_tuned_and_trained_on_with_as_many_steps(bench):
    size = replace(TINY, config=TrainingConfig(epochs=6), rungs=(Rung(2), Rung(4)), rates=(4e-3, 8e-3))
    study = Study(bench, size, nets={FOUND: baseline("mlp")})
    task = study.lab(20).task
    assert [rung.epochs for rung in task.rungs] == [3, 6]
    assert set(task.train.levels[FINE].groups) | set(task.held_out.groups) == set(bench.data(20).levels[FINE].groups)
    rate, error, _ = study.tuned(FOUND, 20)
    other = {0.004: 0.008, 0.008: 0.004}[rate]
    assert error <= study.lab(20).at_rate(other).ask(baseline("mlp")).error
    epochs = {name: study.config(name, bench.data(20, coarse=name in (COMPOSITE, EMBEDDING)), True).epochs
              for name in (FOUND, COMPOSITE, EMBEDDING, DISCREPANCY, PEDS)}  # fmt: skip
    assert epochs == {FOUND: 9, COMPOSITE: 4, EMBEDDING: 4, DISCREPANCY: 9, PEDS: 3}
    assert study.config(FOUND, bench.data(20), True).learning_rate == rate


def test_kept_figures_are_of_their_size_seed_and_data_and_damaged_ones_are_made_anew(bench, tmp_path):
    study = Study(bench, TINY, tmp_path)
    first = study.figures(NEAREST, 30)
    (file,) = (tmp_path / "figures").iterdir()
    told = json.loads(file.read_text())
    told["figures"]["gain"] = 7.0
    file.write_text(json.dumps(told))
    again = Study(bench, TINY, tmp_path)
    assert again.figures(NEAREST, 30) == pytest.approx({**first, "gain": 7.0}, nan_ok=True) and again.replayed == 1
    for other in (
        Study(bench, replace(TINY, members=3), tmp_path),
        Study(replace(bench, test=bench.test.take(np.arange(STEPS))), TINY, tmp_path),
        Study(replace(bench, fine=bench.fine.take(np.arange(30)[::-1])), TINY, tmp_path),
    ):
        assert other.figures(NEAREST, 30)["gain"] != 7.0 and other.replayed == 0
    file.write_text(file.read_text()[:40])
    anew = Study(bench, TINY, tmp_path)
    assert anew.figures(NEAREST, 30)["gain"] == pytest.approx(first["gain"]) and anew.replayed == 0
    assert json.loads(file.read_text())["figures"]["gain"] == pytest.approx(first["gain"])


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
    rows = {"found", "gaussian process", "transfer", "co-kriging", COMPOSITE, EMBEDDING, DISCREPANCY, PEDS}
    assert set(report["low_fidelity"]) == rows
    for row in rows:
        assert set(report["low_fidelity"][row]) == {"20", "30"}
        for figures in report["low_fidelity"][row].values():
            assert all(np.isfinite(figures[key]) for key in ("response_error", "gradient_cosine", "gain", "latency_ms"))
    # At first a discrepancy is its solver, whose error it keeps as training is short.
    assert report["low_fidelity"][DISCREPANCY]["30"]["response_error"] < 0.7
    assert report["labels"] == 30 and set(report["gradient_training"]["mlp"]) == {"30"} and report["replayed"] == 0
    before = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.*")}
    assert len(list(tmp_path.glob("*.npz"))) == 3
    surrogate_quality.main(["--quick", "--folder", str(tmp_path)])
    again = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    passing = ("replayed", "cpu_seconds", "solver_ms")
    assert again["replayed"] == len(list((tmp_path / "figures").iterdir())) > 0
    assert {k: v for k, v in again.items() if k not in passing} == {k: v for k, v in report.items() if k not in passing}
    assert {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.*")} == before
