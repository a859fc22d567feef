"""Descents from one start after another, each through stages of growing sharpness."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from invdesign.evaluator import Evaluator
from invdesign.points import at_sharpness, verify
from invdesign.problem import Problem
from invdesign.strategies.descent import SolveFailed, Vector
from invdesign.strategies.patience import Patience
from invdesign.strategies.start import first_theta, random_theta
from physics.base import Array


def multistart(
    problem: Problem,
    evaluator: Evaluator,
    rng: np.random.Generator,
    descend: Callable[[Problem, Vector], Vector],
    *,
    betas: Sequence[float],
    start: Array | None,
    starts: int | None,
) -> None:
    """Every stage's end is verified; a start whose solver fails is given up.

    The first start that has gone through all stages is noted as converged.

    Args:
        descend: (the problem at a stage's sharpness, theta `(size,)`) -> the theta found.
        betas: sharpness of the projection, a stage each.
        start: density or parameters of the first start; grey with a little noise if None.
        starts: most starts; None to go on until the budget is spent.
    """
    theta = first_theta(problem, start, rng)
    number, patience = 1, Patience(evaluator)
    while True:
        try:
            with evaluator.trajectory():
                for beta in betas:
                    evaluator.stage = f"start {number}, sharpness {beta:g}"
                    theta = descend(at_sharpness(problem, beta), theta)
                    verify(problem, evaluator, theta, evaluator.stage)
            if number == 1:
                evaluator.note("converged", start=number)
        except SolveFailed as error:
            evaluator.note("start given up", start=number, error=str(error))
        number += 1
        if patience.lost() or (starts is not None and number > starts):
            return
        theta = random_theta(problem, rng)
