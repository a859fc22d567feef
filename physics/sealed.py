"""Computed things kept on disk between runs, in files sealed against damage, least recently used ones dropped first."""

from __future__ import annotations

import hashlib
import os
import re
import time
import warnings
from contextlib import suppress
from pathlib import Path

FOLDER_VARIABLE = "FDFD_CACHE_DIR"
LIMIT_VARIABLE = "FDFD_CACHE_DIR_MB"
LIMIT_MB = 4000.0
OURS = re.compile(r"[0-9a-f]{40}(\.(region|ports)|\.\d+\.\d+\.part)")
SEAL_BYTES = hashlib.blake2b().digest_size


def folder() -> Path | None:
    """Where they are kept: $FDFD_CACHE_DIR, else invdesign/fdfd in the user's cache folder; None if it is empty.

    None also for a user without a home.
    """
    named = os.environ.get(FOLDER_VARIABLE)
    if named is not None:
        return Path(named) if named else None
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "invdesign" / "fdfd"
    except RuntimeError:
        return None


def seal(name: str, content: bytes) -> bytes:
    """Seal of a file's content under its name: neither NumPy nor zip sees all damage."""
    return hashlib.blake2b(content, key=name.encode()).digest()


def read(path: Path) -> bytes | None:
    """The content of a file, None where there is none, or not what was written."""
    try:
        with path.open("rb") as file:
            sealed, content = file.read(SEAL_BYTES), file.read()
    except OSError:
        return None
    if sealed != seal(path.stem, content):
        return None
    with suppress(OSError):  # in a folder that is for reading only
        path.touch()  # recently used
    return content


def write(path: Path, content: bytes, what: str) -> None:
    """Keeps a file, whole or not at all; where it cannot, a warning names ``what`` was not kept.

    Args:
        path: 40 hexadecimal digits and a known suffix, in the folder.
        content: of the file.
        what: for the warning, e.g. "a set-up of the Maxwell solver".
    """
    part = path.with_name(f"{path.stem}.{os.getpid()}.{id(content)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            file.write(seal(path.stem, content))
            file.write(content)
        part.replace(path)
    except OSError as error:
        with suppress(OSError):
            part.unlink()
        warnings.warn(
            f"Expected to keep {what} in {path.parent}. Got {error}; it will be computed again in the next run. "
            f"{FOLDER_VARIABLE} names another folder, or none if empty.",
            RuntimeWarning,
            stacklevel=3,
        )
    else:
        trim(path.parent, keep=path)


def trim(place: Path, keep: Path) -> None:
    """Drops the least recently used of our files, and no others, while they are larger than their limit."""
    text = os.environ.get(LIMIT_VARIABLE)
    try:
        limit = 1e6 * (LIMIT_MB if text is None else float(text))
    except ValueError:
        raise ValueError(f"Expected {LIMIT_VARIABLE} as a number of megabytes. Got {text!r}.") from None
    files = []
    for path in place.glob("*"):
        with suppress(OSError):  # another process may drop it first
            if OURS.fullmatch(path.name):
                status = path.stat()
                files.append((status.st_mtime, status.st_size, path))
    total, day_ago = 0, time.time() - 86400
    for modified, size, path in sorted(files, reverse=True):
        total += size
        with suppress(OSError):
            part = path.suffix == ".part"  # in writing, or left by a process that was killed
            if modified < day_ago if part else total > limit and path != keep:
                path.unlink()
