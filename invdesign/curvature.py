"""Second derivatives of a problem's loss by its parameters, as products with directions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from invdesign.points import Point
from invdesign.problem import Problem, TargetLoss
from physics.base import Array, HasCurvature, Response

# Largest change of a parameter in the central differences of the constraints' gradient.
PENALTY_STEP = 1e-5


@dataclass(frozen=True)
class CurvedLoss(TargetLoss):
    """The targets' loss as cotangents that know their derivative, see `physics.base.CurvedCotangents`."""

    @staticmethod
    def of(loss: TargetLoss) -> CurvedLoss:
        """The same loss."""
        return CurvedLoss(loss.targets, loss.fidelity)

    def change(self, response: Response, change: Response) -> dict[str, Array]:
        """Derivative of the cotangents along a change of the response."""
        tensors = self.tensors(response)
        values = list(tensors.values())
        slopes = torch.autograd.grad(self.loss(tensors), values, create_graph=True, allow_unused=True)
        # The Hessian is symmetric in real and imaginary parts: the gradient of <slope, change> is its product.
        along = torch.zeros((), dtype=torch.float64)
        for slope, name in zip(slopes, tensors, strict=True):
            if slope is not None and slope.requires_grad:
                along = along + (slope.conj() * torch.from_numpy(np.array(change[name]))).real.sum()
        if not along.requires_grad:
            return {}
        moved = torch.autograd.grad(along, values, allow_unused=True)
        return {name: m.resolve_conj().numpy() for name, m in zip(tensors, moved, strict=True) if m is not None}


class Curvature:
    """The Hessian of the loss at a point that was solved with gradients, as products with directions.

    With rho_c(theta) the density of case c, L_c its loss and C their combination,

        H v = sum_c J_c^T (w_c H_c J_c v + dw_c g_c) + rho_c'' [w_c g_c, v],    dw_c = sum_d C''_cd g_d . J_d v,

    with J, g and H the Jacobian of rho, and gradient and Hessian of L by rho, and w = C'; the constraints' penalty
    comes in by central differences of its gradient, which is cheap and need not be differentiable twice. A product
    asks each case's simulator for one of its own.

    Args:
        problem: the problem, at the point's sharpness.
        point: with gradients in its records.

    Raises:
        TypeError: if the simulator has no second derivatives.
    """

    def __init__(self, problem: Problem, point: Point) -> None:
        check_curvature(problem)
        self.problem, self.point = problem, point
        self._loss = CurvedLoss.of(problem.target_loss(problem.simulator.fidelities[point.level]))
        self._cases = problem.cases()
        self._theta = torch.tensor(point.theta, dtype=torch.float64, requires_grad=True)
        self._densities = [case.space.decode(self._theta) for case in self._cases]
        losses = self._loss.judge([record.response or {} for record in point.records])[0].requires_grad_()
        self._losses = losses
        (self._weights,) = torch.autograd.grad(problem.combined(losses), losses, create_graph=True)
        self._gradients = [torch.from_numpy(np.array(record.gradient)) for record in point.records]
        weights = self._weights.detach()
        self._seeds = [(w * g).requires_grad_() for w, g in zip(weights, self._gradients, strict=True)]
        (self._pulled,) = torch.autograd.grad(self._densities, self._theta, self._seeds, create_graph=True)

    def product(self, direction: Array) -> NDArray[np.float64]:
        """H v for a direction v, both `(size,)`.

        Raises:
            SimulationError: from the solver.
        """
        v = torch.from_numpy(np.array(direction, dtype=np.float64))
        # J^T u is linear in u: its product with v has the slope J v by u, and the space's own curvature by theta.
        inner = (self._pulled * v).sum()
        bent, *along = torch.autograd.grad(
            inner, [self._theta, *self._seeds], retain_graph=True, allow_unused=True, materialize_grads=True
        )
        d_weights = self._weight_changes(along)
        moved = []
        for case, record, j_v, g, w, dw in zip(
            self._cases, self.point.records, along, self._gradients, self._weights.detach(), d_weights, strict=True
        ):
            assert isinstance(case.simulator, HasCurvature)
            design = np.asarray(record.design, dtype=np.float64)
            _, product = case.simulator.hvp(design, record.level, self._loss, j_v.numpy(), record.replicate)
            moved.append(w * torch.from_numpy(product) + dw * g)
        (total,) = torch.autograd.grad(self._densities, self._theta, moved, retain_graph=True)
        result: NDArray[np.float64] = (bent + total).detach().numpy()
        return result + self._penalty_product(v) if self.problem.constraints else result

    def _weight_changes(self, along: list[torch.Tensor]) -> torch.Tensor:
        """Derivative of the cases' weights along the direction, from J_c v."""
        changes = torch.stack([(g * j_v).sum() for g, j_v in zip(self._gradients, along, strict=True)])
        if not self._weights.requires_grad:
            return torch.zeros_like(changes)
        (moved,) = torch.autograd.grad(
            (self._weights * changes).sum(), self._losses, retain_graph=True, materialize_grads=True
        )
        return moved

    def _penalty_product(self, v: torch.Tensor) -> NDArray[np.float64]:
        size = float(v.abs().max())
        if size == 0.0:
            return np.zeros(len(v))
        slopes = []
        for step in (PENALTY_STEP / size, -PENALTY_STEP / size):
            theta = (self._theta.detach() + step * v).requires_grad_()
            slopes.append(torch.autograd.grad(self.problem.penalty(theta), theta)[0].numpy())
        difference: NDArray[np.float64] = (slopes[0] - slopes[1]) * (size / (2 * PENALTY_STEP))
        return difference


def check_curvature(problem: Problem) -> None:
    """Raises `TypeError` where the problem's simulator has no second derivatives."""
    if not isinstance(problem.simulator, HasCurvature):
        raise TypeError(
            f"Expected a simulator with second derivatives (an hvp method). Got {type(problem.simulator).__name__}; "
            "use a strategy of first order, such as adjoint."
        )
