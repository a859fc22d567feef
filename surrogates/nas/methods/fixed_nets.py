"""Given networks, no search: the baseline that any search has to beat, with the learning rate tuned for each."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

import numpy as np

from surrogates.architecture import Architecture
from surrogates.families import FAMILIES, baseline
from surrogates.nas.lab import Lab, Trial

RATE = "learning_rate"
"""Measure of a trial whose rate was tuned."""


@runtime_checkable
class Retunable(Protocol):
    """A lab that can train with another learning rate."""

    def at_rate(self, learning_rate: float) -> Lab: ...


@dataclass(frozen=True)
class FixedNets:
    """Networks in order, each trained at every learning rate; its best training is what is recorded.

    The other rates are charged and leave no trial. The best rate of each is the measure ``learning_rate`` of its trial,
    that of the winner ``Found.learning_rate``. Networks beyond the cap of the lab's space are left out; its genes have
    no part in this. A lab that replays trainings has one rate: there the given networks of its space are asked as they
    are.

    Args:
        architectures: the families' first guesses by default.
        learning_rates: tried for each; none for the lab's own alone.
    """

    architectures: tuple[Architecture, ...] = field(default_factory=lambda: tuple(baseline(name) for name in FAMILIES))
    learning_rates: tuple[float, ...] = (1e-3, 2e-3, 4e-3, 8e-3)
    name: str = "fixed nets"

    def __call__(self, lab: Lab, rng: np.random.Generator) -> None:
        """Network by network.

        Raises:
            ValueError: where all are beyond the cap, or none is of the space of a lab that replays trainings.
        """
        trains = isinstance(lab, Retunable)
        given = [a for a in self.architectures if (lab.space.admits(a) if trains else a in lab.space)]
        if not given:
            keys = ", ".join(architecture.key for architecture in self.architectures) or "none"
            wanted, remedy = (
                ("within the cap", f"raise {lab.space.cap}, or give smaller ones")
                if trains
                else ("of the table's space", "give some of it")
            )
            raise ValueError(f"Expected one network at least {wanted}. Got {keys}; {remedy}.")
        for architecture in given:
            if isinstance(lab, Retunable) and self.learning_rates:
                _tuned(lab, lab, architecture, self.learning_rates)
            else:
                lab.ask(architecture)


def _tuned(lab: Lab, retunable: Retunable, architecture: Architecture, rates: tuple[float, ...]) -> None:
    done: list[Trial] = []
    spent = 0.0
    try:
        for rate in rates:
            lab.charge(0.0)  # ends here where nothing is left
            found = retunable.at_rate(rate).ask(architecture)
            lab.charge(found.cpu_seconds)
            spent += found.cpu_seconds
            done.append(replace(found, measures={**found.measures, RATE: rate}))
    finally:
        if done:
            best = min(done, key=lambda trial: trial.error)
            lab.record(replace(best, cpu_seconds=spent, spent=lab.spent))
