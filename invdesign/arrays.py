"""Arrays as bytes and as hashes: npz without pickle, and content keys."""

from __future__ import annotations

import functools
import hashlib
import io
import json
import types
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


class ContentError(TypeError):
    """Something whose content cannot be told, so that it cannot be part of a key."""


def content_key(*parts: object) -> str:
    """SHA-256 of the content of strings, numbers, arrays, dataclasses, functions and nestings of them.

    Raises:
        ContentError: for anything else.
    """
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
        for key in sorted(part, key=repr):
            _feed(digest, key)
            _feed(digest, part[key])
    elif isinstance(part, (list, tuple)):
        digest.update(f"list {len(part)}".encode())
        for entry in part:
            _feed(digest, entry)
    elif isinstance(part, (set, frozenset)):
        _feed(digest, ["set", sorted(content_key(entry) for entry in part)])
    elif isinstance(part, slice):
        _feed(digest, ["slice", part.start, part.stop, part.step])
    elif isinstance(part, np.generic):
        _feed(digest, part.item())
    elif isinstance(part, (str, int, float, bool, type(None))):
        digest.update(f"{type(part).__name__} {json.dumps(part)}\n".encode())
    elif isinstance(part, (complex, bytes)):
        digest.update(f"{type(part).__name__} {part!r}\n".encode())
    elif isinstance(part, type):
        _feed(digest, ["type", part.__module__, part.__qualname__])
    elif is_dataclass(part):
        digest.update(f"value {type(part).__module__}.{type(part).__qualname__}".encode())
        _feed(digest, {f.name: getattr(part, f.name) for f in fields(part)})
    elif isinstance(part, functools.partial):
        _feed(digest, ["partial", part.func, part.args, part.keywords])
    elif isinstance(part, types.MethodType):
        _feed(digest, ["method", part.__self__, part.__func__])
    elif isinstance(part, types.FunctionType):
        _feed(digest, ["function", part.__module__, part.__qualname__, part.__defaults__, part.__kwdefaults__])
        _feed(digest, [cell.cell_contents for cell in part.__closure__ or ()])
        _feed_code(digest, part.__code__)
    elif isinstance(part, types.BuiltinFunctionType):
        _feed(digest, ["builtin", part.__module__, part.__qualname__])
    else:
        raise ContentError(
            "Expected strings, numbers, arrays, dataclasses, functions or nestings of them, whose content makes the "
            f"key of a run. Got {type(part).__module__}.{type(part).__qualname__}; make it a dataclass."
        )


def _feed_code(digest: Any, code: types.CodeType) -> None:
    """A function counts by what it does, so that an edited loss is another loss."""
    digest.update(code.co_code)
    _feed(digest, code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            _feed_code(digest, constant)
        else:
            _feed(digest, repr(constant))
