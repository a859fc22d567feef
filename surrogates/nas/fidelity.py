"""Which rungs a ladder should have: how well each ranks networks as the last does, for its CPU seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from surrogates.architecture import Architecture
from surrogates.nas.lab import Lab, Rung, Trial
from surrogates.nas.table import SearchTable

# Of fewer networks a rank correlation says nothing.
LEAST_NETWORKS = 4


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

    def to_json(self) -> dict[str, Any]:
        """``from_json`` is its inverse."""
        return {
            "rung": list(astuple(self.rung)),
            "networks": self.networks,
            "cpu_seconds": self.cpu_seconds,
            "correlation": self.correlation,
            "interval": list(self.interval),
            "admitted": self.admitted,
        }

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> RungReport:
        """What ``to_json`` gave."""
        low, high = told["interval"]
        return cls(**{**told, "rung": Rung(*told["rung"]), "interval": (low, high)})

    def __str__(self) -> str:
        """One line, e.g. ``e9: rank correlation 0.81 [0.62, 0.93] over 12 networks, 1.3 CPU s each, admitted``."""
        low, high = self.interval
        return (
            f"{self.rung.key}: rank correlation {self.correlation:.2f} [{low:.2f}, {high:.2f}] over {self.networks} "
            f"networks, {self.cpu_seconds:.2g} CPU s each, {'admitted' if self.admitted else 'not admitted'}"
        )


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

    The last rung is admitted, and going down from it what is sure to rank, costs less than all admitted above, and
    ranks better for a CPU second. First come the rungs of the last one's training, as promotion from them costs the
    difference, then the others, the dearest first; of these none while one of another training ranks as well for less.

    Args:
        rungs: ascending; those of the last one's training last.
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
    if n < LEAST_NETWORKS:
        raise ValueError(f"Expected four networks at least to measure a rank correlation. Got {n}; try more.")
    draws = np.random.default_rng(seed).integers(n, size=(resamples, n))
    seconds = cpu_seconds.mean(axis=0)
    correlation = np.array([spearman(column, last) for column in errors.T])
    drawn = [[spearman(column[rows], last[rows]) for rows in draws] for column in errors.T]
    low, high = np.quantile(drawn, [0.05, 0.95], axis=1)
    entered = _entered(rungs, seconds, correlation, low >= least)
    return tuple(
        RungReport(rung, n, float(seconds[k]), float(correlation[k]), (float(low[k]), float(high[k])), k in entered)
        for k, rung in enumerate(rungs)
    )


def _entered(
    rungs: Sequence[Rung], seconds: NDArray[np.float64], correlation: NDArray[np.float64], sure: NDArray[np.bool_]
) -> set[int]:
    """Numbers of the rungs that are admitted, see ``measured``."""
    top = len(rungs) - 1
    own = [k for k in range(top) if rungs[top].continues(rungs[k])]
    others = sorted(set(range(top)) - set(own), key=lambda k: float(seconds[k]))
    entered = {top}

    def outdone(k: int) -> bool:
        """Whether a rung of another training ranks as well for less."""
        return any(
            sure[i]
            and seconds[i] < seconds[k]
            and correlation[i] >= correlation[k]
            and not rungs[k].continues(rungs[i])
            for i in range(top)
        )

    for k in [*reversed(own), *reversed(others)]:
        cheaper = all(seconds[k] < seconds[above] for above in entered)
        better = all(correlation[k] * seconds[above] > correlation[above] * seconds[k] for above in entered)
        if sure[k] and cheaper and better and not outdone(k):
            entered.add(k)
    return entered


def admitted(reports: Sequence[RungReport]) -> tuple[Rung, ...]:
    """The ladder that measurement admits, see ``measured``, ascending in CPU seconds."""
    entered = [report for report in reports if report.admitted]
    return tuple(report.rung for report in sorted(entered, key=lambda report: report.cpu_seconds))


def from_table(table: SearchTable, **settings: float) -> tuple[RungReport, ...]:
    """Of all networks of a table: each rung's errors of the first seed against the last's mean of the others."""
    others = table.error[:, -1, 1:].mean(axis=1) if table.seeds > 1 else table.error[:, -1, 0]
    seconds = table.cpu_seconds[:, :, 0].copy()
    for k in range(1, len(table.rungs)):
        if table.rungs[k].continues(table.rungs[k - 1]):
            seconds[:, k] += seconds[:, k - 1]
    return measured(table.rungs, table.error[:, :, 0], others, seconds, **settings)  # type: ignore[arg-type]


def from_pilot(
    lab: Lab,
    architectures: Sequence[Architecture],
    seeds: tuple[int, int] = (0, 1),
    most_cpu_seconds: float = float("inf"),
    **settings: float,
) -> tuple[RungReport, ...]:
    """Of some networks trained at every rung of a lab, and at the last one with a second seed; the lab charges it.

    Args:
        lab: that trains them.
        architectures: which.
        seeds: of the training that is ranked at every rung, and of the one to rank like.
        most_cpu_seconds: spent by the lab after which no further network is begun, but for the first four.
        settings: see ``measured``.

    Raises:
        ValueError: for fewer than four networks.
    """
    rungs = tuple(lab.rungs)
    errors, seconds = np.zeros((len(architectures), len(rungs))), np.zeros((len(architectures), len(rungs)))
    last = np.zeros(len(architectures))
    n = 0
    for row, architecture in enumerate(architectures):
        if row >= LEAST_NETWORKS and lab.spent >= most_cpu_seconds:
            break
        n = row + 1
        trials: list[Trial] = [lab.ask(architecture, k, seeds[0]) for k in range(len(rungs))]
        errors[row] = [trial.error for trial in trials]
        for k, trial in enumerate(trials):
            goes_on = k > 0 and rungs[k].continues(rungs[k - 1])
            seconds[row, k] = trial.cpu_seconds + (seconds[row, k - 1] if goes_on else 0.0)
        last[row] = trials[-1].error if seeds[1] == seeds[0] else lab.ask(architecture, -1, seeds[1]).error
    return measured(rungs, errors[:n], last[:n], seconds[:n], **settings)  # type: ignore[arg-type]
