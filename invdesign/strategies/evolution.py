"""Ageing evolution on discrete spaces: Real et al., AAAI 2019, "Regularized evolution", algorithm 1."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from invdesign.evaluator import Evaluator
from invdesign.problem import Problem
from invdesign.spaces.discrete import Codes
from invdesign.strategies.trials import ATTEMPTS, Trials


@dataclass(frozen=True)
class Evolution:
    """A random population; then the best of a sample has a child, which joins while the oldest member leaves.

    Args:
        population: members alive.
        tournament: members drawn at a time, of which the best is the parent.
        crossover: share of children that have a second parent before they are mutated.
        batch: children a round; they are solved together.
        confirm: see `Trials`.
    """

    population: int = 40
    tournament: int = 10
    crossover: float = 0.0
    batch: int = 1
    confirm: bool = False
    name: str = "evolution"

    def __post_init__(self) -> None:
        if self.population < 2 or not 1 <= self.tournament <= self.population or self.batch < 1:
            raise ValueError(
                f"Expected 2 members, a tournament among them and a batch of 1 at least. Got {self.population}, "
                f"{self.tournament} and {self.batch}."
            )
        if not 0 <= self.crossover <= 1:
            raise ValueError(f"Expected a share of crossover from 0 to 1. Got {self.crossover}.")

    def __call__(self, problem: Problem, evaluator: Evaluator, rng: np.random.Generator) -> None:
        """Runs until the budget is spent, or no new design is found."""
        trials = Trials(problem, evaluator, self.confirm)
        alive: deque[tuple[Codes, float]] = deque(maxlen=self.population)
        evaluator.stage = "random population"
        while len(alive) < self.population:
            drawn = trials.fresh_draw(rng)
            if drawn is None:
                evaluator.note("space used up", designs=len(trials))
                return
            alive.append((drawn, trials.ask(drawn[None], f"random, design {len(trials) + 1}, trial")[0]))
        generation = 0
        while True:
            generation += 1
            evaluator.stage = f"generation {generation}"
            children = [child for _ in range(self.batch) if (child := self._child(trials, alive, rng)) is not None]
            if not children:
                evaluator.note("space used up", designs=len(trials))
                return
            for child, loss in zip(
                children, trials.ask(np.array(children), f"generation {generation}, child"), strict=True
            ):
                alive.append((child, loss))

    def _child(self, trials: Trials, alive: deque[tuple[Codes, float]], rng: np.random.Generator) -> Codes | None:
        """A new design; None where all attempts gave known ones."""
        child = self._parent(alive, rng)
        if rng.random() < self.crossover:
            child = trials.space.crossover(child, self._parent(alive, rng), rng)
        for _ in range(ATTEMPTS):
            # Known children are mutated further, so that a crowded neighbourhood is left.
            child = trials.space.mutate(child, rng)
            if child not in trials:
                return child
        return trials.fresh_draw(rng)

    def _parent(self, alive: deque[tuple[Codes, float]], rng: np.random.Generator) -> Codes:
        members = rng.choice(len(alive), size=self.tournament, replace=False)
        return min((alive[i] for i in members), key=lambda member: member[1])[0]
