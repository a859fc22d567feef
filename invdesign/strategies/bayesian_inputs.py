"""What the models of a discrete search see of a design."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from invdesign.evaluator import Evaluator
from invdesign.problem import Problem
from invdesign.spaces.discrete import Codes, DiscreteSpace
from invdesign.strategies.trials import discrete_space
from invdesign.work import Task
from physics.base import Array


@dataclass(frozen=True, eq=False)
class Inputs:
    """Designs as a model's inputs.

    Args:
        tokens: `(g, n, t)` integers, of the images of each of n designs, itself first.
        cheap: `(n, k)` numbers from a cheap source, standardised; k may be 0.
    """

    tokens: Codes
    cheap: NDArray[np.float64]

    def __len__(self) -> int:
        return self.tokens.shape[1]

    def take(self, rows: Array) -> Inputs:
        """Some of the designs."""
        return Inputs(self.tokens[:, rows], self.cheap[rows])


class Features(Protocol):
    """What a cheap source says of codes `(n, size)`: numbers `(n, k)`, and the loss that it would guess, `(n,)`."""

    def values(self, problem: Problem, evaluator: Evaluator, codes: Codes) -> NDArray[np.float64]: ...
    def guess(self, problem: Problem, evaluator: Evaluator, codes: Codes) -> NDArray[np.float64]: ...


@dataclass(frozen=True)
class LevelFeatures:
    """A cheap fidelity's response, flattened, as features; its targets' loss, where it answers them, as the guess.

    Args:
        level: of the problem's simulator.
        logarithm: whether to take logarithms of quantities that are positive throughout.
    """

    level: int = 0
    logarithm: bool = True

    def _responses(self, problem: Problem, evaluator: Evaluator, codes: Codes) -> list[dict[str, Array]]:
        space = discrete_space(problem)
        tasks = [Task(problem.simulator, space.binarize(theta), self.level) for theta in space.theta(codes)]
        records = evaluator.ask(tasks)
        failed = next((record.error for record in records if record.response is None), None)
        if failed is not None:
            raise RuntimeError(f"Expected level {self.level} to answer every design. One failed: {failed}")
        return [dict(record.response or {}) for record in records]

    def values(self, problem: Problem, evaluator: Evaluator, codes: Codes) -> NDArray[np.float64]:
        """Flattened responses; complex ones by magnitude."""
        responses = self._responses(problem, evaluator, codes)
        flat = [
            np.concatenate([np.abs(r[k]).ravel() if np.iscomplexobj(r[k]) else np.ravel(r[k]) for k in sorted(r)])
            for r in responses
        ]
        table = np.array(flat, dtype=np.float64)
        positive = (table > 0).all(0) if self.logarithm else np.zeros(table.shape[1], dtype=bool)
        return np.where(positive, np.log(np.where(positive, table, 1.0)), table)

    def guess(self, problem: Problem, evaluator: Evaluator, codes: Codes) -> NDArray[np.float64]:
        """The targets' loss at this level; zeros where it does not answer them."""
        if not problem.answers(self.level):
            return np.zeros(len(codes))
        loss = problem.target_loss(problem.simulator.fidelities[self.level])
        return loss.judge(self._responses(problem, evaluator, codes))[0].numpy()


def standardised(values: Array) -> NDArray[np.float64]:
    """Columns with mean 0 and spread 1; constant ones become 0."""
    spread = values.std(0)
    return (values - values.mean(0)) / np.where(spread > 1e-12 * (np.abs(values).max(0) + 1), spread, 1.0)


def tokens_of(space: DiscreteSpace, codes: Codes, pairs: bool) -> Codes:
    """Tokens `(g, n, t)` of the images of codes `(n, size)`, with or without those of neighbouring pairs."""
    images = [space.tokens(image) for image in space.orbit(codes)]
    return np.stack(images if pairs else [image[:, : space.size] for image in images])
