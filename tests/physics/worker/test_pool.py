"""Borrowing: by key, in parallel, at most one a core."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from physics.worker import WorkerError, borrow, close_all
from physics.worker.pool import Pool
from physics.worker.worker import living
from tests.physics.worker.states import ends


@pytest.fixture
def two(monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 2)


def test_same_key_gets_the_same_worker(program, two):
    given = program()
    with borrow(given, "a") as a:
        a.memory["fields"] = "of a"
        with borrow(given, "b") as b:
            assert a is not b
    for key, expected in (("a", a), ("b", b), ("a", a)):
        with borrow(given, key) as worker:
            assert worker is expected
    assert a.memory == {"fields": "of a"}
    # An unknown key gets the worker unused for longest.
    with borrow(given, "c") as worker:
        assert worker is b
    with borrow(program(name="other"), "a") as other:
        assert other not in (a, b)


def test_threads_get_the_numbers_of_one(program, two):
    given = program()
    designs = np.random.default_rng(0).random((24, 50))
    seen, most = set(), 0
    lock = threading.Lock()

    def solve(design):
        nonlocal most
        with borrow(given) as worker:
            with lock:
                seen.add(worker.pid)
                most = max(most, len(living))
            return worker.call("double", {"x": design}).arrays["x"]

    with ThreadPoolExecutor(6) as threads:
        found = list(threads.map(solve, designs))
    np.testing.assert_array_equal(found, 2 * designs)
    assert len(seen) == most == 2


def test_failed_start_gives_its_place_back(program, monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    broken = program("import no_such_library")
    for _ in range(2):
        with pytest.raises(WorkerError, match="no_such_library"), borrow(broken):
            pass


def test_error_in_the_block_gives_the_worker_back(program):
    given = program()
    with pytest.raises(KeyError), borrow(given) as worker:
        raise KeyError("mine")
    with borrow(given) as again:
        assert again is worker


def test_close_all_ends_idle_and_borrowed(program):
    given = program()
    with borrow(given) as idle:
        pass
    with borrow(given, "other") as lent:
        close_all()
        assert not lent.alive
    assert ends(idle.pid, 0)
    assert ends(lent.pid, 0)
    assert not living
    with borrow(given) as fresh:
        assert fresh.call("echo", a=1).header == {"a": 1}


def test_one_is_waited_for(program, monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    given = program()
    got = threading.Event()

    def second():
        with borrow(given):
            got.set()

    with borrow(given) as first:
        thread = threading.Thread(target=second)
        thread.start()
        assert not got.wait(0.2)
        first.cancel()
    assert got.wait(10)
    thread.join()


def test_pool_limit_is_the_cores(monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: None)
    assert Pool().limit == 1
