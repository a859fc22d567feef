"""Meep that aborts, dies, hangs or is not done is told as an error, and the next solve is right."""

from __future__ import annotations

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from physics.base import SimulationError
from physics.meep import meep
from physics.meep.description import Mesh, described
from physics.meep.resampling import Resampling
from physics.meep.session import SCRIPT, session
from physics.worker import Program, ProgramError, Worker, WorkerDied, WorkerTimeout
from physics.worker.worker import living
from tests.meep import needs_meep
from tests.physics.meep.problems import bend, binary, grey, ladder, ring
from tests.physics.worker.states import descriptors, ends

pytestmark = needs_meep


@pytest.fixture
def worker():
    """One of its own, with Meep."""
    own = Worker(Program("meep", meep(gradients=True).python, str(SCRIPT)))
    yield own
    own.close()


@pytest.fixture(scope="module")
def known():
    """A ladder, its answer, and the calibrated model."""
    simulator = ladder(bend(), transits=5.0)
    return simulator, simulator.simulate(ring(), 1)["s"]


def solve(worker, design=None, **changed):
    """S-parameters straight from a worker."""
    model = described(bend(), Mesh(0.05, 0.6, 5.0), (0,)) | changed
    resampling = Resampling(bend().design_shape, bend().size_um, 0.05)
    arrays = {"density": resampling.down(ring() if design is None else design, resampling.ring(bend(), 0))}
    return worker.call("simulate", arrays, time_limit_s=120.0, model=model, sources=[0])


def test_abort_inside_meep_is_told(worker, known):
    with pytest.raises(ProgramError, match="RuntimeError: meep: invalid boundary absorbers"):
        solve(worker, pml=5.0)
    assert np.allclose(solve(worker).arrays["s"], known[1][:, None], atol=1e-9)


def test_python_errors_leave_the_worker_usable(worker, known):
    with pytest.raises(ProgramError, match="density"):
        worker.call("simulate", {"densty": ring()}, model=described(bend(), Mesh(0.05, 0.6, 5.0), (0,)), sources=[0])
    with pytest.raises(ProgramError, match="Expected the forward run of this design"):
        worker.call(
            "backward",
            {"cotangent": np.ones((2, 1, 1), complex)},
            model=described(bend(), Mesh(0.05, 0.6, 5.0), (0,)),
            sources=[0],
            token="another",
        )
    assert np.allclose(solve(worker).arrays["s"], known[1][:, None], atol=1e-9)


def test_killed_mid_solve(known):
    simulator, s = known
    long = ladder(bend(), transits=500.0)
    long.prepare(0)
    with session(long.device, long.meshes[0], meep(gradients=True), 60.0) as at:
        victim = at.worker
    failed = []

    def run():
        try:
            long.simulate(ring(), 1)
        except SimulationError as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    time.sleep(0.7)
    for other in list(living):
        os.kill(other.pid, signal.SIGKILL)
    thread.join(30)
    assert len(failed) == 1 and isinstance(failed[0], WorkerDied)
    assert "SIGKILL" in str(failed[0])
    assert ends(victim.pid)
    assert np.array_equal(simulator.simulate(ring(), 1)["s"], s)


def test_time_limit(known):
    simulator, s = known
    simulator.prepare(1)
    hurried = ladder(bend(), transits=500.0, time_limit_s=0.5)
    with pytest.raises(WorkerTimeout, match=r"no answer within 0.5 s"):
        hurried.simulate(ring(), 1)
    assert np.array_equal(simulator.simulate(ring(), 1)["s"], s)


def test_unsettled_fields_are_refused(monkeypatch):
    monkeypatch.setattr("physics.meep.session.SETTLED", 1e-6)
    with pytest.raises(SimulationError, match=r"settled.*transits=2; raise transits"):
        ladder(bend(), transits=2.0).simulate(binary(), 1)
    with pytest.raises(SimulationError, match=r"settled.*transits=0.1; raise transits"):
        ladder(bend(), transits=0.1).vjp(binary(), 1, {"transmission": np.ones((1, 1))})
    ladder(bend(), transits=40.0).simulate(ring(), 1)


def resident_mb(pid):
    """Memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def repeat(worker, times):
    """Solves and gradients of ever other designs; memory in MB after each."""
    rng, memory = np.random.default_rng(0), []
    model = described(bend(), Mesh(0.05, 0.6, 5.0), (0,)) | {"run_time": 3.0}
    seed = np.ones((2, 1, 1), complex)
    for number in range(times):
        arrays = {"density": rng.random((50, 50))}
        given = {"model": model, "sources": [0], "time_limit_s": 60.0}
        if number % 4:
            worker.call("simulate", arrays, **given)
        else:
            worker.call("forward", arrays, token=str(number), first=True, **given)
            worker.call("backward", {"cotangent": seed}, token=str(number), **given)
        memory.append(resident_mb(worker.pid))
    return memory


@pytest.mark.slow
def test_many_solves_leak_nothing(worker):
    before, pids = descriptors(), set(living)
    theirs = len(list(Path(f"/proc/{worker.pid}/fd").iterdir()))
    memory = repeat(worker, 120)
    assert memory[-1] - memory[20] < 8, memory[::10]
    assert descriptors() == before
    assert set(living) == pids
    assert len(list(Path(f"/proc/{worker.pid}/fd").iterdir())) == theirs


def test_few_solves_leak_nothing(worker):
    before = descriptors()
    memory = repeat(worker, 8)
    assert memory[-1] - memory[4] < 4, memory
    assert descriptors() == before


def test_two_at_once_give_the_numbers_of_one(known):
    simulator, _ = known
    designs = [ring(), grey(0), grey(1), ring()]
    alone = [simulator.simulate(design, 1)["s"] for design in designs]
    with ThreadPoolExecutor(2) as threads:
        together = list(threads.map(lambda design: simulator.simulate(design, 1)["s"], designs))
    for one, other in zip(alone, together, strict=True):
        assert np.array_equal(one, other)
