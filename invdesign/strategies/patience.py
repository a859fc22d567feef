"""When a loop that no budget ends should give up."""

from __future__ import annotations

from invdesign.evaluator import Evaluator

# Starts or rounds in a row without a new verified design.
PATIENCE = 20


class Patience:
    """Counts rounds that verify nothing new: where every solve fails, or every design is known, nothing is spent.

    Args:
        evaluator: of the run.
        rounds: how many to bear.
    """

    def __init__(self, evaluator: Evaluator, rounds: int = PATIENCE) -> None:
        self.evaluator = evaluator
        self.rounds = rounds
        self._known = len(evaluator.candidates)
        self._idle = 0

    def lost(self) -> bool:
        """To be asked after each round: True, with a note, once too many in a row brought nothing."""
        count = len(self.evaluator.candidates)
        self._idle = 0 if count > self._known else self._idle + 1
        self._known = count
        if self._idle >= self.rounds:
            self.evaluator.note("given up", rounds=self._idle)
        return self._idle >= self.rounds
