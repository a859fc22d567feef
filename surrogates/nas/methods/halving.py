"""Successive halving that resumes: many networks for a while, the best of them for longer, from where they stopped.

Jamieson & Talwalkar, AISTATS 2016 (arXiv 1502.07943), halving; Li et al., JMLR 18, 185 (2018), Hyperband; Li et al.,
MLSys 2020 (arXiv 1810.05934), asynchronous halving. With several objectives networks are kept by non-dominated rank and
crowding.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from surrogates.architecture import Architecture
from surrogates.nas.lab import Lab, Trial
from surrogates.nas.methods.optuna_study import RungStudy, make_sampler, make_study
from surrogates.nas.pareto import ERROR, ranked, values_of
from surrogates.runtime import quiet_optuna


@dataclass(frozen=True)
class SuccessiveHalving:
    """Brackets of ``networks`` at the first rung, of which the best in ``eta`` go on to each next one.

    Args:
        networks: of a bracket; ``eta`` to the number of rungs above the first is left with one.
        eta: one in ``eta`` is promoted.
        objectives: ``error`` or names of measures, ``-`` before one that is to be large.
        sampler: ``random``, or ``tpe``, Optuna's.
        journal: file that optuna-dashboard reads; begun anew.
        brackets: None to go on until the budget is spent, or nothing is left.
    """

    networks: int = 27
    eta: int = 3
    objectives: tuple[str, ...] = (ERROR,)
    sampler: str = "random"
    journal: Path | str | None = None
    brackets: int | None = None
    name: str = "halving"

    def __post_init__(self) -> None:
        _check(self.eta, self.objectives)
        if self.networks < 1:
            raise ValueError(f"Expected one network at least. Got {self.networks}.")

    def __call__(self, lab: Lab, rng: np.random.Generator) -> None:
        """Bracket after bracket."""
        with quiet_optuna():
            study = _study(self.name, self.objectives, self.sampler, self.journal, False, lab, rng)
            done = 0
            while self.brackets is None or done < self.brackets:
                if not _bracket(study, self.networks, 0, self.eta):
                    return
                done += 1


@dataclass(frozen=True)
class Hyperband:
    """Brackets of halving that begin at every rung in turn, fewer networks the higher.

    A bracket that begins ``s`` rungs below the last has ``ceil((rungs) / (s + 1) eta^s)`` networks, as in the paper.
    See ``SuccessiveHalving``.
    """

    eta: int = 3
    objectives: tuple[str, ...] = (ERROR,)
    sampler: str = "random"
    journal: Path | str | None = None
    rounds: int | None = None
    name: str = "hyperband"

    def __post_init__(self) -> None:
        _check(self.eta, self.objectives)

    def __call__(self, lab: Lab, rng: np.random.Generator) -> None:
        """Round after round."""
        count = len(lab.rungs)
        with quiet_optuna():
            study = _study(self.name, self.objectives, self.sampler, self.journal, False, lab, rng)
            done = 0
            while self.rounds is None or done < self.rounds:
                for above in reversed(range(count)):
                    networks = -(-count * self.eta**above // (above + 1))
                    if not _bracket(study, networks, count - 1 - above, self.eta):
                        return
                done += 1


@dataclass(frozen=True)
class AsynchronousHalving:
    """Promotes whatever is among the best in ``eta`` of its rung, else tries another network: no bracket waits.

    Several processes may work on one journal and one cache folder, each with a lab of its own. A process that is killed
    loses the rung it was training, which another one or its successor takes up from the checkpoint below. A lab pays
    for the rungs below of a network that another process had trained there. A process that ends enters into its lab
    what the others had found at the study's highest rung by then, without charge, since they paid for it: the best of a
    search is the best of the study.

    Args:
        eta: one in ``eta`` is promoted.
        objectives, sampler: see ``SuccessiveHalving``.
        journal: of the shared study; in memory if None.
        networks: most to begin with; None for no limit but the budget and the space.
    """

    eta: int = 3
    objectives: tuple[str, ...] = (ERROR,)
    sampler: str = "random"
    journal: Path | str | None = None
    networks: int | None = None
    name: str = "asynchronous halving"

    def __post_init__(self) -> None:
        _check(self.eta, self.objectives)

    def __call__(self, lab: Lab, rng: np.random.Generator) -> None:
        """Job after job."""
        with quiet_optuna():
            study = _study(self.name, self.objectives, self.sampler, self.journal, self.journal is not None, lab, rng)
            try:
                self._work(study)
            finally:
                for trial in study.of_others():
                    lab.record(trial)

    def _work(self, study: RungStudy) -> None:
        while True:
            job = promotable(study, self.eta)
            if job is not None:
                study.at(*job)
            elif self._full(study) or study.new() is None:
                return

    def _full(self, study: RungStudy) -> bool:
        return self.networks is not None and sum(one.rung == 0 for one in study.tried()) >= self.networks


def promotable(study: RungStudy, eta: int) -> tuple[Architecture, int] | None:
    """A network and the rung to promote it to, the highest rung first; None if there is none.

    Algorithm 2 of Li et al., MLSys 2020.
    """
    tried = study.tried()
    for rung in reversed(range(len(study.lab.rungs) - 1)):
        above = {one.architecture for one in tried if one.rung == rung + 1}
        here = [(one.architecture, one.values) for one in tried if one.rung == rung and one.values is not None]
        if here:
            order = ranked(np.stack([values for _, values in here]))
            for place in order[: len(here) // eta]:
                architecture, values = here[place]
                if architecture not in above and np.isfinite(values).all():
                    return architecture, rung + 1
    return None


def _check(eta: int, objectives: tuple[str, ...]) -> None:
    if eta < 2 or not objectives:
        raise ValueError(f"Expected eta of at least 2 and one objective at least. Got {eta} and {objectives}.")


def _study(
    name: str,
    objectives: tuple[str, ...],
    sampler: str,
    journal: Path | str | None,
    shared: bool,
    lab: Lab,
    rng: np.random.Generator,
) -> RungStudy:
    drawing = make_sampler(sampler, int(rng.integers(2**31)))
    return RungStudy(lab, rng, objectives, make_study(name, objectives, drawing, None, journal, shared), shared)


def _bracket(study: RungStudy, networks: int, rung: int, eta: int) -> bool:
    """Halving of new networks from a rung on; whether there were any."""
    kept: list[Trial] = []
    while len(kept) < networks and (trial := study.new(rung)) is not None:
        kept.append(trial)
    found = bool(kept)
    for higher in range(rung + 1, len(study.lab.rungs)):
        if not kept:
            break
        order = ranked(np.array([values_of(trial, study.objectives) for trial in kept]))
        best = [kept[place] for place in order[: len(kept) // eta]] or [kept[place] for place in order[:1]]
        usable = [trial.architecture for trial in best if np.isfinite(trial.error)]
        kept = [study.at(one, higher) or study.lab.ask(one, higher) for one in usable]
    return found
