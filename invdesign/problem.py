"""A design problem: a space, a simulator, targets, and the corners in which they must hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from invdesign.spaces.constraints import Constraint, penalty
from invdesign.spaces.space import DesignSpace
from invdesign.targets import AnyTarget
from physics.base import Array, Fidelity, HasParameters, Response, Simulator, check_design

# Width, in units of the loss, over which the worst corner takes over from the next.
CORNER_SOFTNESS = 0.01


@dataclass(frozen=True)
class Scenario:
    """A corner in which the targets must hold besides the nominal case.

    Args:
        name: how it is called in reports.
        erosion: shift of the projection's threshold; > 0 erodes, < 0 dilates the structure.
        parameters: values of the simulator's physical parameters.
    """

    name: str
    erosion: float = 0.0
    parameters: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """A scenario made concrete: the space that decodes for it and the simulator that answers for it."""

    name: str
    space: DesignSpace
    simulator: Simulator


@dataclass(frozen=True)
class Evaluation:
    """One design, simulated: what `Problem.evaluate` gives.

    The loss is the targets' alone; `constraints` are the values `(k,)` of the constraints, met at 0 and below, and
    `penalty` is what they add to the loss in a descent. A density given as such, or binarised, has none.
    """

    design: Array
    responses: Mapping[str, Response]
    loss: float
    distance: float
    constraints: Array = field(default_factory=lambda: np.zeros(0))
    penalty: float = 0.0


@dataclass(frozen=True)
class TargetLoss:
    """The targets' loss as a function of a response's arrays, giving cotangents; picklable if its targets are."""

    targets: tuple[AnyTarget, ...]
    fidelity: Fidelity

    def tensors(self, response: Response) -> dict[str, Tensor]:
        """The response as tensors that record gradients."""
        return {name: torch.from_numpy(np.array(value)).requires_grad_() for name, value in response.items()}

    def loss(self, response: Mapping[str, Tensor]) -> Tensor:
        """Weighted sum of the targets' losses."""
        terms = [target.weight * target.loss(response, self.fidelity) for target in self.targets]
        return torch.stack(torch.broadcast_tensors(*terms)).sum(0)

    def distance(self, response: Mapping[str, Tensor]) -> Tensor:
        """Largest weighted distance; exactly 0 where every band is met."""
        terms = [target.weight * target.distance(response, self.fidelity) for target in self.targets]
        return torch.stack(torch.broadcast_tensors(*terms)).amax(0)

    def judge(self, responses: Sequence[Response]) -> tuple[Tensor, float]:
        """(losses of the cases, largest distance of any); differentiable no further.

        Raises:
            FloatingPointError: if a target's loss or distance is not finite.
        """
        tensors = [{name: torch.from_numpy(np.array(value)) for name, value in r.items()} for r in responses]
        losses = torch.stack([self.loss(t) for t in tensors]).detach()
        distance = float(torch.stack([self.distance(t) for t in tensors]).amax())
        if not (torch.isfinite(losses).all() and np.isfinite(distance)):
            raise FloatingPointError(
                f"Expected finite losses of the targets. Got {losses.tolist()}, distance {distance}; does a custom "
                "loss divide by, or take the root or logarithm of, what may vanish?"
            )
        return losses, distance

    def __call__(self, response: Response) -> dict[str, Array]:
        """dL/dRe + i dL/dIm for each quantity that the loss depends on."""
        tensors = self.tensors(response)
        gradients = torch.autograd.grad(self.loss(tensors), list(tensors.values()), allow_unused=True)
        return {name: g.numpy() for name, g in zip(tensors, gradients, strict=True) if g is not None}


