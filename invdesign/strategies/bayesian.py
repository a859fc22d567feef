"""Bayesian optimisation of discrete designs: a model of what was measured, and what it promises of the rest."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import erfcx, ndtr, ndtri
from scipy.stats import qmc

from invdesign.evaluator import Evaluator
from invdesign.problem import Problem
from invdesign.spaces.discrete import Codes
from invdesign.strategies.bayesian_gp import GaussianProcess
from invdesign.strategies.bayesian_inputs import Features, Inputs
from invdesign.strategies.bayesian_outputs import Outputs
from invdesign.strategies.bayesian_pool import Pool, PoolSource
from invdesign.strategies.trials import Trials
from physics.base import Array

# Quantiles of the predicted spread over which a loss is averaged, and candidates whose joint samples are drawn.
QUANTILES, JOINT = 16, 400
# Candidates left after the first of a batch is chosen.
SHORT_LIST = 2000
# Samples of a loss that is no plain goal: of every candidate, then of the short list.
FEW_SAMPLES, SAMPLES = 16, 256


class Fitted(Protocol):
    """A fitted model: means and spreads `(n, m)`, joint samples `(count, n, m)`, and itself were designs measured."""

    def predict(self, inputs: Inputs) -> tuple[Array, Array]: ...
    def paths(self, inputs: Inputs, count: int, rng: np.random.Generator) -> Array: ...
    def believing(self, inputs: Inputs) -> Fitted: ...


class Model(Protocol):
    """Fits values `(n, m)` of designs."""

    def fit(self, inputs: Inputs, values: Array, seed: int = 0) -> Fitted: ...


@dataclass(frozen=True)
class Bayesian:
    """Measures a few designs, then, round by round, those of which a model of the responses promises most.

    Args:
        model: `GaussianProcess`, `ExtraTrees`, `Networks`, or another `Model`.
        acquisition: "ei", expected improvement over the model's best measured design (Jones et al., 1998), of bands
            and other skewed losses by samples common to all designs; "ucb", the mean loss less `kappa` spreads
            (Srinivas et al., 2010); "thompson", the best of one sample of the model.
        initial: designs measured first.
        guided: how many of these are drawn from the designs that the features guess best (see `guided_share`), not
            from the whole space.
        guided_share: of the space, to draw the guided ones from.
        batch: designs a round. All but the first are chosen as if the ones before had come as predicted.
        features: of a cheap source, as further inputs of the model; None for the design alone.
        pairs: whether pairs of neighbouring codes count as inputs too.
        kappa: see "ucb".
        logarithm: whether responses that are positive throughout are modelled by their logarithm.
        pool: spaces up to this size are searched whole; of larger ones, mutations of the best and random draws.
        confirm: see `Trials`.
    """

    model: Model = field(default_factory=GaussianProcess)
    acquisition: Literal["ei", "ucb", "thompson"] = "ei"
    initial: int = 10
    guided: int = 0
    guided_share: float = 0.01
    batch: int = 5
    features: Features | None = None
    pairs: bool = True
    kappa: float = 1.0
    logarithm: bool = False
    pool: int = 50_000
    confirm: bool = False
    name: str = "bayesian"

    def __post_init__(self) -> None:
        if self.acquisition not in ("ei", "ucb", "thompson"):
            raise ValueError(f"Expected acquisition 'ei', 'ucb' or 'thompson'. Got {self.acquisition!r}.")
        if self.initial < 2 or self.batch < 1 or not 0 <= self.guided <= self.initial:
            raise ValueError(
                f"Expected 2 initial designs, at most as many guided ones, and a batch of 1 at least. Got initial "
                f"{self.initial}, guided {self.guided}, batch {self.batch}."
            )
        if self.guided and self.features is None:
            raise ValueError("Expected features that guide the first designs. Got none; give features, or guided=0.")

    def __call__(self, problem: Problem, evaluator: Evaluator, rng: np.random.Generator) -> None:
        """Runs until the budget is spent, or no new design is left."""
        trials = Trials(problem, evaluator, self.confirm)
        source = PoolSource(problem, evaluator, self.features, self.pairs, self.pool)
        evaluator.stage = "first designs"
        if not self._begin(trials, source, rng):
            return
        number = 0
        while True:
            number += 1
            evaluator.stage = f"round {number}"
            pool = source.pool(trials, rng)
            chosen = self._choose(problem, trials, pool, rng)
            if not len(chosen):
                evaluator.note("space used up", designs=len(trials))
                return
            trials.ask(chosen, f"round {number}, design")

    def _begin(self, trials: Trials, source: PoolSource, rng: np.random.Generator) -> bool:
        """Measures the first designs; False, with a note, where the space is used up before two are there."""
        for row in source.guided(trials, rng, self.guided, self.guided_share):
            trials.ask(row[None], "guided by the cheap source, trial")
        # Failures do not count: a model needs something to go by.
        while sum(candidate is not None for candidate in trials.candidates) < self.initial:
            drawn = trials.fresh_draw(rng)
            if drawn is None:
                break
            trials.ask(drawn[None], "random, trial")
        if sum(candidate is not None for candidate in trials.candidates) >= 2:
            return True
        trials.evaluator.note("space used up", designs=len(trials))
        return False

    def _choose(self, problem: Problem, trials: Trials, pool: Pool, rng: np.random.Generator) -> Codes:
        """The next batch, `(n, size)`."""
        good = [(row, candidate) for row, candidate in enumerate(trials.candidates) if candidate is not None]
        candidates = [candidate for _, candidate in good]
        measured = pool.rows(trials.array()[[row for row, _ in good]])
        outputs = Outputs.of(problem, candidates, self.logarithm)
        seen = pool.inputs.take(measured)
        fitted = self.model.fit(seen, outputs.values(candidates), int(rng.integers(2**31)))
        open_rows = np.setdiff1d(np.arange(len(pool.codes)), pool.rows(trials.array()))
        best = float(outputs.losses(fitted.predict(seen)[0]).min())
        chosen: list[int] = []
        merit = self._merit(outputs, fitted, pool.inputs, open_rows, best, rng)
        while len(open_rows):
            pick = int(open_rows[merit.argmax()])
            chosen.append(pick)
            # Images of a chosen design would tell the same; they may come in later rounds.
            others = pool.orbits[open_rows] != pool.orbits[pick]
            open_rows, merit = open_rows[others], merit[others]
            if len(chosen) == self.batch or not len(open_rows):
                break
            believing = fitted.believing(pool.inputs.take(np.array([pick])))
            if believing is not fitted or self.acquisition == "thompson":
                if len(open_rows) > SHORT_LIST:
                    open_rows = np.sort(open_rows[np.argsort(-merit, kind="stable")[:SHORT_LIST]])
                fitted = believing
                merit = self._merit(outputs, fitted, pool.inputs, open_rows, best, rng)
        return pool.codes[chosen]

    def _merit(
        self, outputs: Outputs, fitted: Fitted, inputs: Inputs, rows: Array, best: float, rng: np.random.Generator
    ) -> NDArray[np.float64]:
        """What to make as large as can be, `(rows,)`."""
        mean, spread = fitted.predict(inputs.take(rows))
        if self.acquisition == "ei" and not outputs.goals:
            return sampled_improvement(outputs, mean, spread, best, int(rng.integers(2**31)))
        steps = ndtri((np.arange(QUANTILES) + 0.5) / QUANTILES)
        # Outputs vary independently: each has its own order of the quantiles.
        orders = np.stack([rng.permutation(steps) for _ in range(mean.shape[1])], axis=1)
        losses = outputs.losses(mean + spread * orders[:, None, :])
        if self.acquisition == "ei":
            return log_expected_improvement(best - losses.mean(0), np.maximum(losses.std(0), 1e-12))
        bound = losses.mean(0) - self.kappa * losses.std(0)
        if self.acquisition == "ucb":
            return -bound
        near = np.argsort(bound, kind="stable")[:JOINT]
        merit = np.full(len(rows), -np.inf)
        merit[near] = -outputs.losses(fitted.paths(inputs.take(rows[near]), 1, rng))[0]
        return merit


def sampled_improvement(outputs: Outputs, mean: Array, spread: Array, best: float, seed: int) -> NDArray[np.float64]:
    """Logarithm of the expected improvement of losses of any shape, `(n,)`, from samples of independent outputs.

    The same scrambled Sobol points serve all designs, so that these are told apart by what they promise and not by luck
    (Balandat et al., NeurIPS 2020, "BoTorch", section 3). The most promising `SHORT_LIST` get more of them. Designs of
    which no sample improves come after all others, by their mean loss.

    Args:
        mean, spread: of the outputs, `(n, m)`.
        best: loss to improve on.
        seed: of the points.
    """
    points = ndtri(qmc.Sobol(mean.shape[1], seed=seed).random(SAMPLES))

    def merit(rows: Array, count: int) -> NDArray[np.float64]:
        losses = outputs.losses(mean[rows] + spread[rows] * points[:count, None, :])
        gain = np.maximum(best - losses, 0).mean(0)
        tiny = np.finfo(np.float64).tiny
        return np.where(gain > 0, np.log(np.maximum(gain, tiny)), np.log(tiny) - np.maximum(losses.mean(0) - best, 0))

    first = merit(np.arange(len(mean)), FEW_SAMPLES)
    near = np.argsort(-first, kind="stable")[:SHORT_LIST]
    found = np.full(len(mean), -np.inf)
    found[near] = merit(near, SAMPLES)
    return found


def log_expected_improvement(gain: Array, spread: Array) -> NDArray[np.float64]:
    """Logarithm of E[max(0, gain + spread z)], z normal, also where the expectation underflows.

    Ament et al., NeurIPS 2023, "Unexpected improvements to expected improvement", equation 9.
    """
    z = np.asarray(gain / spread, dtype=np.float64)
    above, below = np.maximum(z, -1.0), np.minimum(z, -1.0)
    direct = np.log(np.exp(-(above**2) / 2) / np.sqrt(2 * np.pi) + above * ndtr(above))
    # 1 + z M(z), with Mills' ratio M; far out it is 1/z^2.
    rest = 1 + below * np.sqrt(np.pi / 2) * erfcx(-below / np.sqrt(2))
    tail = np.where(below > -1e3, np.log(np.maximum(rest, 1e-12)), -2 * np.log(-below))
    return np.log(spread) + np.where(z > -1, direct, -(below**2) / 2 - np.log(2 * np.pi) / 2 + tail)
