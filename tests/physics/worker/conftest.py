"""Programs for this very interpreter, written to files; every test leaves no worker behind."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

import pytest

from physics.worker import Program, close_all

SOURCE = """
import ctypes, os, signal, sys, time
import numpy as np

def echo(header, arrays):
    return header, arrays

def fail(header, arrays):
    raise ZeroDivisionError("no such medium")

def leave(header, arrays):
    sys.exit("enough")

def bad_reply(header, arrays):
    return {"what": object()}, {}

def double(header, arrays):
    print("printed by Python")
    os.system("echo printed by a child")
    ctypes.CDLL(None).puts(b"printed by C")
    return {}, {"x": 2 * arrays["x"]}

def burn(header, arrays):
    end = time.process_time() + header["seconds"]
    while time.process_time() < end:
        pass
    return {}, {}

def signalled(header, arrays):
    os.kill(os.getpid(), header["number"])
    time.sleep(60)

def abort(header, arrays):
    print("the mesh is broken")
    os.abort()

def end(header, arrays):
    os._exit(7)

def sleep(header, arrays):
    time.sleep(600)

def hold(header, arrays):
    ctypes.PyDLL(None).sleep(600)

def garbage(header, arrays):
    os.write(int(sys.orig_argv[3]), header["text"].encode())
    time.sleep(600)

def twice(header, arrays):
    import importlib
    frames = sys.modules["worker_frames"]
    for chunk in frames.encode({"serial": header["serial"], "ok": True, "header": {}, "cpu_seconds": 0.0}):
        os.write(int(sys.orig_argv[3]), chunk)
    return {}, {}

def family(header, arrays):
    import subprocess
    return {"pid": subprocess.Popen(["sleep", "600"]).pid}, {}

def orphan(header, arrays):
    if os.fork() == 0:
        os.setsid()
        time.sleep(3)
        os._exit(0)
    os._exit(7)

def stay(header, arrays):
    import threading
    threading.Thread(target=time.sleep, args=(600,)).start()
    return {}, {}

def unsignalled(header, arrays):
    signal.signal(signal.SIGIO, signal.SIG_IGN)
    time.sleep(600)

def no_header(header, arrays):
    return None, {}

def look(header, arrays):
    return {"path": sys.path, "modules": sorted(sys.modules), "variables": dict(os.environ)}, {}

def handlers():
    return {name: f for name, f in globals().items() if callable(f) and name != "handlers"}
"""


@pytest.fixture
def program(tmp_path, monkeypatch) -> Iterator[Callable[..., Program]]:
    """`program(source)`: a program with that source; logs go to the test's own temporary folder."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.delenv("INVDESIGN_WORKER_LOGS", raising=False)

    def written(source: str = SOURCE, **given) -> Program:
        path = tmp_path / "tool.py"
        path.write_text(source)
        return Program(**({"name": "tool", "python": sys.executable, "script": str(path)} | given))

    yield written
    close_all()
