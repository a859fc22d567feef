"""Set-ups of the solver kept on disk between runs, found by what they were computed from."""

from __future__ import annotations

import hashlib
import os
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from physics.fdfd.grid import Complex
from physics.fdfd.region import Region, Window
from physics.fdfd.stencil import Stencil

FOLDER_VARIABLE = "FDFD_CACHE_DIR"
LIMIT_VARIABLE = "FDFD_CACHE_DIR_MB"
LIMIT_MB = 4000.0
VERSION = b"region-1"


def folder() -> Path | None:
    """Where set-ups are kept: $FDFD_CACHE_DIR, else invdesign/fdfd in the user's cache folder; None if it is empty."""
    named = os.environ.get(FOLDER_VARIABLE)
    if named is not None:
        return Path(named) if named else None
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "invdesign" / "fdfd"


def kept(build: Callable[[], Region], stencil: Stencil, window: Window, loads: Complex) -> Region:
    """A region from disk, else built and kept.

    The key is the content of stencil, window and loads, hence of wavelength, polarisation, Bloch vector, absorbing
    layers, grid, geometry and temperature. A file that cannot be read is computed again; where none can be written, a
    warning says so and the work goes on.

    Args:
        build: condenses; called where nothing is kept.
        stencil, window, loads: what it condenses.
    """
    place = folder()
    if place is None:
        return build()
    path = place / f"{_key(stencil, window, loads)}.npz"
    region = _read(path, window, stencil.phase)
    if region is None:
        region = build()
        _write(path, region)
    return region


def _key(stencil: Stencil, window: Window, loads: Complex) -> str:
    digest = hashlib.blake2b(VERSION, digest_size=20)
    for array in (stencil.diagonal, stencil.east, stencil.north, loads, np.array(stencil.phase), np.array(window)):
        digest.update(repr((array.shape, array.dtype.str)).encode())
        digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()


def _read(path: Path, window: Window, phase: tuple[float, float]) -> Region | None:
    try:
        with np.load(path, allow_pickle=False) as file:
            wraps = file["wraps"]
            sources = file["sources"]
            region = Region(
                window, file["exterior"], sources, sources, file["constant"], (bool(wraps[0]), bool(wraps[1])), phase
            )
        path.touch()  # recently used
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    return region


def _write(path: Path, region: Region) -> None:
    part = path.with_name(f"{path.stem}.{os.getpid()}.{id(region)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            np.savez(
                file, exterior=region.exterior, sources=region.sources, constant=region.constant, wraps=region.wraps
            )
        part.replace(path)
        _trim(path.parent, keep=path)
    except OSError as error:
        part.unlink(missing_ok=True)
        warnings.warn(
            f"Expected to keep a set-up of the Maxwell solver in {path.parent}. Got {error}; it will be computed again "
            f"in the next run. {FOLDER_VARIABLE} names another folder, or none if empty.",
            RuntimeWarning,
            stacklevel=2,
        )


def _trim(place: Path, keep: Path) -> None:
    """Drops the least recently used files while the folder is larger than its limit."""
    text = os.environ.get(LIMIT_VARIABLE)
    try:
        limit = 1e6 * (LIMIT_MB if text is None else float(text))
    except ValueError:
        raise ValueError(f"Expected {LIMIT_VARIABLE} as a number of megabytes. Got {text!r}.") from None
    files = sorted(((p.stat().st_mtime, p.stat().st_size, p) for p in place.glob("*.npz")), reverse=True)
    total = 0
    for _, size, path in files:
        total += size
        if total > limit and path != keep:
            path.unlink(missing_ok=True)
