"""Records read straight from the pages of an SQLite file, whatever became of the trees they hang in.

The layout is that of https://www.sqlite.org/fileformat2.html, sections 1.6 (b-tree pages) and 2.1 (record format).
Tables WITHOUT ROWID keep whole rows in index b-trees, on leaf (10) and interior (2) pages alike.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

LEAF, INTERIOR = 10, 2
HEADER_BYTES = 100
Value = None | int | float | str | bytes
WIDTHS = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}


class _Damaged(ValueError):
    """A cell that makes no sense."""


def carve(content: bytes, page_size: int) -> Iterator[tuple[Value, ...]]:
    """Rows of all tables WITHOUT ROWID, in the order of the pages; damaged cells are passed over.

    Args:
        content: the whole file.
        page_size: of the file, a power of two from 512 to 65536.
    """
    for start in range(0, len(content) - page_size + 1, page_size):
        for cell in _cells(content, start, page_size):
            try:
                yield _record(_payload(content, cell, start, page_size))
            except (_Damaged, IndexError, struct.error, UnicodeDecodeError):
                continue


def _cells(content: bytes, start: int, page_size: int) -> Iterator[int]:
    """Offsets of the cells of one page."""
    head = start + (HEADER_BYTES if start == 0 else 0)
    kind = content[head]
    if kind not in (LEAF, INTERIOR):
        return
    (count,) = struct.unpack_from(">H", content, head + 3)
    first = head + (8 if kind == LEAF else 12)
    for index in range(min(count, (page_size - (first - start)) // 2)):
        (offset,) = struct.unpack_from(">H", content, first + 2 * index)
        if first - start + 2 * count <= offset < page_size:
            # An interior cell begins with the page number of its child.
            yield start + offset + (0 if kind == LEAF else 4)


def _varint(content: bytes, at: int) -> tuple[int, int]:
    """A variable-length integer and the offset behind it."""
    value = 0
    for index in range(8):
        byte = content[at + index]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + index + 1
    return value << 8 | content[at + 8], at + 9


def _payload(content: bytes, at: int, start: int, page_size: int) -> bytes:
    """The bytes of a record, gathered from its overflow pages (section 1.6, index b-trees)."""
    size, at = _varint(content, at)
    if size > len(content):
        raise _Damaged
    usable = page_size
    most, least = (usable - 12) * 64 // 255 - 23, (usable - 12) * 32 // 255 - 23
    if size <= most:
        local = size
    else:
        surplus = least + (size - least) % (usable - 4)
        local = surplus if surplus <= most else least
    if at + local > start + page_size:
        raise _Damaged
    parts, got = [content[at : at + local]], local
    follow = struct.unpack_from(">I", content, at + local)[0] if got < size else 0
    while got < size:
        place = (follow - 1) * page_size
        if follow < 2 or place + page_size > len(content):
            raise _Damaged
        piece = content[place + 4 : place + 4 + min(usable - 4, size - got)]
        parts.append(piece)
        got += len(piece)
        (follow,) = struct.unpack_from(">I", content, place)
    return b"".join(parts)


def _record(payload: bytes) -> tuple[Value, ...]:
    """The values of a record (section 2.1)."""
    header, at = _varint(payload, 0)
    if not 1 < header <= len(payload):
        raise _Damaged
    kinds = []
    while at < header:
        kind, at = _varint(payload, at)
        kinds.append(kind)
    if at != header:
        raise _Damaged
    values: list[Value] = []
    for kind in kinds:
        value, at = _value(payload, at, kind)
        values.append(value)
    if at != len(payload):
        raise _Damaged
    return tuple(values)


def _value(payload: bytes, at: int, kind: int) -> tuple[Value, int]:
    if kind == 0:
        return None, at
    if kind in (8, 9):
        return kind - 8, at
    if kind in WIDTHS:
        end = at + WIDTHS[kind]
        return int.from_bytes(payload[at:end], "big", signed=True), end
    if kind == 7:
        return struct.unpack_from(">d", payload, at)[0], at + 8
    if kind < 12:
        raise _Damaged
    end = at + (kind - 12) // 2
    if end > len(payload):
        raise _Damaged
    piece = payload[at:end]
    return (piece if kind % 2 == 0 else piece.decode("utf-8")), end
