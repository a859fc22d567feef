"""The floor on discrete spaces: designs at random, each verified, none twice."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from invdesign.evaluator import Evaluator
from invdesign.problem import Problem
from invdesign.strategies.trials import Trials


@dataclass(frozen=True)
class RandomCodes:
    """Random designs until the budget is spent (or `designs` are).

    Args:
        designs: how many; None for no limit.
        confirm: see `Trials`.
    """

    designs: int | None = None
    confirm: bool = False
    name: str = "random codes"

    def __call__(self, problem: Problem, evaluator: Evaluator, rng: np.random.Generator) -> None:
        """Runs the strategy."""
        trials = Trials(problem, evaluator, self.confirm)
        evaluator.stage = "random designs"
        count = 0
        while self.designs is None or count < self.designs:
            drawn = trials.fresh_draw(rng)
            if drawn is None:
                evaluator.note("space used up", designs=len(trials))
                return
            count += 1
            trials.ask(drawn[None], "random, trial")
