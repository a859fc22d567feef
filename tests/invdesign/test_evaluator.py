from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from invdesign.budget import Budget, BudgetSpent, Meter
from invdesign.evaluator import Evaluator
from invdesign.executors import InProcess, Processes
from invdesign.ledger import Ledger
from invdesign.store import Store
from invdesign.work import Task
from physics.base import Array, Response
from tests.invdesign.toy import Toy

TOY = Toy()
FAULTY = 0.8  # mean density above which a faulty toy fails


def evaluator(store: Store, budget: Budget | None = None, run: str = "run", executor: object = None) -> Evaluator:
    meter = Meter(budget or Budget(solves=1000), reference_level=1)
    return Evaluator(store, Ledger(store, run, meter), executor or InProcess(), ["toy-0", "toy-1"])  # type: ignore[arg-type]


def designs(count: int, level: float = 0.3) -> list[Array]:
    rng = np.random.default_rng(5)
    return [rng.uniform(level - 0.1, level + 0.1, TOY.design_shape) for _ in range(count)]


def tasks(chosen: Sequence[Array], toy: Toy = TOY, level: int = 1) -> list[Task]:
    return [Task(toy, design, level) for design in chosen]


def ones(response: Response) -> dict[str, Array]:
    return {"transmission": np.ones_like(response["transmission"])}


def test_records_come_in_the_order_asked_and_are_remembered() -> None:
    store = Store()
    first = evaluator(store).ask(tasks(designs(4)))
    again = evaluator(store, run="another").ask(tasks(designs(4)[::-1]))
    assert [r.key for r in again] == [r.key for r in first][::-1]
    assert [r.cpu_seconds for r in again] == [r.cpu_seconds for r in first][::-1]
    assert len(store.evaluation_keys()) == 4


def test_the_record_is_of_the_design_that_was_solved() -> None:
    (record,) = evaluator(Store()).ask(tasks(designs(1)))
    direct = TOY.simulate(np.asarray(record.design, dtype=np.float64), 1)
    assert record.response is not None
    np.testing.assert_array_equal(record.response["s"], direct["s"])


def test_gradients_are_kept_with_their_cotangents() -> None:
    store = Store()
    asker = evaluator(store)
    (design,) = designs(1)
    (value,) = asker.ask([Task(TOY, design, 1)])
    (with_gradient,) = asker.ask([Task(TOY, design, 1, ones)])
    (explicit,) = asker.ask([Task(TOY, design, 1, {"transmission": np.ones((1, 2))})])
    assert value.gradient is None
    assert with_gradient.gradient is not None
    np.testing.assert_array_equal(with_gradient.gradient, explicit.gradient)
    assert len(store.gradients(value.key)) == 1
    np.testing.assert_allclose(with_gradient.gradient, TOY.vjp(design, 1, ones)[1], rtol=1e-5, atol=1e-9)


def test_a_duplicate_in_a_batch_is_solved_once_and_charged_twice() -> None:
    store = Store()
    asker = evaluator(store)
    (design,) = designs(1)
    asker.ask(tasks([design, design]))
    assert len(store.evaluation_keys()) == 1
    assert asker.meter.solves == 2


def test_the_budget_admits_what_fits_and_no_more() -> None:
    store = Store()
    asker = evaluator(store, Budget(solves=3))
    with pytest.raises(BudgetSpent, match="3 of 5"):
        asker.ask(tasks(designs(5)))
    assert len(store.evaluation_keys()) == 3
    assert asker.meter.fraction == 1.0
    with pytest.raises(BudgetSpent):
        asker.memo("training", {"n": 1}, lambda: {"w": np.ones(1)})


def test_reference_solves_alone_may_be_limited() -> None:
    asker = evaluator(Store(), Budget(reference_solves=1))
    asker.ask(tasks(designs(6), level=0))
    asker.ask(tasks(designs(1)))
    with pytest.raises(BudgetSpent):
        asker.ask(tasks(designs(2)))


@pytest.mark.parametrize(("fault", "message"), [("raise", "did not converge"), ("nan", "NaN")])
def test_a_failed_solve_is_a_record_and_the_loop_goes_on(fault: str, message: str) -> None:
    store = Store()
    toy = replace(TOY, fault=fault)
    asker = evaluator(store)
    bad, good = designs(1, FAULTY)[0], designs(1)[0]
    failed, fine = asker.ask([Task(toy, bad, 1), Task(TOY, good, 1)])
    assert failed.response is None
    assert message in str(failed.error)
    assert fine.response is not None
    # What a solver raised, it would raise again: it is not asked twice, now or in a later run.
    evaluator(store, run="later").ask([Task(toy, bad, 1)])
    stored = store.evaluation(failed.key)
    assert stored is not None
    assert stored.attempt == 1


def test_wrong_answers_of_a_solver_are_failures() -> None:
    class Short(Toy):
        def simulate(self, design: Array, level: int, replicate: int = 0) -> Response:
            return {"s": np.ones((1, 1))}

    (record,) = evaluator(Store()).ask(tasks(designs(1), Short()))
    assert "shape" in str(record.error)


