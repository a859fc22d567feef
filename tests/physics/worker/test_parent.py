"""Whatever becomes of the parent, no worker outlives it; a forked child leaves its parent's alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress

import pytest

from physics.worker import WorkerError, borrow, foreign_cpu_seconds
from tests.physics.worker.states import ends, lives, logs

PARENT = """
import os, signal, sys, threading, time, warnings
from physics.worker import Program, Worker, borrow
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background has it ignored
program = Program("tool", sys.executable, sys.argv[1])
with borrow(program) as worker:
    worker.call("echo")
    child = worker.call("family").header["pid"] if "family" in sys.argv else worker.pid
    print(worker.pid, child, flush=True)
    operation = sys.argv[2]
    if operation == "fork":
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)
        operation = "hold"
    if operation == "thread":
        threading.Thread(target=worker.call, args=("hold",), daemon=True).start()
        time.sleep(0.2)
    elif operation == "thread-start":
        # The thread that starts a worker ends before it.
        started = []
        thread = threading.Thread(target=lambda: started.append(Worker(program)))
        thread.start()
        thread.join()
        time.sleep(0.2)
        assert started[0].call("echo", a=1).header == {"a": 1}
    elif operation != "exit":
        worker.call(operation)
"""


@pytest.fixture
def parent(program, tmp_path):
    started = []

    def start(*operations: str) -> tuple[subprocess.Popen, list[int]]:
        environment = os.environ | {"TMPDIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
        process = subprocess.Popen(
            [sys.executable, "-c", PARENT, program().script, *operations],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
        started.append(process)
        return process, [int(pid) for pid in process.stdout.readline().split()]

    yield start
    for process in started:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.stdout.close()
        process.stderr.close()
        process.wait()


@pytest.mark.parametrize("operations", [("hold",), ("sleep", "family"), ("unsignalled",), ("fork",)])
def test_killed_parent_takes_its_workers_along(parent, operations):
    process, pids = parent(*operations)
    assert all(lives(pid) for pid in pids)
    # A moment for the call to reach the program.
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.4)
    process.kill()
    process.wait()
    assert all(ends(pid) for pid in pids)


@pytest.mark.parametrize("operation", ["exit", "thread", "thread-start"])
def test_leaving_the_interpreter_leaves_no_worker(parent, tmp_path, operation):
    process, pids = parent(operation)
    process.wait(15)
    assert process.returncode == 0
    assert all(ends(pid, 0) for pid in pids)
    if operation != "thread":
        assert process.stderr.read() == b""
        assert logs(tmp_path) == []


def test_interrupt_at_the_terminal_reaches_the_parent_alone(parent):
    process, pids = parent("sleep")
    os.killpg(process.pid, signal.SIGINT)
    assert b"KeyboardInterrupt" in process.communicate(timeout=15)[1]
    assert all(ends(pid, 0) for pid in pids)


def test_forked_child_forgets_its_parents_workers(program):
    given = program()
    with borrow(given) as worker:
        worker.call("echo")
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                code = _in_the_child(given, worker)
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert worker.call("echo", a=1).header == {"a": 1}
    assert worker.alive


def _in_the_child(given, worker) -> int:
    if worker.alive or foreign_cpu_seconds() != 0.0:
        return 2
    worker.close()
    worker.cancel()
    try:
        worker.call("echo")
    except WorkerError:
        pass
    else:
        return 3
    with borrow(given) as own:
        fine = own.pid != worker.pid and own.call("echo", a=2).header == {"a": 2}
    own.close()
    return 0 if fine else 4
