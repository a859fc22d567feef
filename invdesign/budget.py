"""The one meter: CPU seconds by phase, with solves counted beside them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


class BudgetSpent(Exception):
    """Raised by the evaluator when the next request would go beyond the budget; ends a strategy."""


@dataclass(frozen=True)
class Budget:
    """What a run may cost; the first limit reached ends it.

    Args:
        cpu_seconds: CPU seconds of everything: solves, gradients, training, search, verification, the strategy itself.
        reference_solves: solves at the reference fidelity, with or without gradient.
        solves: solves at any fidelity.
    """

    cpu_seconds: float | None = None
    reference_solves: int | None = None
    solves: int | None = None

    def __post_init__(self) -> None:
        limits = (self.cpu_seconds, self.reference_solves, self.solves)
        if all(limit is None for limit in limits):
            raise ValueError("Expected a limit: cpu_seconds, reference_solves or solves. Got none.")
        if not all(limit is None or isinstance(limit, (int, float)) for limit in limits):
            raise TypeError(f"Expected numbers as limits. Got {self}.")
        if any(limit is not None and not limit > 0 for limit in limits):
            raise ValueError(f"Expected limits above 0. Got {self}.")


@dataclass
class Meter:
    """What a run has cost so far.

    A solver's one-off set-up (see `physics.base.HasSetup`) is counted apart: it is shared by all runs of a process, so
    whoever came first would pay for the others.
    """

    budget: Budget
    cpu_seconds_by_phase: dict[str, float] = field(default_factory=dict)
    solves_by_level: Counter[int] = field(default_factory=Counter)
    reference_level: int = 0
    setup_cpu_seconds: float = 0.0

    def charge(self, phase: str, cpu_seconds: float) -> None:
        """Adds CPU seconds to a phase."""
        self.cpu_seconds_by_phase[phase] = self.cpu_seconds_by_phase.get(phase, 0.0) + cpu_seconds

    @property
    def cpu_seconds(self) -> float:
        """Sum over all phases."""
        return sum(self.cpu_seconds_by_phase.values())

    @property
    def charged_seconds(self) -> float:
        """CPU seconds without the convergence check, which comes after the budget, alike for all."""
        return self.cpu_seconds - self.cpu_seconds_by_phase.get("check", 0.0)

    @property
    def reference_solves(self) -> int:
        """Solves at the reference fidelity."""
        return self.solves_by_level[self.reference_level]

    @property
    def solves(self) -> int:
        """Solves at any fidelity."""
        return sum(self.solves_by_level.values())

    @property
    def fraction(self) -> float:
        """Largest spent fraction of any limit."""
        pairs = (
            (self.charged_seconds, self.budget.cpu_seconds),
            (self.reference_solves, self.budget.reference_solves),
            (self.solves, self.budget.solves),
        )
        return max(spent / limit for spent, limit in pairs if limit is not None)

    def room(self, level: int) -> float:
        """How many more solves at this level the budget admits (infinite where only CPU seconds are limited)."""
        if self.budget.cpu_seconds is not None and self.cpu_seconds >= self.budget.cpu_seconds:
            return 0
        rooms = [float("inf")]
        if self.budget.solves is not None:
            rooms.append(self.budget.solves - self.solves)
        if self.budget.reference_solves is not None and level == self.reference_level:
            rooms.append(self.budget.reference_solves - self.reference_solves)
        return max(0, min(rooms))