@pytest.mark.slow
@pytest.mark.parametrize(("fault", "failure"), [("die", "crashed"), ("hang", "timed out")])
def test_a_worker_that_dies_or_hangs_is_a_record_and_is_asked_again_on_resume(
    tmp_path: Path, fault: str, failure: str
) -> None:
    bad, good = designs(1, FAULTY), designs(3)
    toy = replace(TOY, fault=fault)
    keys = []
    for start in range(4):
        with Store(tmp_path / "a.db") as store, Processes(2, timeout_seconds=8) as pool:
            records = evaluator(store, run=f"run {start}", executor=pool).ask(tasks(bad + good, toy))
            assert [r.error is None for r in records] == [False, True, True, True]
            keys = [r.key for r in records]
            stored = store.evaluation(keys[0])
            assert stored is not None
            assert stored.failure == failure
            # The first try and two more; then the failure stands.
            assert stored.attempt == min(start + 1, 3)


@pytest.mark.slow
def test_a_pool_gives_the_numbers_of_one_process() -> None:
    chosen = [Task(TOY, design, 1, ones) for design in designs(6)]
    alone = evaluator(Store()).ask(chosen)
    with Processes(2) as pool:
        pooled = evaluator(Store(), executor=pool).ask(chosen)
    for a, b in zip(alone, pooled, strict=True):
        assert a.key == b.key
        np.testing.assert_array_equal(a.gradient, b.gradient)


def test_artefacts_are_computed_once_and_charged_each_time() -> None:
    store = Store()
    calls = []

    def compute() -> dict[str, Array]:
        calls.append(1)
        sum(i * i for i in range(200_000))
        return {"w": np.arange(3)}

    first, second = evaluator(store), evaluator(store, run="another")
    for asker in (first, second):
        payload = asker.memo("training", {"data": "abc", "seed": 0, "start": np.ones(3)}, compute)
        assert payload["w"].tolist() == [0, 1, 2]
    assert len(calls) == 1
    spent = [asker.meter.cpu_seconds_by_phase["training"] for asker in (first, second)]
    assert spent[0] == spent[1] > 0
    first.memo("training", {"data": "abc", "seed": 1, "start": np.ones(3)}, compute)
    assert len(calls) == 2


@dataclass(frozen=True)
class Slow(Toy):
    """A toy whose set-up takes a while, once a process."""

    def prepare(self, level: int) -> None:
        if (self.identity, level) not in PREPARED:
            PREPARED.add((self.identity, level))
            sum(i * i for i in range(2_000_000))


PREPARED: set[tuple[str, int]] = set()


def test_set_up_is_counted_apart_from_what_a_run_is_charged() -> None:
    PREPARED.clear()
    asker = evaluator(Store())
    asker.ask(tasks(designs(2), Slow()))
    assert len(PREPARED) == 1
    assert asker.meter.setup_cpu_seconds > 10 * asker.meter.cpu_seconds


def test_what_does_not_pickle_is_refused_before_it_is_recorded() -> None:
    class Local(Toy):
        pass

    store = Store()
    with Processes(1) as pool, pytest.raises(TypeError, match="top level of a module"):
        evaluator(store, executor=pool).ask(tasks(designs(1), Local()))
    assert store.evaluation_keys() == []


def test_a_broken_pool_of_the_standard_library_leaves_records() -> None:
    store = Store()
    toy = replace(TOY, fault="die")
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        asker = evaluator(store, executor=pool)
        (dead,) = asker.ask(tasks(designs(1, FAULTY), toy))
        (later,) = asker.ask(tasks(designs(1), toy))
    assert "gave no answer" in str(dead.error)
    assert "gave no answer" in str(later.error)


def test_workers_end_with_the_process_that_started_them(tmp_path: Path) -> None:
    script = tmp_path / "pool.py"
    script.write_text(
        "import os, time\n"
        "from invdesign.executors import Processes\n"
        "if __name__ == '__main__':\n"
        "    pool = Processes(2)\n"
        "    print(*{pool.submit(os.getpid).result() for _ in range(8)}, flush=True)\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as parent:
        assert parent.stdout is not None
        workers = [int(pid) for pid in parent.stdout.readline().split()]
        parent.kill()
    assert workers
    for _ in range(100):
        alive = [pid for pid in workers if _runs(pid)]
        if not alive:
            break
        time.sleep(0.1)
    assert alive == []


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rsplit(")", 1)[1].split()[0] != "Z"


def infinite(response: Response) -> dict[str, Array]:
    raise ZeroDivisionError("the slope of this loss is infinite")


def test_a_failed_gradient_leaves_the_answer(tmp_path: Path) -> None:
    store = Store(tmp_path / "a.db")
    (design,) = designs(1)
    (value,) = evaluator(store).ask([Task(TOY, design, 1)])
    (failed,) = evaluator(store, run="b").ask([Task(TOY, design, 1, infinite)])
    assert "infinite" in str(failed.error)
    assert failed.response is None
    (again,) = evaluator(store, run="c").ask([Task(TOY, design, 1)])
    (good,) = evaluator(store, run="d").ask([Task(TOY, design, 1, ones)])
    assert again.response is not None
    assert value.response is not None
    np.testing.assert_array_equal(again.response["s"], value.response["s"])
    assert good.gradient is not None


def test_a_batch_stops_where_the_cpu_seconds_are_spent() -> None:
    class Busy(Toy):
        def simulate(self, design: Array, level: int, replicate: int = 0) -> Response:
            sum(i * i for i in range(400_000))
            return super().simulate(design, level, replicate)

    asker = evaluator(Store(), Budget(cpu_seconds=0.1))
    with pytest.raises(BudgetSpent):
        asker.ask(tasks(designs(60), Busy()))
    assert 0 < len(asker.records) < 30
