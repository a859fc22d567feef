"""Local search: to a better neighbour until there is none, then from another start.

White, Nolen, Savani, UAI 2021 (arXiv 2005.02960): strong wherever the noise of training is small.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from surrogates.architecture import Architecture
from surrogates.nas.lab import Lab, check_rung
from surrogates.nas.methods.fresh import fresh


@dataclass(frozen=True)
class LocalSearch:
    """Descent over the space's neighbours, restarted at random in each local optimum.

    Args:
        first_better: goes to the first neighbour that is better, in random order; else to the best of all.
        rung: at which networks are compared; the last by default.
        descents: None to go on until the budget is spent, or nothing is left.
    """

    first_better: bool = True
    rung: int = -1
    descents: int | None = None
    name: str = "local search"

    def __post_init__(self) -> None:
        if self.descents is not None and self.descents < 1:
            raise ValueError(f"Expected descents of at least 1, or None. Got {self.descents}.")

    def __call__(self, lab: Lab, rng: np.random.Generator) -> None:
        """Descent after descent.

        Raises:
            ValueError: for a rung that the lab has not.
        """
        check_rung(lab.rungs, self.rung)
        tried: set[Architecture] = set()
        done = 0
        while self.descents is None or done < self.descents:
            start = fresh(lab.space, rng, tried)
            if start is None:
                return
            self._descend(lab, start, rng, tried)
            done += 1

    def _descend(self, lab: Lab, start: Architecture, rng: np.random.Generator, tried: set[Architecture]) -> None:
        def error(architecture: Architecture) -> float:
            tried.add(architecture)
            return lab.ask(architecture, self.rung).error

        here, value = start, error(start)
        while True:
            around = lab.space.neighbours(here)
            best, least = here, value
            for place in rng.permutation(len(around)):
                found = error(around[place])
                if found < least:
                    best, least = around[place], found
                    if self.first_better:
                        break
            if best == here:
                return
            here, value = best, least
