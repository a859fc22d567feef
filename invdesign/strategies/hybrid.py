"""Cheap steps, corrected by the reference: descent on a surrogate or a low fidelity inside a trust region."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import numpy as np

from invdesign.evaluator import Evaluator
from invdesign.points import Point, at_sharpness, evaluate_points, verify
from invdesign.problem import Problem
from invdesign.strategies.adjoint import proposing
from invdesign.strategies.descent import SolveFailed, Vector, descend
from invdesign.strategies.learning import Learner, check_choice, cosine
from invdesign.strategies.network import falling, sample
from invdesign.strategies.patience import Patience
from invdesign.strategies.start import first_theta, random_theta
from invdesign.strategies.steps import (
    LowFidelityModel,
    MeanGradientModel,
    NetworkModel,
    Step,
    corrected_step,
    widened_step,
)
from invdesign.strategies.trust_region import Arbiter, descend_in_regions
from physics.base import Array
from surrogates.choice import ArchitectureChoice
from surrogates.search import search

Function = Callable[[Vector], tuple[float, Vector]]
StepOn = Literal["auto", "surrogate", "low_fidelity", "mean_gradient"]


@dataclass(frozen=True, eq=False)
class Hybrid:
    """Trust-region model management with a cheap model corrected to the reference's value and gradient at its centre.

    A start descends on the cheapest fidelity first; some of its path and some random designs are asked of the
    reference, and teach the ensemble. Then, sharpness by sharpness: minimise the corrected model in a box about the
    centre, ask the reference at the end of the step, accept what improves, let the box grow where the model predicted
    well and shrink where it did not. Where the networks agree, the step goes on into a box twice, thrice, ... as wide
    (`chain` at most) before the reference is asked; where they disagree by more than `doubt` of the predicted gain, it
    is asked at once. The ensemble is trained again on every `retrain` reference answers.

    Args:
        surrogate: how the architecture is chosen, `surrogates.search(...)` or `surrogates.fixed(...)`.
        step_on: which model makes the steps; "auto" takes the one that has gained most a unit of cost so far. Only
            "auto" and "surrogate" train networks.
        designs: random designs simulated to learn from, at each fidelity from the cheapest to the reference; None for
            64 at the cheapest falling to 16 at the reference, 32 where there is one fidelity.
        path: designs of the first descent's path asked of the reference.
        descent_betas: sharpness of the projection on the cheapest fidelity, a stage each.
        betas: sharpness in the trust region, a stage each, each stage's end verified.
        steps: most reference solves a stage.
        radius: of the first box, in theta.
        inner: calls of the low fidelity a step; the networks get four times as many.
        chain: largest widening of the box while the networks agree.
        doubt: share of the predicted gain by which the networks may disagree.
        retrain: reference answers between two trainings.
        start: density `(nx, ny)` or parameters to start from.
        starts: most starts; None to go on until the budget is spent.
    """

    surrogate: ArchitectureChoice = field(default_factory=search)
    step_on: StepOn = "auto"
    designs: tuple[int, ...] | None = None
    path: int = 12
    descent_betas: tuple[float, ...] = (8.0, 16.0, 32.0)
    betas: tuple[float, ...] = (16.0, 32.0, 64.0)
    steps: int = 12
    radius: float = 0.05
    inner: int = 6
    chain: int = 3
    doubt: float = 0.5
    retrain: int = 16
    start: Array | None = None
    starts: int | None = None
    name: str = "hybrid"

    def __post_init__(self) -> None:
        check_choice(self.surrogate)
        known = ("auto", "surrogate", "low_fidelity", "mean_gradient")
        if self.step_on not in known:
            raise ValueError(f"Expected step_on among {', '.join(known)}. Got {self.step_on!r}.")
        for name in ("betas", "descent_betas"):
            if not getattr(self, name) or min(getattr(self, name)) <= 0:
                raise ValueError(f"Expected at least one sharpness, all above 0. Got {name}={getattr(self, name)}.")
        if min(self.path, self.steps, self.inner, self.chain, self.retrain) < 1 or not self.radius > 0:
            raise ValueError("Expected path, steps, inner, chain and retrain of at least 1 and a radius above 0.")

    def __call__(self, problem: Problem, evaluator: Evaluator, rng: np.random.Generator) -> None:
        """Runs the strategy."""
        _Run(self, problem, evaluator, rng).go()


class _Run:
    """The state of one run of the strategy."""

    def __init__(self, hybrid: Hybrid, problem: Problem, evaluator: Evaluator, rng: np.random.Generator) -> None:
        self.hybrid, self.problem, self.evaluator, self.rng = hybrid, problem, evaluator, rng
        models = ("surrogate", "low_fidelity") if hybrid.step_on == "auto" else (hybrid.step_on,)
        self.arbiter = Arbiter(models)
        self.learner = Learner(hybrid.surrogate, problem, evaluator, seed=int(rng.integers(2**31)))
        self.learns = "surrogate" in models
        self.sampled = False
        self.gradients: list[Vector] = []
        self.fresh = 0

    def go(self) -> None:
        """Start after start until the budget is spent."""
        number, patience = 1, Patience(self.evaluator)
        theta = first_theta(self.problem, self.hybrid.start, self.rng)
        while not patience.lost() and (self.hybrid.starts is None or number <= self.hybrid.starts):
            try:
                self._start(theta, number)
                if number == 1:
                    self.evaluator.note("converged", start=number)
            except SolveFailed as error:
                self.evaluator.note("start given up", start=number, error=str(error))
            number += 1
            theta = random_theta(self.problem, self.rng)

    def _start(self, theta: Vector, number: int) -> None:
        with self.evaluator.trajectory():
            path = self._descend_low(theta, number)
            if self.learns:
                # The same path number: no split may put a design's levels on both sides.
                self._ask_along(path)
        if self.learns:
            self._teach()
        theta = path[-1]
        with self.evaluator.trajectory():
            for beta in self.hybrid.betas:
                label = f"start {number}, sharpness {beta:g}"
                self.evaluator.stage = label
                point = self._stage(at_sharpness(self.problem, beta), theta)
                theta = np.asarray(point.theta)
                verify(self.problem, self.evaluator, theta, label)

    def _descend_low(self, theta: Vector, number: int) -> list[Vector]:
        """Thetas along a descent on the cheapest fidelity that answers the targets."""
        path: list[Vector] = []
        level = self.problem.cheapest_level
        for beta in self.hybrid.descent_betas:
            self.evaluator.stage = f"start {number}: low fidelity, sharpness {beta:g}"
            solved = proposing(at_sharpness(self.problem, beta), self.evaluator, level)

            def function(x: Vector, solved: Function = solved) -> tuple[float, Vector]:
                path.append(np.array(x))
                return solved(x)

            theta = descend(function, theta, optimizer="lbfgsb", evaluations=30)
        return [*path, theta]

    def _ask_along(self, path: list[Vector]) -> None:
        self.evaluator.stage = "asking the reference along the path"
        chosen = [path[i] for i in np.unique(np.linspace(0, len(path) - 1, self.hybrid.path).astype(int))]
        sharp = at_sharpness(self.problem, self.hybrid.betas[0])
        evaluate_points(sharp, self.evaluator, chosen, self.problem.reference_level, gradients=True)

    def _teach(self) -> None:
        if not self.sampled:
            self.sampled = True
            sample(self.problem, self.evaluator, self.rng, self.hybrid.designs or falling(64, 16, self.problem))
        self.learner.learn()
        self.fresh = 0

    def _stage(self, problem: Problem, theta: Vector) -> Point:
        """Trust-region steps at one sharpness."""
        return descend_in_regions(
            problem,
            self.evaluator,
            theta,
            {name: partial(self._step, problem, name) for name in self.arbiter.gains},
            self.arbiter,
            radius=self.hybrid.radius,
            steps=self.hybrid.steps,
            asked=self._asked,
            cosines=partial(self._cosines, problem),
        )

    def _asked(self, point: Point) -> None:
        self.gradients.append(np.asarray(point.gradient))
        self.fresh += 1
        if self.learns and self.fresh >= self.hybrid.retrain:
            stage = self.evaluator.stage
            self._teach()
            self.evaluator.stage = stage

    def _cosines(self, problem: Problem, name: str, step: Step, centre: Point) -> dict[str, float]:
        """How well each model at hand points, by its own gradient, where the adjoint points."""
        adjoint, theta = np.asarray(centre.gradient), np.asarray(centre.theta)
        cosines = {name: cosine(step.model_gradient, adjoint)}
        if self.learns and name != "surrogate":
            network = NetworkModel(problem, self.learner)
            cosines["surrogate"] = cosine(network.value_and_gradient(theta)[1], adjoint)
        # The centre's own gradient must not vouch for itself.
        others = [g for g in self.gradients if g is not centre.gradient]
        if others:
            cosines["mean_gradient"] = cosine(np.mean(others, axis=0), adjoint)
        return cosines

    def _step(self, problem: Problem, name: str, centre: Point, radius: float) -> Step:
        theta, gradient = np.asarray(centre.theta), np.asarray(centre.gradient)
        if name == "low_fidelity":
            model = LowFidelityModel(problem, self.evaluator)
            return corrected_step(model, theta, gradient, radius, self.hybrid.inner)
        if name == "mean_gradient":
            mean = MeanGradientModel(np.mean(self.gradients, axis=0))
            return corrected_step(mean, theta, gradient, radius, self.hybrid.inner)
        network = NetworkModel(problem, self.learner)
        inputs = {
            "surrogate": self.learner.key,
            "problem": problem.content,
            "centre": theta,
            "gradient": gradient,
            "radius": radius,
            "settings": [self.hybrid.inner, self.hybrid.chain, self.hybrid.doubt],
        }

        def compute() -> dict[str, Vector]:
            step = widened_step(
                network, theta, gradient, radius, 4 * self.hybrid.inner, self.hybrid.chain, self.hybrid.doubt
            )
            return {
                "theta": step.theta,
                "predicted": np.array(step.predicted),
                "spread": np.array(step.spread or 0.0),
                "model_gradient": step.model_gradient,
            }

        payload = self.evaluator.memo("network step", inputs, compute)
        return Step(payload["theta"], float(payload["predicted"]), float(payload["spread"]), payload["model_gradient"])
