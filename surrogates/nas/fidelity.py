"""Which rungs a ladder should have: how well each ranks networks as the last does, for its CPU seconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from surrogates.architecture import Architecture
from surrogates.nas.lab import Lab, Rung, Trial
from surrogates.nas.table import SearchTable


@dataclass(frozen=True)
class RungReport:
    """What a rung is worth.

    Args:
        rung: which.
        networks: measured on.
        cpu_seconds: mean of one network from its first epoch to this rung.
        correlation: Spearman's, of its errors with those at the last rung.
        interval: of that, 90 % bootstrap over networks.
        admitted: whether a ladder should have it; the last one always.
    """

    rung: Rung
    networks: int
    cpu_seconds: float
    correlation: float
    interval: tuple[float, float]
    admitted: bool

    @property
    def per_second(self) -> float:
        """Correlation for a CPU second."""
        return self.correlation / self.cpu_seconds


def spearman(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Rank correlation; ties share a rank, infinite errors are last; 0 where all of one are equal."""
    x, y = rankdata(a), rankdata(b)
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return 0.0
    return float(np.corrcoef(x, y)[0, 1])


def measured(
    rungs: Sequence[Rung],
    errors: NDArray[np.float64],
    last: NDArray[np.float64],
    cpu_seconds: NDArray[np.float64],
    *,
    least: float = 0.3,
    resamples: int = 500,
    seed: int = 0,
) -> tuple[RungReport, ...]:
    """One report a rung.

    Args:
        rungs: ascending.
        errors: ``n x rungs``.
        last: ``n``, the errors to rank like: at the last rung, of another seed where there is one, so that the luck of
            a training that went on is not taken for agreement.
        cpu_seconds: ``n x rungs``, each from the first epoch on.
        least: correlation that a rung must have with 95 % confidence to be admitted.
        resamples, seed: of the bootstrap.

    Raises:
        ValueError: for fewer than four networks.
    """
    n = len(errors)
    if n < 4:
        raise ValueError(f"Expected four networks at least to measure a rank correlation. Got {n}; try more.")
    draws = np.random.default_rng(seed).integers(n, size=(resamples, n))
    seconds = cpu_seconds.mean(axis=0)
    found: list[RungReport] = []
    for k in reversed(range(len(rungs))):
        correlation = spearman(errors[:, k], last)
        drawn = [spearman(errors[rows, k], last[rows]) for rows in draws]
        low, high = (float(q) for q in np.quantile(drawn, [0.05, 0.95]))
        per_second = correlation / seconds[k]
        better = all(per_second > above.per_second for above in found if above.admitted)
        entry = k == len(rungs) - 1 or (low >= least and better)
        found.append(RungReport(rungs[k], n, float(seconds[k]), correlation, (low, high), entry))
    return tuple(reversed(found))


def admitted(reports: Sequence[RungReport]) -> tuple[Rung, ...]:
    """The rungs of a ladder that measurement admits: sure to rank, and cheaper for it than all admitted above."""
    return tuple(report.rung for report in reports if report.admitted)


def from_table(table: SearchTable, **settings: float) -> tuple[RungReport, ...]:
    """Of all networks of a table: each rung's errors of the first seed against the last's mean of the others."""
    others = table.error[:, -1, 1:].mean(axis=1) if table.seeds > 1 else table.error[:, -1, 0]
    seconds = table.cpu_seconds[:, :, 0].copy()
    for k in range(1, len(table.rungs)):
        if table.rungs[k].continues(table.rungs[k - 1]):
            seconds[:, k] += seconds[:, k - 1]
    return measured(table.rungs, table.error[:, :, 0], others, seconds, **settings)  # type: ignore[arg-type]


def from_pilot(
    lab: Lab, architectures: Sequence[Architecture], seeds: tuple[int, int] = (0, 1), **settings: float
) -> tuple[RungReport, ...]:
    """Of some networks trained at every rung of a lab, and at the last one with a second seed; the lab charges it."""
    rungs = tuple(lab.rungs)
    errors, seconds = np.zeros((len(architectures), len(rungs))), np.zeros((len(architectures), len(rungs)))
    last = np.zeros(len(architectures))
    for row, architecture in enumerate(architectures):
        trials: list[Trial] = [lab.ask(architecture, k, seeds[0]) for k in range(len(rungs))]
        errors[row] = [trial.error for trial in trials]
        for k, trial in enumerate(trials):
            goes_on = k > 0 and rungs[k].continues(rungs[k - 1])
            seconds[row, k] = trial.cpu_seconds + (seconds[row, k - 1] if goes_on else 0.0)
        last[row] = trials[-1].error if seeds[1] == seeds[0] else lab.ask(architecture, -1, seeds[1]).error
    return measured(rungs, errors, last, seconds, **settings)  # type: ignore[arg-type]
