"""One process of a program: its pipes, its process group, its end."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import threading
from contextlib import suppress
from pathlib import Path

from physics.worker.program import Program

SERVE = Path(__file__).with_name("child") / "serve.py"
KILLED_WITHIN_S = 10.0


class Process:
    """A started program.

    Attributes:
        request, reply: this side's ends of the pipes, non-blocking.
        life: write end of a pipe that the child watches; it ends when nobody holds it any more. A process forked
            meanwhile has a copy: those forked by Python close it (see `forget`), what C code forks without exec does
            not, and keeps the worker alive.
        death: becomes readable when the process ends (`pidfd`), -1 where the system has no such thing.
        used: CPU seconds over its whole life, known after `reap`; None before.

    Raises:
        OSError: where the interpreter cannot be started.
    """

    def __init__(self, program: Program, log_fd: int) -> None:
        self._lock = threading.Lock()
        self._reaped = False
        self.used: float | None = None
        self.request = self.reply = self.life = self.death = -1
        theirs: list[int] = []
        try:
            source, self.request = os.pipe()
            theirs.append(source)
            self.reply, sink = os.pipe()
            theirs.append(sink)
            watched, self.life = os.pipe()
            theirs.append(watched)
            script = str(Path(program.script).absolute())
            self._popen = subprocess.Popen(
                [program.python, str(SERVE), *map(str, theirs), script],
                pass_fds=theirs,
                stdin=subprocess.DEVNULL,
                stdout=log_fd,
                stderr=log_fd,
                env=program.variables(),
                start_new_session=True,  # its own group to kill, and out of reach of the terminal's Ctrl-C
            )
        except BaseException:
            self.release()
            raise
        finally:
            for fd in theirs:
                os.close(fd)
        self.pid = self._popen.pid
        os.set_blocking(self.request, False)
        os.set_blocking(self.reply, False)
        with suppress(OSError, AttributeError):
            self.death = os.pidfd_open(self.pid)

    @property
    def running(self) -> bool:
        """Whether it has not ended; what has ended is not reaped."""
        with self._lock:
            if self._reaped:
                return False
            try:
                return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
            except ChildProcessError:
                return False

    def kill(self) -> None:
        """Kills the process group; from any thread."""
        with self._lock:
            if not self._reaped:
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(self.pid, signal.SIGKILL)

    def wait(self, limit_s: float) -> bool:
        """Whether it ended within the limit."""
        poll = select.poll()
        if self.death >= 0:
            poll.register(self.death, select.POLLIN)
            poll.poll(limit_s * 1000)
        elif self.reply >= 0:
            poll.register(self.reply, 0)
            if poll.poll(limit_s * 1000):
                # The pipe was hung up, so it is about to end.
                with suppress(ChildProcessError):
                    os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        return not self.running

    def end(self) -> int | None:
        """Kills what is left of the group, collects the exit code (negative: a signal), closes the pipes.

        None where the kernel could not end it, or somebody else collected it.
        """
        self.kill()
        ended = self.wait(KILLED_WITHIN_S)
        with self._lock:
            if ended and not self._reaped:
                self._reaped = True
                with suppress(ChildProcessError):
                    _, status, usage = os.wait4(self.pid, 0)
                    self.used = usage.ru_utime + usage.ru_stime
                    self._popen.returncode = os.waitstatus_to_exitcode(status)
                if self._popen.returncode is None:
                    self._popen.returncode = 0
        self.release()
        return self._popen.returncode

    def release(self) -> None:
        """Closes this side's descriptors."""
        for name in ("request", "reply", "life", "death"):
            # Marked before it is closed, so that a fork in between cannot close a stranger's descriptor.
            fd = getattr(self, name)
            setattr(self, name, -1)
            if fd >= 0:
                os.close(fd)

    def forget(self) -> None:
        """In a forked child: closes the copies of the descriptors and leaves the process to its parent."""
        self._lock = threading.Lock()
        self._reaped = True
        self._popen.returncode = 0
        self.release()
