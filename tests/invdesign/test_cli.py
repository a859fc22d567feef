"""The command line: runs, resumes, reports, and tells the user what to put right."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from invdesign.cli import main
from invdesign.experiment import ExperimentError, load_experiment
from invdesign.store import Store

ROOT = Path(__file__).parents[2]
HEAD = """
from invdesign.budget import Budget
from invdesign.problem import Problem
from invdesign.strategies import Adjoint, Drawn, Random
from invdesign.targets import CustomTarget, Target
from tests.invdesign.noted import ToyWithFields, toy_problem
"""
EXPERIMENT = (
    HEAD
    + """
problem = toy_problem()
strategies = {"descent": Adjoint(starts=1, evaluations=4), "chance": Random()}
budget = Budget(solves=40)
seed = 3
"""
)


@pytest.fixture
def file(tmp_path) -> Path:
    path = tmp_path / "my experiment.py"
    path.write_text(EXPERIMENT)
    return path


def call(*arguments: object):
    return CliRunner().invoke(main, [str(a) for a in arguments])


def call_aside(*arguments: object, **options) -> subprocess.CompletedProcess:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "invdesign", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, **options)


def test_run_then_report_then_show(file, tmp_path):
    out = tmp_path / "out"
    ran = call("run", file, "--out", out)
    assert ran.exit_code == 0, ran.output
    assert "descent" in ran.stdout and "chance" in ran.stdout
    assert "Verified best:" in ran.stdout
    assert "first met the targets after" in ran.stdout or "No strategy has met the targets." in ran.stdout
    assert ran.stdout.splitlines()[-1] == f"Report: {(out / 'report' / 'report.html').resolve().as_uri()}"
    assert (out / "experiment.py").read_text() == EXPERIMENT
    page = out / "report" / "report.html"
    first = page.read_text()
    assert "descent" in first and "my strategy" not in first
    # From the store alone: byte for byte the same page, without a solve.
    page.unlink()
    again = call("report", out)
    assert again.exit_code == 0, again.output
    assert page.read_text() == first
    shown = json.loads(call("show", out, "--json", "--design").stdout)
    assert [run["strategy"] for run in shown["runs"]] == ["descent", "chance"]
    assert all(run["ended"] and run["check"]["fidelity"] == "toy-0" for run in shown["runs"])
    best = min((run["best"] for run in shown["runs"]), key=lambda b: (b["distance"], b["loss"]))
    assert np.array_equal(np.array(best["design"]), np.load(out / "report" / "design.npy"))
    assert set(best["response"]["nominal/s"]) == {"real", "imag"}
    assert "descent" in call("show", out).stdout


def test_same_command_resumes(file, tmp_path):
    out = tmp_path / "out"
    assert call("run", file, "--out", out, "--no-report").exit_code == 0
    with Store(out / "store.db") as store:
        keys = store.evaluation_keys()
    first = json.loads(call("show", out, "--json").stdout)
    assert call("run", file, "--out", out, "--no-report", "--quiet").stdout == ""
    with Store(out / "store.db") as store:
        assert store.evaluation_keys() == keys
    assert json.loads(call("show", out, "--json").stdout) == first
    assert not (out / "report").exists()


def test_options_replace_the_file(file, tmp_path):
    out = tmp_path / "out"
    ran = call("run", file, "--out", out, "--strategy", "chance", "--seed", 5, "--cpu-seconds", 0.3, "--no-report")
    assert ran.exit_code == 0, ran.output
    (run,) = json.loads(call("show", out, "--json").stdout)["runs"]
    assert (run["strategy"], run["seed"]) == ("chance", 5)
    assert call("report", out).exit_code == 0
    # Another experiment's copy does not take the place of this one's.
    file.write_text(EXPERIMENT + "\nbudget = Budget(solves=5)\n")
    assert call("run", file, "--out", out, "--strategy", "chance", "--no-report").exit_code == 0
    assert (out / "experiment-1.py").read_text() == EXPERIMENT


def test_report_of_an_edited_experiment_uses_the_copy(file, tmp_path):
    out = tmp_path / "out"
    assert call("run", file, "--out", out).exit_code == 0
    first = (out / "report" / "report.html").read_text()
    file.write_text("raise RuntimeError('edited')")
    assert call("report", out).exit_code == 0
    assert (out / "report" / "report.html").read_text() == first


CUSTOM = (
    HEAD
    + """
