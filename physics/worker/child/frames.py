"""Frames between the two interpreters: magic, length, and an npz without pickle with a JSON header in `_h`.

npz and not pickles, since arrays pickled by numpy 2 cannot be read by numpy 1. Python 3.9, numpy 1 and 2.
"""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from typing import Any

import numpy as np

MAGIC = b"\x93FRAME1\n"
PREFIX_BYTES = len(MAGIC) + 8
# More than any solve sends; a longer frame is garbage.
LIMIT_BYTES = 1 << 34
KINDS = "biufcSUmM"


class FrameError(ValueError):
    """Bytes that are no frame."""


def encode(header: dict[str, Any], arrays: dict[str, Any] | None = None) -> tuple[bytes, memoryview]:
    """Prefix and body of a frame.

    Raises:
        TypeError: for a header that is not plain JSON, or an array of Python objects.
        ValueError: for a frame that is too long.
    """
    _check_plain(header, "header")
    members: dict[str, Any] = {"_h": np.frombuffer(json.dumps(header).encode(), np.uint8)}
    for name, given in (arrays or {}).items():
        array = np.asarray(given)
        if not isinstance(name, str) or array.dtype.hasobject or array.dtype.kind not in KINDS:
            raise TypeError(f"Expected arrays of numbers or text by name. Got {name!r} of dtype {array.dtype}.")
        # The prefix keeps names apart from savez's own arguments.
        members["a:" + name] = array
    buffer = io.BytesIO()
    np.savez(buffer, **members)
    body = buffer.getbuffer()
    if len(body) > LIMIT_BYTES:
        raise ValueError(f"Expected a frame of at most {LIMIT_BYTES} bytes. Got {len(body)}; send less at a time.")
    return MAGIC + struct.pack("<Q", len(body)), body


def length(prefix: bytes) -> int:
    """Bytes of the body that follows."""
    if prefix[: len(MAGIC)] != MAGIC:
        raise FrameError(f"Expected a frame that starts with {MAGIC!r}. Got {bytes(prefix)!r}.")
    (found,) = struct.unpack("<Q", prefix[len(MAGIC) :])
    if found > LIMIT_BYTES:
        raise FrameError(f"Expected a frame of at most {LIMIT_BYTES} bytes. Got a length of {found}.")
    return int(found)


def decode(body: bytes | bytearray) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and arrays of a frame's body."""
    try:
        with np.load(io.BytesIO(body), allow_pickle=False) as members:
            header = json.loads(members["_h"].tobytes())
            arrays = {name[2:]: members[name] for name in members.files if name.startswith("a:")}
    except (ValueError, KeyError, EOFError, OSError, AttributeError, RuntimeError, struct.error) as error:
        raise FrameError(f"Expected an npz with a header. Got {len(body)} other bytes ({error}).") from error
    except (zipfile.BadZipFile, zlib.error) as error:
        raise FrameError(f"Expected an npz. Got {len(body)} other bytes ({error}).") from error
    if not isinstance(header, dict):
        raise FrameError(f"Expected a header with names. Got {type(header).__name__}.")
    return header, arrays


def _check_plain(value: Any, where: str) -> None:
    if value is None or isinstance(value, (bool, int, float, str)):
        return
    if isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            _check_plain(item, f"{where}[{i}]")
    elif isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise TypeError(f"Expected text as keys of {where}. Got {key!r}.")
            _check_plain(item, f"{where}[{key!r}]")
    else:
        raise TypeError(
            f"Expected plain JSON in {where}. Got {type(value).__name__}; use float, int, str, list, dict, "
            "or send it among the arrays."
        )
