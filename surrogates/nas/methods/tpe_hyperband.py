"""Optuna's TPE with its Hyperband pruner: a model proposes, a training is stopped for good where it lags behind.

Bergstra, Bardenet, Bengio, Kegl, NeurIPS 2011 (TPE); after Falkner, Klein, Hutter, ICML 2018 (BOHB, arXiv 1807.01774).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import optuna
from optuna.trial import TrialState

from surrogates.architecture import Architecture
from surrogates.nas.lab import Lab
from surrogates.nas.methods.fresh import fresh
from surrogates.nas.methods.optuna_study import make_sampler, make_study
from surrogates.nas.pareto import ERROR
from surrogates.nas.space import ArchitectureSpace
from surrogates.runtime import quiet_optuna


@dataclass(frozen=True)
class TpeHyperband:
    """Network by network, through all rungs unless the pruner ends it.

    Where the model proposes what was tried, a network that differs in one gene takes its turn.

    Args:
        pruned: without, every network is trained to the last rung.
        eta: of Hyperband, 2 at least.
        journal: file that optuna-dashboard reads; begun anew.
        networks: None to go on until the budget is spent, or nothing is left.
    """

    pruned: bool = True
    eta: int = 3
    journal: Path | str | None = None
    networks: int | None = None
    name: str = "TPE with Hyperband"

    def __post_init__(self) -> None:
        if self.eta < 2:
            raise ValueError(f"Expected eta of at least 2. Got {self.eta}.")
        if self.networks is not None and self.networks < 1:
            raise ValueError(f"Expected networks of at least 1, or None. Got {self.networks}.")

    def __call__(self, lab: Lab, rng: np.random.Generator) -> None:
        """Trial after trial.

        Raises:
            ValueError: for rungs whose epochs do not rise: they are the steps that Optuna's pruner counts in.
        """
        if not all(below.epochs < rung.epochs for below, rung in pairwise(lab.rungs)):
            raise ValueError(f"Expected rungs of rising epochs. Got {[rung.key for rung in lab.rungs]}; give those.")
        low, high = lab.rungs[0].epochs, lab.rungs[-1].epochs
        pruner = optuna.pruners.HyperbandPruner(low, high, self.eta) if self.pruned else None
        sampler = make_sampler("tpe", int(rng.integers(2**31)))
        with quiet_optuna():
            study = make_study(self.name, (ERROR,), sampler, pruner, self.journal, False)
            tried: set[Architecture] = set()
            while self.networks is None or len(tried) < self.networks:
                proposed = _proposed(lab.space, study, tried, rng)
                if proposed is None:
                    return
                trial, architecture = proposed
                tried.add(architecture)
                _climb(lab, study, trial, architecture)


def _proposed(
    space: ArchitectureSpace, study: optuna.Study, tried: set[Architecture], rng: np.random.Generator
) -> tuple[optuna.Trial, Architecture] | None:
    """A network that is new, in a trial of its own."""
    trial = study.ask()
    proposed = space.suggest(trial)
    if proposed not in tried and space.admits(proposed):
        return trial, proposed
    study.tell(trial, state=TrialState.FAIL)
    drawn = fresh(space, rng, tried, lambda: space.mutate(proposed, rng))
    if drawn is None:
        return None
    study.enqueue_trial(dict(space.parameters(drawn)))
    trial = study.ask()
    return trial, space.suggest(trial)


def _climb(lab: Lab, study: optuna.Study, trial: optuna.Trial, architecture: Architecture) -> None:
    """Rung by rung, until the pruner ends it."""
    state, error = TrialState.FAIL, None
    try:
        trial.set_user_attr("architecture", architecture.key)
        for number, rung in enumerate(lab.rungs):
            found = lab.ask(architecture, number).error
            if not np.isfinite(found):
                return
            trial.report(found, rung.epochs)
            if number < len(lab.rungs) - 1 and trial.should_prune():
                state = TrialState.PRUNED
                return
        state, error = TrialState.COMPLETE, found
    finally:
        study.tell(trial, error, state=state)
