from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from invdesign.arrays import CorruptArrays, pack, unpack
from invdesign.budget import Budget
from invdesign.problem import Problem
from invdesign.run import run
from invdesign.store import SCHEMA_VERSION, Store, StoreError, evaluation_key
from invdesign.strategies import Adjoint, Random
from tests.invdesign.toy import Toy

DESIGN = np.linspace(0, 1, 16).reshape(4, 4)
RESPONSE = {"s": np.array([1 + 2j]), "transmission": np.array([0.25])}


def filled(path: Path, rows: int = 20) -> Store:
    store = Store(path)
    for number in range(rows):
        store.add_evaluation(f"key{number}", "sim", 1, 0, DESIGN, RESPONSE, 0.5)
    return store


def test_what_was_kept_is_found(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with filled(path, 1) as store:
        store.add_gradient("key0", {"s": np.array([1j])}, DESIGN, 0.7)
        store.add_artefact("net", "training", {"w": np.arange(3.0)}, 2.5)
    with Store(path) as store:
        found = store.evaluation("key0")
        assert found is not None
        assert found.response is not None
        assert found.response["s"] == RESPONSE["s"]
        np.testing.assert_array_equal(found.design, DESIGN.astype(np.float32))
        gradient = store.gradient("key0", {"s": np.array([1j])})
        assert gradient is not None
        np.testing.assert_array_equal(gradient.gradient, DESIGN.astype(np.float32))
        assert store.gradient("key0", {"s": np.array([2j])}) is None
        assert len(store.gradients("key0")) == 1
        artefact = store.artefact("net")
        assert artefact is not None
        assert artefact[1] == 2.5


def test_keys_follow_the_content() -> None:
    key = evaluation_key("sim", 1, 0, DESIGN)
    assert key == evaluation_key("sim", 1, 0, DESIGN.astype(np.float32))
    others = [("sim", 0, 0, DESIGN), ("sim", 1, 1, DESIGN), ("other", 1, 0, DESIGN), ("sim", 1, 0, DESIGN.T)]
    assert len({key, *(evaluation_key(*other) for other in others)}) == 5


def test_a_store_belongs_to_one_simulator_but_to_any_targets(tmp_path: Path, problem: Problem) -> None:
    path = tmp_path / "a.db"
    run(problem, Random(designs=2), budget=Budget(solves=5), store=path)
    moved = Problem(problem.space, Toy(seed=1), problem.targets)
    with pytest.raises(StoreError, match="simulators may not"):
        run(moved, Random(designs=2), budget=Budget(solves=5), store=path)
    eased = Problem(problem.space, problem.simulator, [problem.targets[0], problem.targets[0]])
    assert run(eased, Random(designs=2), budget=Budget(solves=5), store=path).best is not None


def test_a_full_disk_is_said_and_loses_nothing(tmp_path: Path, problem: Problem) -> None:
    path = tmp_path / "a.db"
    store = Store(path)
    pages = store._rows("PRAGMA page_count")[0][0]
    store._rows(f"PRAGMA max_page_count = {pages + 40}")
    with pytest.raises(StoreError, match=r"full.*Free some disk space"):
        run(problem, Adjoint(), budget=Budget(solves=500), store=store)
    kept = store.evaluation_keys()
    store.close()
    assert len(kept) > 5
    with Store(path) as again:
        assert again.evaluation_keys() == kept
        assert all(again.evaluation(key) is not None for key in kept)
        resumed = run(problem, Adjoint(), budget=Budget(solves=60), store=again)
        assert resumed.costs.solves >= 60
        assert set(kept) <= set(again.evaluation_keys())


@pytest.mark.parametrize("damage", ["text", "header", "middle", "truncated"])
def test_a_corrupt_file_is_refused_and_left_alone(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "a.db"
    filled(path, 200).close()
    content = bytearray(path.read_bytes())
    if damage == "text":
        content = bytearray(b"these are not the bytes you are looking for" * 100)
    elif damage == "header":
        content[:64] = bytes(64)
    elif damage == "middle":
        content[len(content) // 3 : 2 * len(content) // 3] = bytes(len(content) // 3)
    else:
        del content[len(content) // 2 :]
    path.write_bytes(content)
    with pytest.raises(StoreError, match="left untouched"):
        Store(path)
    assert path.read_bytes() == bytes(content)


def test_a_corrupt_value_is_computed_again(tmp_path: Path, problem: Problem) -> None:
    path = tmp_path / "a.db"
    first = run(problem, Random(designs=3), budget=Budget(solves=5), store=path)
    connection = sqlite3.connect(path)
    connection.execute(
        "UPDATE evaluations SET response = x'00112233' WHERE key IN (SELECT key FROM evaluations LIMIT 1)"
    )
    connection.commit()
    connection.close()
    with pytest.warns(UserWarning, match="corrupt and will be computed again"):
        second = run(problem, Random(designs=3), budget=Budget(solves=5), store=path)
    assert [c.loss for c in second.candidates] == [c.loss for c in first.candidates]


def test_other_versions_and_other_databases_are_refused(tmp_path: Path) -> None:
    newer = tmp_path / "newer.db"
    filled(newer, 1).close()
    connection = sqlite3.connect(newer)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    connection.close()
    with pytest.raises(StoreError, match="newer invdesign"):
        Store(newer)
    foreign = tmp_path / "foreign.db"
    connection = sqlite3.connect(foreign)
    connection.execute("CREATE TABLE customers (name TEXT)")
    connection.close()
    with pytest.raises(StoreError, match="no invdesign store"):
        Store(foreign)
    with pytest.raises(StoreError, match="Make it first"):
        Store(tmp_path / "absent" / "a.db")


def test_two_processes_may_write_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    script = (
        "import sys, numpy as np\n"
        "from invdesign.store import Store\n"
        "store = Store(sys.argv[1])\n"
        "for n in range(40):\n"
        "    store.add_evaluation(f'{sys.argv[2]}-{n}', 'sim', 0, 0, np.zeros((4, 4)), {'t': np.ones(1)}, 0.1)\n"
    )
    workers = [subprocess.Popen([sys.executable, "-c", script, str(path), name]) for name in ("a", "b")]
    assert [worker.wait() for worker in workers] == [0, 0]
    with Store(path) as store:
        assert len(store.evaluation_keys()) == 80


def test_packed_arrays_are_checked() -> None:
    arrays = {"a": np.arange(5.0), "b": np.array([1j])}
    blob = pack(arrays)
    assert all(np.array_equal(unpack(blob)[name], value) for name, value in arrays.items())
    for damaged in (blob[:-7], b"", b"junk", blob[:20] + bytes(4) + blob[24:]):
        with pytest.raises(CorruptArrays):
            unpack(damaged)
    with pytest.raises(TypeError, match="object array"):
        pack({"a": np.array([object()])})


def test_a_foreign_database_is_not_changed(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.db"
    connection = sqlite3.connect(foreign)
    connection.execute("CREATE TABLE customers (name TEXT)")
    connection.close()
    before = foreign.read_bytes()
    with pytest.raises(StoreError, match="no invdesign store"):
        Store(foreign)
    assert foreign.read_bytes() == before
    assert list(tmp_path.iterdir()) == [foreign]
