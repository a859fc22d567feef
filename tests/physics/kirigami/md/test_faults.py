"""LAMMPS that fails, dies or hangs is told as an error, and the next pull is right."""

from __future__ import annotations

import os
import signal
import threading
import time

import numpy as np
import pytest

from physics.base import SimulationError
from physics.kirigami.md import lammps, run_md
from physics.worker import ProgramError, Worker, WorkerDied, WorkerTimeout, borrow
from physics.worker.worker import living
from tests.physics.kirigami.md.problems import CUT, WHOLE, needs_md, quick, tiny

pytestmark = needs_md
LONG = {"rate_per_ps": 0.0005}


@pytest.fixture(scope="module")
def right():
    """What undisturbed LAMMPS answers."""
    return run_md(CUT, tiny(), quick(), seed=1).stress_gpa


def test_lammps_own_message_comes_through(right):
    with borrow(lammps().program) as worker:
        with pytest.raises(ProgramError, match=r"ERROR.*Box bounds are invalid"):
            worker.call(
                "stretched",
                {"strain": np.array([-2.0])},
                potential="tersoff",
                bond_range_angstrom=(2.1, 2.1),
                bond_angstrom=1.46,
                thickness_angstrom=3.35,
            )
        assert worker.alive
    assert np.array_equal(run_md(CUT, tiny(), quick(), seed=1).stress_gpa, right)


def test_an_integration_that_blows_up_is_no_answer():
    settings = quick(temperature_k=300.0)
    object.__setattr__(settings, "timestep_ps", 0.02)  # past the door
    with pytest.raises(ProgramError, match="shorten timestep_ps"):
        run_md(WHOLE, tiny(), settings)


def test_killed_mid_pull(right):
    failed = []

    def pull():
        try:
            run_md(WHOLE, tiny(), quick(**LONG))
        except SimulationError as error:
            failed.append(error)

    thread = threading.Thread(target=pull)
    thread.start()
    time.sleep(1.5)
    for worker in list(living):
        os.kill(worker.pid, signal.SIGKILL)
    thread.join(30)
    assert len(failed) == 1 and isinstance(failed[0], WorkerDied) and "SIGKILL" in str(failed[0])
    assert np.array_equal(run_md(CUT, tiny(), quick(), seed=1).stress_gpa, right)


def test_time_limit(right):
    with pytest.raises(WorkerTimeout, match=r"no answer within 0\.5 s"):
        run_md(WHOLE, tiny(), quick(**LONG), time_limit_s=0.5)
    assert np.array_equal(run_md(CUT, tiny(), quick(), seed=1).stress_gpa, right)


def test_no_files_are_left(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    worker = Worker(lammps().program)
    try:
        worker.call("relaxed_bond", potential="tersoff", bond_range_angstrom=(2.1, 2.1), bond_angstrom=1.46)
    finally:
        worker.close()
    assert not list(tmp_path.glob("kirigami-*"))
