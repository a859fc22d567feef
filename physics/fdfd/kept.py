"""Set-ups of the solver kept on disk between runs, found by what they were computed from."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np

from physics import sealed
from physics.fdfd.grid import Complex
from physics.fdfd.region import Region, Window
from physics.fdfd.stencil import Stencil

VERSION = b"region-2"
CONTENT = ("wraps", "exterior", "sources", "receivers", "constant")


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
    place = sealed.folder()
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


def _read(path: Path, window: Window, phase: tuple[float, float]) -> Region | None:
    """The region in a file, None where there is none, or not what was written."""
    content = sealed.read(path)
    if content is None:
        return None
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
    sealed.write(path, memory.getvalue(), "a set-up of the Maxwell solver")
