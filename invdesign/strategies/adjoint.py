"""Gradient descent on the solver itself, with a continuation in the projection's sharpness."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from invdesign.evaluator import Evaluator
from invdesign.points import evaluate_points
from invdesign.problem import Problem
from invdesign.strategies.descent import Optimizer, SolveFailed, Vector, descend
from invdesign.strategies.multistart import multistart
from physics.base import Array


@dataclass(frozen=True, eq=False)
class Adjoint:
    """Adjoint gradients and MMA or L-BFGS-B, stage by stage through growing sharpness, each stage's end verified.

    The first start that has gone through all stages has converged; what budget is left goes to further random starts.

    Args:
        level: fidelity to descend on; -1 is the reference, 0 the cheapest.
        optimizer: "mma" or "lbfgsb".
        betas: sharpness of the projection, a stage each.
        evaluations: most solves with gradient a stage.
        start: density `(nx, ny)` or parameters to warm-start from; grey with a little noise by default.
        starts: most starts; None to go on until the budget is spent.
    """

    level: int = -1
    optimizer: Optimizer = "mma"
    betas: tuple[float, ...] = (8.0, 16.0, 32.0, 64.0)
    evaluations: int = 30
    start: Array | None = None
    starts: int | None = None
    name: str = "adjoint"

    def __post_init__(self) -> None:
        if not self.betas or min(self.betas) <= 0:
            raise ValueError(f"Expected at least one sharpness, all above 0. Got betas={self.betas}.")
        if self.evaluations < 1 or (self.starts is not None and self.starts < 1):
            raise ValueError(f"Expected evaluations and starts of at least 1. Got {self.evaluations}, {self.starts}.")
        if self.optimizer not in ("mma", "lbfgsb"):
            raise ValueError(f"Expected optimizer 'mma' or 'lbfgsb'. Got {self.optimizer!r}.")

    def __call__(self, problem: Problem, evaluator: Evaluator, rng: np.random.Generator) -> None:
        """Runs the strategy."""
        level = check_level_index(problem, self.level)

        def stage(sharper: Problem, theta: Vector) -> Vector:
            function = proposing(sharper, evaluator, level)
            return descend(function, theta, optimizer=self.optimizer, evaluations=self.evaluations)

        multistart(problem, evaluator, rng, stage, betas=self.betas, start=self.start, starts=self.starts)


def low_fidelity(**settings: Any) -> Adjoint:
    """`Adjoint` on the cheapest fidelity alone, verified at the reference; takes the settings of `Adjoint`."""
    named: dict[str, Any] = {"level": 0, "name": "low fidelity"}
    return Adjoint(**(named | settings))


def check_level_index(problem: Problem, level: int) -> int:
    """The level counted from 0; `ValueError` where there is none."""
    count = len(problem.simulator.fidelities)
    if not -count <= level < count:
        raise ValueError(f"Expected a level from {-count} to {count - 1}. Got {level}.")
    return level % count


def solve(problem: Problem, evaluator: Evaluator, theta: Vector, level: int) -> tuple[float, Vector]:
    """Loss and gradient `(size,)` at theta.

    Raises:
        SolveFailed: with the solver's message.
    """
    (point,) = evaluate_points(problem, evaluator, [theta], level, gradients=True)
    if point.error is not None or point.gradient is None:
        raise SolveFailed(point.error)
    return point.loss, np.asarray(point.gradient, dtype=np.float64)


def proposing(problem: Problem, evaluator: Evaluator, level: int) -> Callable[[Vector], tuple[float, Vector]]:
    """`solve` as a function of theta, which leaves the best theta so far as the evaluator's proposal."""
    best = np.inf

    def function(theta: Vector) -> tuple[float, Vector]:
        nonlocal best
        loss, gradient = solve(problem, evaluator, theta, level)
        if loss < best:
            best, evaluator.proposal = loss, np.array(theta)
        return loss, gradient

    return function
