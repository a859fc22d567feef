"""Points of the parameter space and what the solver says of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from invdesign.arrays import content_key
from invdesign.evaluator import Evaluator
from invdesign.problem import Case, Problem
from invdesign.records import Candidate, Record
from invdesign.work import Task
from physics.base import Array, Differentiable, check_design


@dataclass(frozen=True)
class Point:
    """Parameters with the loss, and where asked the gradient `(size,)`, at one fidelity.

    The loss is the targets' and, where the problem has constraints, their penalty (`Problem.penalty`). A failed solve
    gives an infinite loss and `error`.
    """

    theta: Array
    level: int
    loss: float
    distance: float
    gradient: Array | None
    records: tuple[Record, ...]
    error: str | None = None


# Steps of a line search may touch the bounds to rounding.
SLACK = 1e-6


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
        ValueError: for parameters outside [0, 1] or a fidelity that does not answer the targets.
        TypeError: if gradients are asked of a simulator that has none.
    """
    _check(problem, thetas, level, gradients)
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
    try:
        losses, distance = target.judge([record.response or {} for record in records])
    except FloatingPointError as wrong:
        return Point(values, level, float("inf"), float("inf"), None, records, str(wrong))
    losses.requires_grad_()
    total = problem.combined(losses)
    gradient = None
    if gradients:
        (weights,) = torch.autograd.grad(total, losses)
        pulled = [w * torch.from_numpy(r.gradient) for w, r in zip(weights, records, strict=True)]
        (chained,) = torch.autograd.grad(list(densities), theta, pulled)
        gradient = chained.numpy()
    loss = float(total.detach())
    if problem.constraints:
        penalty = problem.penalty(theta)
        loss += float(penalty.detach())
        if gradient is not None:
            gradient = gradient + torch.autograd.grad(penalty, theta)[0].numpy()
    return Point(values, level, loss, distance, gradient, records)


def _check(problem: Problem, thetas: Sequence[Array], level: int, gradients: bool) -> None:
    for target in problem.targets:
        target.check(problem.simulator.fidelities[level])
    if gradients and not isinstance(problem.simulator, Differentiable):
        raise TypeError(
            f"Expected a simulator with gradients (a vjp method). Got {type(problem.simulator).__name__}; "
            "use a strategy that needs none, such as random_designs."
        )
    for theta in thetas:
        if np.shape(theta) != (problem.space.size,):
            raise ValueError(f"Expected parameters of shape ({problem.space.size},). Got {np.shape(theta)}.")
        if not (np.isfinite(theta).all() and np.min(theta) >= -SLACK and np.max(theta) <= 1 + SLACK):
            raise ValueError(f"Expected parameters in [0, 1]. Got {np.min(theta):.4g} to {np.max(theta):.4g}.")


def binarized(problem: Problem, theta: Array) -> list[tuple[Case, NDArray[np.float64]]]:
    """Each case with the design that would be made of theta."""
    return [(case, np.asarray(case.space.binarize(theta), dtype=np.float64)) for case in problem.cases()]


def verify(
    problem: Problem, evaluator: Evaluator, theta: Array, label: str, *, beyond_budget: bool = False
) -> Candidate | None:
    """Simulates what would be made of theta at the reference fidelity and enters it as a candidate for the best.

    None where a solve failed. A design that was verified before is not solved again.
    """
    return _verify(problem, evaluator, [binarized(problem, theta)], [theta], [label], beyond_budget)[0]


def verify_density(problem: Problem, evaluator: Evaluator, density: Array, label: str) -> Candidate | None:
    """The same for a density as it stands, grey or not; corners of the projection do not apply to it."""
    design = check_design(density, problem.space.shape)
    designs = [[(case, design) for case in problem.cases()]]
    return _verify(problem, evaluator, designs, [None], [label], False)[0]


def verify_batch(problem: Problem, evaluator: Evaluator, thetas: Sequence[Array], label: str) -> list[Candidate | None]:
    """`verify` for several at once, as many at a time as the executor runs; labels are numbered from 1.

    Raises:
        BudgetSpent: once the designs that the budget still admits are entered.
    """
    found: list[Candidate | None] = []
    while len(found) < len(thetas):
        cases = len(problem.scenarios) + 1
        together = max(1, evaluator.dispatcher.width // cases)
        if evaluator.meter.room(problem.reference_level) < together * cases:
            together = 1
        some = thetas[len(found) : len(found) + together]
        labels = [f"{label} {len(found) + k + 1}" for k in range(len(some))]
        designs = [binarized(problem, theta) for theta in some]
        found += _verify(problem, evaluator, designs, list(some), labels, False)
    return found


def _verify(
    problem: Problem,
    evaluator: Evaluator,
    designs: Sequence[Sequence[tuple[Case, NDArray[np.float64]]]],
    thetas: Sequence[Array | None],
    labels: Sequence[str],
    beyond_budget: bool,
) -> list[Candidate | None]:
    """One candidate a design, whose cases are solved in one batch with those of the others."""
    stored = [[density.astype(np.float32) for _, density in cases] for cases in designs]
    keys = [content_key(each) for each in stored]
    wanted = set(keys)
    known = {candidate.key: candidate for candidate in evaluator.candidates if candidate.key in wanted}
    fresh = [i for i, key in enumerate(keys) if key not in known and key not in keys[:i]]
    tasks = [Task(case.simulator, density, problem.reference_level) for i in fresh for case, density in designs[i]]
    if tasks:
        with evaluator.charged_to("verification"):
            records = evaluator.ask(tasks, beyond_budget=beyond_budget)
    for i in fresh:
        mine, records = records[: len(designs[i])], records[len(designs[i]) :]
        names = [case.name for case, _ in designs[i]]
        candidate = _judged(problem, evaluator, keys[i], labels[i], thetas[i], stored[i][0], names, mine)
        if candidate is not None:
            known[keys[i]] = candidate
    return [known.get(key) for key in keys]


def _judged(
    problem: Problem,
    evaluator: Evaluator,
    key: str,
    label: str,
    theta: Array | None,
    stored: Array,
    names: Sequence[str],
    records: Sequence[Record],
) -> Candidate | None:
    """The candidate that records of a design's cases make; None where one failed or its loss is not finite."""
    if any(record.response is None for record in records):
        return None
    responses = {name: record.response or {} for name, record in zip(names, records, strict=True)}
    try:
        losses, distance = problem.target_loss(problem.reference).judge(list(responses.values()))
    except FloatingPointError as wrong:
        evaluator.note("not judged", label=label, error=str(wrong))
        return None
    loss, meter = float(problem.combined(losses)), evaluator.meter
    design = stored.astype(np.float64)
    spent = (meter.cpu_seconds, meter.reference_solves)
    candidate = Candidate(key, label, theta, design, responses, loss, distance, *spent)
    evaluator.add_candidate(candidate)
    return candidate
