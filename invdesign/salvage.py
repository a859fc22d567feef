"""Recovery of a damaged store: every row that can still be read and checked, copied to a new one."""

from __future__ import annotations

import json
import math
import shutil
import sqlite3
import struct
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from invdesign.arrays import CorruptArrays, content_key, unpack
from invdesign.carving import Value, carve
from invdesign.store import Store, StoreError, evaluation_key

Row = tuple[Value, ...]
TEXT, BLOB, REAL, INTEGER = "text", "blob", "real", "integer"


@dataclass(frozen=True)
class Layout:
    """A table's columns, its primary key (the first so many), and what a sound row satisfies."""

    columns: tuple[str, ...]
    key: int
    sound: Callable[[Row], bool]

    def fits(self, row: Row) -> bool:
        """Whether a row has this table's columns and is sound."""
        return (
            len(row) == len(self.columns)
            and all(_typed(value, kind) for value, kind in zip(row, self.columns, strict=True))
            and self.sound(row)
        )


@dataclass(frozen=True)
class Salvaged:
    """Rows kept and, as far as they could be counted, lost, by table."""

    kept: Mapping[str, int]
    lost: Mapping[str, int]


def _typed(value: Value, kind: str) -> bool:
    name, optional = kind.rstrip("?"), kind.endswith("?")
    if value is None:
        return optional
    if name == REAL:
        # SQLite keeps whole reals as integers.
        return isinstance(value, (int, float)) and math.isfinite(value)
    return isinstance(value, {TEXT: str, BLOB: bytes, INTEGER: int}[name])


def _arrays_read(blob: Value) -> bool:
    if blob is None:
        return True
    try:
        return bool(unpack(blob)) if isinstance(blob, bytes) else False
    except CorruptArrays:
        return False


def _json_reads(text: Value) -> bool:
    try:
        json.loads(str(text))
    except ValueError:
        return False
    return True


def _hash(value: Value) -> bool:
    return isinstance(value, str) and len(value) == 64 and set(value) <= set("0123456789abcdef")


def _evaluation(row: Row) -> bool:
    key, _, identity, level, replicate, design, response, error = row[:8]
    if not (_arrays_read(design) and _arrays_read(response)) or (response is None) == (error is None):
        return False
    density = unpack(design).get("design") if isinstance(design, bytes) else None
    return density is not None and evaluation_key(str(identity), level, replicate, density) == key  # type: ignore[arg-type]


def _gradient(row: Row) -> bool:
    key, cotangent_key, cotangents, gradient = row[:4]
    if not (_hash(key) and isinstance(cotangents, bytes) and _arrays_read(cotangents) and _arrays_read(gradient)):
        return False
    return content_key(unpack(cotangents)) == cotangent_key


# The columns of `schema.sql`, in its order; SQLite stores them so because each primary key comes first.
TABLES: dict[str, Layout] = {
    "evaluations": Layout(
        (TEXT, INTEGER, TEXT, INTEGER, INTEGER, BLOB, "blob?", "text?", "text?", REAL, TEXT), 2, _evaluation
    ),
    "gradients": Layout((TEXT, TEXT, BLOB, BLOB, REAL), 2, _gradient),
    "artefacts": Layout((TEXT, TEXT, BLOB, REAL, TEXT), 1, lambda r: _hash(r[0]) and _arrays_read(r[2])),
    "runs": Layout((TEXT, TEXT, TEXT, TEXT), 1, lambda r: _hash(r[0]) and _json_reads(r[2])),
    "journal": Layout((TEXT, INTEGER, TEXT, TEXT, REAL, REAL), 2, lambda r: _hash(r[0]) and _hash(r[3])),
    "candidates": Layout(
        (TEXT, INTEGER, TEXT, BLOB, BLOB, REAL, REAL, REAL, INTEGER),
        2,
        lambda r: _hash(r[0]) and _arrays_read(r[3]) and _arrays_read(r[4]),
    ),
    "endings": Layout((TEXT, TEXT), 1, lambda r: _hash(r[0]) and _json_reads(r[1])),
    "meta": Layout((TEXT, TEXT), 1, lambda r: r[0] == "identity" and _hash(r[1])),
}


