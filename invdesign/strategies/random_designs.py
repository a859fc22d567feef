"""The floor: random structures, each verified."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from invdesign.evaluator import Evaluator
from invdesign.points import verify
from invdesign.problem import Problem
from invdesign.strategies.patience import Patience
from invdesign.strategies.start import random_theta


@dataclass(frozen=True)
class Random:
    """Smooth random densities, binarised and verified until the budget is spent (or `designs` are)."""

    designs: int | None = None
    name: str = "random designs"

    def __call__(self, problem: Problem, evaluator: Evaluator, rng: np.random.Generator) -> None:
        """Runs the strategy."""
        evaluator.stage = "random designs"
        count, patience = 0, Patience(evaluator, rounds=200)
        while self.designs is None or count < self.designs:
            count += 1
            verify(problem, evaluator, random_theta(problem, rng), f"random {count}")
            if patience.lost():
                return