def brightness(response):
    return 1 - response["transmission"].mean((-1, -2))

problem = toy_problem(targets=[CustomTarget(brightness, tolerance=0.9)])
strategy = Adjoint(starts=1, evaluations=2)
budget = Budget(solves=10)
"""
)


def test_custom_losses_reach_worker_processes(tmp_path):
    file = tmp_path / "custom.py"
    file.write_text(CUSTOM)
    aside, here = tmp_path / "aside", tmp_path / "here"
    ran = call_aside("run", file, "--out", aside, "--workers", 1, "--no-report")
    assert ran.returncode == 0, ran.stderr
    assert call("run", file, "--out", here, "--no-report").exit_code == 0
    found = [json.loads(call("show", out, "--json").stdout)["runs"][0] for out in (aside, here)]
    assert found[0]["run"] == found[1]["run"]
    assert found[0]["best"]["loss"] == pytest.approx(found[1]["best"]["loss"], rel=1e-6)
    with Store(aside / "store.db") as store:
        assert all(store.evaluation(key).error is None for key in store.evaluation_keys())


def test_lambdas_are_refused_for_workers(tmp_path):
    file = tmp_path / "custom.py"
    file.write_text(CUSTOM.replace("CustomTarget(brightness", "CustomTarget(lambda r: brightness(r)"))
    ran = call("run", file, "--out", tmp_path / "out", "--workers", 1)
    assert ran.exit_code == 2
    assert "top level" in ran.stderr
    assert call("run", file, "--out", tmp_path / "out", "--no-report").exit_code == 0


WRONG = {
    "there is none": (None, "There is none"),
    "raises": ("x = 1\nproblem = 1 / 0\n", "ZeroDivisionError: division by zero"),
    "exits": ("import sys\nsys.exit(3)\n", "SystemExit"),
    "not Python": ("problem = (\n", "not valid Python"),
    "import": ("import no_such_module_at_all\n", "line 1: import no_such_module_at_all"),
    "no problem": ("budget = 1\n", "define `problem`"),
    "wrong problem": ("problem = 3\n", "to be a Problem. Got a int: 3"),
    "no budget": (EXPERIMENT.replace("budget =", "money ="), "define `budget`"),
    "wrong seed": (EXPERIMENT.replace("seed = 3", "seed = 'x'"), "integer >= 0"),
    "no strategy": (EXPERIMENT.replace("strategies =", "others ="), "or one `strategy`"),
    "class": (EXPERIMENT.replace('"chance": Random()', '"chance": Random'), "write Random()"),
    "not callable": (EXPERIMENT.replace('"chance": Random()', '"chance": 5'), "callable"),
    "wrong shape": (EXPERIMENT.replace("toy_problem()", "toy_problem(ToyWithFields((5, 5)))"), "shape (5, 5)"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_experiments(kind, tmp_path):
    text, told = WRONG[kind]
    file = tmp_path / "wrong.py"
    if text is not None:
        file.write_text(text)
    ran = call("run", file, "--out", tmp_path / "out")
    assert ran.exit_code == 2
    assert told in ran.stderr
    assert "Traceback" not in ran.output
    assert not (tmp_path / "out").exists()


FAILING = (
    EXPERIMENT
    + """
def failing(problem, evaluator, rng):
    raise KeyError("lost")

