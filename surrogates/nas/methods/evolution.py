"""Ageing (regularised) evolution: the oldest dies, however good it is.

Real, Aggarwal, Huang, Le, AAAI 2019 (arXiv 1802.01548), algorithm 1: what was only lucky in one training does not stay.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from surrogates.architecture import Architecture
from surrogates.nas.lab import Lab
from surrogates.nas.methods.fresh import fresh

IDLE = 1000


@dataclass(frozen=True)
class Evolution:
    """Tournaments, one mutation a child, a population of constant size.

    Args:
        population: of it, P in the paper.
        sample: of a tournament, S in the paper, drawn with replacement.
        ageing: the oldest dies; else the worst.
        retrain: every child is trained with a seed of its own, as in the paper (a table's seeds again from the first,
            where it has no more); else a network keeps its first result and a child is one that was not tried before.
        rung: at which networks are compared; the last by default.
        cycles: children; None to go on until the budget is spent, or nothing is left: nothing new to try or, for
            ``retrain``, 1,000 children in a row that a table had told before.
    """

    population: int = 10
    sample: int = 4
    ageing: bool = True
    retrain: bool = False
    rung: int = -1
    cycles: int | None = None
    name: str = "ageing evolution"

    def __post_init__(self) -> None:
        if self.population < 2 or self.sample < 1:
            raise ValueError(f"Expected a population of at least 2 and a sample of at least 1. Got {self}.")

    def __call__(self, lab: Lab, rng: np.random.Generator) -> None:
        """Random ones first, then cycle after cycle."""
        times: dict[Architecture, int] = {}
        alive: deque[tuple[float, Architecture]] = deque()

        def born(architecture: Architecture) -> None:
            before = times.get(architecture, 0)
            times[architecture] = before + 1
            seed = before if lab.seeds is None else before % lab.seeds
            alive.append((lab.ask(architecture, self.rung, seed if self.retrain else 0).error, architecture))

        while len(alive) < self.population and (drawn := fresh(lab.space, rng, times)) is not None:
            born(drawn)
        done, idle = 0, 0
        while (self.cycles is None or done < self.cycles) and idle < IDLE:
            drawn_ones = [alive[place] for place in rng.integers(len(alive), size=self.sample)]
            parent = min(drawn_ones, key=lambda one: one[0])[1]
            child = self._child(lab, parent, times, rng)
            if child is None:
                return
            before = len(lab.trials)
            born(child)
            idle = 0 if len(lab.trials) > before else idle + 1
            if self.ageing:
                alive.popleft()
            else:
                alive.remove(max(alive, key=lambda one: one[0]))
            done += 1

    def _child(
        self, lab: Lab, parent: Architecture, times: dict[Architecture, int], rng: np.random.Generator
    ) -> Architecture | None:
        if self.retrain:
            return lab.space.mutate(parent, rng)
        return fresh(lab.space, rng, times, lambda: lab.space.mutate(parent, rng))
