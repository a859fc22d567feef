"""Gradients for discrete designs: probabilities of the codes, annealed, with straight-through rounding."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from invdesign.evaluator import Evaluator
from invdesign.points import evaluate_points
from invdesign.problem import Problem
from invdesign.spaces.discrete import CodedSpace, Codes
from invdesign.spaces.one_hot import OneHot
from invdesign.strategies.adjoint import check_level_index
from invdesign.strategies.patience import Patience
from invdesign.strategies.trials import Trials, discrete_space
from physics.base import Array

# Logit of the codes of a given start above the others.
SURE = 2.0
# Draws for a sample of valid codes.
DRAWS = 20
# First steps without any gradient before a descent is given up.
BLIND = 5


@dataclass(frozen=True, eq=False)
class StraightThrough:
    """Descends on the logits of every code's options by gradients of a level that has them; ends in whole patterns.

    Each step draws patterns by Gumbel noise (Jang, Gu, Poole, ICLR 2017, section 2.2: the straight-through
    Gumbel-softmax estimator), solves them with gradient as `OneHot` decodes them, and passes the gradients to the
    logits through a softmax whose temperature falls from step to step. Every pattern drawn is solved as it is, too; of
    all that a descent saw, the best at this level are verified at the reference. Another descent follows from other
    logits until the budget is spent. Where the first steps give no gradient at all, as at a level that has none, a note
    says why and the search ends: it would be one at random.

    Args:
        level: fidelity to descend on; None for the cheapest that answers the targets.
        steps: of a descent.
        samples: patterns a step; they are solved together.
        temperature: of the softmax at the first step and at the last, falling in equal ratios.
        rate: of Adam (Kingma, Ba, ICLR 2015), on logits.
        lift: see `OneHot`.
        verified: patterns verified after each descent.
        start: density or parameters of the first descent's most probable pattern; none is preferred by default.
        starts: most descents; None to go on until the budget is spent.
    """

    level: int | None = None
    steps: int = 40
    samples: int = 4
    temperature: tuple[float, float] = (1.0, 0.2)
    rate: float = 0.2
    lift: float = 0.3
    verified: int = 4
    start: Array | None = None
    starts: int | None = None
    name: str = "straight-through"

    def __post_init__(self) -> None:
        if min(self.steps, self.samples, self.verified) < 1 or (self.starts is not None and self.starts < 1):
            raise ValueError(
                f"Expected steps, samples, verified and starts of at least 1. Got {self.steps}, {self.samples}, "
                f"{self.verified} and {self.starts}."
            )
        first, last = self.temperature
        if not (first >= last > 0 and self.rate > 0 and 0 <= self.lift < 1):
            raise ValueError(
                "Expected a temperature falling to above 0, a rate above 0 and a lift in [0, 1). "
                f"Got {self.temperature}, {self.rate} and {self.lift}."
            )

    def __call__(self, problem: Problem, evaluator: Evaluator, rng: np.random.Generator) -> None:
        """Runs the strategy.

        Raises:
            TypeError: for a space that is not discrete.
        """
        space = discrete_space(problem)
        level = problem.cheapest_level if self.level is None else check_level_index(problem, self.level)
        start = None
        if self.start is not None:
            given = np.asarray(self.start, dtype=np.float64)
            start = space.codes(given if given.shape == (space.size,) else space.encode(given))
        trials, patience, number, graded = Trials(problem, evaluator), Patience(evaluator), 1, False
        while not patience.lost() and (self.starts is None or number <= self.starts):
            descent = _Descent(self, problem, evaluator, level, rng)
            with evaluator.trajectory():
                descent.go(start, f"descent {number}")
            evaluator.stage = f"verifying the best of descent {number}"
            fresh = [codes for codes in descent.ranked() if codes not in trials]
            if fresh:
                trials.ask(np.array(fresh[: self.verified]), f"descent {number}, pattern")
            graded = graded or descent.graded
            if not graded:
                evaluator.note("given up", error=descent.error)
                return
            if number == 1:
                evaluator.note("converged", start=number)
            number, start = number + 1, None


class _Descent:
    """The state of one descent."""

    def __init__(
        self, strategy: StraightThrough, problem: Problem, evaluator: Evaluator, level: int, rng: np.random.Generator
    ) -> None:
        self.strategy, self.problem, self.evaluator, self.level, self.rng = strategy, problem, evaluator, level, rng
        self.space = discrete_space(problem)
        self.relaxed = OneHot(self.space, strategy.lift)
        self.losses: dict[tuple[int, ...], float] = {}
        # Whether any gradient came, and why not.
        self.graded, self.error = False, "No valid pattern was drawn."
        self._sizes = list(self.space.options)

    def go(self, start: Codes | None, label: str) -> None:
        """All steps; `ranked` tells what they found."""
        preferred = np.zeros(self.relaxed.size) if start is None else SURE * self.relaxed.theta(start)
        noise = 0.1 * self.rng.standard_normal(self.relaxed.size)
        logits = torch.tensor(preferred + noise, requires_grad=True)
        adam = torch.optim.Adam([logits], lr=self.strategy.rate)
        first, last = self.strategy.temperature
        problem = replace(self.problem, space=self.relaxed)
        for step in range(self.strategy.steps):
            self.evaluator.stage = f"{label}, step {step + 1}"
            temperature = first * (last / first) ** (step / max(1, self.strategy.steps - 1))
            samples = list(self._samples(logits, temperature))
            hot = [self.relaxed.theta(codes) for codes, _ in samples]
            points = evaluate_points(problem, self.evaluator, hot, self.level, gradients=True)
            self._solve([codes for codes, _ in samples])
            terms = [
                (soft * torch.from_numpy(point.gradient)).sum()
                for (_, soft), point in zip(samples, points, strict=True)
                if point.gradient is not None
            ]
            self.error = next((point.error for point in points if point.error is not None), self.error)
            if terms:
                self.graded = True
                adam.zero_grad()
                torch.stack(terms).mean().backward()
                adam.step()
            elif not self.graded and step + 1 >= BLIND:
                return

    def ranked(self) -> list[Codes]:
        """Patterns that were solved, best first."""
        solved = [row for row in self.losses if np.isfinite(self.losses[row])]
        return [np.array(row, dtype=np.int64) for row in sorted(solved, key=lambda row: self.losses[row])]

    def _samples(self, logits: Tensor, temperature: float) -> Iterator[tuple[Codes, Tensor]]:
        """Valid codes `(codes,)`, and the probabilities `(size,)` they were rounded from."""
        for _ in range(self.strategy.samples):
            for _ in range(DRAWS):
                noisy = logits + torch.from_numpy(self.rng.gumbel(size=self.relaxed.size))
                codes = self.relaxed.codes(noisy.detach().numpy())
                if isinstance(self.space, CodedSpace) and not self.space.valid(codes[None])[0]:
                    codes = self.space.mended(codes, self.rng)
                if self.space.valid(codes[None])[0]:
                    parts = (noisy / temperature).split(self._sizes)
                    yield codes, torch.cat([torch.softmax(part, 0) for part in parts])
                    break

    def _solve(self, codes: list[Codes]) -> None:
        """The loss of new patterns as they are; the best so far is the proposal."""
        rows = dict.fromkeys(tuple(row.tolist()) for row in codes)
        fresh: list[NDArray[np.float64]] = []
        fresh_rows = [row for row in rows if row not in self.losses]
        for row in fresh_rows:
            fresh.append(self.space.theta(np.array(row)))
        if not fresh:
            return
        points = evaluate_points(self.problem, self.evaluator, fresh, self.level)
        best = min(self.losses.values(), default=np.inf)
        for row, theta, point in zip(fresh_rows, fresh, points, strict=True):
            self.losses[row] = point.loss
            if point.loss < best:
                best, self.evaluator.proposal = point.loss, theta
