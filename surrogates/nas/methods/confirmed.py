"""Any search, with a part of the budget kept to train its leaders with further seeds.

Of many networks trained once the best is lucky as well as good. After Hutter, Hoos, Leyton-Brown, LION 2011 (SMAC's
intensification): who leads is tried again until it has led on as many seeds as asked.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np

from surrogates.nas.lab import BudgetSpent, Lab, Method, Trial, incumbent
from surrogates.nas.methods.fixed_nets import RATE, Retunable


@dataclass(frozen=True)
class Confirmed:
    """A method first; then the leader of the least mean error is trained with another seed, again and again.

    It ends when the leader has all its seeds.

    Args:
        method: that searches.
        share: of the budget for it; what it leaves is for the leaders as well.
        seeds: of the leader; as many as there are where a table holds fewer.

    Raises:
        ValueError: for a share outside (0, 1), or less than two seeds.
    """

    method: Method
    share: float = 0.8
    seeds: int = 2

    def __post_init__(self) -> None:
        if not 0 < self.share < 1 or self.seeds < 2:
            raise ValueError(f"Expected a share in (0, 1) and two seeds at least. Got {self.share} and {self.seeds}.")

    @property
    def name(self) -> str:
        """The method's, and that it is confirmed."""
        return f"{self.method.name}, confirmed"

    def __call__(self, lab: Lab, rng: np.random.Generator) -> None:
        """The method, then the leaders."""
        whole = lab.budget_cpu_seconds
        lab.budget_cpu_seconds = lab.spent + self.share * (whole - lab.spent)
        try:
            with suppress(BudgetSpent):
                self.method(lab, rng)
        finally:
            lab.budget_cpu_seconds = whole
        wanted = min(self.seeds, lab.seeds or self.seeds)
        while any(np.isfinite(trial.error) for trial in lab.trials):
            best, _ = incumbent(lab.trials)
            top = max(trial.rung for trial in lab.trials if trial.architecture == best and np.isfinite(trial.error))
            own = [trial for trial in lab.trials if (trial.architecture, trial.rung) == (best, top)]
            used = {trial.seed for trial in own}
            if len(used) >= wanted:
                return
            again(lab, own[0], min(set(range(wanted)) - used))


def again(lab: Lab, trial: Trial, seed: int) -> None:
    """The same network at the same rung and learning rate with another seed, charged and recorded."""
    rate = trial.measures.get(RATE)
    if rate is None or not isinstance(lab, Retunable):
        lab.ask(trial.architecture, trial.rung, seed)
        return
    lab.charge(0.0)  # ends here where nothing is left
    found = lab.at_rate(rate).ask(trial.architecture, trial.rung, seed)
    lab.charge(found.cpu_seconds)
    lab.record(replace(found, measures={**found.measures, RATE: rate}, spent=lab.spent))
