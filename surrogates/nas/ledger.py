"""The record and the budget that all labs keep alike."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from surrogates.architecture import Architecture
from surrogates.nas.cache import Entry
from surrogates.nas.lab import BudgetSpent, Rung, Trial, unpaid
from surrogates.nas.space import ArchitectureSpace


class Ledger(ABC):
    """A ``Lab`` but for where its trials are from; labs are dataclasses that have these fields in their own order."""

    space: ArchitectureSpace
    budget_cpu_seconds: float
    trials: list[Trial]
    spent: float
    watch: Callable[[Trial], None] | None

    def __post_init__(self) -> None:
        self._asked: dict[tuple[Architecture, int, int], Trial] = {}

    @property
    @abstractmethod
    def rungs(self) -> Sequence[Rung]:
        """Ascending."""

    @abstractmethod
    def _entry(self, architecture: Architecture, rung: int, seed: int, owed: range) -> Entry:
        """What a trial gives, with the CPU seconds of all rungs that are owed for it."""

    def charge(self, cpu_seconds: float) -> None:
        """Adds what a method itself did; ``BudgetSpent`` if there was nothing left."""
        if self.spent >= self.budget_cpu_seconds:
            raise BudgetSpent(f"The budget of {self.budget_cpu_seconds:g} CPU s is spent.")
        self.spent += cpu_seconds

    def ask(self, architecture: Architecture, rung: int = -1, seed: int = 0) -> Trial:
        """The trial of a network at a rung; training goes on from the highest rung below that was asked.

        A rung below one that was asked of the same training is paid, and costs nothing.

        Raises:
            BudgetSpent: if the budget was spent before.
        """
        number = range(len(self.rungs))[rung]
        known = self._asked.get((architecture, number, seed))
        if known is not None:
            return known
        self.charge(0.0)  # ends here where nothing is left
        owed = unpaid(self.rungs, number, lambda k: (architecture, k, seed) in self._asked)
        entry = self._entry(architecture, number, seed, owed)
        self.spent += entry.cpu_seconds
        trial = Trial(
            architecture, number, seed, entry.error, entry.measures, entry.curve, entry.cpu_seconds, self.spent
        )
        self._asked[architecture, number, seed] = trial
        self.record(trial)
        return trial

    def record(self, trial: Trial) -> None:
        """Enters a trial in the search's record, and shows it to who watches."""
        self.trials.append(trial)
        if self.watch is not None:
            self.watch(trial)
