"""Gradient descent on the solver itself, with a continuation in the projection's sharpness."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from invdesign.evaluator import Evaluator
from invdesign.points import at_sharpness, evaluate_points, verify
from invdesign.problem import Problem
from invdesign.strategies.descent import Optimizer, Vector, descend
from invdesign.strategies.start import first_theta, random_theta
from physics.base import Array


class SolveFailed(Exception):
    """A solve inside a descent failed; the start it belongs to is given up."""


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

    def __call__(self, problem: Problem, evaluator: Evaluator, rng: np.random.Generator) -> None:
        """Runs the strategy."""
        theta = first_theta(problem, self.start, rng)
        number = 1
        while True:
            try:
                with evaluator.trajectory():
                    theta = self._descend(problem, evaluator, theta, number)
                if number == 1:
                    evaluator.note("converged", start=number)
            except SolveFailed as error:
                evaluator.note("start given up", start=number, error=str(error))
            number += 1
            if self.starts is not None and number > self.starts:
                return
            theta = random_theta(problem, rng)

    def _descend(self, problem: Problem, evaluator: Evaluator, theta: Vector, number: int) -> Vector:
        level = self.level % len(problem.simulator.fidelities)
        for beta in self.betas:
            evaluator.stage = f"start {number}, sharpness {beta:g}"
            sharp = at_sharpness(problem, beta)
            theta = descend(
                lambda x, sharp=sharp: solve(sharp, evaluator, x, level),  # type: ignore[misc]
                theta,
                optimizer=self.optimizer,
                evaluations=self.evaluations,
            )
            verify(problem, evaluator, theta, f"start {number}, sharpness {beta:g}")
        return theta


def low_fidelity(**settings: Any) -> Adjoint:
    """`Adjoint` on the cheapest fidelity alone, verified at the reference; takes the settings of `Adjoint`."""
    named: dict[str, Any] = {"level": 0, "name": "low fidelity"}
    return Adjoint(**(named | settings))


def solve(problem: Problem, evaluator: Evaluator, theta: Vector, level: int) -> tuple[float, Vector]:
    """Loss and gradient `(size,)` at theta; the best theta so far stands as proposal.

    Raises:
        SolveFailed: with the solver's message.
    """
    (point,) = evaluate_points(problem, evaluator, [theta], level, gradients=True)
    if point.error is not None or point.gradient is None:
        raise SolveFailed(point.error)
    evaluator.proposal = theta
    return point.loss, np.asarray(point.gradient, dtype=np.float64)
