"""Campaigns: labels of many designs, in a store that outlives kills."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from invdesign import CutGrid, Problem, Target
from invdesign.campaign import Campaign, asks, drawn_designs, level_called
from invdesign.cli import main
from invdesign.executors import InProcess
from invdesign.store import Store
from invdesign.terminal import explained
from physics.tables import read_labels
from tests.invdesign.noted import toy_problem
from tests.invdesign.toy import Toy

ROOT = Path(__file__).parents[2]
HEAD = """
from invdesign import Budget, CutGrid, Problem, Target, random_codes
from tests.invdesign.noted import toy_problem
from tests.invdesign.toy import Toy

strategies = {"chance": random_codes()}
budget = Budget(solves=5)
"""
CUTS = HEAD + 'problem = Problem(CutGrid((3, 4)), Toy((3, 4)), [Target("transmission", lower=0.9)])\n'


def call(*arguments: object):
    return CliRunner().invoke(main, [str(a) for a in arguments])


@pytest.fixture
def file(tmp_path) -> Path:
    path = tmp_path / "cuts.py"
    path.write_text(CUTS)
    return path


def test_labels_are_the_simulators_answers(file, tmp_path):
    ran = call("sample", file, "--n", 6, "--level", "toy-1", "--out", tmp_path / "out")
    assert ran.exit_code == 0, ran.output
    assert "6 labels of 6 designs" in ran.output
    found = read_labels(tmp_path / "out" / "labels.npz")
    assert len(np.unique(found.designs, axis=0)) == 6
    toy = Toy((3, 4))
    for row in range(6):
        wanted = toy.simulate(found.designs[row], 1)
        np.testing.assert_allclose(found.first("toy-1", "s")[row], wanted["s"], rtol=1e-6)


def test_more_designs_go_on_and_other_levels_stand_beside(file, tmp_path):
    call("sample", file, "--n", 4, "--out", tmp_path / "out")
    with Store(tmp_path / "out" / "store.db") as store:
        assert len(store.evaluation_keys()) == 4
    first = read_labels(tmp_path / "out" / "labels.npz").designs
    call("sample", file, "--n", 7, "--out", tmp_path / "out")
    call("sample", file, "--n", 7, "--level", "toy-0", "--out", tmp_path / "out")
    found = read_labels(tmp_path / "out" / "labels.npz")
    np.testing.assert_array_equal(found.designs[:4], first)
    assert {name: len(level.rows) for name, level in found.levels.items()} == {"toy-0": 7, "toy-1": 7}
    with Store(tmp_path / "out" / "store.db") as store:
        assert len(store.evaluation_keys()) == 14


def test_workers_give_the_same_labels(file, tmp_path):
    for name, more in (("one", []), ("two", ["--workers", 2])):
        assert call("sample", file, "--n", 5, "--out", tmp_path / name, *more).exit_code == 0
    one, two = (read_labels(tmp_path / name / "labels.npz") for name in ("one", "two"))
    np.testing.assert_array_equal(one.first("toy-1", "s"), two.first("toy-1", "s"))


def test_failures_are_told_and_asked_again_on_demand(tmp_path):
    problem = toy_problem(Toy(fault="raise"))
    designs = np.stack([np.full((12, 12), value) for value in (0.2, 0.9)])
    campaign = Campaign(problem.simulator, designs, asks(problem, [1], 2, 1, 0))
    with Store(tmp_path / "store.db") as store:
        tally = campaign.fill(store, InProcess())
        assert (tally.solved, tally.failed) == (1, 1)
        assert "did not converge" in next(iter(campaign.errors(store)))
        assert len(campaign.labels(store, "toy", {}).level("toy-1").rows) == 1
        mended = Campaign(Toy(), designs, campaign.asks)
        assert mended.fill(store, InProcess()).failed == 1
        assert mended.fill(store, InProcess(), retry_failed=True).failed == 0


def test_replicates_are_asked_of_stochastic_levels_alone():
    problem = toy_problem()
    assert len(asks(problem, [0, 1], 5, 3, 2)) == 10
    assert not any(fidelity.stochastic for fidelity in problem.simulator.fidelities)


def test_designs_do_not_depend_on_their_number(file):
    problem = toy_problem()
    np.testing.assert_array_equal(drawn_designs(problem, 3, 1), drawn_designs(problem, 5, 1)[:3])
    assert not np.array_equal(drawn_designs(problem, 3, 1), drawn_designs(problem, 3, 2))


def test_a_space_may_be_used_up(tmp_path):
    file = tmp_path / "few.py"
    file.write_text(CUTS.replace("CutGrid((3, 4))", "CutGrid((1, 2))").replace("Toy((3, 4))", "Toy((1, 2))"))
    ran = call("sample", file, "--n", 50, "--out", tmp_path / "out")
    assert ran.exit_code == 0
    assert len(read_labels(tmp_path / "out" / "labels.npz").designs) == 3


def test_designs_that_no_draw_gave_are_looked_up(monkeypatch):
    monkeypatch.setattr("invdesign.campaign.ATTEMPTS", 3)
    problem = Problem(CutGrid((2, 3)), Toy((2, 3)), [Target("transmission", lower=0.9)])
    every = drawn_designs(problem, 60, 0)
    assert len(every) == len(np.unique(every, axis=0)) == 7 * 7
    np.testing.assert_array_equal(drawn_designs(problem, 45, 0), every[:45])


def test_a_level_of_which_nothing_came_is_an_error_whatever_others_have(tmp_path):
    file, out = tmp_path / "faulty.py", tmp_path / "out"
    faulty = "class Faulty(Toy):\n    def simulate(self, design, level, replicate=0):\n"
    faulty += "        if level:\n            raise RuntimeError('no such luck')\n"
    faulty += "        return super().simulate(design, level, replicate)\n"
    file.write_text(HEAD + faulty + CUTS.removeprefix(HEAD).replace("Toy(", "Faulty("))
    assert call("sample", file, "--n", 3, "--level", "toy-0", "--out", out).exit_code == 0
    ran = call("sample", file, "--n", 3, "--level", "toy-1", "--out", out, "--quiet")
    assert ran.exit_code == 1
    assert "no such luck" in ran.output
    assert len(read_labels(out / "labels.npz").level("toy-0").rows) == 3


def test_replicates_without_effect_are_refused(file):
    ran = call("sample", file, "--n", 3, "--replicates", 2)
    assert ran.exit_code == 2 and "Expected a level that is stochastic" in ran.output.replace("\n", " ")
    ran = call("sample", file, "--n", 3, "--replicated", 2)
    assert ran.exit_code == 2 and "--replicates K" in ran.output.replace("\n", " ")


def test_the_folder_is_told_as_it_is_called(file, tmp_path):
    ran = call("sample", file, "--n", 2, "--out", tmp_path / "runs[old]")
    assert f"runs[old]{os.sep}labels.npz" in ran.output


def test_an_interrupt_at_any_time_has_its_exit_code():
    with pytest.raises(SystemExit) as left, explained():
        raise KeyboardInterrupt
    assert left.value.code == 130


def test_levels_by_the_beginning_of_a_name(file, tmp_path):
    assert level_called(toy_problem(), "toy-0") == 0
    ran = call("sample", file, "--n", 2, "--level", "toy", "--out", tmp_path / "out")
    assert ran.exit_code == 2
    assert "Expected a level among toy-0, toy-1" in ran.output.replace("\n", " ")


def test_another_simulators_folder_is_refused(file, tmp_path):
    call("sample", file, "--n", 2, "--out", tmp_path / "out")
    other = tmp_path / "other.py"
    other.write_text(CUTS.replace("Toy((3, 4))", "Toy((3, 4), gain=2.0)"))
    ran = call("sample", other, "--n", 2, "--out", tmp_path / "out")
    assert ran.exit_code == 2
    assert "Take another store" in ran.output.replace("\n", " ")


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT])
def test_a_kill_loses_nothing_that_was_finished(sent, tmp_path):
    file, out = tmp_path / "slow.py", tmp_path / "out"
    slow = "import time\nclass Slow(Toy):\n    def simulate(self, design, level, replicate=0):\n"
    slow += "        time.sleep(0.05)\n        return super().simulate(design, level, replicate)\n"
    file.write_text(HEAD + slow + CUTS.removeprefix(HEAD).replace("Toy(", "Slow("))
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "invdesign", "sample", str(file), "--n", "100", "--out", str(out)]
    process = subprocess.Popen(
        command, env=environment, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler)
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and _labelled(out) < 5:
        time.sleep(0.1)
    process.send_signal(sent)
    assert process.wait(timeout=60) == (130 if sent == signal.SIGINT else -signal.SIGKILL)
    there = _labelled(out)
    assert 5 <= there < 100
    if sent == signal.SIGINT:
        assert len(read_labels(out / "labels.npz").level("toy-1").rows) == there
    assert call("sample", file, "--n", 100, "--out", out).exit_code == 0
    assert _labelled(out) == 100


def _labelled(folder: Path) -> int:
    if not (folder / "store.db").is_file():
        return 0
    with Store(folder / "store.db") as store:
        return len(store.evaluation_keys())
