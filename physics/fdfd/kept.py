"""Set-ups of the solver kept on disk between runs, found by what they were computed from."""

from __future__ import annotations

import hashlib
import io
import os
import re
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np

from physics.fdfd.grid import Complex
from physics.fdfd.region import Region, Window
from physics.fdfd.stencil import Stencil

FOLDER_VARIABLE = "FDFD_CACHE_DIR"
LIMIT_VARIABLE = "FDFD_CACHE_DIR_MB"
LIMIT_MB = 4000.0
VERSION = b"region-2"
CONTENT = ("wraps", "exterior", "sources", "receivers", "constant")
OURS = re.compile(r"[0-9a-f]{40}(\.region|\.\d+\.\d+\.part)")
SEAL_BYTES = hashlib.blake2b().digest_size


def folder() -> Path | None:
    """Where set-ups are kept: $FDFD_CACHE_DIR, else invdesign/fdfd in the user's cache folder; None if it is empty.

    None also for a user without a home.
    """
    named = os.environ.get(FOLDER_VARIABLE)
    if named is not None:
        return Path(named) if named else None
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "invdesign" / "fdfd"
    except RuntimeError:
        return None


def kept(
    build: Callable[[], Region], stencil: Stencil, window: Window, sources: Complex, receivers: Complex | None = None
) -> Region:
    """A region from disk, else built and kept.

    The key is the content of stencil, window and vectors, hence of wavelength, polarisation, Bloch vector, absorbing
    layers, grid, geometry and temperature. A file that cannot be read is computed again; where none can be written, a
    warning says so and the work goes on.

    Args:
        build: condenses; called where nothing is kept.
        stencil, window, sources, receivers: what it condenses.
    """
    place = folder()
    if place is None:
        return build()
    path = place / f"{_key(stencil, window, sources, receivers)}.region"
    region = _read(path, window, stencil.phase)
    if region is None:
        region = build()
        _write(path, region)
    return region


def _key(stencil: Stencil, window: Window, sources: Complex, receivers: Complex | None) -> str:
    digest = hashlib.blake2b(VERSION, digest_size=20)
    parts = [stencil.diagonal, stencil.east, stencil.north, sources, np.array(stencil.phase), np.array(window)]
    for array in parts if receivers is None else [*parts, receivers]:
        digest.update(repr((array.shape, array.dtype.str)).encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _sealed(name: str, content: bytes) -> bytes:
    """Seal of a file's content under its name: neither NumPy nor zip sees all damage."""
    return hashlib.blake2b(content, key=name.encode()).digest()


def _read(path: Path, window: Window, phase: tuple[float, float]) -> Region | None:
    """The region in a file, None where there is none, or not what was written."""
    try:
        with path.open("rb") as file:
            seal, content = file.read(SEAL_BYTES), file.read()
    except OSError:
        return None
    if seal != _sealed(path.stem, content):
        return None
    with suppress(OSError):  # in a folder that is for reading only
        path.touch()  # recently used
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        wraps, exterior, sources, receivers, constant = (arrays[name] for name in CONTENT)
    if not receivers.size:  # the sources themselves
        receivers = sources
    return Region(window, exterior, sources, receivers, constant, (bool(wraps[0]), bool(wraps[1])), phase)


def _write(path: Path, region: Region) -> None:
    memory = io.BytesIO()
    arrays = {name: getattr(region, name) for name in CONTENT}
    if region.receivers is region.sources:
        arrays["receivers"] = region.receivers[:0]
    np.savez(memory, **arrays)
    content = memory.getvalue()
    part = path.with_name(f"{path.stem}.{os.getpid()}.{id(region)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            file.write(_sealed(path.stem, content))
            file.write(content)
        part.replace(path)
    except OSError as error:
        with suppress(OSError):
            part.unlink()
        warnings.warn(
            f"Expected to keep a set-up of the Maxwell solver in {path.parent}. Got {error}; it will be computed again "
            f"in the next run. {FOLDER_VARIABLE} names another folder, or none if empty.",
            RuntimeWarning,
            stacklevel=2,
        )
    else:
        _trim(path.parent, keep=path)


def _trim(place: Path, keep: Path) -> None:
    """Drops the least recently used set-ups, and no other files, while they are larger than their limit."""
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
