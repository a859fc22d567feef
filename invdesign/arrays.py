"""Arrays as bytes and as hashes: npz without pickle, and content keys."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from physics.base import Array


class CorruptArrays(ValueError):
    """Bytes that are not, or no longer, a set of arrays."""


def pack(arrays: Mapping[str, Array]) -> bytes:
    """Named arrays as zlib-compressed npz bytes; object arrays are refused."""
    for name, array in arrays.items():
        if np.asarray(array).dtype.hasobject:
            raise TypeError(f"Expected numeric or string arrays. Got an object array {name!r}.")
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **{name: np.asarray(array) for name, array in arrays.items()})
    # The lightest level: grey densities hardly compress, binary ones do at any.
    return zlib.compress(buffer.getvalue(), level=1)


def unpack(blob: bytes) -> dict[str, Array]:
    """Inverse of `pack`; `CorruptArrays` where the bytes fail their checksums."""
    try:
        with np.load(io.BytesIO(zlib.decompress(blob)), allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise CorruptArrays(f"Expected packed arrays. Got {len(blob)} bytes that do not read: {error}") from error


def content_key(*parts: object) -> str:
    """SHA-256 of the content of strings, numbers, arrays, dataclasses and nestings of them."""
    digest = hashlib.sha256()
    for part in parts:
        _feed(digest, part)
    return digest.hexdigest()


def _feed(digest: Any, part: object) -> None:
    if isinstance(part, np.ndarray):
        digest.update(f"array {part.dtype.str} {part.shape}".encode())
        digest.update(np.ascontiguousarray(part).tobytes())
    elif isinstance(part, Mapping):
        digest.update(f"map {len(part)}".encode())
        for key in sorted(part):
            _feed(digest, key)
            _feed(digest, part[key])
    elif isinstance(part, (list, tuple)):
        digest.update(f"list {len(part)}".encode())
        for entry in part:
            _feed(digest, entry)
    elif is_dataclass(part) and not isinstance(part, type):
        digest.update(f"value {type(part).__module__}.{type(part).__qualname__}".encode())
        _feed(digest, {f.name: getattr(part, f.name) for f in fields(part) if f.compare})
    elif isinstance(part, (str, int, float, bool, type(None))):
        digest.update(f"{type(part).__name__} {json.dumps(part)}\n".encode())
    elif isinstance(part, np.generic):
        _feed(digest, part.item())
    elif isinstance(part, complex):
        _feed(digest, [part.real, part.imag])
    elif callable(part):
        _feed_callable(digest, part)
    else:
        raise TypeError(f"Expected strings, numbers, arrays, dataclasses or nestings of them. Got {type(part)}.")


def _feed_callable(digest: Any, function: Any) -> None:
    """A function counts by its name and its code, so that an edited loss is another loss."""
    code = getattr(function, "__code__", None)
    _feed(digest, [getattr(function, "__module__", ""), getattr(function, "__qualname__", type(function).__qualname__)])
    if code is not None:
        digest.update(code.co_code)
        _feed(digest, [repr(c) for c in code.co_consts if not hasattr(c, "co_code")])
