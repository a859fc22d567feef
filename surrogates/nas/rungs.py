"""A search's ladder of fidelity, chosen from candidates by what a pilot of random networks measures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from surrogates.architecture import Architecture
from surrogates.nas.cache import Entry, TrialCache
from surrogates.nas.fidelity import LEAST_NETWORKS, RungReport, admitted, from_pilot
from surrogates.nas.lab import Rung, Trial
from surrogates.nas.live import LiveLab, Task
from surrogates.nas.methods.fresh import fresh
from surrogates.nas.space import ArchitectureSpace

CANDIDATES = (Rung(3), Rung(9), Rung(9, share=0.3), Rung(9, resolution=12), Rung(27))


@dataclass(frozen=True)
class Measured:
    """Rungs of which those form a ladder that rank networks well for their CPU seconds, see ``fidelity.measured``.

    Args:
        candidates: in any order. Of those on all of the reference's samples at the network's own resolution the one of
            most epochs is the ladder's last, and what the others are to rank like; of any other training there is one
            number of epochs.
        networks: of the pilot, random ones, each trained at every candidate and once more at the last with another
            seed.
        share: of the search's budget after which the pilot begins no further network, but for the first four.
        least: rank correlation that a rung must have with 95 % confidence.

    Raises:
        ValueError: for candidates without such a last one, two of one training otherwise, one twice, fewer than four
            networks, or numbers outside their range.
    """

    candidates: tuple[Rung, ...] = CANDIDATES
    networks: int = 12
    share: float = 0.3
    least: float = 0.3

    def __post_init__(self) -> None:
        object.__setattr__(self, "candidates", tuple(self.candidates))
        if not self._whole:
            raise ValueError(
                f"Expected a candidate of all samples of the reference at the network's own resolution, such as "
                f"Rung(27), for the last. Got {[rung.key for rung in self.candidates]}."
            )
        others = [replace(rung, epochs=1) for rung in self.candidates if rung not in self._whole]
        if len(set(self.candidates)) < len(self.candidates) or len(set(others)) < len(others):
            raise ValueError(
                "Expected each candidate once, and one number of epochs for each share, level and resolution other "
                f"than the last one's. Got {[rung.key for rung in self.candidates]}."
            )
        if self.networks < LEAST_NETWORKS or not 0 < self.share <= 1 or not -1 <= self.least < 1:
            raise ValueError(
                f"Expected {LEAST_NETWORKS} networks at least, a share in (0, 1] and a correlation in [-1, 1). "
                f"Got {self}."
            )

    @property
    def _whole(self) -> tuple[Rung, ...]:
        """Of the last one's training, ascending."""
        own = [rung for rung in self.candidates if replace(rung, epochs=1) == Rung(1)]
        return tuple(sorted(own, key=lambda rung: rung.epochs))

    @property
    def rungs(self) -> tuple[Rung, ...]:
        """The candidates as rungs of one task: those of the last one's training last."""
        return (*(rung for rung in self.candidates if rung not in self._whole), *self._whole)


def measured_lab(
    rungs: Measured,
    space: ArchitectureSpace,
    task: Task,
    budget_cpu_seconds: float,
    cache: TrialCache,
    seed: int,
    watch: Callable[[Trial], None] | None = None,
) -> tuple[LiveLab, tuple[RungReport, ...]]:
    """A lab whose ladder was measured, with the pilot charged to its budget and in its record, and the measurement.

    What the pilot trained at the ladder's rungs costs nothing to ask again. A killed pilot goes on from the cache.

    Args:
        rungs: what to measure.
        space: to draw the pilot's networks from.
        task: with ``rungs.rungs``.
        budget_cpu_seconds: of pilot and search; the first four networks are trained whatever they cost.
        cache: of trials.
        seed: of the pilot's networks.
        watch: called with every trial of the pilot.

    Raises:
        ValueError: for a space of fewer than four networks.
    """
    pilot = LiveLab(space, task, cache=cache, watch=watch)
    rng, drawn = np.random.default_rng([seed, 1]), list[Architecture]()
    while len(drawn) < rungs.networks and (one := fresh(space, rng, set(drawn))) is not None:
        drawn.append(one)
    if len(drawn) < LEAST_NETWORKS:
        raise ValueError(
            f"Expected a space of {LEAST_NETWORKS} networks at least to measure rungs. Got {len(drawn)}; give the "
            "rungs themselves."
        )
    reports = from_pilot(pilot, drawn, most_cpu_seconds=rungs.share * budget_cpu_seconds, least=rungs.least)
    ladder = admitted(reports)
    lab = LiveLab(space, replace(task, rungs=ladder), cache=cache)
    _carry(pilot, lab)
    whole = task.first(len(task.rungs) - 1)
    # A rung of the last one's training that is left out is paid with the next one that is not.
    lab.charge(sum(t.cpu_seconds for t in pilot.trials if t.rung < whole and task.rungs[t.rung] not in ladder))
    for trial in pilot.trials:
        if task.rungs[trial.rung] in ladder:
            lab.ask(trial.architecture, ladder.index(task.rungs[trial.rung]), trial.seed)
    lab.budget_cpu_seconds = budget_cpu_seconds
    return lab, reports


def _carry(pilot: LiveLab, lab: LiveLab) -> None:
    """Enters the pilot's trials as the lab's, where a trial is known by the rungs on the way to it."""
    task, ladder = pilot.task, lab.task
    numbers = [task.rungs.index(rung) for rung in ladder.rungs]
    for architecture, seed in dict.fromkeys((trial.architecture, trial.seed) for trial in pilot.trials):
        for k, number in enumerate(numbers):
            key, known = ladder.key(architecture, k, seed), task.key(architecture, number, seed)
            if lab.cache.entry(key) is not None:
                continue
            begin = numbers[k - 1] + 1 if ladder.first(k) < k else task.first(number)
            entries = _entries(pilot, architecture, range(begin, number + 1), seed)
            if entries:
                whole = replace(entries[-1], cpu_seconds=sum(entry.cpu_seconds for entry in entries))
                lab.cache.keep(key, whole, lab.cache.checkpoint(known))


def _entries(lab: LiveLab, architecture: Architecture, rungs: Sequence[int], seed: int) -> list[Entry]:
    """Of a network at these rungs; none unless at all."""
    found = [lab.cache.entry(lab.task.key(architecture, k, seed)) for k in rungs]
    return [entry for entry in found if entry is not None] if None not in found else []
