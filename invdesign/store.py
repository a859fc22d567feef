"""The store: one append-only SQLite file with every finished evaluation, gradient and artefact, found by content."""

from __future__ import annotations

import json
import sqlite3
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from invdesign.arrays import CorruptArrays, content_key, pack, unpack
from physics.base import Array

SCHEMA_VERSION = 1
LOCK_SECONDS = 60.0
# A crash or a time-out may be the machine's fault: on resume it is asked again, up to this many times.
RETRIES = 2


class StoreError(RuntimeError):
    """A store that cannot be opened, read or written; says what to do."""


@dataclass(frozen=True)
class StoredEvaluation:
    """A finished evaluation. `attempt` counts from 1; exactly one of `response` and `error` is None."""

    key: str
    design: Array
    response: dict[str, Array] | None
    error: str | None
    failure: str | None
    cpu_seconds: float
    attempt: int

    @property
    def worth_retrying(self) -> bool:
        """Whether it failed for what may have been the machine's fault, not too often yet."""
        return self.failure in ("crashed", "timed out") and self.attempt <= RETRIES


@dataclass(frozen=True)
class StoredGradient:
    """A gradient and the cotangents it belongs to."""

    cotangents: dict[str, Array]
    gradient: Array
    cpu_seconds: float


def evaluation_key(identity: str, level: int, replicate: int, design: Array) -> str:
    """Content address of an evaluation; the design counts in single precision."""
    return content_key(identity, level, replicate, np.asarray(design, dtype=np.float32))


