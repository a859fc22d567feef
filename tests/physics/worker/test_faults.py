"""Workers that die, hang, babble or are interrupted end with a clear error, and the next one works."""

from __future__ import annotations

import os
import signal
import threading
import time

import numpy as np
import pytest

from physics.worker import Worker, WorkerDied, WorkerTimeout, borrow
from tests.physics.worker.states import descriptors, ends, logs


@pytest.mark.parametrize(
    ("operation", "header", "said"),
    [
        ("signalled", {"number": int(signal.SIGKILL)}, r"tool \(signalled\) was ended by SIGKILL.*memory"),
        ("signalled", {"number": int(signal.SIGSEGV)}, r"was ended by SIGSEGV.*Segmentation fault"),
        ("abort", {}, r"was ended by SIGABRT.*the mesh is broken"),
        ("end", {}, r"ended with exit code 7"),
    ],
)
def test_death_is_told_and_replaced(program, tmp_path, operation, header, said):
    given = program()
    before = descriptors()
    with borrow(given) as worker, pytest.raises(WorkerDied, match=f"(?s){said}") as caught:
        worker.call(operation, **header)
    assert str(worker.log) in str(caught.value)
    assert logs(tmp_path) == [worker.log]
    assert not worker.alive
    assert descriptors() == before
    with pytest.raises(WorkerDied, match=operation):
        worker.call("echo")
    with borrow(given) as fresh:
        assert fresh.pid != worker.pid
        assert fresh.call("echo", a=1).header == {"a": 1}


def test_death_between_calls_is_replaced(program):
    given = program()
    with borrow(given) as worker:
        worker.call("echo")
    os.kill(worker.pid, signal.SIGKILL)
    assert ends(worker.pid)
    with borrow(given) as fresh:
        assert fresh.call("echo", a=1).header == {"a": 1}


@pytest.mark.parametrize("operation", ["sleep", "hold"])
def test_hung_solve_times_out(program, operation):
    worker = Worker(program())
    start = time.monotonic()
    with pytest.raises(WorkerTimeout, match=r"no answer within 0.3 s and was killed.*\n"):
        worker.call(operation, time_limit_s=0.3)
    assert time.monotonic() - start < 5
    assert ends(worker.pid, 0)


def test_unread_request_times_out(program):
    worker = Worker(program())
    os.kill(worker.pid, signal.SIGSTOP)
    with pytest.raises(WorkerTimeout):
        worker.call("echo", {"x": np.zeros(1_000_000)}, time_limit_s=0.3)
    assert ends(worker.pid, 0)


def test_whole_process_group_ends(program):
    worker = Worker(program())
    child = worker.call("family").header["pid"]
    worker.cancel()
    assert ends(child)
    worker.close()
    worker = Worker(program())
    child = worker.call("family").header["pid"]
    worker.close()
    assert ends(child)


@pytest.mark.parametrize("text", ["Meep progress: 3.5/200 = 2 % done\n" * 10, "short, but sixteen"])
def test_garbage_for_an_answer(program, text):
    given = program()
    with borrow(given) as worker, pytest.raises(WorkerDied, match="no frame"):
        worker.call("garbage", text=text, time_limit_s=20)
    assert ends(worker.pid, 0)
    with borrow(given) as fresh:
        assert fresh.call("echo", a=1).header == {"a": 1}


def test_stale_answer_is_never_taken_for_the_right_one(program):
    worker = Worker(program())
    with pytest.raises(WorkerDied, match="Expected the answer to request 1"):
        worker.call("twice", serial=0)
    worker = Worker(program())
    worker.call("twice", serial=1)
    # The second answer to request 1 comes before request 2 is sent, or after; either way it is refused.
    with pytest.raises(WorkerDied, match=r"no answer before the question|Expected the answer to request 2"):
        worker.call("echo")


def test_death_is_seen_though_a_grandchild_holds_the_pipes(program):
    worker = Worker(program())
    start = time.monotonic()
    with pytest.raises(WorkerDied, match="exit code 7"):
        worker.call("orphan")
    assert time.monotonic() - start < 2


def test_a_program_that_does_not_leave_is_killed(program, monkeypatch):
    monkeypatch.setattr("physics.worker.worker.CLOSE_LIMIT_S", 0.3)
    worker = Worker(program())
    worker.call("stay")
    worker.close()
    assert ends(worker.pid, 0)


def test_garbage_for_a_question(program):
    worker = Worker(program())
    os.write(worker._process.request, b"no frame at all, but long enough")
    with pytest.raises(WorkerDied, match=r"(?s)exit code 4.*Asked with what is no frame"):
        worker.call("echo")


def test_cancel_from_another_thread(program):
    given = program()
    with borrow(given) as worker:
        timer = threading.Timer(0.2, worker.cancel)
        timer.start()
        with pytest.raises(WorkerDied, match="was cancelled"):
            worker.call("hold")
        timer.join()
    assert ends(worker.pid, 0)
    with borrow(given) as worker:
        worker.cancel()
        assert not worker.alive
        with pytest.raises(WorkerDied, match="cancelled"):
            worker.call("echo")


def test_close_from_another_thread(program):
    worker = Worker(program())
    timer = threading.Timer(0.2, worker.close)
    timer.start()
    with pytest.raises(WorkerDied, match="cancelled"):
        worker.call("sleep")
    timer.join()
    assert ends(worker.pid, 0)


def test_interrupt_ends_the_worker(program, tmp_path):
    given = program()
    previous = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), borrow(given) as worker:
            signal.setitimer(signal.ITIMER_REAL, 0.2)
            worker.call("sleep")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert ends(worker.pid, 0)
    assert logs(tmp_path) == []
    with borrow(given) as fresh:
        assert fresh.call("echo", a=1).header == {"a": 1}


def test_signals_with_a_handler_do_not_disturb_a_call(program):
    heard = []
    previous = signal.signal(signal.SIGALRM, lambda *_: heard.append(1))
    try:
        worker = Worker(program())
        signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
        big = np.arange(2_000_000.0)
        np.testing.assert_array_equal(worker.call("echo", {"x": big}, time_limit_s=30).arrays["x"], big)
        worker.call("burn", seconds=0.1)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert heard
    worker.close()
