"""An Optuna study that is told every network at every rung, alone or shared by several processes."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from surrogates.architecture import Architecture
from surrogates.nas.lab import Lab, Trial
from surrogates.nas.methods.fresh import fresh
from surrogates.nas.pareto import values_of

SAMPLERS = ("random", "tpe")
RUNG, WORKER, VALUES, TRIAL = "rung", "worker", "values", "trial"
ASKED = "asked"
TOLD = (TrialState.COMPLETE, TrialState.PRUNED)


def make_sampler(name: str, seed: int) -> optuna.samplers.BaseSampler:
    """``random``, or ``tpe``, which counts what is running as bad (constant liar) so that workers spread.

    Raises:
        ValueError: for another name.
    """
    if name == "random":
        return optuna.samplers.RandomSampler(seed)
    if name == "tpe":
        return optuna.samplers.TPESampler(seed=seed, n_startup_trials=10, multivariate=True, constant_liar=True)
    raise ValueError(f"Expected a sampler among {', '.join(SAMPLERS)}. Got {name!r}.")


def make_study(
    name: str,
    objectives: Sequence[str],
    sampler: optuna.samplers.BaseSampler,
    pruner: optuna.pruners.BasePruner | None,
    journal: Path | str | None,
    shared: bool,
) -> optuna.Study:
    """A study in memory, or in a journal that optuna-dashboard reads: there joined if shared, else begun anew."""
    storage: optuna.storages.BaseStorage = optuna.storages.InMemoryStorage()
    if journal is not None:
        Path(journal).parent.mkdir(parents=True, exist_ok=True)
        storage = optuna.storages.JournalStorage(JournalFileBackend(str(journal)))
        if not shared and name in {summary.study_name for summary in storage.get_all_studies()}:
            optuna.delete_study(study_name=name, storage=storage)
    return optuna.create_study(
        study_name=name,
        storage=storage,
        sampler=sampler,
        pruner=pruner or optuna.pruners.NopPruner(),
        directions=["minimize"] * len(objectives),
        load_if_exists=shared,
    )


@dataclass(frozen=True, eq=False)
class Tried:
    """One network at one rung, as the study has it.

    Args:
        architecture, rung: what.
        values: of the objectives, infinite where training diverged; None while it runs.
    """

    architecture: Architecture
    rung: int
    values: NDArray[np.float64] | None


@dataclass(eq=False)
class RungStudy:
    """Asks Optuna for networks and tells it what came of them; one Optuna trial is one network at one rung.

    A trial below the last rung is told as pruned, with its epochs as the step. In a shared study the decision is by
    number: of two trials of the same network and rung the first counts. Trials of a process of this host that is gone
    are told as failed, so that others may take them up.

    Args:
        lab: to train in.
        rng: of networks where the sampler has no new one.
        objectives: see ``values_of``.
        study: as ``make_study`` gives it.
        shared: whether other processes work on it.

    Raises:
        ValueError: for a shared study of another space, other rungs or objectives.
    """

    lab: Lab
    rng: np.random.Generator
    objectives: tuple[str, ...]
    study: optuna.Study
    shared: bool = False
    _known: dict[int, Architecture] = field(default_factory=dict)
    _ended: dict[tuple[Architecture, int], Tried] = field(default_factory=dict)
    _settled: int = 0

    def __post_init__(self) -> None:
        rungs = [rung.key for rung in self.lab.rungs]
        asked = json.dumps([list(self.lab.space.genes.items()), rungs, list(self.objectives)])
        known = self.study.user_attrs.get(ASKED, asked)
        if known != asked:
            raise ValueError(f"Expected a journal of this search, {asked}. Got one of {known}; give another file.")
        self.study.set_user_attr(ASKED, asked)

    def tried(self) -> list[Tried]:
        """All that counts: finished, or running in a process that is alive."""
        self._settle()
        found = dict(self._ended)
        for trial in self._trials()[self._settled :]:
            if trial.state == TrialState.RUNNING and self._orphan(trial):
                self._fail(trial.number)
            elif self._counts(trial):
                one = self._tried(trial)
                found.setdefault((one.architecture, one.rung), one)
        return list(found.values())

    def _trials(self) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False)

    def _settle(self) -> None:
        """Enters what ended before any trial that runs, which nothing changes any more, in ``_ended``."""
        for trial in self._trials()[self._settled :]:
            if not trial.state.is_finished():
                return
            self._settled += 1
            if self._counts(trial):
                one = self._tried(trial)
                self._ended.setdefault((one.architecture, one.rung), one)

    def _tried(self, trial: FrozenTrial) -> Tried:
        values = trial.user_attrs.get(VALUES) if trial.state in TOLD else None
        told = None if values is None else np.array(values, dtype=np.float64)
        return Tried(self._of(trial), trial.user_attrs.get(RUNG, 0), told)

    def of_others(self) -> list[Trial]:
        """What finished at the highest rung of the study and is not among the lab's own trials, at no CPU seconds.

        Trainings that diverged are left out.
        """

        def figures(told: Mapping[str, float | None]) -> dict[str, float]:
            return {name: np.nan if value is None else value for name, value in told.items()}

        if not self.shared:
            return []
        known = {(trial.architecture, trial.rung) for trial in self.lab.trials}
        told = [
            (self._of(trial), int(trial.user_attrs[RUNG]), trial.user_attrs[TRIAL])
            for trial in self._trials()
            if trial.state in TOLD and TRIAL in trial.user_attrs
        ]
        top = max((rung for _, rung, _ in told), default=0)
        return [
            Trial(
                architecture, rung, one["seed"], one["error"], figures(one["measures"]),
                np.array(one["curve"], dtype=np.float64), 0.0, self.lab.spent,
            )
            for architecture, rung, one in told
            if rung == top and (architecture, rung) not in known
        ]  # fmt: skip

    def new(self, rung: int = 0) -> Trial | None:
        """A network that was not tried before, at a rung; None where there is none left."""
        trial = self.study.ask()
        given = int(trial.user_attrs.get(RUNG, rung))
        trial.set_user_attr(RUNG, given)
        done = self._run(trial, given)
        if done is not None:
            return done
        space, proposed = self.lab.space, self._of(trial)
        tried = {one.architecture for one in self.tried()}
        drawn = fresh(space, self.rng, tried, lambda: space.mutate(proposed, self.rng))
        return None if drawn is None else self.at(drawn, rung)

    def at(self, architecture: Architecture, rung: int) -> Trial | None:
        """A given network at a rung; None where another process has it.

        Between queueing and asking another process may take what was queued here. What this one is handed then, if
        another had queued it, is run in its place.
        """
        self.study.enqueue_trial(
            dict(self.lab.space.parameters(architecture)), user_attrs={RUNG: rung, WORKER: _worker()}
        )
        trial = self.study.ask()
        if RUNG not in trial.user_attrs:
            self._fail(trial.number)
            return None
        done = self._run(trial, int(trial.user_attrs[RUNG]))
        return done if done is not None and (done.architecture, done.rung) == (architecture, rung) else None

    def _run(self, trial: optuna.Trial, rung: int) -> Trial | None:
        try:
            trial.set_user_attr(WORKER, _worker())
            architecture = self.lab.space.suggest(trial)
            if not self.lab.space.admits(architecture) or self._taken(trial.number, architecture, rung):
                self._fail(trial.number)
                return None
            done = self.lab.ask(architecture, rung)
        except BaseException:
            self._fail(trial.number)
            raise
        self._tell(trial, done)
        return done

    def _tell(self, trial: optuna.Trial, done: Trial) -> None:
        values = values_of(done, self.objectives)
        trial.set_user_attr("architecture", done.architecture.key)
        trial.set_user_attr("cpu_seconds", done.cpu_seconds)
        trial.set_user_attr(VALUES, [float(value) if np.isfinite(value) else "inf" for value in values])
        if self.shared and np.isfinite(done.error):
            measures = {name: float(value) if np.isfinite(value) else None for name, value in done.measures.items()}
            told = {"seed": done.seed, "error": float(done.error), "measures": measures, "curve": done.curve.tolist()}
            trial.set_user_attr(TRIAL, told)
        last = done.rung == len(self.lab.rungs) - 1
        if last and np.isfinite(values).all():
            self.study.tell(trial, values.tolist())
            return
        if len(values) == 1 and np.isfinite(values[0]):
            trial.report(float(values[0]), self.lab.rungs[done.rung].epochs)
        self.study.tell(trial, state=TrialState.PRUNED)

    def _taken(self, number: int, architecture: Architecture, rung: int) -> bool:
        """Whether an earlier trial has this network at this rung."""
        self._settle()
        return (architecture, rung) in self._ended or any(
            trial.number < number
            and self._counts(trial)
            and trial.user_attrs.get(RUNG, 0) == rung
            and self._of(trial) == architecture
            for trial in self._trials()[self._settled :]
        )

    def _counts(self, trial: FrozenTrial) -> bool:
        if trial.state == TrialState.RUNNING:
            return not self._orphan(trial) and set(trial.params) == set(self._genes)
        return trial.state in TOLD

    @cached_property
    def _genes(self) -> tuple[str, ...]:
        return tuple(self.lab.space.distributions())

    def _of(self, trial: FrozenTrial | optuna.Trial) -> Architecture:
        if trial.number not in self._known:
            self._known[trial.number] = self.lab.space.from_parameters(trial.params)
        return self._known[trial.number]

    def _orphan(self, trial: FrozenTrial) -> bool:
        if not self.shared:
            return False
        host, _, process = str(trial.user_attrs.get(WORKER, "")).rpartition(":")
        return host == socket.gethostname() and not _alive(int(process))

    def _fail(self, number: int) -> None:
        self.study.tell(number, state=TrialState.FAIL, skip_if_finished=True)


def _worker() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
