"""Cheap steps, corrected by the reference: descent on a surrogate or a low fidelity inside a trust region."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from invdesign.evaluator import Evaluator
from invdesign.points import Point, at_sharpness, evaluate_points, verify
from invdesign.problem import Problem
from invdesign.strategies.adjoint import SolveFailed, solve
from invdesign.strategies.descent import Vector, descend
from invdesign.strategies.learning import Learner, cosine
from invdesign.strategies.network import sample
from invdesign.strategies.start import first_theta, random_theta
from invdesign.strategies.steps import (
    LowFidelityModel,
    MeanGradientModel,
    NetworkModel,
    Step,
    StepModel,
    corrected_step,
)
from physics.base import Array
from surrogates.choice import ArchitectureChoice
from surrogates.search import search

StepOn = Literal["auto", "surrogate", "low_fidelity", "mean_gradient"]
# A model not yet tried is tried; among the tried, one is tried again at least every so many steps.
EXPLORE_EVERY = 6


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
        designs: random designs simulated to learn from, at each fidelity from the cheapest to the reference.
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
    designs: tuple[int, ...] = (64, 16)
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
        known = ("auto", "surrogate", "low_fidelity", "mean_gradient")
        if self.step_on not in known:
            raise ValueError(f"Expected step_on among {', '.join(known)}. Got {self.step_on!r}.")

    def __call__(self, problem: Problem, evaluator: Evaluator, rng: np.random.Generator) -> None:
        """Runs the strategy."""
        _Run(self, problem, evaluator, rng).go()


@dataclass
class _Gain:
    """What a model's steps have gained and cost, in units of the reference's cost."""

    gained: float = 0.0
    cost: float = 0.0
    tried: int = 0
    last: int = 0


class _Run:
    """The state of one run of the strategy."""

    def __init__(self, hybrid: Hybrid, problem: Problem, evaluator: Evaluator, rng: np.random.Generator) -> None:
        self.hybrid, self.problem, self.evaluator, self.rng = hybrid, problem, evaluator, rng
        self.learns = hybrid.step_on in ("auto", "surrogate")
        self.learner = Learner(hybrid.surrogate, problem, evaluator, seed=int(rng.integers(2**31)))
        self.level = problem.reference_level
        fidelities = problem.simulator.fidelities
        self.low_cost = fidelities[0].cost / fidelities[-1].cost
        single = {"auto": ("surrogate", "low_fidelity")}
        self.gains = {name: _Gain() for name in single.get(hybrid.step_on, (hybrid.step_on,))}
        self.gradients: list[Vector] = []
        self.taken = 0
        self.fresh = 0

    def go(self) -> None:
        """Start after start until the budget is spent."""
        number = 1
        theta = first_theta(self.problem, self.hybrid.start, self.rng)
        while self.hybrid.starts is None or number <= self.hybrid.starts:
            try:
                with self.evaluator.trajectory():
                    path = self._descend_low(theta, number)
                if self.learns:
                    self._teach(path, first=number == 1)
                with self.evaluator.trajectory():
                    theta = path[-1]
                    for beta in self.hybrid.betas:
                        theta = self._stage(at_sharpness(self.problem, beta), theta, number, beta)
                if number == 1:
                    self.evaluator.note("converged", start=number)
            except SolveFailed as error:
                self.evaluator.note("start given up", start=number, error=str(error))
            number += 1
            theta = random_theta(self.problem, self.rng)

    def _descend_low(self, theta: Vector, number: int) -> list[Vector]:
        """Thetas along a descent on the cheapest fidelity."""
        path: list[Vector] = []
        for beta in self.hybrid.descent_betas:
            self.evaluator.stage = f"start {number}: low fidelity, sharpness {beta:g}"
            sharp = at_sharpness(self.problem, beta)

            def function(x: Vector, sharp: Problem = sharp) -> tuple[float, Vector]:
                path.append(np.array(x))
                return solve(sharp, self.evaluator, x, 0)

            theta = descend(function, theta, optimizer="lbfgsb", evaluations=30)
        return [*path, theta]

    def _teach(self, path: list[Vector], first: bool) -> None:
        """Asks the reference along a path and, once, at random designs; then trains."""
        if first:
            sample(self.problem, self.evaluator, self.rng, self.hybrid.designs)
        self.evaluator.stage = "asking the reference along the path"
        chosen = [path[i] for i in np.unique(np.linspace(0, len(path) - 1, self.hybrid.path).astype(int))]
        with self.evaluator.trajectory():
            sharp = at_sharpness(self.problem, self.hybrid.betas[0])
            evaluate_points(sharp, self.evaluator, chosen, self.level, gradients=True)
        self.learner.learn()
        self.fresh = 0

    def _model(self, problem: Problem, name: str) -> StepModel:
        if name == "surrogate":
            return NetworkModel(problem, self.learner)
        if name == "low_fidelity":
            return LowFidelityModel(problem, self.evaluator)
        return MeanGradientModel(np.mean(self.gradients, axis=0))

    def _choose(self) -> str:
        """The model for the next step: untried first, then long unused, then the one of the highest gain a cost."""
        names = list(self.gains)
        for name in names:
            if not self.gains[name].tried or self.taken - self.gains[name].last >= EXPLORE_EVERY * len(names):
                return name
        return max(names, key=lambda name: self.gains[name].gained / max(self.gains[name].cost, 1e-12))

    def _ask(self, problem: Problem, theta: Vector) -> Point:
        (point,) = evaluate_points(problem, self.evaluator, [theta], self.level, gradients=True)
        if point.error is not None or point.gradient is None:
            raise SolveFailed(point.error)
        self.gradients.append(np.asarray(point.gradient))
        self.fresh += 1
        return point

    def _stage(self, problem: Problem, theta: Vector, number: int, beta: float) -> Vector:
        """Trust-region steps at one sharpness; gives the best theta, verified."""
        hybrid, label = self.hybrid, f"start {number}, sharpness {beta:g}"
        self.evaluator.stage = label
        centre, stalled = self._ask(problem, theta), 0
        radii = dict.fromkeys(self.gains, hybrid.radius)
        for _ in range(hybrid.steps - 1):
            if self.learns and self.fresh >= hybrid.retrain:
                self.learner.learn()
                self.fresh = 0
                self.evaluator.stage = label
            before = self.evaluator.meter.cpu_seconds
            name = self._choose()
            radius, model = radii[name], self._model(problem, name)
            step = self._step(problem, model, centre, radius)
            if step.predicted <= 0:
                break
            point = self._ask(problem, step.theta)
            actual = centre.loss - point.loss
            ratio = actual / step.predicted
            self._account(name, actual)
            self.evaluator.note(
                "step",
                model=name,
                predicted=step.predicted,
                actual=actual,
                radius=radius,
                accepted=actual > 0,
                cosines=self._cosines(problem, model, step, centre),
                cpu_seconds=self.evaluator.meter.cpu_seconds - before,
            )
            # Each model has a box of its own: one that errs must not hold back the other.
            radii[name] = min(0.5, 2 * radius) if ratio > 0.7 else radius if ratio > 0.25 else radius / 3
            stalled = 0 if actual > 1e-3 * abs(centre.loss) else stalled + 1
            if actual > 0:
                centre = point
                self.evaluator.proposal = np.asarray(centre.theta)
            if stalled >= 4 or max(radii.values()) < 1e-3:
                break
        verify(self.problem, self.evaluator, np.asarray(centre.theta), label)
        return np.asarray(centre.theta)

    def _account(self, name: str, actual: float) -> None:
        self.taken += 1
        gain = self.gains[name]
        gain.tried, gain.last = gain.tried + 1, self.taken
        gain.gained += max(actual, 0.0)
        gain.cost += 1.0 + (self.low_cost * self.hybrid.inner if name == "low_fidelity" else 0.0)

    def _cosines(self, problem: Problem, used: StepModel, step: Step, centre: Point) -> dict[str, float]:
        """How well each model that is at hand points, by its own gradient, where the adjoint points."""
        adjoint = np.asarray(centre.gradient)
        cosines = {used.name: cosine(step.model_gradient, adjoint)}
        if self.learns and used.name != "surrogate":
            theta = np.asarray(centre.theta)
            network = NetworkModel(problem, self.learner)
            cosines["surrogate"] = cosine(network.value_and_gradient(theta)[1], adjoint)
        # The centre's own gradient is the last but one asked, or earlier: it must not vouch for itself.
        others = [g for g in self.gradients if g is not centre.gradient]
        if others:
            cosines["mean_gradient"] = cosine(np.mean(others, axis=0), adjoint)
        return cosines

    def _step(self, problem: Problem, model: StepModel, centre: Point, radius: float) -> Step:
        theta, gradient = np.asarray(centre.theta), np.asarray(centre.gradient)
        if not isinstance(model, NetworkModel):
            return corrected_step(model, theta, gradient, radius, self.hybrid.inner)
        inputs = {
            "surrogate": self.learner.key,
            "space": problem.space,
            "targets": problem.targets,
            "scenarios": problem.scenarios,
            "centre": theta,
            "gradient": gradient,
            "radius": radius,
            "settings": [self.hybrid.inner, self.hybrid.chain, self.hybrid.doubt],
        }
        payload = self.evaluator.memo("network step", inputs, lambda: self._chained(model, theta, gradient, radius))
        return Step(payload["theta"], float(payload["predicted"]), float(payload["spread"]), payload["model_gradient"])

    def _chained(self, model: NetworkModel, centre: Vector, gradient: Vector, radius: float) -> dict[str, Vector]:
        """Steps on the corrected networks, in wider and wider boxes while they agree."""
        best = corrected_step(model, centre, gradient, radius, 4 * self.hybrid.inner)
        for links in range(2, self.hybrid.chain + 1):
            if (best.spread or 0.0) > self.hybrid.doubt * best.predicted:
                break
            further = corrected_step(model, centre, gradient, links * radius, 4 * self.hybrid.inner)
            if (further.spread or 0.0) > self.hybrid.doubt * further.predicted:
                break
            best = further
        return {
            "theta": best.theta,
            "predicted": np.array(best.predicted),
            "spread": np.array(best.spread or 0.0),
            "model_gradient": best.model_gradient,
        }
