"""A damaged store gives back what can be read, and nothing that is wrong."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
import pytest

from invdesign.budget import Budget
from invdesign.carving import carve
from invdesign.run import run
from invdesign.salvage import TABLES, salvage
from invdesign.store import Store, StoreError
from invdesign.strategies import Adjoint, Random
from tests.invdesign.noted import toy_problem

BUDGET = Budget(solves=120)


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("sound") / "store.db"
    for strategy in (Adjoint(evaluations=8), Random()):
        run(toy_problem(), strategy, budget=BUDGET, store=path)
    with Store(path) as store:
        big = {"weights": np.random.default_rng(0).random(40_000)}
        store.add_artefact("ab" * 32, "network", big, 1.5)
    return path


def rows(path: Path) -> dict[str, set[tuple]]:
    with sqlite3.connect(path) as database:
        found = {table: set(database.execute(f"SELECT * FROM {table}")) for table in TABLES}
    database.close()
    return found


def damaged(sound: Path, folder: Path, change) -> Path:
    content = bytearray(sound.read_bytes())
    changed = change(content)
    path = folder / "old.db"
    path.write_bytes(bytes(content if changed is None else changed))
    return path


def flip(content: bytearray, offsets) -> None:
    for offset in offsets:
        content[offset] ^= 0x5A


def test_sound_store_is_copied_whole(sound, tmp_path):
    before = sound.read_bytes()
    found = salvage(sound, tmp_path / "new.db")
    assert rows(tmp_path / "new.db") == rows(sound)
    assert sum(found.lost.values()) == 0
    assert found.kept["evaluations"] > 100
    assert sound.read_bytes() == before


def test_carving_alone_finds_every_row(sound):
    # Overflow pages (the large artefact) and interior pages included.
    carved = list(carve(sound.read_bytes(), 4096))
    for table, expected in rows(sound).items():
        assert expected <= {row for row in carved if TABLES[table].fits(row)}


DAMAGE = {
    "truncated": lambda c: c[: len(c) * 6 // 10],
    "cut within a page": lambda c: c[: len(c) * 6 // 10 + 1234],
    "a page of zeros": lambda c: c.__setitem__(slice(20 * 4096, 21 * 4096), bytes(4096)),
    "no first page": lambda c: c.__setitem__(slice(0, 4096), bytes(4096)),
    "no header": lambda c: c.__setitem__(slice(0, 100), b"\xff" * 100),
    "bytes flipped": lambda c: flip(c, np.random.default_rng(1).integers(4096, len(c), 40)),
    "pages of noise": lambda c: c.__setitem__(slice(8 * 4096, 12 * 4096), np.random.default_rng(2).bytes(4 * 4096)),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_store_keeps_what_can_be_read(sound, kind, tmp_path):
    old = damaged(sound, tmp_path, DAMAGE[kind])
    before = old.read_bytes()
    found = salvage(old, tmp_path / "new.db")
    assert old.read_bytes() == before
    expected, kept = rows(sound), rows(tmp_path / "new.db")
    for table in TABLES:
        assert len(kept[table]) == found.kept[table]
    # What has checksums is either as it was or gone.
    for table, columns in (("evaluations", slice(0, 7)), ("gradients", slice(0, 4)), ("artefacts", slice(0, 3))):
        assert {row[columns] for row in kept[table]} <= {row[columns] for row in expected[table]}
    least = 0.25 if kind in ("truncated", "cut within a page") else 0.6
    assert len(kept["evaluations"]) >= least * len(expected["evaluations"])
    # The new store is a sound one, and a run goes on from it.
    result = run(toy_problem(), Random(), budget=BUDGET, store=tmp_path / "new.db")
    assert result.costs.solves == 120


def test_write_ahead_log_is_read(tmp_path):
    path = tmp_path / "store.db"
    with Store(path) as store:
        store.add_artefact("cd" * 32, "network", {"w": np.ones(3)}, 1.0)
        assert path.with_name("store.db-wal").stat().st_size > 0
        found = salvage(path, tmp_path / "new.db")
    assert found.kept["artefacts"] == 1


def test_random_damage_never_raises(sound, tmp_path):
    content = sound.read_bytes()
    for seed in range(12):
        rng = np.random.default_rng(seed)
        broken = bytearray(content[: rng.integers(100, len(content))])
        flip(broken, rng.integers(0, len(broken), 200))
        old = tmp_path / f"{seed}.db"
        old.write_bytes(bytes(broken))
        salvage(old, tmp_path / f"{seed}-new.db")
        Store(tmp_path / f"{seed}-new.db").close()


def test_salvage_errors(sound, tmp_path):
    with pytest.raises(StoreError, match="There is none"):
        salvage(tmp_path / "absent.db", tmp_path / "new.db")
    with pytest.raises(StoreError, match="nothing is overwritten"):
        salvage(sound, sound)
