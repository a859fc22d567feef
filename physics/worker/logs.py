"""Log files of workers: one each, private, removed unless something went wrong."""

from __future__ import annotations

import errno
import os
import re
import stat
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from physics.worker.errors import WorkerError

VARIABLE = "INVDESIGN_WORKER_LOGS"
TAIL_LINES = 8
# A longer log starts anew between two calls.
LIMIT_BYTES = 1 << 24
OLD_S = 7 * 86_400.0
# The interpreter's own stack in a crash would push the program's last words out of the quotation.
STACK = re.compile(r"^(Fatal Python error: [^\n]*)\n\n(Current thread|Thread) .*\Z", re.MULTILINE | re.DOTALL)


def folder() -> Path:
    """Where logs go: the variable's folder, else one in the temporary folder that only this user can enter."""
    given = os.environ.get(VARIABLE)
    if given:
        path = Path(given)
        path.mkdir(parents=True, exist_ok=True)
        return path
    path = Path(tempfile.gettempdir()) / f"worker-logs-{os.getuid()}"
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) != 0o700:
        raise WorkerError(
            f"Expected {path} to be a folder of this user's own, mode 0700. Got owner {found.st_uid}, mode "
            f"{stat.filemode(found.st_mode)}; remove it, or name another folder in {VARIABLE}."
        )
    return path


def create(name: str) -> tuple[Path, int]:
    """A new log and its descriptor, open for appending; the null device where the disk is full.

    Raises:
        WorkerError: where there is no folder to write to.
    """
    with suppress(OSError):
        _sweep()
    prefix = f"{re.sub('[^A-Za-z0-9_.-]', '_', name)}-{os.getpid()}-"
    try:
        fd, path = tempfile.mkstemp(".log", prefix, folder())
        os.close(fd)
        return Path(path), os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise WorkerError(f"No log can be written ({error}); name a folder of yours in {VARIABLE}.") from error
        return Path(os.devnull), os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)


def _sweep() -> None:
    """Removes logs that crashes, or parents that were killed, left long ago; not from a folder the user named."""
    if not os.environ.get(VARIABLE):
        for path in folder().glob("*.log"):
            if time.time() - path.stat().st_mtime > OLD_S:
                path.unlink(missing_ok=True)


def shorten(log: Path) -> None:
    """Empties a log that has grown beyond the limit."""
    with suppress(OSError):
        if log.is_file() and log.stat().st_size > LIMIT_BYTES:
            os.truncate(log, 0)


def tail(log: Path) -> str:
    """Its last lines and its path, for a message."""
    try:
        with log.open("rb") as file:
            if log.is_file():
                file.seek(max(0, log.stat().st_size - 8192))
            text = file.read().decode("utf-8", "replace")
    except OSError as error:
        return f"Its log {log} cannot be read ({error})."
    lines = [line for line in STACK.sub(r"\1", text).splitlines() if line.strip()][-TAIL_LINES:]
    if not lines:
        return f"Its log {log} is empty."
    return "\n".join([f"The end of its log {log}:", *(f"  {line}" for line in lines)])


def remove(log: Path) -> None:
    """Removes a log that nobody asked for."""
    if not os.environ.get(VARIABLE) and log.is_file():
        with suppress(OSError):
            log.unlink()
