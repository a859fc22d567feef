"""Cheap models of the loss for steps inside a trust region, and their first-order correction.

A corrected model has the reference's value and gradient at the centre (Alexandrov and Lewis, Optim. Eng. 2, 413
(2001), eq. 2.3, additive form), so that descent on it is descent on the reference for steps short enough.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from invdesign.evaluator import Evaluator
from invdesign.points import evaluate_points
from invdesign.problem import Problem
from invdesign.strategies.adjoint import SolveFailed
from invdesign.strategies.descent import Vector, descend
from invdesign.strategies.learning import Learner


class StepModel(Protocol):
    """A cheap stand-in for the loss at the reference."""

    @property
    def name(self) -> str: ...
    def value_and_gradient(self, theta: Vector) -> tuple[float, Vector]: ...
    def spread(self, theta: Vector, centre: Vector) -> float | None: ...


@dataclass(frozen=True)
class NetworkModel:
    """The ensemble's mean prediction; its networks' disagreement says how far to trust it."""

    problem: Problem
    learner: Learner
    name: str = "surrogate"

    def value_and_gradient(self, theta: Vector) -> tuple[float, Vector]:
        """Loss of the mean prediction and its gradient `(size,)`."""
        tensor = torch.tensor(theta[None], requires_grad=True)
        mean, _ = self.learner.losses(self.problem, tensor)
        (gradient,) = torch.autograd.grad(mean.sum(), tensor)
        return float(mean.detach()), gradient[0].numpy()

    def spread(self, theta: Vector, centre: Vector) -> float:
        """Calibrated spread of the change of loss from the centre, beyond first order (which is corrected)."""
        pair = torch.tensor(np.stack([theta, centre]), requires_grad=True)
        _, members = self.learner.losses(self.problem, pair)
        step = torch.tensor(theta - centre)
        changes = []
        for member in members:
            (slope,) = torch.autograd.grad(member[1], pair, retain_graph=True)
            changes.append(float(member[0].detach() - member[1].detach() - slope[1] @ step))
        return self.learner.spread_scale * float(np.std(changes, ddof=1))


@dataclass(frozen=True)
class LowFidelityModel:
    """The cheapest fidelity of the solver itself."""

    problem: Problem
    evaluator: Evaluator
    name: str = "low_fidelity"

    def value_and_gradient(self, theta: Vector) -> tuple[float, Vector]:
        """Loss and gradient `(size,)` at the cheapest level."""
        (point,) = evaluate_points(self.problem, self.evaluator, [theta], 0, gradients=True)
        if point.error is not None or point.gradient is None:
            raise SolveFailed(point.error)
        return point.loss, np.asarray(point.gradient, dtype=np.float64)

    def spread(self, theta: Vector, centre: Vector) -> None:
        """A solver has no opinion on its own error."""


@dataclass(frozen=True)
class MeanGradientModel:
    """The mean of the training gradients everywhere; once corrected, steepest descent on the reference's gradient."""

    gradient: Vector
    name: str = "mean_gradient"

    def value_and_gradient(self, theta: Vector) -> tuple[float, Vector]:
        """The linear function with that gradient."""
        return float(self.gradient @ theta), self.gradient

    def spread(self, theta: Vector, centre: Vector) -> None:
        """A constant has no opinion on its own error."""


@dataclass(frozen=True)
class Step:
    """Where a corrected model leads from a centre: theta `(size,)`, predicted decrease, spread, model's gradient."""

    theta: Vector
    predicted: float
    spread: float | None
    model_gradient: Vector


def corrected_step(model: StepModel, centre: Vector, gradient: Vector, radius: float, evaluations: int) -> Step:
    """Minimises the corrected model in the box of `radius` about the centre, within [0, 1].

    Args:
        model: cheap stand-in.
        centre: theta where the reference's `gradient` `(size,)` is known.
        gradient: the reference's.
        radius: largest change of a parameter.
        evaluations: most calls of the model.
    """
    value, slope = model.value_and_gradient(centre)
    tilt = gradient - slope

    def change(theta: Vector) -> tuple[float, Vector]:
        if np.array_equal(theta, centre):
            return 0.0, gradient
        there, down = model.value_and_gradient(theta)
        return there - value + float(tilt @ (theta - centre)), down + tilt

    low, high = np.maximum(centre - radius, 0.0), np.minimum(centre + radius, 1.0)
    theta = descend(
        change, centre, optimizer="mma", evaluations=evaluations, relative_tolerance=1e-3, lower=low, upper=high
    )
    predicted = -change(theta)[0]
    return Step(theta, predicted, model.spread(theta, centre), slope)
