"""One strategy after another: the second starts from the best verified design of the first."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import numpy as np

from invdesign.evaluator import Evaluator
from invdesign.problem import Problem


@dataclass(frozen=True, eq=False)
class Relay:
    """Runs one strategy, then another from where it came to, within one budget.

    Args:
        first: any strategy; it should end by itself, as ``low_fidelity(starts=1)`` does.
        then: a strategy with a `start`, such as `adjoint` or `hybrid`. Where the first verified nothing it starts by
            itself.
    """

    first: Any
    then: Any
    name: str = "relay"

    def __post_init__(self) -> None:
        if not callable(self.first) or isinstance(self.first, type):
            raise ValueError(f"Expected a strategy to begin with. Got {self.first!r}.")
        startable = is_dataclass(self.then) and not isinstance(self.then, type)
        if not startable or "start" not in {field.name for field in fields(self.then)}:
            raise ValueError(f"Expected a strategy with a start, such as adjoint() or hybrid(). Got {self.then!r}.")

    def __call__(self, problem: Problem, evaluator: Evaluator, rng: np.random.Generator) -> None:
        """Runs the strategies."""
        self.first(problem, evaluator, rng)
        best = evaluator.best
        if best is None:
            self.then(problem, evaluator, rng)
            return
        start = best.design if best.theta is None else best.theta
        replace(self.then, start=np.array(start))(problem, evaluator, rng)
