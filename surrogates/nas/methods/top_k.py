"""One-epoch top-K: all networks for the first rung only, the best of them to the end.

Bohdal, Balles, Ermis, Archambeau, Zappella, arXiv 2307.15422; Egele, Mohr, Viering, Balaprakash, arXiv 2404.04111: as
good as elaborate multi-fidelity searches at a fraction of the cost, hence the baseline of any of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from surrogates.architecture import Architecture
from surrogates.nas.lab import Lab
from surrogates.nas.methods.fresh import fresh


@dataclass(frozen=True)
class TopK:
    """Rounds of ``networks`` new networks at the first rung, whose best ``keep`` are trained to the last.

    Args:
        networks: tried in a round.
        keep: of them trained to the end.
        rounds: None to go on until the budget is spent, or nothing is left.
    """

    networks: int = 50
    keep: int = 5
    rounds: int | None = None
    name: str = "one-epoch top-K"

    def __post_init__(self) -> None:
        if not 1 <= self.keep <= self.networks:
            raise ValueError(f"Expected to keep from 1 to {self.networks} networks. Got {self.keep}.")

    def __call__(self, lab: Lab, rng: np.random.Generator) -> None:
        """Round after round."""
        tried: set[Architecture] = set()
        done = 0
        while self.rounds is None or done < self.rounds:
            drawn: list[Architecture] = []
            while len(drawn) < self.networks and (one := fresh(lab.space, rng, tried)) is not None:
                drawn.append(one)
                tried.add(one)
            if not drawn:
                return
            errors = [lab.ask(architecture, 0).error for architecture in drawn]
            for place in np.argsort(errors, kind="stable")[: self.keep]:
                lab.ask(drawn[place])
            done += 1
