"""Random search: the floor (Li & Talwalkar, UAI 2019, arXiv 1902.07638)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from surrogates.architecture import Architecture
from surrogates.nas.lab import Lab
from surrogates.nas.methods.fresh import fresh


@dataclass(frozen=True)
class RandomSearch:
    """Networks at random, none twice, each trained to the last rung."""

    name: str = "random"

    def __call__(self, lab: Lab, rng: np.random.Generator) -> None:
        """Until the budget is spent, or nothing is left."""
        tried: set[Architecture] = set()
        while (drawn := fresh(lab.space, rng, tried)) is not None:
            tried.add(drawn)
            lab.ask(drawn)
