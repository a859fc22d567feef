"""Trust-region Newton steps on the solver itself: second derivatives from the factorisation of the first ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from invdesign.curvature import Curvature, CurvedLoss, check_curvature
from invdesign.evaluator import Evaluator
from invdesign.points import Point, evaluate_points
from invdesign.problem import Problem
from invdesign.strategies.adjoint import check_level_index
from invdesign.strategies.box_steps import BoxStep, box_step
from invdesign.strategies.descent import SolveFailed, Vector
from invdesign.strategies.multistart import multistart
from invdesign.strategies.trust_region import SMALLEST_RADIUS, next_radius
from physics.base import Array, SimulationError


@dataclass(frozen=True, eq=False)
class Newton:
    """Newton-CG steps in trust regions within the bounds, stage by stage as `Adjoint` has them.

    A step minimises the model of value, gradient and Hessian in a box of the radius (`box_step`), by products with
    the Hessian, each of which costs back-solves on the factorisation that gave the value. It is taken if the loss
    falls, and the radius follows how well the model foresaw that.

    Args:
        level: fidelity to descend on; -1 is the reference, 0 the cheapest.
        betas: sharpness of the projection, a stage each.
        evaluations: most solves with gradient a stage.
        products: most products with the Hessian a step.
        tolerance: projected gradient of the model, over its first size, at which a step is good enough.
        radius: largest change of a parameter in a stage's first step.
        start: density `(nx, ny)` or parameters to warm-start from; grey with a little noise by default.
        starts: most starts; None to go on until the budget is spent.
    """

    level: int = -1
    betas: tuple[float, ...] = (8.0, 16.0, 32.0, 64.0)
    evaluations: int = 30
    products: int = 4
    tolerance: float = 0.1
    radius: float = 0.2
    start: Array | None = None
    starts: int | None = None
    name: str = "newton"

    def __post_init__(self) -> None:
        if not self.betas or min(self.betas) <= 0:
            raise ValueError(f"Expected at least one sharpness, all above 0. Got betas={self.betas}.")
        if min(self.evaluations, self.products) < 1 or (self.starts is not None and self.starts < 1):
            raise ValueError(
                f"Expected evaluations, products and starts of at least 1. Got {self.evaluations}, {self.products} and "
                f"{self.starts}."
            )
        if not 0 < self.radius <= 1 or not 0 < self.tolerance < 1:
            raise ValueError(
                f"Expected 0 < radius <= 1 and 0 < tolerance < 1. Got radius={self.radius}, tolerance={self.tolerance}."
            )

    def __call__(self, problem: Problem, evaluator: Evaluator, rng: np.random.Generator) -> None:
        """Runs the strategy."""
        check_curvature(problem)
        level = check_level_index(problem, self.level)

        def stage(sharper: Problem, theta: Vector) -> Vector:
            return newton_descent(
                sharper,
                evaluator,
                theta,
                level,
                evaluations=self.evaluations,
                products=self.products,
                tolerance=self.tolerance,
                radius=self.radius,
            )

        multistart(problem, evaluator, rng, stage, betas=self.betas, start=self.start, starts=self.starts)


def newton_descent(
    problem: Problem,
    evaluator: Evaluator,
    start: Vector,
    level: int,
    *,
    evaluations: int,
    products: int,
    tolerance: float,
    radius: float,
    relative_tolerance: float = 1e-4,
) -> Vector:
    """The best theta found from `start` `(size,)` in [0, 1]; a failed solve is a rejected step.

    Args:
        problem, evaluator: of the run, at one sharpness.
        start: where to begin.
        level: fidelity.
        evaluations, products, tolerance, radius: as for `Newton`.
        relative_tolerance: a step that gains less, relative to the loss, ends the descent.

    Raises:
        SolveFailed: if the start cannot be solved.
    """
    centre = _solved(problem, evaluator, start, level)
    evaluator.proposal = centre.theta
    for _ in range(evaluations - 1):
        try:
            step = _model_step(problem, evaluator, centre, radius, products, tolerance)
        except SolveFailed as error:
            evaluator.note("no second derivatives", error=str(error))
            break
        if not step.gain > 0:
            break
        try:
            trial = _solved(problem, evaluator, _moved(centre.theta, step.step), level)
        except SolveFailed as error:
            evaluator.note("step failed", error=str(error))
            radius = next_radius(radius, 0.0)
            if radius < SMALLEST_RADIUS:
                break
            continue
        actual = centre.loss - trial.loss
        evaluator.note(
            "newton step",
            stage=evaluator.stage,
            centre=centre.loss,
            predicted=step.gain,
            actual=actual,
            radius=radius,
            products=step.products,
        )
        done = 0 <= actual <= relative_tolerance * abs(centre.loss)
        radius = next_radius(radius, actual / step.gain)
        if actual > 0:
            centre = trial
            evaluator.proposal = centre.theta
        if done or radius < SMALLEST_RADIUS:
            break
    return np.asarray(centre.theta)


def _moved(theta: Array, step: Vector) -> Vector:
    """The parameters after a step, within bounds, in single precision as the step is."""
    return np.clip(theta + step, 0.0, 1.0).astype(np.float32).astype(np.float64)


def _solved(problem: Problem, evaluator: Evaluator, theta: Vector, level: int) -> Point:
    """Value and gradient.

    Raises:
        SolveFailed: with the solver's message.
    """
    (point,) = evaluate_points(problem, evaluator, [theta], level, gradients=True)
    if point.error is not None or point.gradient is None:
        raise SolveFailed(point.error)
    return point


def _model_step(
    problem: Problem, evaluator: Evaluator, centre: Point, radius: float, products: int, tolerance: float
) -> BoxStep:
    """The step from a centre: one charged and stored computation, of all its products.

    Raises:
        SolveFailed: with the solver's message, where a product failed.
    """
    gradient = np.asarray(centre.gradient, dtype=np.float64)
    theta = np.asarray(centre.theta, dtype=np.float64)
    lower, upper = np.maximum(-radius, -theta), np.minimum(radius, 1 - theta)

    def compute() -> dict[str, Array]:
        try:
            product: Callable[[Vector], Vector] = Curvature(problem, centre).product
            step = box_step(gradient, product, lower, upper, products=products, tolerance=tolerance)
        except SimulationError as error:
            return {"error": np.array(str(error))}
        # Kept, and used, in the precision of gradients.
        return {"step": step.step.astype(np.float32), "gain": np.array(step.gain), "products": np.array(step.products)}

    inputs = {
        "evaluations": [record.key for record in centre.records],
        "loss": CurvedLoss.of(problem.target_loss(problem.simulator.fidelities[centre.level])),
        "problem": problem.content,
        "theta": theta,
        "settings": (radius, products, tolerance),
    }
    found = evaluator.memo("newton step", inputs, compute)
    if "error" in found:
        raise SolveFailed(str(found["error"]))
    return BoxStep(found["step"].astype(np.float64), float(found["gain"]), int(found["products"]))
