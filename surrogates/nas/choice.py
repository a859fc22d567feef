"""Any method of architecture search as the way a design loop chooses its surrogate."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from surrogates.architecture import Architecture
from surrogates.choice import Progress, SearchError, SearchResult
from surrogates.data import Dataset
from surrogates.ensemble import HELD_OUT, DeepEnsemble
from surrogates.evaluation import PullBack, late_rows
from surrogates.memo import Memo, Payload, no_memo
from surrogates.nas.cache import TrialCache
from surrogates.nas.description import described
from surrogates.nas.fidelity import RungReport
from surrogates.nas.lab import Method, Rung, Trial, search_with
from surrogates.nas.live import LiveLab, Task
from surrogates.nas.records import record, records, told, trial_of
from surrogates.nas.rungs import Measured, measured_lab
from surrogates.nas.space import ArchitectureSpace
from surrogates.splitting import split
from surrogates.training import TrainingConfig

RUNGS = (Rung(3), Rung(9), Rung(27))
# Counted up when methods, labs or learners come to other results on the same inputs: kept searches are then made anew.
VERSION = 3


@dataclass(frozen=True)
class ByMethod:
    """An ``ArchitectureChoice``. Made by ``by_method``.

    Args:
        method: proposes networks.
        space: of the networks.
        rungs: at which they are tried, on the reference's samples unless a rung says otherwise; or candidates, of
            which measurement chooses.
        budget_cpu_seconds: of the search.
        members: of the ensemble trained in the end.
        config: of that ensemble and, but for epochs and patience, of the trials.
        held_out: share of the samples, by groups, to hold out.
        late: share of every held-out run's samples, its last ones, to judge on.
        latent: to judge gradients in the latent variables, as ``latent_cosine``; None for the density.
    """

    method: Method
    space: ArchitectureSpace
    rungs: tuple[Rung, ...] | Measured
    budget_cpu_seconds: float
    members: int
    config: TrainingConfig
    held_out: float
    late: float = 0.5
    latent: PullBack | None = None

    def choose(
        self,
        data: Dataset,
        *,
        seed: int,
        memo: Memo = no_memo,
        journal_path: Path | None = None,
        progress: Progress | None = None,
    ) -> SearchResult:
        """Runs the method.

        After a kill, run it again: a finished search comes from the memo, and trials finished before the kill from the
        folder beside the journal, charged as when they were trained.

        Args:
            data: the split into training and held-out groups is made here, with ``seed``.
            seed: of the split, the method and every network.
            memo: the whole search goes through it, under the kind ``architecture-search``.
            journal_path: where trials are kept: in a folder of this name with ``.trials`` for its suffix.
            progress: called after each trial that was trained.

        Raises:
            SearchError: no network could be trained.
        """
        train, rest = split(data, self.held_out, seed)
        judging = rest.levels[data.reference]
        judging = judging.take(late_rows(judging.groups, self.late))
        candidates = self.rungs.rungs if isinstance(self.rungs, Measured) else self.rungs
        config = replace(self.config, epochs=max(rung.epochs for rung in candidates), patience=0)
        task = Task(train, judging, config, candidates, self.latent)
        inputs = {
            "version": VERSION,
            "method": described(self.method),
            "space": described(self.space),
            "rungs": described(self.rungs),
            "budget_cpu_seconds": self.budget_cpu_seconds,
            "config": config.to_json(),
            "made_by": config.made_by(),
            "train": train.key,
            "held_out": task.held_out.key,
            "latent": described(self.latent),
            "seed": seed,
        }

        def compute() -> Payload:
            folder = journal_path.with_suffix(".trials") if journal_path is not None else None
            cache, numbers = TrialCache(folder), dict[Architecture, int]()

            def watch(rungs: int) -> Callable[[Trial], None] | None:
                def show(trial: Trial) -> None:
                    if progress is not None:
                        number = numbers.setdefault(trial.architecture, len(numbers))
                        progress(record(number, trial, config, data.reference, rungs))

                return show

            measured: tuple[RungReport, ...] = ()
            try:
                if isinstance(self.rungs, Measured):
                    pilot = (self.rungs, self.space, task, self.budget_cpu_seconds, cache, seed)
                    lab, measured = measured_lab(*pilot, watch=watch(len(candidates)))
                else:
                    lab = LiveLab(self.space, task, self.budget_cpu_seconds, cache)
                lab.watch = watch(len(lab.rungs))
                found = search_with(self.method, lab, seed)
            except ValueError as error:
                raise SearchError(f"Expected {self.method.name} to find a network. {error}") from error
            content = {
                "best": found.best.to_json(),
                "learning_rate": found.learning_rate,
                "trials": [told(trial) for trial in found.trials],
                "rungs": len(lab.rungs),
                "measured": [report.to_json() for report in measured],
            }
            text = np.frombuffer(json.dumps(content).encode(), dtype=np.uint8)
            return {"told": text, "cpu_seconds": np.array(found.spent)}

        payload = memo("architecture-search", inputs, compute)
        content = json.loads(payload["told"].tobytes())
        rate = content["learning_rate"] or self.config.learning_rate
        trials = [trial_of(one) for one in content["trials"]]
        return SearchResult(
            Architecture.from_json(content["best"]),
            replace(self.config, learning_rate=rate),
            records(trials, config, data.reference, content["rungs"]),
            float(payload["cpu_seconds"]),
            tuple(RungReport.from_json(one) for one in content["measured"]),
        )

    def ensemble(self, result: SearchResult) -> DeepEnsemble:
        """An unfitted ensemble of the result."""
        return DeepEnsemble(result.architecture, self.members, result.config, self.held_out)


def by_method(
    method: Method,
    *,
    space: ArchitectureSpace | None = None,
    rungs: Sequence[Rung] | Measured = RUNGS,
    budget_cpu_seconds: float = 60.0,
    members: int = 4,
    config: TrainingConfig | None = None,
    held_out: float = HELD_OUT,
    late: float = 0.5,
    latent: PullBack | None = None,
) -> ByMethod:
    """A search by any method of ``surrogates.nas.methods``, for strategies that take ``search(...)``.

    Args:
        method: e.g. ``GaussianProcess()``; see docs/search.md for which.
        space: of the networks; ``ArchitectureSpace()`` if left out.
        rungs: at which networks are tried; or ``Measured(candidates=...)``, of which those are that a pilot finds to
            rank networks well for their CPU seconds.
        budget_cpu_seconds: of the search; a training that has begun is not cut off.
        members: of the ensemble trained in the end.
        config: of that ensemble; ``monitor`` says what the search minimises.
        held_out: share of the samples, by groups, to hold out.
        late: share of every held-out run's samples, its last ones, to judge on, as a gradient is wanted there; 1 for
            all.
        latent: from gradients in the density to those in the latent variables, where they are then judged. A strategy
            gives that of its problem's design space where it has one.

    Raises:
        TypeError: for what is no method, or a method with settings that nothing tells from others.
        ValueError: for a budget that is not above 0, no rung, or a share of late samples outside (0, 1].
    """
    if isinstance(method, type) or not callable(method) or not hasattr(method, "name"):
        raise TypeError(f"Expected a method of surrogates.nas.methods, e.g. GaussianProcess(). Got {method!r}.")
    if not 0 < late <= 1:
        raise ValueError(f"Expected a share of late samples in (0, 1]. Got {late}; give 1 to judge on all.")
    if not budget_cpu_seconds > 0 or not rungs:
        raise ValueError(f"Expected a budget above 0 CPU s and a rung at least. Got {budget_cpu_seconds} and {rungs}.")
    described(method)
    ladder = rungs if isinstance(rungs, Measured) else tuple(rungs)
    return ByMethod(
        method, space or ArchitectureSpace(), ladder, budget_cpu_seconds, members, config or TrainingConfig(), held_out,
        late, latent,
    )  # fmt: skip
