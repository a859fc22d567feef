"""Points of the parameter space and what the solver says of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from invdesign.evaluator import Candidate, Evaluator, Record
from invdesign.problem import Case, Problem
from invdesign.work import Task
from physics.base import Array, Response, check_design


@dataclass(frozen=True)
class Point:
    """Parameters with the loss, and where asked the gradient `(size,)`, at one fidelity.

    A failed solve gives an infinite loss and `error`.
    """

    theta: Array
    level: int
    loss: float
    distance: float
    gradient: Array | None
    records: tuple[Record, ...]
    error: str | None = None


def at_sharpness(problem: Problem, beta: float) -> Problem:
    """The problem with the next member of its space's continuation."""
    return replace(problem, space=problem.space.at(beta))


def evaluate_points(
    problem: Problem,
    evaluator: Evaluator,
    thetas: Sequence[Array],
    level: int,
    *,
    gradients: bool = False,
    groups: Sequence[int] | None = None,
) -> list[Point]:
    """Loss (and gradient) at each theta `(size,)`, every case solved; one batch.

    Args:
        problem, evaluator: of the run.
        thetas: the points.
        level: fidelity to solve at.
        gradients: whether to ask for gradients.
        groups: optimisation path of each point; the evaluator's current one by default.

    Raises:
        BudgetSpent: see `Evaluator.ask`.
    """
    cases = problem.cases()
    loss = problem.target_loss(problem.simulator.fidelities[level])
    tensors = [torch.tensor(theta, dtype=torch.float64, requires_grad=True) for theta in thetas]
    densities = [[case.space.decode(theta) for case in cases] for theta in tensors]
    tasks = [
        Task(case.simulator, density.detach().numpy(), level, loss if gradients else None)
        for row in densities
        for case, density in zip(cases, row, strict=True)
    ]
    paths = None if groups is None else [group for group in groups for _ in cases]
    records = evaluator.ask(tasks, groups=paths)
    points = []
    for index, (theta, row) in enumerate(zip(tensors, densities, strict=True)):
        mine = tuple(records[index * len(cases) : (index + 1) * len(cases)])
        points.append(_point(problem, theta, row, mine, level, gradients))
    return points


def _point(
    problem: Problem,
    theta: torch.Tensor,
    densities: Sequence[torch.Tensor],
    records: tuple[Record, ...],
    level: int,
    gradients: bool,
) -> Point:
    values = theta.detach().numpy()
    error = next((record.error for record in records if record.error is not None), None)
    if error is not None:
        return Point(values, level, float("inf"), float("inf"), None, records, error)
    target = problem.target_loss(problem.simulator.fidelities[level])
    responses = [target.tensors(record.response or {}) for record in records]
    losses = torch.stack([target.loss(response) for response in responses]).detach().requires_grad_()
    total = problem.combined(losses)
    distance = torch.stack([target.distance(response) for response in responses]).amax()
    gradient = None
    if gradients:
        (weights,) = torch.autograd.grad(total, losses)
        pulled = [w * torch.from_numpy(r.gradient) for w, r in zip(weights, records, strict=True)]
        (chained,) = torch.autograd.grad(list(densities), theta, pulled)
        gradient = chained.numpy()
    return Point(values, level, float(total.detach()), float(distance.detach()), gradient, records)


def judge(problem: Problem, responses: Mapping[str, Response]) -> tuple[float, float]:
    """(loss, distance) of the cases' responses at the reference fidelity."""
    target = problem.target_loss(problem.reference)
    tensors = [{k: torch.as_tensor(v) for k, v in response.items()} for response in responses.values()]
    losses = torch.stack([target.loss(t) for t in tensors])
    distance = torch.stack([target.distance(t) for t in tensors]).amax()
    return float(problem.combined(losses)), float(distance)


def binarized(problem: Problem, theta: Array) -> list[tuple[Case, NDArray[np.float64]]]:
    """Each case with the design that would be made of theta."""
    return [(case, np.asarray(case.space.binarize(theta), dtype=np.float64)) for case in problem.cases()]


def verify(
    problem: Problem, evaluator: Evaluator, theta: Array, label: str, *, beyond_budget: bool = False
) -> Candidate | None:
    """Simulates what would be made of theta at the reference fidelity and enters it as a candidate for the best.

    None where a solve failed. A design that was verified before is not solved again.
    """
    return _verify(problem, evaluator, binarized(problem, theta), theta, label, beyond_budget)


def verify_density(problem: Problem, evaluator: Evaluator, density: Array, label: str) -> Candidate | None:
    """The same for a density as it stands, grey or not; corners of the projection do not apply to it."""
    design = check_design(density, problem.space.shape)
    return _verify(problem, evaluator, [(case, design) for case in problem.cases()], None, label, False)


def _verify(
    problem: Problem,
    evaluator: Evaluator,
    designs: Sequence[tuple[Case, NDArray[np.float64]]],
    theta: Array | None,
    label: str,
    beyond_budget: bool,
) -> Candidate | None:
    nominal = designs[0][1]
    for known in evaluator.candidates:
        if np.array_equal(known.design, nominal):
            return known
    tasks = [Task(case.simulator, design, problem.reference_level) for case, design in designs]
    with evaluator.charged_to("verification"):
        records = evaluator.ask(tasks, beyond_budget=beyond_budget)
    if any(record.response is None for record in records):
        return None
    responses = {case.name: record.response or {} for (case, _), record in zip(designs, records, strict=True)}
    loss, distance = judge(problem, responses)
    meter = evaluator.meter
    candidate = Candidate(label, theta, nominal, responses, loss, distance, meter.cpu_seconds, meter.reference_solves)
    evaluator.add_candidate(candidate)
    return candidate
