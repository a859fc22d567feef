"""What Meep's ports need to know and no design changes, kept in memory and on disk.

A source's strength takes a run of its own, in three dimensions as long as one of a design.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from physics import sealed
from physics.base import Array
from physics.worker import Worker

VERSION = b"ports-2"
_known: dict[str, dict[str, Array]] = {}


def calibrations(
    worker: Worker, version: str, model: Mapping[str, Any], sources: Sequence[int], time_limit_s: float
) -> dict[str, Array]:
    """Name of a port's array ("port0") -> its calibration, see :meth:`physics.meep.program.model.Model.calibrated`.

    Args:
        worker: with Meep; asked where neither memory nor disk know.
        version: of Meep.
        model: description of the device at the wavelengths of one run.
        sources: numbers of the ports that are excited.
        time_limit_s: of the calibration.
    """
    key = _key(version, model)
    found = _known.get(key) or _read(key)
    if found is None or not all(found[f"port{i}"][0].all() for i in sources):
        reply = worker.call("prepare", found, time_limit_s=time_limit_s, model=model, sources=list(sources))
        found = dict(reply.arrays)
        _write(key, found)
    _known[key] = found
    return found


def _key(version: str, model: Mapping[str, Any]) -> str:
    """Of all but the design region, which is not there when ports are calibrated."""
    content = {name: value for name, value in model.items() if name not in ("design", "shapes")}
    digest = hashlib.blake2b(VERSION, digest_size=20)
    digest.update(json.dumps([version, content], sort_keys=True).encode())
    return digest.hexdigest()


def _path(key: str) -> Path | None:
    folder = sealed.folder()
    return None if folder is None else folder / f"{key}.ports"


def _read(key: str) -> dict[str, Array] | None:
    path = _path(key)
    content = None if path is None else sealed.read(path)
    if content is None:
        return None
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def _write(key: str, arrays: Mapping[str, Array]) -> None:
    path = _path(key)
    if path is not None:
        memory = io.BytesIO()
        np.savez(memory, **dict(arrays))  # type: ignore[arg-type]
        sealed.write(path, memory.getvalue(), "the calibration of Meep's ports")