@dataclass(frozen=True)
class Problem:
    """What is wanted.

    Args:
        space: design space; its shape must be the simulator's `design_shape`.
        simulator: forward solver; the last of its fidelities is the reference.
        targets: what the response should be, see `Target`.
        scenarios: corners beside the nominal case.
        combine: "worst" (smooth maximum) or "mean" of the corners' losses; the distance is always the worst one.
        constraints: what the nominal structure must be, see `invdesign.spaces.constraints`; they press on every
            descent by `penalty`, and do not count for the distance.

    Raises:
        ValueError: where shapes, quantities, coordinates or parameters do not fit together.
    """

    space: DesignSpace
    simulator: Simulator
    targets: Sequence[AnyTarget]
    scenarios: Sequence[Scenario] = ()
    combine: Literal["worst", "mean"] = "worst"
    constraints: Sequence[Constraint] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.targets, Sequence) or not isinstance(self.scenarios, Sequence):
            raise TypeError(f"Expected lists of targets and scenarios. Got {self.targets!r} and {self.scenarios!r}.")
        object.__setattr__(self, "targets", tuple(self.targets))
        object.__setattr__(self, "scenarios", tuple(self.scenarios))
        if not isinstance(self.constraints, Sequence):
            raise TypeError(f"Expected a list of constraints. Got {self.constraints!r}.")
        object.__setattr__(self, "constraints", tuple(self.constraints))
        if tuple(self.space.shape) != tuple(self.simulator.design_shape):
            raise ValueError(
                f"Expected a design space of the simulator's shape {tuple(self.simulator.design_shape)}. "
                f"Got {tuple(self.space.shape)}."
            )
        ours, theirs = getattr(self.space, "pixel_um", None), getattr(self.simulator, "pixel_um", None)
        if ours is not None and theirs is not None and abs(ours - theirs) > 1e-9:
            raise ValueError(
                f"Expected a design space of the simulator's pixel_um={theirs}. Got pixel_um={ours}, which would make "
                "every radius another length."
            )
        if not self.targets:
            raise ValueError("Expected at least one target. Got none.")
        if self.combine not in ("worst", "mean"):
            raise ValueError(f"Expected combine 'worst' or 'mean'. Got {self.combine!r}.")
        for target in self.targets:
            target.check(self.reference)
            self._check_measured(target)
        for constraint in self.constraints:
            constraint.check(self.space)
        names = [scenario.name for scenario in self.scenarios]
        if len({"nominal", *names}) != len(names) + 1:
            raise ValueError(f"Expected scenario names that differ from each other and from 'nominal'. Got {names}.")
        for scenario in self.scenarios:
            self._check_parameters(scenario)
            try:
                self.space.offset(scenario.erosion)
            except ValueError as error:
                raise ValueError(f"Scenario {scenario.name!r} with erosion={scenario.erosion}: {error}") from error

    def _check_measured(self, target: AnyTarget) -> None:
        """The last word is no proxy's."""
        wanted, known = getattr(target, "quantity", None), [quantity.name for quantity in self.reference.response]
        if getattr(target, "proxies", None) and wanted not in known:
            raise ValueError(
                f"Expected a reference that answers {wanted!r} itself, not a proxy. {self.reference.name!r} answers "
                f"{', '.join(known)}; take one of these as the target's quantity."
            )

    def _check_parameters(self, scenario: Scenario) -> None:
        if not scenario.parameters:
            return
        if not isinstance(self.simulator, HasParameters):
            raise ValueError(f"Scenario {scenario.name!r} sets parameters, but the simulator has none to set.")
        known = self.simulator.parameters
        for name, value in scenario.parameters.items():
            if name not in known:
                raise ValueError(f"Expected parameters among {', '.join(known)}. Got {name!r} in {scenario.name!r}.")
            low, high = known[name]
            if not low <= value <= high:
                raise ValueError(f"Expected {name} in [{low}, {high}]. Got {value} in {scenario.name!r}.")

    @property
    def reference(self) -> Fidelity:
        """The fidelity that has the last word."""
        return self.simulator.fidelities[-1]

    @property
    def reference_level(self) -> int:
        """Its level."""
        return len(self.simulator.fidelities) - 1

    @property
    def content(self) -> tuple[object, ...]:
        """All that a loss depends on beside the simulator, for keys."""
        return (self.space, self.targets, self.scenarios, self.combine, self.constraints)

    def answers(self, level: int) -> bool:
        """Whether a fidelity answers what the targets ask; a cheap one may offer proxies only."""
        try:
            for target in self.targets:
                target.check(self.simulator.fidelities[level])
        except ValueError:
            return False
        return True

    @property
    def cheapest_level(self) -> int:
        """The cheapest fidelity that answers what the targets ask."""
        return next(level for level in range(len(self.simulator.fidelities)) if self.answers(level))

    def cases(self, simulator: Simulator | None = None) -> tuple[Case, ...]:
        """The nominal case and one a scenario, on this problem's simulator or one in its place."""
        base = simulator or self.simulator
        cases = [Case("nominal", self.space, base)]
        for scenario in self.scenarios:
            changed = base
            if scenario.parameters and isinstance(base, HasParameters):
                changed = base.with_parameters(**scenario.parameters)
            cases.append(Case(scenario.name, self.space.offset(scenario.erosion), changed))
        return tuple(cases)

    def target_loss(self, fidelity: Fidelity) -> TargetLoss:
        """The targets as a function of a response of this fidelity."""
        return TargetLoss(tuple(self.targets), fidelity)

    def combined(self, losses: Tensor) -> Tensor:
        """One loss from the cases' losses `(cases, ...)`."""
        if self.combine == "mean" or len(losses) == 1:
            return losses.mean(0)
        return CORNER_SOFTNESS * (torch.logsumexp(losses / CORNER_SOFTNESS, 0) - np.log(len(losses)))

    def constraint_values(self, theta: Tensor) -> Tensor:
        """Values `(..., k)` of all constraints at parameters `(..., size)`; 0 and below is met; differentiable."""
        values = [constraint.value(self.space, theta) for constraint in self.constraints]
        return torch.cat(values, -1) if values else theta.new_zeros((*theta.shape[:-1], 0))

    def penalty(self, theta: Tensor) -> Tensor:
        """What the constraints add to the loss, `(...)` of parameters `(..., size)`; grows with the sharpness."""
        return penalty(self.constraints, self.space, theta)

    def evaluate(self, theta: Array, level: int = -1, binary: bool = False) -> Evaluation:
        """Simulates parameters `(size,)`, or a density of the design's shape as it stands; no store, no budget.

        Every case uses the design as its space decodes it; a density given as such is the nominal case only.
        """
        count = len(self.simulator.fidelities)
        if not -count <= level < count:
            raise ValueError(f"Expected a level from {-count} to {count - 1}. Got {level}.")
        level = level % count
        loss = self.target_loss(self.simulator.fidelities[level])
        if np.shape(theta) == tuple(self.space.shape):
            designs = [("nominal", self.simulator, check_design(theta, self.space.shape))]
            tensor = None
        else:
            tensor = torch.as_tensor(theta, dtype=torch.float64)
            designs = [
                (c.name, c.simulator, c.space.binarize(theta) if binary else c.space.decode(tensor).detach().numpy())
                for c in self.cases()
            ]
        responses = {name: simulator.simulate(design, level) for name, simulator, design in designs}
        losses, distance = loss.judge(list(responses.values()))
        found = Evaluation(designs[0][2], responses, float(self.combined(losses)), distance)
        if tensor is None or binary or not self.constraints:
            return found
        with torch.no_grad():
            values, added = self.constraint_values(tensor), float(self.penalty(tensor))
        return replace(found, constraints=values.numpy(), penalty=added)