def salvage(old: str | Path, new: str | Path) -> Salvaged:
    """Copies what can be read of a store to a new one; the old file is only read.

    Rows are read through SQLite as far as it can follow its trees, then from the bare pages. A row counts as read if
    its arrays pass their checksums and its content still has the key it was stored under.

    Raises:
        StoreError: where there is no old file, or the new one exists or cannot be written.
    """
    old, new = Path(old), Path(new)
    if not old.is_file():
        raise StoreError(f"Expected a store at {old}. There is none.")
    if new.exists():
        raise StoreError(f"Expected {new} not to exist. It does; take another name, nothing is overwritten.")
    with tempfile.TemporaryDirectory(prefix="salvage-") as folder:
        copy = _copied(old, Path(folder))
        listed, counted = _through_sqlite(copy)
        found: dict[str, dict[Row, Row]] = {table: {} for table in TABLES}
        damaged: dict[str, set[Row]] = {table: set() for table in TABLES}
        for table, rows in listed.items():
            layout = TABLES[table]
            for row in rows:
                if layout.fits(row):
                    found[table].setdefault(row[: layout.key], row)
                else:
                    damaged[table].add(row[: layout.key])
        for table, row in _from_pages(copy):
            found[table].setdefault(row[: TABLES[table].key], row)
    _write(new, found)
    kept = {table: len(rows) for table, rows in found.items()}
    lost = {}
    for table, sound in found.items():
        lost[table] = max(counted.get(table, 0) - len(sound), len(damaged[table] - sound.keys()))
    return Salvaged(kept, lost)


def _copied(old: Path, folder: Path) -> Path:
    """A working copy with its write-ahead log; SQLite may write to that one."""
    copy = folder / "store.db"
    shutil.copyfile(old, copy)
    log = old.with_name(old.name + "-wal")
    if log.is_file():
        shutil.copyfile(log, folder / "store.db-wal")
    return copy


def _through_sqlite(copy: Path) -> tuple[dict[str, list[Row]], dict[str, int]]:
    """Rows by table, read from both ends as far as SQLite gets, and how many it counts."""
    listed: dict[str, list[Row]] = {}
    counted: dict[str, int] = {}
    database = sqlite3.connect(copy, isolation_level=None)
    # Damaged text comes as bytes and is then refused, instead of ending the scan.
    database.text_factory = lambda raw: _text(raw)
    try:
        _quietly(database, "PRAGMA writable_schema = ON")  # a truncated file opens only so
        _quietly(database, "PRAGMA wal_checkpoint(TRUNCATE)")
        for table, layout in TABLES.items():
            order = ", ".join(str(n + 1) for n in range(layout.key))
            down = ", ".join(f"{n + 1} DESC" for n in range(layout.key))
            rows, whole = _scan(database, f"SELECT * FROM {table} ORDER BY {order}")
            if not whole:
                rows += _scan(database, f"SELECT * FROM {table} ORDER BY {down}")[0]
            listed[table] = rows
            counts, complete = _scan(database, f"SELECT count(*) FROM {table}")
            if complete and isinstance(counts[0][0], int):
                counted[table] = counts[0][0]
    finally:
        database.close()
    return listed, counted


def _text(raw: bytes) -> str | bytes:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw


def _quietly(database: sqlite3.Connection, statement: str) -> None:
    _scan(database, statement)


def _scan(database: sqlite3.Connection, query: str) -> tuple[list[Row], bool]:
    """Rows up to the first that cannot be read, and whether that was all."""
    rows: list[Row] = []
    try:
        for row in database.execute(query):
            rows.append(row)
    except (sqlite3.Error, OverflowError):
        return rows, False
    return rows, True


def _from_pages(copy: Path) -> Iterator[tuple[str, Row]]:
    """Sound rows from the bare pages, with the table that each fits."""
    content = copy.read_bytes()
    for page_size in _page_sizes(content):
        any_row = False
        for row in carve(content, page_size):
            table = next((name for name, layout in TABLES.items() if layout.fits(row)), None)
            if table is not None:
                any_row = True
                yield table, row
        if any_row:
            return


def _page_sizes(content: bytes) -> Sequence[int]:
    """The page size in the file's header first, then all the others there can be."""
    sizes = [4096, 8192, 16384, 32768, 65536, 2048, 1024, 512]
    if len(content) < 18:
        return []
    (told,) = struct.unpack_from(">H", content, 16)
    told = 65536 if told == 1 else told
    return [told, *(s for s in sizes if s != told)] if told in sizes else sizes


def _write(new: Path, found: Mapping[str, Mapping[Row, Row]]) -> None:
    Store(new).close()
    database = sqlite3.connect(new, isolation_level=None)
    try:
        database.execute("BEGIN")
        for table, rows in found.items():
            marks = ", ".join("?" * len(TABLES[table].columns))
            database.executemany(f"INSERT INTO {table} VALUES ({marks})", list(rows.values()))
        database.execute("COMMIT")
    except sqlite3.Error as error:
        raise StoreError(f"Could not write the store {new}: {error}. Check that there is disk space left.") from error
    finally:
        database.close()