strategies = {"bad": failing}
"""
)


def test_failing_strategy_is_told(tmp_path):
    file = tmp_path / "failing.py"
    file.write_text(FAILING)
    ran = call("run", file, "--out", tmp_path / "out")
    assert ran.exit_code == 2
    assert "'bad' raised KeyError" in ran.stderr and "failing.py, line" in ran.stderr
    assert "Traceback" not in ran.output


def test_store_of_another_simulator(file, tmp_path):
    out = tmp_path / "out"
    assert call("run", file, "--out", out, "--no-report", "--strategy", "chance").exit_code == 0
    file.write_text(EXPERIMENT.replace("toy_problem()", "toy_problem(ToyWithFields(seed=9))"))
    ran = call("run", file, "--out", out)
    assert ran.exit_code == 2
    assert "Take another store" in ran.stderr
    assert (out / "experiment.py").read_text() == EXPERIMENT


def test_folders_without_a_run(file, tmp_path):
    for command in ("report", "show"):
        ran = call(command, tmp_path / "nothing")
        assert ran.exit_code == 2
        assert "invdesign run FILE --out" in ran.stderr
    assert not (tmp_path / "nothing").exists()
    ran = call("run", file, "--out", tmp_path / "out", "--strategy", "genius")
    assert ran.exit_code == 2
    assert "descent, chance" in ran.stderr


def test_corrupt_store_is_told_and_salvaged(file, tmp_path):
    out = tmp_path / "out"
    assert call("run", file, "--out", out, "--no-report").exit_code == 0
    content = bytearray((out / "store.db").read_bytes())
    content[4096 * 3 : 4096 * 5] = os.urandom(8192)
    (out / "store.db").write_bytes(content)
    ran = call("show", out)
    assert ran.exit_code == 2
    assert "invdesign salvage" in ran.stderr
    saved = call("salvage", out / "store.db", tmp_path / "new.db")
    assert saved.exit_code == 0, saved.output
    assert "evaluations" in saved.stdout
    assert call("salvage", out / "store.db", tmp_path / "new.db").exit_code == 2


SLOW = EXPERIMENT.replace("budget = Budget(solves=40)", "budget = Budget(cpu_seconds=600)")


def test_interrupt_keeps_what_is_finished(tmp_path):
    file, out = tmp_path / "slow.py", tmp_path / "out"
    file.write_text(SLOW)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "invdesign", "run", str(file), "--out", str(out), "--strategy", "chance"]
    # Tests that run in a shell's background would hand on that they ignore the interrupt.
    listening = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, preexec_fn=listening
    )
    deadline = time.monotonic() + 120
    while not (process.poll() is not None or time.monotonic() > deadline):
        time.sleep(0.3)
        if (out / "run.json").is_file():
            with Store(out / "store.db") as store:
                if len(store.evaluation_keys()) > 5:
                    break
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command goes on" in told
    assert "Traceback" not in told
    (run,) = json.loads(call("show", out, "--json").stdout)["runs"]
    assert run["ended"] is False
    assert run["best"] is not None
    report = call("report", out)
    assert report.exit_code == 0, report.output
    assert "unfinished" in (out / "report" / "report.html").read_text()


def test_simulators():
    listed = json.loads(call("simulators", "--json").stdout)
    bend = next(entry for entry in listed if entry["name"] == "waveguide_bend")
    assert [f["name"] for f in bend["fidelities"]] == ["fdfd-40nm", "fdfd-20nm"]
    assert "s" in bend["fidelities"][-1]["response"]
    assert "design_um" in bend["parameters"]
    assert bend["summary"].startswith("A 90 degree bend")
    assert bend["gradients"] and bend["fields"]
    plain = call("simulators").stdout
    assert all(entry["name"] in plain for entry in listed)


def test_version_and_module():
    ran = call_aside("--version")
    assert ran.returncode == 0
    assert ran.stdout.startswith("invdesign, version")


def test_load_experiment_by_path(file):
    experiment = load_experiment(file)
    assert list(experiment.strategies) == ["descent", "chance"]
    assert experiment.seed == 3
    with pytest.raises(ExperimentError):
        load_experiment(file.with_name("other.py"))
