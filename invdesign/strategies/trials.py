"""Designs of a discrete space that a strategy has verified, and what came of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from invdesign.evaluator import Evaluator
from invdesign.points import verify_batch
from invdesign.problem import Problem
from invdesign.records import Candidate
from invdesign.spaces.discrete import Codes, DiscreteSpace
from physics.base import Array

# Draws of a new design in a row that may give known ones before a space counts as used up.
ATTEMPTS = 200


def discrete_space(problem: Problem) -> DiscreteSpace:
    """The problem's space, if it is discrete; else `TypeError`."""
    if not isinstance(problem.space, DiscreteSpace):
        raise TypeError(
            f"Expected a discrete design space (RowCuts, CutGrid, Listed). Got {type(problem.space).__name__}; use a "
            "strategy for densities, such as adjoint or random_designs."
        )
    return problem.space


class Trials:
    """Verified designs in the order they were asked, each once.

    Args:
        problem, evaluator: of the run.
        confirm: whether the other images of a design's orbit are verified too, as repetitions that a noisy reference
            needs, where it is better than the best mean of an orbit so far.

    Attributes:
        codes: asked designs, `size` integers each.
        candidates: what came of them; None of a failed one.
    """

    def __init__(self, problem: Problem, evaluator: Evaluator, confirm: bool = False) -> None:
        self.problem, self.evaluator, self.confirm = problem, evaluator, confirm
        self.space = discrete_space(problem)
        self.codes: list[tuple[int, ...]] = []
        self.candidates: list[Candidate | None] = []
        self._rows: dict[tuple[int, ...], int] = {}
        self._best_mean = np.inf

    def __len__(self) -> int:
        return len(self.codes)

    def __contains__(self, codes: Array) -> bool:
        return tuple(np.asarray(codes).tolist()) in self._rows

    def ask(self, codes: Array, label: str) -> list[float]:
        """Losses of the designs `(n, size)`, infinite where a solve failed; known ones are not asked again.

        Raises:
            BudgetSpent: see `verify_batch`.
        """
        wanted = [tuple(row) for row in np.asarray(codes, dtype=np.int64).tolist()]
        self._verify(list(dict.fromkeys(row for row in wanted if row not in self._rows)), label)
        losses = [self._loss(self._rows[row]) for row in wanted]
        if self.confirm:
            for loss, row in sorted(zip(losses, wanted, strict=True)):
                self._confirm(row, loss, label)
        return losses

    def _confirm(self, row: tuple[int, ...], loss: float, label: str) -> None:
        """Verifies a design's images if it is better than the mean of the best orbit so far."""
        if not loss < self._best_mean:
            return
        images = self.space.orbit(np.array([row]))[:, 0]
        images = images[self.space.valid(images)]
        orbit = list(dict.fromkeys(tuple(image) for image in images.tolist()))
        self._verify([image for image in orbit if image not in self._rows], f"{label}, image")
        if len(orbit) > 1:
            self._best_mean = min(self._best_mean, float(np.mean([self._loss(self._rows[image]) for image in orbit])))

    def _verify(self, rows: Sequence[tuple[int, ...]], label: str) -> None:
        thetas = [self.space.theta(np.array(row)) for row in rows]
        for row, candidate in zip(rows, verify_batch(self.problem, self.evaluator, thetas, label), strict=True):
            self._rows[row] = len(self.codes)
            self.codes.append(row)
            self.candidates.append(candidate)

    def _loss(self, row: int) -> float:
        candidate = self.candidates[row]
        return np.inf if candidate is None else candidate.loss

    @property
    def losses(self) -> NDArray[np.float64]:
        """Of all asked designs, infinite where a solve failed."""
        return np.array([self._loss(row) for row in range(len(self.codes))])

    def array(self) -> Codes:
        """Asked codes `(n, size)`."""
        return np.array(self.codes, dtype=np.int64).reshape(len(self.codes), self.space.size)

    def fresh_draw(self, rng: np.random.Generator) -> Codes | None:
        """A design `(size,)` not asked before, at random; None where the space seems used up."""
        for _ in range(ATTEMPTS):
            codes = self.space.draw(rng)
            if codes not in self:
                return codes
        return None
