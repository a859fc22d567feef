"""The search for an architecture, with Optuna."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import optuna
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from surrogates.choice import Progress, SearchError, SearchResult
from surrogates.data import Dataset
from surrogates.ensemble import HELD_OUT, DeepEnsemble
from surrogates.families import FAMILIES, baseline_parameters
from surrogates.memo import Memo, no_memo
from surrogates.runtime import quiet_optuna
from surrogates.training import MONITORS, TrainingConfig
from surrogates.trials import TrialRules, TrialRunner

STUDY = "architecture-search"
_STATES = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}


@dataclass(frozen=True)
class Search:
    """TPE proposes, Hyperband prunes on training epochs. Made by ``search``.

    Args:
        trials: networks to try.
        members: of the ensemble trained in the end.
        config: of that ensemble, learning rate and gradient weight aside.
        rules: of a trial.
    """

    trials: int
    members: int
    config: TrainingConfig
    rules: TrialRules

    def choose(
        self,
        data: Dataset,
        *,
        seed: int,
        memo: Memo = no_memo,
        journal_path: Path | None = None,
        progress: Progress | None = None,
    ) -> SearchResult:
        """Run the study; after a kill, run it again: finished trials come from the memo and lead to the same study.

        Args:
            data: the split into training and validation groups is made here, with ``seed``.
            seed: of the split, the sampler and every network.
            memo: each trial's training goes through it, under the kind ``search-trial``.
            journal_path: an Optuna journal to look at with optuna-dashboard; it is written anew, an older one moves to
                the same name with ``.old`` added.
            progress: called after each trial.

        Raises:
            SearchError: every trial failed or was pruned.
        """
        started = time.process_time()
        runner = TrialRunner(self.rules, data, seed, memo)
        with quiet_optuna():
            study = self._study(runner, seed, journal_path)
            for _ in range(self.trials):
                record = runner.run(study.ask())
                study.tell(
                    record.number,
                    record.value if record.state == "complete" else None,
                    state=_STATES[record.state],
                )
                if progress is not None:
                    progress(record)
        complete = [record for record in runner.records if record.state == "complete"]
        if not complete:
            errors = sorted({record.error for record in runner.records if record.error})
            raise SearchError(f"Expected at least one complete trial of {self.trials}. Got {', '.join(errors)}.")
        best = min(complete, key=lambda record: record.value)
        full = {name: getattr(self.config, name) for name in ("epochs", "pretraining_epochs", "patience")}
        overhead = time.process_time() - started - runner.seconds_in_memo
        spent = sum(record.cpu_seconds for record in runner.records)
        return SearchResult(best.architecture, replace(best.config, **full), tuple(runner.records), spent + overhead)

    def ensemble(self, result: SearchResult) -> DeepEnsemble:
        """An unfitted ensemble of the result."""
        return DeepEnsemble(result.architecture, self.members, result.config, self.rules.held_out)

    def _study(self, runner: TrialRunner, seed: int, journal_path: Path | None) -> optuna.Study:
        storage: optuna.storages.BaseStorage = optuna.storages.InMemoryStorage()
        if journal_path is not None:
            journal_path.parent.mkdir(parents=True, exist_ok=True)
            if journal_path.exists():
                journal_path.replace(journal_path.with_name(journal_path.name + ".old"))
            # A killed run leaves its lock behind, and this run is the file's only writer.
            journal_path.with_name(journal_path.name + ".lock").unlink(missing_ok=True)
            storage = optuna.storages.JournalStorage(JournalFileBackend(str(journal_path)))
        pruner = optuna.pruners.HyperbandPruner(
            min_resource=self.rules.min_epochs,
            max_resource=runner.total_epochs,
            reduction_factor=self.rules.reduction_factor,
        )
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=len(self.rules.families) + 2)
        # Hyperband draws a trial's bracket from the study's name: the name is part of the outcome.
        study = optuna.create_study(
            storage=storage, sampler=sampler, pruner=pruner, study_name=STUDY, direction="minimize"
        )
        for family in self.rules.families[: self.trials]:
            study.enqueue_trial(baseline_parameters(family) | self.config.parameters(runner.has_gradients))
        return study


def search(
    *,
    trials: int = 10,
    epochs: int = 27,
    pretraining_epochs: int = 9,
    families: Sequence[str] = ("mlp", "resnet", "fno"),
    objective: str = "both",
    members: int = 4,
    config: TrainingConfig | None = None,
    max_parameters: int = 500_000,
    max_latency_ms: float | None = None,
    held_out: float = HELD_OUT,
    min_epochs: int = 3,
    reduction_factor: int = 3,
) -> Search:
    """A search over architectures, learning rate and the weight of the gradient term. The first trials are one
    baseline a family.

    Args:
        trials: networks to try.
        epochs, pretraining_epochs: of a trial, at the reference and at each level below.
        families: where to look.
        objective: what a good network has on the validation groups: ``gradient`` (cosine with the adjoint), ``value``
            or ``both``.
        members: of the ensemble trained in the end.
        config: of that ensemble; the search replaces its learning rate and gradient weight, with its own as the first
            guess (a gradient weight of 0 stays); trials differ in epochs and have no patience.
        max_parameters, max_latency_ms: a trial above either fails. Latency is CPU time of one design's gradient;
            None for no cap.
        held_out: share of the samples, by groups, to validate on.
        min_epochs, reduction_factor: Hyperband's smallest rung, and the factor between rungs.
    """
    unknown = sorted(set(families) - set(FAMILIES))
    if unknown or not families:
        raise ValueError(f"Expected families among {', '.join(FAMILIES)}. Got {', '.join(unknown) or 'none'}.")
    if objective not in MONITORS:
        raise ValueError(f"Expected an objective among {', '.join(MONITORS)}. Got {objective!r}.")
    if not 1 <= min_epochs <= epochs:
        raise ValueError(f"Expected min_epochs between 1 and epochs ({epochs}). Got {min_epochs}.")
    if trials < 1:
        raise ValueError(f"Expected at least one trial. Got {trials}.")
    config = replace(config or TrainingConfig(), monitor=objective)
    rules = TrialRules(
        families=tuple(families),
        config=replace(config, epochs=epochs, pretraining_epochs=pretraining_epochs, patience=0),
        max_parameters=max_parameters,
        max_latency_ms=max_latency_ms,
        held_out=held_out,
        min_epochs=min_epochs,
        reduction_factor=reduction_factor,
    )
    return Search(trials, members, config, rules)