class Store:
    """An SQLite file for one simulator (and its corners and refinements), shared by any problems and targets on it.

    Args:
        path: the file, made if absent; ":memory:" for one that is not kept.

    Raises:
        StoreError: where the file is no store, is corrupt, is of a newer version, or cannot be written.
    """

    def __init__(self, path: str | Path = ":memory:") -> None:
        self.path = str(path)
        if self.path != ":memory:" and not Path(self.path).parent.is_dir():
            raise StoreError(f"Expected the folder {Path(self.path).parent} to exist, to hold a store. Make it first.")
        with self._explained("open"):
            self._db = sqlite3.connect(self.path, timeout=LOCK_SECONDS, isolation_level=None)
            try:
                self._open()
            except BaseException:
                self._db.close()
                raise

    def _open(self) -> None:
        """Checks the file, then makes it a store; waits where another process is at just that."""
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                self._check_schema()
                # Only now: it changes the file, which must be an invdesign store.
                self._db.execute("PRAGMA journal_mode = WAL")
                self._db.execute("PRAGMA synchronous = NORMAL")
                self._make_schema()
                return
            except sqlite3.OperationalError as error:
                # SQLite does not wait by itself for a change of journal mode.
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def _empty(self) -> bool:
        return bool(self._db.execute("SELECT count(*) = 0 FROM sqlite_master").fetchone()[0])

    def _make_schema(self) -> None:
        if not self._empty():
            return
        with self.transaction():
            # A second process may have made it meanwhile.
            if self._empty():
                for statement in (files("invdesign") / "schema.sql").read_text().split(";"):
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def _check_schema(self) -> None:
        # In one statement, so that no other process makes the schema between the two.
        version, empty = self._db.execute(
            "SELECT user_version, (SELECT count(*) = 0 FROM sqlite_master) FROM pragma_user_version"
        ).fetchone()
        if version == 0 and empty:
            return
        if version != SCHEMA_VERSION:
            raise StoreError(
                f"Expected a store of version {SCHEMA_VERSION}. {self.path} has version {version}"
                + ("; it belongs to a newer invdesign." if version > SCHEMA_VERSION else " and is no invdesign store.")
            )
        problem = self._db.execute("PRAGMA quick_check(1)").fetchone()[0]
        if problem != "ok":
            raise sqlite3.DatabaseError(problem)

    @contextmanager
    def _explained(self, doing: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            text = str(error)
            if "full" in text or "disk I/O" in text:
                remedy = "Free some disk space and run the same command again; all that had finished is kept."
            elif "locked" in text:
                remedy = "Another process holds the store; end it, or run again later."
            elif "readonly" in text or "unable to open" in text:
                remedy = "Check that the path is a file you may write."
            elif isinstance(error, sqlite3.IntegrityError):
                remedy = "This is a defect of invdesign; please report it. All that had finished is kept."
            else:
                remedy = (
                    "The file was left untouched. Recover what can be read with "
                    f"`invdesign salvage {self.path} NEW.db`, or take another path for the store."
                )
            raise StoreError(f"Could not {doing} the store {self.path}: {text}. {remedy}") from error

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; a kill inside leaves nothing of it."""
        with self._explained("write"):
            if self._db.in_transaction:
                yield
                return
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                # A full disk may have rolled back already.
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def _write(self, statement: str, values: tuple[Any, ...]) -> None:
        with self.transaction():
            self._db.execute(statement, values)

    def _rows(self, query: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        with self._explained("read"):
            return self._db.execute(query, values).fetchall()

    def _arrays(self, blob: bytes, what: str) -> dict[str, Array] | None:
        try:
            return unpack(blob)
        except CorruptArrays as error:
            warnings.warn(f"{what} in {self.path} is corrupt and will be computed again: {error}", stacklevel=3)
            return None

    def bind(self, identity: str) -> None:
        """Ties the store to a simulator, or raises `StoreError` where it is tied to another."""
        self._write("INSERT OR IGNORE INTO meta VALUES ('identity', ?)", (identity,))
        bound = self._rows("SELECT value FROM meta WHERE name = 'identity'")[0][0]
        if bound != identity:
            raise StoreError(
                f"Expected a store of simulator {identity[:12]}. {self.path} holds evaluations of {bound[:12]}: "
                "geometry, materials, levels or solver version differ. Take another store; targets, spaces and "
                "strategies may share one, simulators may not."
            )

    # -- evaluations ------------------------------------------------------------------------------------------------

    def evaluation(self, key: str) -> StoredEvaluation | None:
        """The last attempt at an evaluation; None if there is none that can be read."""
        rows = self._rows(
            "SELECT design, response, error, failure, cpu_seconds, attempt FROM evaluations WHERE key = ? "
            "ORDER BY attempt DESC LIMIT 1",
            (key,),
        )
        if not rows:
            return None
        design, response, error, failure, cpu_seconds, attempt = rows[0]
        designs = self._arrays(design, f"Evaluation {key[:12]}")
        responses = None if response is None else self._arrays(response, f"Evaluation {key[:12]}")
        if designs is None or (responses is None and error is None):
            return None
        return StoredEvaluation(key, designs["design"], responses, error, failure, cpu_seconds, attempt)

    def add_evaluation(
        self,
        key: str,
        identity: str,
        level: int,
        replicate: int,
        design: Array,
        response: Mapping[str, Array] | None,
        cpu_seconds: float,
        error: str | None = None,
        failure: str | None = None,
    ) -> None:
        """Keeps a finished evaluation, or a failed one with its error."""
        attempts = self._rows("SELECT max(attempt) FROM evaluations WHERE key = ?", (key,))[0][0] or 0
        design_blob = pack({"design": np.asarray(design, dtype=np.float32)})
        response_blob = None if response is None else pack(response)
        self._write(
            "INSERT INTO evaluations (key, attempt, identity, level, replicate, design, response, error, failure, "
            "cpu_seconds) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (key, attempts + 1, identity, level, replicate, design_blob, response_blob, error, failure, cpu_seconds),
        )

    def gradient(self, key: str, cotangents: Mapping[str, Array]) -> StoredGradient | None:
        """The gradient of an evaluation for these cotangents; None if it was not asked for."""
        rows = self._rows(
            "SELECT cotangents, gradient, cpu_seconds FROM gradients WHERE key = ? AND cotangent_key = ?",
            (key, content_key(cotangents)),
        )
        if not rows:
            return None
        stored = self._arrays(rows[0][1], f"A gradient of {key[:12]}")
        given = self._arrays(rows[0][0], f"A gradient of {key[:12]}")
        if stored is None or given is None:
            return None
        return StoredGradient(given, stored["gradient"], rows[0][2])

    def add_gradient(self, key: str, cotangents: Mapping[str, Array], gradient: Array, cpu_seconds: float) -> None:
        """Keeps a gradient, in single precision."""
        blob = pack({"gradient": np.asarray(gradient, dtype=np.float32)})
        self._write(
            "INSERT OR REPLACE INTO gradients VALUES (?, ?, ?, ?, ?)",
            (key, content_key(cotangents), pack(cotangents), blob, cpu_seconds),
        )

    def gradients(self, key: str) -> list[StoredGradient]:
        """All gradients asked of an evaluation."""
        found = []
        for given, blob, cpu_seconds in self._rows(
            "SELECT cotangents, gradient, cpu_seconds FROM gradients WHERE key = ? ORDER BY cotangent_key", (key,)
        ):
            cotangents, stored = self._arrays(given, "A gradient"), self._arrays(blob, "A gradient")
            if cotangents is not None and stored is not None:
                found.append(StoredGradient(cotangents, stored["gradient"], cpu_seconds))
        return found

    def evaluation_keys(self, identity: str | None = None, level: int | None = None) -> list[str]:
        """Keys of the evaluations kept, in order of the key."""
        return [
            row[0]
            for row in self._rows(
                "SELECT DISTINCT key FROM evaluations WHERE (?1 IS NULL OR identity = ?1) "
                "AND (?2 IS NULL OR level = ?2) ORDER BY key",
                (identity, level),
            )
        ]

    # -- artefacts --------------------------------------------------------------------------------------------------

    def artefact(self, key: str) -> tuple[dict[str, Array], float] | None:
        """Payload and CPU seconds of an artefact; None if there is none that can be read."""
        rows = self._rows("SELECT payload, cpu_seconds FROM artefacts WHERE key = ?", (key,))
        payload = self._arrays(rows[0][0], f"Artefact {key[:12]}") if rows else None
        return None if payload is None else (payload, rows[0][1])

    def add_artefact(self, key: str, kind: str, payload: Mapping[str, Array], cpu_seconds: float) -> None:
        """Keeps an artefact."""
        self._write(
            "INSERT OR REPLACE INTO artefacts (key, kind, payload, cpu_seconds) VALUES (?, ?, ?, ?)",
            (key, kind, pack(payload), cpu_seconds),
        )

    def artefact_keys(self) -> list[tuple[str, str]]:
        """(kind, key) of the artefacts kept."""
        return [(row[0], row[1]) for row in self._rows("SELECT kind, key FROM artefacts ORDER BY kind, key")]

    # -- runs -------------------------------------------------------------------------------------------------------

    def begin_run(self, run: str, name: str, provenance: Mapping[str, Any]) -> None:
        """Notes that a run exists; again without harm."""
        self._write(
            "INSERT OR IGNORE INTO runs (run, name, provenance) VALUES (?, ?, ?)", (run, name, json.dumps(provenance))
        )

    def journal(self, run: str) -> dict[int, tuple[str, str, float, float]]:
        """seq -> (kind, key, CPU seconds charged, overhead charged) of a run."""
        rows = self._rows("SELECT seq, kind, key, cpu_seconds, overhead_seconds FROM journal WHERE run = ?", (run,))
        return {seq: (kind, key, cpu_seconds, overhead) for seq, kind, key, cpu_seconds, overhead in rows}

    def add_journal(self, run: str, seq: int, kind: str, key: str, cpu_seconds: float, overhead: float) -> None:
        """Notes a request of a run."""
        self._write(
            "INSERT OR REPLACE INTO journal VALUES (?, ?, ?, ?, ?, ?)", (run, seq, kind, key, cpu_seconds, overhead)
        )

    def add_candidate(self, run: str, number: int, row: Mapping[str, Any]) -> None:
        """Notes a verified design: label, design, responses, loss, distance, cpu_seconds, reference_solves."""
        self._write(
            "INSERT OR REPLACE INTO candidates VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                run,
                number,
                row["label"],
                pack({"design": np.asarray(row["design"], dtype=np.float32)}),
                pack(row["responses"]),
                row["loss"],
                row["distance"],
                row["cpu_seconds"],
                row["reference_solves"],
            ),
        )

    def forget_after(self, run: str, seq: int, candidates: int) -> None:
        """Drops what a run's journal has from `seq` on, and its candidates from that number on: a path that is left.

        Evaluations and artefacts stay; they are found by content, whoever asked.
        """
        with self.transaction():
            self._write("DELETE FROM journal WHERE run = ? AND seq >= ?", (run, seq))
            self._write("DELETE FROM candidates WHERE run = ? AND number >= ?", (run, candidates))

    def end_run(self, run: str, summary: Mapping[str, Any]) -> None:
        """Notes how a run ended."""
        self._write("INSERT OR REPLACE INTO endings VALUES (?, ?)", (run, json.dumps(summary)))

    def runs(self) -> list[dict[str, Any]]:
        """Every run with its name, provenance, best candidate so far and, once it ended, its summary."""
        found = []
        for run, name, provenance, summary in self._rows(
            "SELECT r.run, r.name, r.provenance, e.summary FROM runs r LEFT JOIN endings e USING (run) "
            "ORDER BY r.created, r.name"
        ):
            best = self._rows(
                "SELECT label, design, responses, loss, distance, cpu_seconds, reference_solves FROM candidates "
                "WHERE run = ? ORDER BY distance, loss, number LIMIT 1",
                (run,),
            )
            charged = self._rows(
                "SELECT coalesce(sum(cpu_seconds + overhead_seconds), 0), count(*) FROM journal WHERE run = ?", (run,)
            )[0]
            entry = {
                "run": run,
                "name": name,
                "provenance": json.loads(provenance),
                "cpu_seconds": charged[0],
                "requests": charged[1],
                "ending": None if summary is None else json.loads(summary),
                "best": None,
            }
            if best:
                label, design, responses, loss, distance, cpu_seconds, solves = best[0]
                entry["best"] = {
                    "label": label,
                    "design": (self._arrays(design, "A candidate") or {}).get("design"),
                    "responses": self._arrays(responses, "A candidate") or {},
                    "loss": loss,
                    "distance": distance,
                    "cpu_seconds": cpu_seconds,
                    "reference_solves": solves,
                }
            found.append(entry)
        return found

    def close(self) -> None:
        """Closes the file."""
        self._db.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
