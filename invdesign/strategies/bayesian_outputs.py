"""What the models of a discrete search predict, and the loss that predictions amount to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from invdesign.problem import Problem
from invdesign.records import Candidate
from invdesign.targets import Target
from physics.base import Array

# Responses longer than this are not predicted entry by entry; the loss is.
MOST_OUTPUTS = 12


@dataclass(frozen=True, eq=False)
class Outputs:
    """Numbers that a model learns of each design: what the targets read of the response, else the loss itself.

    Predicting responses lets the targets' own shape, a band say, decide what is good, and serves any targets.

    Args:
        problem: whose targets count.
        names: quantities predicted; empty for the loss.
        logarithm: whether each output is predicted by its logarithm.
    """

    problem: Problem
    names: tuple[str, ...]
    logarithm: tuple[bool, ...] = ()

    @property
    def goals(self) -> bool:
        """Whether the loss is an output itself or a sum of goals, so that a normal distribution describes it."""
        return not self.names or all(
            isinstance(target, Target) and target.goal is not None and target.lower is None and target.upper is None
            for target in self.problem.targets
        )

    @classmethod
    def of(cls, problem: Problem, candidates: Sequence[Candidate], logarithm: bool) -> Outputs:
        """What to predict, given what came of the designs so far."""
        reference = problem.reference
        named = {getattr(target, "quantity", None) for target in problem.targets}
        used = [q for q in reference.response if None in named or q.name in named]
        length = sum(int(np.prod(q.shape)) for q in used)
        if problem.scenarios or length > MOST_OUTPUTS or any(q.dtype is complex for q in used):
            return cls(problem, (), (False,))
        plain = cls(problem, tuple(q.name for q in used), (False,) * length)
        values = plain.values(candidates)
        return cls(problem, plain.names, tuple(bool(logarithm and (column > 0).all()) for column in values.T))

    def values(self, candidates: Sequence[Candidate]) -> NDArray[np.float64]:
        """What the models are fitted to, `(n, m)`."""
        if not self.names:
            return np.array([[candidate.loss] for candidate in candidates])
        rows = [np.concatenate([np.ravel(c.response[name]) for name in self.names]) for c in candidates]
        values = np.array(rows, dtype=np.float64)
        chosen = np.array(self.logarithm)
        return np.where(chosen, np.log(np.where(chosen, values, 1.0)), values)

    def losses(self, values: Array) -> NDArray[np.float64]:
        """Losses `(...)` of predicted outputs `(..., m)`."""
        if not self.names:
            return np.asarray(values[..., 0])
        chosen = np.array(self.logarithm)
        # Beyond the largest exponents lie predictions far from any data.
        plain = np.where(chosen, np.exp(np.minimum(np.where(chosen, values, 0.0), 50.0)), values)
        fidelity, response, start = self.problem.reference, {}, 0
        for name in self.names:
            shape = fidelity.quantity(name).shape
            stop = start + int(np.prod(shape))
            flat = plain[..., start:stop]
            response[name] = torch.from_numpy(np.ascontiguousarray(flat).reshape(*flat.shape[:-1], *shape))
            start = stop
        return self.problem.target_loss(fidelity).loss(response).numpy()
