"""A strategy's surrogate: chosen once, trained again on what came back, its figures noted for the report."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from invdesign.arrays import content_key
from invdesign.dataset import dataset
from invdesign.evaluator import Evaluator
from invdesign.problem import Problem
from invdesign.spaces.space import DensitySpace
from invdesign.strategies.descent import SolveFailed
from invdesign.strategies.latent import PROJECTIONS, latent_pull_back
from surrogates.architecture import Architecture
from surrogates.choice import ArchitectureChoice, SearchResult
from surrogates.ensemble import DeepEnsemble
from surrogates.evaluation import LevelScore
from surrogates.nas.choice import ByMethod

# A retraining starts from the last weights and needs a fraction of the epochs.
RETRAINING_SHARE = 1 / 3


def _in_theta(choice: ArchitectureChoice, problem: Problem) -> ArchitectureChoice:
    space = problem.space
    if not isinstance(choice, ByMethod) or choice.latent is not None:
        return choice
    if not isinstance(space, DensitySpace) or space.projection not in PROJECTIONS:
        return choice
    return replace(choice, latent=latent_pull_back(space))


class Learner:
    """The surrogate of one run.

    Args:
        choice: how its architecture is chosen; a search judges gradients in the space's latent variables where these
            are known from the density and nothing else is given.
        problem, evaluator: of the run.
        seed: of search and training.
    """

    def __init__(self, choice: ArchitectureChoice, problem: Problem, evaluator: Evaluator, seed: int) -> None:
        self.choice = _in_theta(choice, problem)
        self.problem = problem
        self.evaluator = evaluator
        self.seed = seed
        self.ensemble: DeepEnsemble | None = None
        self.key = ""
        self.rounds = 0
        self._result: SearchResult | None = None

    @property
    def level(self) -> int:
        """The fidelity whose answers the surrogate gives: the reference."""
        return self.problem.reference_level

    def learn(self) -> None:
        """Chooses the architecture at the first call, and (re)trains the ensemble on all this run has seen.

        Raises:
            SolveFailed: if nothing at the reference has succeeded.
        """
        identity = self.problem.simulator.identity
        if not any(r.level == self.level and r.identity == identity and r.response for r in self.evaluator.records):
            raise SolveFailed("no solve at the reference has succeeded; there is nothing to learn from")
        data = dataset(self.evaluator.records, identity)
        if self._result is None:
            self.evaluator.stage = "searching the architecture"
            self._result = self.choice.choose(
                data, seed=self.seed, memo=self.evaluator.memo, journal_path=self.evaluator.study_path
            )
            self._note_search(self._result)
        fresh = self.choice.ensemble(self._result)
        if self.ensemble is not None:
            epochs = max(4, round(fresh.config.epochs * RETRAINING_SHARE))
            before = max(2, round(fresh.config.pretraining_epochs * RETRAINING_SHARE))
            fresh.config = replace(fresh.config, epochs=epochs, pretraining_epochs=before)
        self.evaluator.stage = f"training the ensemble, round {self.rounds + 1}"
        # One seed for all rounds: what a warm start has trained on must not be held out next.
        report = fresh.fit(data, seed=self.seed, memo=self.evaluator.memo, init=self.ensemble)
        self.ensemble = fresh
        self.key = content_key(fresh.architecture.key, [fitted_content(fresh, level) for level in fresh.fitted])
        self.rounds += 1
        names = [fidelity.name for fidelity in self.problem.simulator.fidelities]
        for level, score in report.levels.items():
            gradients = len(data.levels[level].gradients)
            self.evaluator.note("surrogate", level=names[level], **_figures(score, gradients, report.cpu_seconds))

    def _note_search(self, result: SearchResult) -> None:
        if not result.trials:
            return
        trials = [
            {
                "number": trial.number,
                "family": trial.architecture.family,
                "describe": trial.architecture.key,
                "state": trial.state,
                "parameters": self._size(trial.architecture),
                "value": _finite(trial.value),
                "curve": [_finite(float(v)) for v in trial.curve[:, 1]],
                "levels": [int(v) for v in trial.curve[:, 0] if math.isfinite(v)],
                "cpu_seconds": trial.cpu_seconds,
            }
            for trial in result.trials
        ]
        chosen = [trial for trial in result.trials if trial.architecture == result.architecture]
        best = min(chosen, key=lambda trial: trial.value if math.isfinite(trial.value) else math.inf).number
        rungs = [
            {
                "rung": report.rung.key,
                "networks": report.networks,
                "cpu_seconds": report.cpu_seconds,
                "correlation": report.correlation,
                "interval": list(report.interval),
                "admitted": report.admitted,
            }
            for report in result.rungs
        ]
        measured = {"rungs": rungs} if rungs else {}
        self.evaluator.note("search", trials=trials, best=best, objective=result.config.monitor, **measured)

    def _size(self, architecture: Architecture) -> int:
        """Parameters of one network of the reference level."""
        sizes = [math.prod(q.shape) * (2 if q.dtype is complex else 1) for q in self.problem.reference.response]
        return architecture.n_parameters(tuple(self.problem.space.shape), sum(sizes))

    def losses(self, problem: Problem, thetas: Tensor) -> tuple[Tensor, Tensor]:
        """(loss of the mean prediction `(b,)`, loss of each network `(m, b)`) at thetas `(b, size)`; differentiable.

        Corners of the projection decode as they do for the solver. Corners of the simulator's parameters are judged
        by the nominal response, which is all that the surrogate knows. Penalties of constraints are exact.
        """
        if self.ensemble is None:
            raise RuntimeError("Expected a trained surrogate. Call learn() first.")
        target = problem.target_loss(problem.reference)
        means, members = [], []
        for case in problem.cases():
            prediction = self.ensemble.predict(case.space.decode(thetas), self.level)
            means.append(target.loss(prediction.mean))
            each = prediction.codec.decode(prediction.members)
            members.append(target.loss(each))
        penalty = problem.penalty(thetas)
        return problem.combined(torch.stack(means)) + penalty, problem.combined(torch.stack(members)) + penalty

    @property
    def spread_scale(self) -> float:
        """Calibrated factor on the networks' disagreement, at least 1.

        A calibration may explain the held-out errors by a constant residual alone and set the factor to 0; but a
        constant does not tell a step to trust from one to doubt.
        """
        if self.ensemble is None:
            return 1.0
        return max(1.0, float(self.ensemble.fitted[self.level].calibration.member_scale))


def check_choice(choice: object) -> None:
    """Raises `TypeError` for what is no way to choose an architecture."""
    if not (hasattr(choice, "choose") and hasattr(choice, "ensemble")):
        raise TypeError(f"Expected search(...) or fixed(...) for the surrogate. Got {choice!r}.")


def fitted_content(ensemble: DeepEnsemble, level: int) -> list[Any]:
    """All that a fitted level's predictions depend on, for keys."""
    fitted = ensemble.fitted[level]
    return [level, list(fitted.states), fitted.calibration, fitted.codec.mean, fitted.codec.scale]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _figures(score: LevelScore, gradients: int, cpu_seconds: float) -> dict[str, Any]:
    baselines = {
        name: {"value_error": _finite(b.value_error), "gradient_cosine": _finite(b.gradient_cosine)}
        for name, b in score.baselines.items()
    }
    return {
        "samples": score.n_train + score.n_held_out,
        "gradients": gradients,
        "value_error": _finite(score.value_error),
        "r2": _finite(score.r2),
        "gradient_cosine": _finite(score.gradient_cosine),
        "coverage_90": _finite(score.coverage_90),
        "interval_width": _finite(score.width_90),
        "baselines": baselines,
        "cpu_seconds": cpu_seconds,
    }


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Cosine of two gradients; 0 where one vanishes."""
    norm = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / norm if norm > 0 else 0.0
