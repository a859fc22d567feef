"""What a person would draw: one given density, simulated as it stands."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from invdesign.evaluator import Evaluator
from invdesign.points import verify_density
from invdesign.problem import Problem
from physics.base import Array


@dataclass(frozen=True, eq=False)
class Drawn:
    """Verifies one density `(nx, ny)`; edge pixels may be grey where an outline crosses them."""

    density: Array
    name: str = "drawn"

    def __call__(self, problem: Problem, evaluator: Evaluator, rng: np.random.Generator) -> None:
        """Runs the strategy."""
        evaluator.stage = f"simulating {self.name}"
        verify_density(problem, evaluator, self.density, self.name)
