from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import optuna
import pytest

from invdesign.budget import Budget
from invdesign.evaluator import Evaluator
from invdesign.points import evaluate_points, verify
from invdesign.problem import Problem, Scenario
from invdesign.run import Strategy, run
from invdesign.store import Store
from invdesign.strategies import Adjoint, Drawn, Hybrid, Random, Surrogate
from invdesign.strategies.network import falling
from surrogates import TrainingConfig, fixed, search
from surrogates.families import mlp
from surrogates.nas.choice import by_method
from surrogates.nas.lab import Rung
from surrogates.nas.methods import SuccessiveHalving
from surrogates.nas.space import ArchitectureSpace
from tests.invdesign.kills import Killed, content, numbers, outlives_kills
from tests.invdesign.toy import Toy

SMALL = search(
    trials=3, epochs=4, pretraining_epochs=2, members=2, config=TrainingConfig(epochs=6, pretraining_epochs=3)
)
TINY = fixed(mlp(8), members=2, config=TrainingConfig(epochs=2, pretraining_epochs=1))
BY_HALVING = by_method(
    SuccessiveHalving(networks=3, brackets=1),
    space=ArchitectureSpace(length=1, widths=(4,), resolutions=(6,)),
    rungs=(Rung(1), Rung(3)),
    budget_cpu_seconds=1e6,
    members=2,
    config=TrainingConfig(epochs=6, pretraining_epochs=3),
)
STRATEGIES: dict[str, Strategy] = {
    "adjoint": Adjoint(evaluations=6),
    "lbfgsb": Adjoint(optimizer="lbfgsb", evaluations=6),
    "low": Adjoint(level=0, evaluations=6),
    "random": Random(),
    "surrogate": Surrogate(SMALL, designs=(12, 8), starts=4, steps=5),
    "surrogate by halving": Surrogate(BY_HALVING, designs=(12, 8), starts=4, steps=5),
    "hybrid": Hybrid(SMALL, designs=(12, 8), path=4),
    "hybrid on low": Hybrid(step_on="low_fidelity"),
    "hybrid on mean": Hybrid(step_on="mean_gradient"),
}


@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_a_killed_run_ends_as_an_uninterrupted_one(name: str, problem: Problem, tmp_path: Path) -> None:
    outlives_kills(problem, STRATEGIES[name], Budget(solves=70), tmp_path, (9, 31))


@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_the_best_is_binary_simulated_and_better_than_the_start(name: str, problem: Problem) -> None:
    result = run(problem, STRATEGIES[name], budget=Budget(solves=90), seed=1)
    best = result.best
    assert best is not None
    assert set(np.unique(best.design)) <= {0.0, 1.0}
    again = problem.evaluate(best.design)
    np.testing.assert_allclose(best.response["s"], again.responses["nominal"]["s"], rtol=1e-12)
    assert best.distance == again.distance
    grey = problem.evaluate(np.full((12, 12), 0.5))
    assert best.distance < grey.distance
    if "random" not in name:
        assert best.distance < 0.15


@pytest.mark.parametrize("strategy", [Surrogate(TINY, betas=(8.0,), starts=2, steps=2), Hybrid(TINY, path=4, starts=1)])
@pytest.mark.parametrize(("levels", "sampled"), [(1, (55,)), (2, (96, 32)), (3, (96, 55, 32))])
def test_learning_strategies_take_simulators_of_any_number_of_fidelities(
    strategy: Surrogate | Hybrid, levels: int, sampled: tuple[int, ...], problem: Problem
) -> None:
    simulator = Toy(levels=levels)
    one = replace(problem, simulator=simulator)
    result = run(one, strategy, budget=Budget(solves=200))
    assert result.best is not None
    assert set(result.costs.solves_by_fidelity) >= {fidelity.name for fidelity in simulator.fidelities}
    assert falling(96, 32, one) == sampled


