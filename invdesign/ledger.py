"""The ledger: every request of a run in order, with what it was charged, so that a replay is charged the same."""

from __future__ import annotations

import warnings

from invdesign.budget import Meter
from invdesign.clock import cpu_clock
from invdesign.store import Store


class Ledger:
    """Charges requests to the meter and to the run's journal.

    CPU seconds that this process spends between requests are the strategy's own; they are charged with the next
    request. On replay both come from the journal, so that a resumed run meets its budget where it would have.
    """

    def __init__(self, store: Store, run: str, meter: Meter, *, writes: bool = True) -> None:
        self.store = store
        self.writes = writes
        self.run = run
        self.meter = meter
        self.seq = 0
        self._journal = store.journal(run)
        self._mark = cpu_clock()
        self._warned = False

    @property
    def replaying(self) -> bool:
        """Whether the next request is one that an earlier start of this run made."""
        return self.seq in self._journal

    def exclude(self, cpu_seconds: float) -> None:
        """Takes CPU seconds that this process spent but that are charged by themselves off the overhead."""
        self._mark += cpu_seconds

    def charge(self, kind: str, key: str, cpu_seconds: float) -> bool:
        """Charges one request, and the overhead since the last, to the meter and the journal.

        True where it differs from the journal: what the journal has from here on is of a path that is left.
        """
        now = cpu_clock()
        overhead = max(0.0, now - self._mark)
        self._mark = now
        known = self._journal.get(self.seq)
        differs = known is not None and known[:2] != (kind, key)
        if known is not None and known[:2] == (kind, key):
            _, _, cpu_seconds, overhead = known
        else:
            if differs:
                self._leave(kind, key)
            if self.writes:
                self.store.add_journal(self.run, self.seq, kind, key, cpu_seconds, overhead)
        self.seq += 1
        self.meter.charge(kind, cpu_seconds)
        self.meter.charge("strategy", overhead)
        return differs

    def _leave(self, kind: str, key: str) -> None:
        self._journal = {seq: row for seq, row in self._journal.items() if seq < self.seq}
        if not self._warned:
            self._warned = True
            warnings.warn(
                f"Request {self.seq} of this run ({kind}, {key[:12]}) differs from its journal: other library "
                "versions, another processor, or a crashed solve that now succeeded? Nothing stored is wrong; the run "
                "goes on along a new path.",
                stacklevel=4,
            )
