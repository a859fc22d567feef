"""A program in another interpreter answers calls and is charged for them."""

from __future__ import annotations

import ast
import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from physics.base import SimulationError
from physics.worker import Program, ProgramError, Worker, WorkerDied, WorkerError, WorkerTimeout, foreign_cpu_seconds
from physics.worker import logs as worker_logs
from tests.physics.worker.states import descriptors, ends, logs


@pytest.fixture
def worker(program):
    worker = Worker(program())
    yield worker
    worker.close()


def test_header_and_arrays_go_both_ways(worker):
    design = np.random.default_rng(0).random((7, 5))
    reply = worker.call("echo", {"design": design, "s": design[0] * 1j}, level=2, names=["a"], limit=float("inf"))
    assert reply.header == {"level": 2, "names": ["a"], "limit": float("inf")}
    np.testing.assert_array_equal(reply.arrays["design"], design)
    np.testing.assert_array_equal(reply.arrays["s"], design[0] * 1j)


def test_large_arrays_do_not_block(worker):
    big = np.arange(100_000_000 // 8, dtype=np.float64)
    reply = worker.call("echo", {"x": big}, time_limit_s=60)
    np.testing.assert_array_equal(reply.arrays["x"], big)


def test_what_is_printed_goes_to_the_log(worker):
    for _ in range(3):
        np.testing.assert_array_equal(worker.call("double", {"x": np.ones(3)}).arrays["x"], 2 * np.ones(3))
    log = worker.log.read_text()
    for who in ("Python", "a child", "C"):
        assert log.count(f"printed by {who}\n") == 3
    assert worker.log.stat().st_mode & 0o777 == 0o600
    assert worker.log.parent.stat().st_mode & 0o777 == 0o700


def test_program_error_leaves_the_worker_usable(worker):
    with pytest.raises(ProgramError, match=r"^ZeroDivisionError: no such medium$") as caught:
        worker.call("fail")
    assert (caught.value.kind, caught.value.message) == ("ZeroDivisionError", "no such medium")
    assert isinstance(caught.value, SimulationError)
    assert 'raise ZeroDivisionError("no such medium")' in worker.log.read_text()
    with pytest.raises(ProgramError, match="SystemExit: enough"):
        worker.call("leave")
    with pytest.raises(ProgramError, match=r"TypeError: .*plain JSON"):
        worker.call("bad_reply")
    with pytest.raises(ProgramError, match=r"TypeError: Expected a dict .* from no_header"):
        worker.call("no_header")
    with pytest.raises(ProgramError, match=r"LookupError: .*echo.*'unknown'"):
        worker.call("unknown")
    with pytest.raises(TypeError, match="plain JSON"):
        worker.call("echo", level=np.int64(3))
    with pytest.raises(ValueError, match="time_limit_s > 0"):
        worker.call("echo", time_limit_s=0)
    assert worker.call("echo", a=1).header == {"a": 1}
    assert worker.alive


def test_environment_is_the_programs_own(program, monkeypatch, tmp_path):
    monkeypatch.setenv("PYTHONPATH", "/parents")
    monkeypatch.setenv("VIRTUAL_ENV", "/parents")
    packages = tmp_path / "packages"
    packages.mkdir()
    given = program(packages=(str(packages),), environment=(("TOOL", "yes"),))
    worker = Worker(given)
    found = worker.call("look").header
    variables = found["variables"]
    assert variables["PYTHONPATH"] == str(packages)
    assert "VIRTUAL_ENV" not in variables
    assert (variables["OMP_NUM_THREADS"], variables["MPLBACKEND"], variables["TOOL"]) == ("1", "Agg", "yes")
    assert found["path"][0] == str(tmp_path)
    assert str(packages) in found["path"]
    assert not [p for p in found["path"] if p.endswith("child") or p == str(Path.cwd()) or p == "/parents"]
    assert not [m for m in found["modules"] if m.split(".")[0] in ("physics", "invdesign")]
    worker.close()


def test_cpu_seconds_are_counted_once(worker):
    before = foreign_cpu_seconds()
    used = sum(worker.call("burn", seconds=0.1).cpu_seconds for _ in range(3))
    assert 0.3 <= used < 0.6
    assert foreign_cpu_seconds() - before == pytest.approx(used)
    with pytest.raises(WorkerTimeout):
        worker.call("burn", seconds=60, time_limit_s=0.4)
    assert 0.1 < foreign_cpu_seconds() - before - used < 1.0


def test_cpu_seconds_of_the_start_count(program):
    before = foreign_cpu_seconds()
    worker = Worker(program("import numpy as np\ndef handlers(): return {}"))
    assert foreign_cpu_seconds() - before > 0.01
    worker.close()


def test_clean_close_leaves_nothing(program, tmp_path, monkeypatch):
    worker = Worker(program())
    assert logs(tmp_path) == [worker.log]
    worker.close()
    worker.close()
    assert ends(worker.pid, 0)
    assert not worker.alive
    assert logs(tmp_path) == []
    with pytest.raises(WorkerDied, match="closed"):
        worker.call("echo")
    monkeypatch.setenv("INVDESIGN_WORKER_LOGS", str(tmp_path / "kept"))
    worker = Worker(program())
    worker.close()
    assert worker.log.parent == tmp_path / "kept"
    assert worker.log.exists()


def test_calls_and_starts_leave_no_descriptors(program):
    given = program()
    Worker(given).close()
    before = descriptors()
    worker = Worker(given)
    during = descriptors()
    for i in range(100):
        assert worker.call("echo", {"x": np.ones(10)}, i=i).header == {"i": i}
    assert descriptors() == during
    worker.close()
    pids = []
    for _ in range(20):
        worker = Worker(given)
        pids.append(worker.pid)
        worker.close()
    assert descriptors() == before
    assert all(ends(pid, 0) for pid in pids)


@pytest.mark.parametrize(
    ("change", "source", "said"),
    [
        ({"python": "/nowhere/python"}, "", r"did not start. Tried /nowhere/python with .*No such file"),
        ({"python": "/etc/passwd"}, "", r"did not start. Tried /etc/passwd"),
        ({"script": "/nowhere/tool.py"}, "", "no such file"),
        ({}, "import no_such_library", r"(?s)start\) ended with exit code 3.*No module named 'no_such_library'"),
        ({}, "import os; print('licence expired'); os._exit(5)", r"(?s)exit code 5.*licence expired"),
        ({}, "x = (", r"(?s)exit code 3.*SyntaxError"),
        ({}, "x = 1", r"(?s)exit code 3.*handlers"),
        ({}, "import os; os.abort()", "SIGABRT"),
    ],
)
def test_a_program_that_does_not_start_says_why(program, change, source, said):
    before = descriptors()
    with pytest.raises(WorkerError, match=said):
        Worker(program(source, **change))
    assert descriptors() == before


def test_a_slow_start_times_out(program):
    with pytest.raises(WorkerTimeout, match=r"(?s)start\) gave no answer within 0.5 s.*loading tables"):
        Worker(program("print('loading tables')\nimport time\ntime.sleep(60)"), start_limit_s=0.5)


def test_full_disk_for_the_log_is_no_error(program, monkeypatch):
    full = os.open("/dev/full", os.O_WRONLY)
    monkeypatch.setattr(worker_logs, "create", lambda name: (worker_logs.Path(os.devnull), full))
    worker = Worker(program())
    np.testing.assert_array_equal(worker.call("double", {"x": np.ones(3)}).arrays["x"], 2 * np.ones(3))
    with pytest.raises(ProgramError, match="no such medium"):
        worker.call("fail")
    worker.close()


def test_foreign_log_folder_is_refused(program, tmp_path):
    (tmp_path / f"worker-logs-{os.getuid()}").mkdir(mode=0o755)
    with pytest.raises(WorkerError, match=r"mode 0700.*INVDESIGN_WORKER_LOGS"):
        Worker(program())


def test_long_log_starts_anew(worker, monkeypatch):
    monkeypatch.setattr(worker_logs, "LIMIT_BYTES", 100)
    for _ in range(20):
        worker.call("double", {"x": np.ones(1)})
    assert worker.log.stat().st_size < 300


def test_without_pidfd(program, monkeypatch):
    monkeypatch.delattr(os, "pidfd_open")
    worker = Worker(program())
    worker.call("echo")
    with pytest.raises(WorkerDied, match="exit code 7"):
        worker.call("end")
    worker = Worker(program())
    start = time.monotonic()
    worker.close()
    assert time.monotonic() - start < 4
    assert not worker.log.exists()


def test_old_logs_are_swept(program, tmp_path):
    worker = Worker(program())
    old, own = worker.log.with_name("old.log"), worker.log.with_name("new.log")
    for path, days in ((old, 30), (own, 1)):
        path.touch()
        os.utime(path, (time.time() - 86_400 * days,) * 2)
    Worker(program()).close()
    assert logs(tmp_path) == sorted([own, worker.log])
    worker.close()


def test_threads_take_turns(worker):
    answers = {}

    def ask(i):
        answers[i] = worker.call("echo", {"x": np.full(1000, i)}, i=i)

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(answers[i].header == {"i": i} and (answers[i].arrays["x"] == i).all() for i in range(20))


def test_the_childs_side_is_written_for_an_older_python():
    for path in Path(worker_logs.__file__).with_name("child").glob("*.py"):
        ast.parse(path.read_text(), feature_version=(3, 9))


def test_program_is_a_value():
    given = Program("meep", "python3", "solve.py", ("a",), (("b", "c"),))
    assert hash(given) == hash(Program("meep", "python3", "solve.py", ("a",), (("b", "c"),)))
