"""First and second order to a specification: MMA, L-BFGS-B and trust-region Newton-CG on the same problems.

All descend on the solver itself from the same starts, with the same stages, solves a stage and tolerance. Counted
until the specification is met, once by the projected design of a descent and once by a verified binary one:
factorisations (one a wavelength and solve), back-solves (of any number of columns) and CPU seconds, the strategy's own
included.

    python -m benchmarks.second_order [--quick]

The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from invdesign import Budget, DensitySpace, Evaluator, Problem, Target, adjoint, newton, run
from invdesign.budget import BudgetSpent
from physics.devices import beam_splitter, waveguide_bend
from physics.fdfd.curvature import factors
from physics.fdfd.region import RegionFactor

BETAS, EVALUATIONS, BUDGET_SECONDS = (8.0, 16.0, 32.0, 64.0), 30, 120.0
MILESTONES = ("projected", "binary")


@dataclass
class Counter:
    """Factorisations and back-solves so far."""

    factorisations: int = 0
    back_solves: int = 0


@contextmanager
def counting() -> Iterator[Counter]:
    """Counts what every window does inside."""
    counter, make, solve = Counter(), RegionFactor.__init__, RegionFactor.solve

    def counted_make(self: RegionFactor, *args: Any, **named: Any) -> None:
        counter.factorisations += 1
        make(self, *args, **named)

    def counted_solve(self: RegionFactor, *args: Any, **named: Any) -> Any:
        counter.back_solves += 1
        return solve(self, *args, **named)

    RegionFactor.__init__, RegionFactor.solve = counted_make, counted_solve  # type: ignore[method-assign]
    try:
        yield counter
    finally:
        RegionFactor.__init__, RegionFactor.solve = make, solve  # type: ignore[method-assign]


@dataclass
class Watch:
    """Looks on until a binary design meets the specification, and notes what had been spent at each milestone."""

    problem: Problem
    counter: Counter
    met: dict[str, tuple[int, int, float]] = field(default_factory=dict)
    seen: int = 0

    def __call__(self, evaluator: Evaluator) -> None:
        spent = (self.counter.factorisations, self.counter.back_solves, evaluator.meter.cpu_seconds)
        judge = self.problem.target_loss(self.problem.reference)
        for record in evaluator.records[self.seen :]:
            descending = record.gradient is not None and record.response is not None
            if descending and "projected" not in self.met and judge.judge([record.response])[1] == 0:
                self.met["projected"] = spent
        self.seen = len(evaluator.records)
        if "binary" not in self.met and evaluator.best is not None and evaluator.best.distance == 0:
            self.met["binary"] = spent
            raise BudgetSpent("The specification is met.")


def problems(quick: bool) -> dict[str, Problem]:
    """The bend and the splitter, each with a specification over the band."""
    bend = waveguide_bend(design_um=1.6, pixel_um=0.04, cells_um=(0.04,), threads=1)
    splitter = beam_splitter(pixel_um=0.04, cells_um=(0.04,), threads=1)
    chosen = {
        "bend, transmission >= 0.95": Problem(
            DensitySpace(bend.design_shape, 0.04, symmetry="diagonal"), bend, [Target("transmission", lower=0.95)]
        ),
        "splitter, transmission >= 0.46 each": Problem(
            DensitySpace(splitter.design_shape, 0.04, symmetry="mirror_y"),
            splitter,
            [Target("transmission", lower=0.46)],
        ),
    }
    return dict(list(chosen.items())[:1]) if quick else chosen


def one_run(problem: Problem, strategy: Any, seed: int) -> dict[str, tuple[float, float, float] | None]:
    """Milestone -> (factorisations, back-solves, CPU seconds), None where it was not met."""
    factors.clear()
    with counting() as counter:
        watch = Watch(problem, counter)
        run(
            problem,
            strategy,
            budget=Budget(cpu_seconds=BUDGET_SECONDS),
            store=":memory:",
            seed=seed,
            observer=watch,
        )
    return {name: watch.met.get(name) for name in MILESTONES}


def figures(runs: list[tuple[float, float, float] | None], part: int) -> list[float]:
    """Lowest, median and highest of a figure over runs, infinite where it was not met."""
    values = sorted(math.inf if run is None else run[part] for run in runs)
    return [values[0], statistics.median_low(values), values[-1]]


def shown(values: list[float], digits: int) -> str:
    """Median (lowest to highest)."""
    low, median, high = ("unmet" if math.isinf(v) else f"{v:.{digits}f}" for v in values)
    return f"{median} ({low} to {high})"


def main() -> None:
    """Runs and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one problem, two seeds, two stages")
    quick = parser.parse_args().quick
    betas, evaluations = (BETAS[:2], 15) if quick else (BETAS, EVALUATIONS)
    seeds = range(10, 12) if quick else range(10, 15)
    settings: dict[str, Any] = {"betas": betas, "evaluations": evaluations, "starts": 1}
    strategies = {
        "MMA": adjoint(optimizer="mma", **settings),
        "L-BFGS-B": adjoint(optimizer="lbfgsb", **settings),
        "Newton-CG": newton(**settings),
    }
    found: dict[str, Any] = {}
    for name, problem in problems(quick).items():
        problem.simulator.prepare(problem.reference_level)  # type: ignore[attr-defined]
        print(
            f"\n{name}; {len(seeds)} seeds, sharpness {betas}, {evaluations} solves a stage; median (lowest to highest)"
        )
        print(f"{'':12}{'met by the':12}{'runs':6}{'factorisations':>28}{'back-solves':>28}{'CPU s':>28}")
        for label, strategy in strategies.items():
            runs = [one_run(problem, strategy, seed) for seed in seeds]
            for milestone in MILESTONES:
                reached = [one[milestone] for one in runs]
                met = sum(one is not None for one in reached)
                row = [figures(reached, part) for part in range(3)]
                texts = [shown(values, digits) for values, digits in zip(row, (0, 0, 2), strict=True)]
                print(f"{label:12}{milestone:12}{met}/{len(runs):<4}" + "".join(f"{text:>28}" for text in texts))
                found.setdefault(name, {}).setdefault(label, {})[milestone] = {
                    "met": met,
                    "runs": len(runs),
                } | {
                    figure: [None if math.isinf(v) else round(v, 3) for v in values]
                    for figure, values in zip(("factorisations", "back_solves", "cpu_seconds"), row, strict=True)
                }
    print(json.dumps({"benchmark": "second_order", "quick": quick, "problems": found}))


if __name__ == "__main__":
    main()