def test_replay_is_charged_what_the_first_run_was(problem: Problem, tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    runs = [run(problem, Adjoint(), budget=Budget(solves=40), store=path) for _ in range(2)]
    assert runs[0].costs == runs[1].costs
    assert [c.cpu_seconds for c in runs[0].candidates] == [c.cpu_seconds for c in runs[1].candidates]


def test_replay_only_stops_where_the_record_stops(problem: Problem, tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    budget = Budget(solves=60)

    def kill(evaluator: Evaluator) -> None:
        if evaluator.meter.solves >= 45:
            raise Killed

    with pytest.raises(Killed):
        run(problem, Adjoint(evaluations=10), budget=budget, store=path, observer=kill)
    with Store(path) as store:
        before = content(store)
        result = run(problem, Adjoint(evaluations=10), budget=budget, store=store, replay_only=True)
        assert content(store) == before
    assert 40 <= result.costs.solves <= 45
    assert result.best is not None


@dataclass(frozen=True)
class Wavering:
    """A strategy whose second start asks something else."""

    shift: tuple[float, ...] = (0.0,)

    def __call__(self, problem: Problem, evaluator: Evaluator, rng: np.random.Generator) -> None:
        size = problem.space.size
        evaluate_points(problem, evaluator, [np.full(size, 0.4 + OFFSET[0])], 1)
        verify(problem, evaluator, np.full(size, 0.7), "end")


OFFSET = [0.0]


def test_a_replay_that_differs_is_said_and_goes_on(problem: Problem, tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    OFFSET[0] = 0.0
    first = run(problem, Wavering(), budget=Budget(solves=5), store=path)
    OFFSET[0] = 0.1
    with pytest.warns(UserWarning, match="differs from its journal"):
        second = run(problem, Wavering(), budget=Budget(solves=5), store=path)
    OFFSET[0] = 0.0
    assert numbers(first) == numbers(second)


def test_the_convergence_check_names_the_refined_solver(problem: Problem) -> None:
    result = run(problem, Random(designs=2), budget=Budget(solves=5))
    assert result.check is not None
    assert result.check.converged
    assert result.best is not None
    refined = problem.simulator.refined().simulate(result.best.design, 0)  # type: ignore[attr-defined]
    np.testing.assert_array_equal(result.check.response["s"], refined["s"])
    assert result.costs.cpu_seconds_by_phase["check"] > 0
    assert result.costs.reference_solves == 2


def test_corners_are_verified_too(problem: Problem) -> None:
    corners = [Scenario("eroded", 0.05), Scenario("loud", parameters={"gain": 1.2})]
    robust = replace(problem, scenarios=corners)
    result = run(robust, Adjoint(evaluations=8, betas=(8, 32), starts=1), budget=Budget(solves=200))
    assert result.best is not None
    assert set(result.best.responses) == {"nominal", "eroded", "loud"}
    assert result.check is not None


def test_a_warm_start_begins_at_the_given_structure(problem: Problem) -> None:
    start = np.zeros((12, 12))
    start[3:9] = 1
    strategy = Adjoint(start=start, evaluations=1, betas=(1000.0,), starts=1)
    result = run(problem, strategy, budget=Budget(solves=9))
    assert result.best is not None
    np.testing.assert_array_equal(result.best.design, start)
    with pytest.raises(ValueError, match=r"\(12, 12\)"):
        run(problem, Adjoint(start=np.zeros((5, 5))), budget=Budget(solves=9))


def test_drawn_designs_are_simulated_as_they_stand(problem: Problem) -> None:
    density = np.random.default_rng(0).random((12, 12))
    result = run(problem, Drawn(density, "sketch"), budget=Budget(solves=9))
    assert result.best is not None
    # What the candidate holds is what was solved.
    np.testing.assert_array_equal(result.best.design, density.astype(np.float32))
    again = problem.evaluate(result.best.design).responses["nominal"]
    np.testing.assert_array_equal(result.best.response["s"], again["s"])
    assert result.costs.solves == 1


@pytest.mark.parametrize("name", sorted(set(STRATEGIES) - {"random"}))
def test_strategies_outlive_solves_that_fail(name: str, problem: Problem) -> None:
    brittle = replace(problem, simulator=Toy(fault="raise"))
    result = run(brittle, STRATEGIES[name], budget=Budget(solves=60), seed=2)
    failed = [record for record in result.records if record.error]
    assert failed
    assert result.costs.solves >= 60
    assert result.best is not None


def test_a_solver_that_always_fails_ends_without_a_design(problem: Problem) -> None:
    result = run(replace(problem, simulator=Toy(fault="nan")), Random(designs=3), budget=Budget(solves=9))
    assert result.best is None
    assert result.check is None
    assert all(record.error for record in result.records)


def test_budgets_need_a_limit() -> None:
    with pytest.raises(ValueError, match="a limit"):
        Budget()
    with pytest.raises(ValueError, match="above 0"):
        Budget(cpu_seconds=0)


def test_a_search_leaves_a_journal_to_look_at(problem: Problem, tmp_path: Path) -> None:
    result = run(problem, STRATEGIES["surrogate"], budget=Budget(solves=25), store=tmp_path / "a.db")
    (journal,) = (tmp_path / "a.search").glob("*.log")
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(journal)))
    (study,) = optuna.get_all_study_summaries(storage)
    trials = optuna.load_study(study_name=study.study_name, storage=storage).trials
    (noted,) = result.noted("search")
    assert [t.state.name.lower().replace("fail", "failed") for t in trials] == [t["state"] for t in noted["trials"]]
