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
from invdesign.problem import Problem
from invdesign.strategies.adjoint import solve
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
    """The cheapest fidelity of the solver that answers the targets."""

    problem: Problem
    evaluator: Evaluator
    name: str = "low_fidelity"

    def value_and_gradient(self, theta: Vector) -> tuple[float, Vector]:
        """Loss and gradient `(size,)` at the cheapest level."""
        return solve(self.problem, self.evaluator, theta, self.problem.cheapest_level)

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
    known: dict[bytes, tuple[float, Vector]] = {}

    def modelled(theta: Vector) -> tuple[float, Vector]:
        key = theta.tobytes()
        if key not in known:
            known[key] = model.value_and_gradient(theta)
        return known[key]

    value, slope = modelled(centre)
    tilt = gradient - slope

    def change(theta: Vector) -> tuple[float, Vector]:
        there, down = modelled(theta)
        return there - value + float(tilt @ (theta - centre)), down + tilt

    low, high = np.maximum(centre - radius, 0.0), np.minimum(centre + radius, 1.0)
    theta = descend(
        change, centre, optimizer="mma", evaluations=evaluations, relative_tolerance=1e-3, lower=low, upper=high
    )
    return Step(theta, -change(theta)[0], model.spread(theta, centre), slope)


def widened_step(
    model: StepModel, centre: Vector, gradient: Vector, radius: float, evaluations: int, chain: int, doubt: float
) -> Step:
    """Corrected steps in boxes of once, twice, ... `chain` times the radius while the spread stays below `doubt` of
    the predicted gain; the last such step, or the first where even that is in doubt.
    """
    best = corrected_step(model, centre, gradient, radius, evaluations)
    for links in range(2, chain + 1):
        if (best.spread or 0.0) > doubt * best.predicted:
            break
        further = corrected_step(model, centre, gradient, links * radius, evaluations)
        if (further.spread or 0.0) > doubt * further.predicted:
            break
        best = further
    return best
