"""One worker: a program in another interpreter that answers calls, one at a time."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from physics.base import Array
from physics.worker import channel, logs, meter
from physics.worker.child import frames
from physics.worker.errors import ProgramError, WorkerDied, WorkerError, WorkerTimeout
from physics.worker.process import Process
from physics.worker.program import Program

CLOSE_LIMIT_S = 5.0
REMEDIES = {
    "SIGKILL": "the system may have run out of memory: solve something smaller, or fewer at a time",
    "SIGABRT": "the program's own checks stopped it: look for their message in the log",
}

living: set[Worker] = set()


@dataclass(frozen=True)
class Reply:
    """What the program answered. `cpu_seconds` were used since its last answer, by it and children it waited for."""

    header: dict[str, Any]
    arrays: dict[str, Array]
    cpu_seconds: float


class Worker:
    """A program that runs in a process of its own.

    Args:
        program: what to run.
        start_limit_s: seconds for the interpreter and the script's imports.

    Attributes:
        pid: of the process.
        log: what the program prints, and its tracebacks.
        memory: free for the caller, e.g. which design's fields the program still holds.

    Raises:
        WorkerError: where it cannot be started; `WorkerDied` and `WorkerTimeout` are among these.
    """

    def __init__(self, program: Program, *, start_limit_s: float = 60.0) -> None:
        check_limit("start_limit_s", start_limit_s)
        self.program = program
        self.memory: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._owner = os.getpid()
        self._serial = 0
        self._counted = 0.0
        self._cancelled = False
        self._past: str | None = None  # why it can be used no more
        if not Path(program.script).is_file():
            raise WorkerError(f"Expected the script of {program.name} at {program.script}. There is no such file.")
        self.log, fd = logs.create(program.name)
        try:
            self._process = Process(program, fd)
        except OSError as error:
            logs.remove(self.log)
            raise WorkerError(
                f"{program.name} did not start. Tried {self._command}: {error}; is this the right interpreter?"
            ) from error
        finally:
            os.close(fd)
        self.pid = self._process.pid
        living.add(self)
        with self._lock:
            self._receive(0, time.monotonic() + start_limit_s, start_limit_s, "start")

    @property
    def _command(self) -> str:
        return f"{self.program.python} with {self.program.script}"

    @property
    def alive(self) -> bool:
        """Whether it can be called."""
        return self._past is None and not self._cancelled and self._owner == os.getpid() and self._process.running

    def call(
        self,
        operation: str,
        arrays: Mapping[str, Array] | None = None,
        *,
        time_limit_s: float | None = None,
        **header: Any,
    ) -> Reply:
        """The program's answer to one operation; other threads wait for their turn.

        Args:
            operation: a name among the script's handlers.
            arrays: numbers or text by name.
            time_limit_s: for sending, solving and receiving; None for no limit.
            **header: plain JSON.

        Raises:
            ProgramError: where the program raised; the worker goes on.
            WorkerDied, WorkerTimeout: the worker is gone, as after any exception that interrupts the call.
            TypeError: for a header or arrays that cannot be sent.
        """
        if time_limit_s is not None:
            check_limit("time_limit_s", time_limit_s)
        deadline = None if time_limit_s is None else time.monotonic() + time_limit_s
        with self._lock:
            self._check_usable()
            self._serial += 1
            request = {"serial": self._serial, "operation": operation, "header": header}
            chunks = frames.encode(request, dict(arrays or {}))
            logs.shorten(self.log)
            return self._receive(self._serial, deadline, time_limit_s, operation, chunks)

    def cancel(self) -> None:
        """Kills the process, from any thread; a call that is under way raises `WorkerDied`."""
        if self._owner == os.getpid():
            self._cancelled = True
            self._process.kill()

    def ask_to_leave(self) -> None:
        """Asks an idle worker to exit, without waiting for it."""
        if self._owner != os.getpid() or not self._lock.acquire(blocking=False):
            return
        try:
            if self._past is None:
                chunks = frames.encode({"serial": -1, "operation": None, "header": {}})
                with suppress(channel.GoneError, channel.LateError, frames.FrameError):
                    channel.send(self._process, chunks, time.monotonic() + 0.1)
        finally:
            self._lock.release()

    def close(self) -> None:
        """Ends the process: asks it to exit, kills it if it is busy or does not within 5 s."""
        if self._owner != os.getpid():
            return
        self.ask_to_leave()
        if not self._lock.acquire(blocking=False):
            self.cancel()
            if not self._lock.acquire(timeout=CLOSE_LIMIT_S):
                return
        try:
            if self._past is None:
                left = self._process.wait(CLOSE_LIMIT_S)
                code = self._end("closed")
                if left and code == 0:
                    logs.remove(self.log)
            elif self in living:
                self._end(self._past)
        finally:
            self._lock.release()

    def forget(self) -> None:
        """In a forked child: the worker is its parent's."""
        self._lock = threading.Lock()
        self._process.forget()

    def _check_usable(self) -> None:
        if self._owner != os.getpid():
            raise WorkerError(f"This worker of {self.program.name} belongs to the process that forked; borrow another.")
        if self._past is not None:
            raise WorkerDied(f"This worker of {self.program.name} is no more: {self._past}")

    def _receive(
        self,
        serial: int,
        deadline: float | None,
        limit_s: float | None,
        operation: str,
        chunks: tuple[bytes, memoryview] = (b"", memoryview(b"")),
    ) -> Reply:
        """Sends the chunks and gives the reply of that serial number; the worker is ended by whatever prevents it."""
        doing = f"{self.program.name} ({operation})"
        try:
            channel.send(self._process, chunks, deadline)
            reply, arrays = channel.receive(self._process, deadline)
            if reply.get("serial") != serial:
                raise frames.FrameError(f"Expected the answer to request {serial}. Got one to {reply.get('serial')}.")
            used = self._count(float(reply["cpu_seconds"]))
            if reply["ok"]:
                return Reply(reply["header"], arrays, used)
            kind, message = str(reply["kind"]), str(reply["message"])
        except channel.GoneError:
            raise WorkerDied(self._obituary(doing)) from None
        except channel.LateError:
            self._end(past := f"{doing} gave no answer within {limit_s:g} s and was killed.")
            remedy = "raise the limit, or solve something smaller"
            raise WorkerTimeout(f"{past}\n{logs.tail(self.log)}\nTo do: {remedy}.") from None
        except (ValueError, KeyError, TypeError) as error:
            self._end(past := f"{doing} answered with what is no frame and was killed: {error}")
            remedy = "the program must leave the descriptors of its pipes alone"
            raise WorkerDied(f"{past}\n{logs.tail(self.log)}\nTo do: {remedy}.") from error
        except BaseException as error:
            self._end(f"{doing} was interrupted by {type(error).__name__}.")
            logs.remove(self.log)
            raise
        raise ProgramError(kind, message)

    def _obituary(self, doing: str) -> str:
        code = self._end(f"{doing} died.")
        if self._cancelled:
            self._past = f"{doing} was cancelled."
            return f"{self._past}\n{logs.tail(self.log)}"
        cause, remedy = "ended with an unknown exit code", "look into the log"
        if code is not None and code < 0:
            name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
            cause, remedy = f"was ended by {name}", REMEDIES.get(name, remedy)
        elif code is not None:
            cause = f"ended with exit code {code}"
        self._past = f"{doing} {cause}."
        return f"{self._past} It ran {self._command}.\n{logs.tail(self.log)}\nTo do: {remedy}."

    def _count(self, total: float) -> float:
        """CPU seconds since the last count."""
        used = max(0.0, total - self._counted)
        self._counted += used
        meter.add(used)
        return used

    def _end(self, past: str) -> int | None:
        self._past = self._past or past
        code = self._process.end()
        living.discard(self)
        if self._process.used is not None:
            self._count(self._process.used)
        return code


def check_limit(name: str, seconds: float) -> None:
    """Raises `ValueError` for a limit that is none."""
    if not seconds > 0:
        raise ValueError(f"Expected {name} > 0 in seconds. Got {seconds!r}.")


def _forget_all() -> None:
    for worker in list(living):
        worker.forget()
    living.clear()


os.register_at_fork(after_in_child=_forget_all)
