"""`run`: a strategy on a problem, within a budget, from and into a store."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path
from typing import Protocol

import numpy as np

from invdesign.arrays import content_key
from invdesign.budget import Budget, BudgetSpent, Meter
from invdesign.evaluator import Evaluator
from invdesign.executors import InProcess
from invdesign.ledger import Ledger
from invdesign.points import verify
from invdesign.problem import Problem
from invdesign.result import ConvergenceCheck, Costs, Result, drift, provenance, solvers
from invdesign.store import Store
from invdesign.work import Task
from physics.base import HasRefinement, Simulator
from surrogates.runtime import torch_threads


class Strategy(Protocol):
    """A design loop: plain sequential code, seeded by `rng`, that asks only the evaluator.

    It must be a value (a frozen dataclass, or a top-level function): its content is part of the run's key.
    """

    def __call__(self, problem: Problem, evaluator: Evaluator, rng: np.random.Generator) -> None: ...


def strategy_name(strategy: Strategy) -> str:
    """What a strategy is called in tables."""
    return str(getattr(strategy, "name", None) or getattr(strategy, "__name__", type(strategy).__name__))


def run_key(problem: Problem, strategy: Strategy, budget: Budget, seed: int) -> str:
    """What makes two runs the same run."""
    return content_key(problem.simulator.identity, problem.content, strategy, budget, seed)


def run(
    problem: Problem,
    strategy: Strategy,
    *,
    budget: Budget,
    store: Store | str | Path = ":memory:",
    executor: Executor | None = None,
    seed: int = 0,
    observer: Callable[[Evaluator], None] | None = None,
    replay_only: bool = False,
    retry_failed: bool = False,
) -> Result:
    """Runs a strategy until it ends or the budget is spent, then checks the best design's convergence.

    Run again with the same arguments after a kill, it goes on where it was: what had finished is found in the store
    and charged as it was.

    Args:
        problem: what is wanted.
        strategy: how to look for it.
        budget: what it may cost. Finishing touches (verifying the last proposal, the convergence check) are metered
            but not cut off.
        store: an open store, or the path of one.
        executor: where solves run; in this process by default.
        seed: of everything random.
        observer: called with the evaluator after each charge, for progress.
        replay_only: stop where the store's record of this run stops; nothing is computed.
        retry_failed: ask what failed before once more, for a solver that was mended meanwhile.

    Raises:
        StoreError: where the store belongs to another simulator, or cannot be read or written.
    """
    if not isinstance(store, Store):
        with Store(store) as opened:
            return run(
                problem,
                strategy,
                budget=budget,
                store=opened,
                executor=executor,
                seed=seed,
                observer=observer,
                replay_only=replay_only,
                retry_failed=retry_failed,
            )
    if not isinstance(budget, Budget):
        raise TypeError(f"Expected a Budget, e.g. Budget(cpu_seconds=60). Got {budget!r}.")
    if isinstance(strategy, type):
        raise TypeError(f"Expected a strategy. Got the class {strategy.__name__}; call it, as in adjoint().")
    store.bind(problem.simulator.identity)
    # Made now, so that a simulator which cannot be refined says so before the budget is spent.
    refined = problem.simulator.refined() if isinstance(problem.simulator, HasRefinement) else None
    key = run_key(problem, strategy, budget, seed)
    facts = provenance() | {
        "seed": seed,
        "strategy": repr(strategy)[:2000],
        "identity": problem.simulator.identity,
        "fidelities": [f.name for f in problem.simulator.fidelities],
        "solvers": solvers([problem.simulator, *([refined] if refined else [])]),
        "store": store.path,
    }
    if not replay_only:
        store.begin_run(key, strategy_name(strategy), facts)
    meter = Meter(budget, reference_level=problem.reference_level)
    names = [fidelity.name for fidelity in problem.simulator.fidelities]
    evaluator = Evaluator(
        store,
        Ledger(store, key, meter, writes=not replay_only),
        executor or InProcess(),
        names,
        replay_only=replay_only,
        retry_failed=retry_failed,
        observer=observer,
    )
    with torch_threads(1):
        try:
            strategy(problem, evaluator, np.random.default_rng(seed))
        except BudgetSpent:
            evaluator.note("budget spent")
        try:
            if evaluator.proposal is not None:
                evaluator.stage = "verifying the last proposal"
                verify(problem, evaluator, evaluator.proposal, "last proposal", beyond_budget=True)
            check = check_convergence(problem, evaluator, refined) if refined else None
        except BudgetSpent:
            check = None
    evaluator.stage = "done"
    evaluator.observer(evaluator)
    costs = Costs(
        meter.cpu_seconds,
        dict(meter.cpu_seconds_by_phase),
        meter.solves,
        meter.reference_solves,
        {name: meter.solves_by_level[level] for level, name in enumerate(names)},
        meter.setup_cpu_seconds,
    )
    result = Result(
        problem,
        strategy_name(strategy),
        key,
        seed,
        budget,
        tuple(evaluator.candidates),
        check,
        costs,
        tuple(evaluator.notes),
        tuple(evaluator.records),
        facts,
    )
    if not replay_only:
        store.end_run(key, summary(result))
    return result


def check_convergence(problem: Problem, evaluator: Evaluator, refined: Simulator) -> ConvergenceCheck | None:
    """The best design on the refined simulator, every case; None where there is no design or the solve fails."""
    best = evaluator.best
    if best is None:
        return None
    evaluator.stage = "checking convergence"
    level = len(refined.fidelities) - 1
    designs = [best.design for _ in problem.cases()]
    if best.theta is not None:
        designs = [case.space.binarize(best.theta) for case in problem.cases()]
    tasks = [Task(c.simulator, d, level) for c, d in zip(problem.cases(refined), designs, strict=True)]
    before = evaluator.meter.cpu_seconds
    with evaluator.charged_to("check"):
        records = evaluator.ask(tasks, beyond_budget=True)
    if any(record.response is None for record in records):
        evaluator.note("check failed", error=next(r.error for r in records if r.error))
        return None
    responses = {c.name: r.response or {} for c, r in zip(problem.cases(), records, strict=True)}
    _, distance = problem.target_loss(problem.reference).judge(list(responses.values()))
    worst = max(drift(best.responses[name], responses[name]) for name in best.responses)
    spent = evaluator.meter.cpu_seconds - before
    return ConvergenceCheck(refined.fidelities[level].name, responses["nominal"], worst, distance, spent)


def summary(result: Result) -> dict[str, object]:
    """A run's end as JSON-able numbers."""
    check = result.check
    return {
        "cpu_seconds": result.costs.cpu_seconds,
        "cpu_seconds_by_phase": dict(result.costs.cpu_seconds_by_phase),
        "solves": result.costs.solves,
        "reference_solves": result.costs.reference_solves,
        "solves_by_fidelity": dict(result.costs.solves_by_fidelity),
        "features": [dict(check.summary()) for check in result.features],
        "check": None
        if check is None
        else {
            "fidelity": check.fidelity,
            "drift": check.drift,
            "distance": check.distance,
            "converged": check.converged,
            "response": {k: np.abs(v).tolist() for k, v in check.response.items()},
        },
    }
