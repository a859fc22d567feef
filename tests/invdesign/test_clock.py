"""CPU seconds that a simulator uses in another interpreter are charged exactly once."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass

import numpy as np
import pytest

from invdesign.budget import Budget, Meter
from invdesign.clock import cpu_clock
from invdesign.evaluator import Evaluator
from invdesign.executors import InProcess, Processes
from invdesign.ledger import Ledger
from invdesign.store import Store
from invdesign.work import Task, execute
from physics.base import Array, Fidelity, Quantity, Response
from physics.worker import Program, borrow, close_all

BURNT, START = 0.4, 0.2
SOURCE = f"""
import time

def spend(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass

def burn(header, arrays):
    spend(header["seconds"])
    if header["fails"]:
        raise RuntimeError("no convergence")
    return {{}}, {{"mean": arrays["design"].mean()}}

def handlers():
    spend({START})
    return {{"burn": burn}}
"""


@dataclass(frozen=True)
class Elsewhere:
    """Solves in a worker: START CPU seconds there once and BURNT a solve, next to none here."""

    script: str
    fails: bool = False
    design_shape: tuple[int, int] = (3, 3)
    identity: str = "elsewhere"

    @property
    def fidelities(self) -> tuple[Fidelity, ...]:
        return (Fidelity("only", 1.0, (Quantity("mean", {}),)),)

    @property
    def program(self) -> Program:
        return Program("burner", sys.executable, self.script)

    def prepare(self, level: int) -> None:
        with borrow(self.program):
            pass

    def simulate(self, design: Array, level: int, replicate: int = 0) -> Response:
        with borrow(self.program) as worker:
            return worker.call("burn", {"design": design}, seconds=BURNT, fails=self.fails).arrays


@pytest.fixture
def script(tmp_path, monkeypatch):
    monkeypatch.setenv("INVDESIGN_WORKER_LOGS", str(tmp_path))
    path = tmp_path / "burner.py"
    path.write_text(SOURCE)
    yield str(path)
    close_all()


def evaluator_of(store: Store, executor) -> Evaluator:
    return Evaluator(store, Ledger(store, "run", Meter(Budget(solves=100))), executor, ("only",))


@pytest.mark.parametrize("fails", [False, True])
def test_outcome_holds_the_workers_seconds(script, fails):
    simulator = Elsewhere(script, fails)
    simulator.prepare(0)
    outcome = execute(Task(simulator, np.ones((3, 3)), 0))
    assert (outcome.error is not None) == fails
    assert BURNT <= outcome.cpu_seconds < 1.5 * BURNT


def test_in_process_solves_are_charged_once(script):
    own = time.process_time()
    with Store(":memory:") as store:
        evaluator = evaluator_of(store, InProcess())
        meter, start = evaluator.meter, cpu_clock()
        tasks = [Task(Elsewhere(script), np.full((3, 3), value), 0) for value in (0.25, 0.75)]
        records = evaluator.ask(tasks)
        payload = evaluator.memo("network", {"n": 1}, lambda: Elsewhere(script).simulate(np.ones((3, 3)), 0))
        # What the strategy itself solves, past the evaluator, is its own time.
        Elsewhere(script).simulate(np.ones((3, 3)), 0)
        end = time.process_time() + 0.1
        while time.process_time() < end:
            pass
        evaluator.memo("network", {"n": 2}, lambda: {"x": np.zeros(1)})
        in_all = cpu_clock() - start
    assert [float(r.response["mean"]) for r in records] == [0.25, 0.75]
    assert float(payload["mean"]) == 1.0
    by_phase = meter.cpu_seconds_by_phase
    assert 2 * BURNT <= by_phase["only"] < 2.3 * BURNT
    assert BURNT <= by_phase["network"] < 1.3 * BURNT
    assert BURNT + 0.1 <= by_phase["strategy"] < 1.3 * BURNT + 0.2
    # Neither lost nor twice: all phases and the set-up make up what the two processes used.
    assert START <= meter.setup_cpu_seconds < START + 0.4
    assert meter.cpu_seconds + meter.setup_cpu_seconds == pytest.approx(in_all, abs=0.05)
    assert in_all - (time.process_time() - own) >= 4 * BURNT + START


def test_pool_of_processes_is_charged_once(script):
    executor = Processes(workers=1)
    try:
        with Store(":memory:") as store:
            evaluator = evaluator_of(store, executor)
            evaluator.ask([Task(Elsewhere(script), np.ones((3, 3)), 0)])
            by_phase = evaluator.meter.cpu_seconds_by_phase
    finally:
        executor.shutdown()
    # The worker's start is part of the first solve there.
    assert BURNT + START <= by_phase["only"] < BURNT + START + 0.6
    assert by_phase["strategy"] < BURNT
