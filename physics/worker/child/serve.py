"""Serves a program's operations to its parent: `python serve.py READ_FD WRITE_FD LIFE_FD SCRIPT`.

The script defines `handlers() -> {operation: f(header, arrays) -> (header, arrays)}`. Nothing of the parent's packages
is imported, since this interpreter may have another Python and another numpy.
"""

from __future__ import annotations

import ctypes
import faulthandler
import fcntl
import importlib.util
import io
import os
import resource
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

LOG_FD = 2
START_FAILED, GARBAGE = 3, 4


class Log(io.RawIOBase):
    """The log as a stream on which a full disk is no error."""

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return LOG_FD

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        sent = 0
        try:
            while sent < len(view):
                sent += os.write(LOG_FD, view[sent:])
        except OSError:
            pass  # the solve matters more than its log
        return len(view)


def redirect() -> None:
    """Sends all that Python and C print to the log, line by line, so that little is lost in a crash."""
    os.dup2(LOG_FD, 1)
    text = io.TextIOWrapper(io.BufferedWriter(Log()), "utf-8", "backslashreplace", line_buffering=True)
    sys.stdout = sys.stderr = text
    faulthandler.enable(LOG_FD, all_threads=False)
    libc = ctypes.CDLL(None)
    try:
        libc.setlinebuf(ctypes.c_void_p.in_dll(libc, "stdout"))
    except (AttributeError, ValueError):
        print("C's output is not buffered by line here.", file=sys.stderr)


def die_with_parent(life: int) -> None:
    """Ends this process group when the parent is gone.

    Only the parent holds the write end of the pipe, so its hang-up is the parent's death, however it came. The kernel
    then sends SIGIO, whose default action ends the process even while C code holds the interpreter's lock. Not
    PR_SET_PDEATHSIG: that one tells of the death of the *thread* that started us. The thread below does the same
    where pipes send no signals, as long as Python runs.
    """
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    leader = os.getpgrp() == os.getpid()
    try:
        fcntl.fcntl(life, fcntl.F_SETOWN, -os.getpgrp() if leader else os.getpid())
        fcntl.fcntl(life, fcntl.F_SETFL, fcntl.fcntl(life, fcntl.F_GETFL) | os.O_ASYNC)
    except (OSError, AttributeError) as error:
        print(f"No signal will tell of the parent's death ({error}).", file=sys.stderr)

    def watch() -> None:
        os.read(life, 1)
        if leader:
            os.killpg(os.getpgrp(), signal.SIGKILL)
        os._exit(0)

    threading.Thread(target=watch, name="parent", daemon=True).start()


def load(name: str, path: Path) -> ModuleType:
    """The module at a path."""
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"Expected a Python file. Got {path}.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def read(fd: int, count: int) -> bytearray | None:
    """That many bytes; None where the pipe ends before."""
    data = bytearray(count)
    view = memoryview(data)
    while len(view):
        got = os.readv(fd, [view])
        if got == 0:
            return None
        view = view[got:]
    return data


def write(fd: int, chunks: Any) -> None:
    """Writes all of it."""
    for chunk in chunks:
        view = memoryview(chunk)
        while len(view):
            view = view[os.write(fd, view) :]


def cpu_seconds() -> float:
    """CPU seconds of this process and of the children it has waited for."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def named(error: BaseException) -> dict[str, object]:
    """Kind and text of an error, whatever its own methods do."""
    traceback.print_exception(type(error), error, error.__traceback__)
    try:
        text = str(error)
    except Exception as second:  # noqa: BLE001 - the program's own class
        text = f"(its text failed with {type(second).__name__})"
    return {"ok": False, "kind": type(error).__name__, "message": text}


def serve(fds: tuple[int, int], frames: Any, handlers: dict[str, Any]) -> int:
    """Answers requests until the pipe ends or `exit` is asked; the exit code."""
    source, sink = fds
    while True:
        prefix = read(source, frames.PREFIX_BYTES)
        if prefix is None:
            return 0
        try:
            body = read(source, frames.length(bytes(prefix)))
            if body is None:
                return 0
            request, arrays = frames.decode(body)
            serial, operation, header = request["serial"], request["operation"], request["header"]
        except (frames.FrameError, KeyError) as error:
            print(f"Asked with what is no frame: {error}", file=sys.stderr)
            return GARBAGE
        if operation is None:
            return 0
        del body
        try:
            if operation not in handlers:
                raise LookupError(f"Expected an operation among {', '.join(sorted(handlers))}. Got {operation!r}.")
            answer, results = handlers[operation](header, arrays)
            if not isinstance(answer, dict) or not isinstance(results, dict):
                raise TypeError(f"Expected a dict of JSON and one of arrays from {operation}. Got something else.")
            reply = {"serial": serial, "ok": True, "header": answer, "cpu_seconds": cpu_seconds()}
            chunks = frames.encode(reply, results)
            del results
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the program may raise anything; the parent is told
            chunks = frames.encode({"serial": serial, **named(error), "cpu_seconds": cpu_seconds()})
        del arrays
        sys.stdout.flush()
        write(sink, chunks)
        del chunks


def main() -> int:
    """Starts, says hello, serves."""
    source, sink, life = (int(given) for given in sys.argv[1:4])
    script = Path(sys.argv[4])
    for fd in (source, sink, life):
        os.set_inheritable(fd, False)
    redirect()
    die_with_parent(life)
    here = Path(__file__).resolve().parent
    sys.path[:] = [str(script.parent), *(p for p in sys.path if Path(p or ".").resolve() != here)]
    sys.argv[:] = [str(script)]
    try:
        frames = load("worker_frames", here / "frames.py")
        handlers = dict(load(script.stem, script).handlers())
        if not all(isinstance(name, str) and callable(function) for name, function in handlers.items()):
            raise TypeError("Expected handlers() to give functions by name.")
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever ails the program, the log says it
        traceback.print_exception(type(error), error, error.__traceback__)
        return START_FAILED
    hello = {"serial": 0, "ok": True, "header": {"python": sys.version.split()[0]}, "cpu_seconds": cpu_seconds()}
    write(sink, frames.encode(hello))
    return serve((source, sink), frames, handlers)


if __name__ == "__main__":
    try:
        code = main()
    except BrokenPipeError:
        code = 0
    sys.exit(code)
