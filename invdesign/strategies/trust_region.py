"""Steps on cheap models inside trust regions, each judged by the reference at its end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from invdesign.evaluator import Evaluator
from invdesign.points import Point, evaluate_points
from invdesign.problem import Problem
from invdesign.strategies.descent import SolveFailed, Vector
from invdesign.strategies.steps import Step

# A model is given another try after so many steps of the others, for each of them.
EXPLORE_EVERY = 6
LARGEST_RADIUS, SMALLEST_RADIUS = 0.5, 1e-3
# Steps in a row that gain less than a thousandth of the loss.
STALLED = 4


@dataclass
class Gain:
    """What a model's steps have gained, and cost in solves of the reference."""

    gained: float = 0.0
    cost: float = 0.0
    tried: int = 0
    last: int = 0


class Arbiter:
    """Chooses which model makes the next step, by what each has gained so far a solve of the reference.

    Cheaper solves count by their fidelity's cost. A network's own time is not counted here, as the choice must not
    depend on the clock; it is on the meter like everything else.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        self.gains = {name: Gain() for name in names}
        self.taken = 0

    def choose(self) -> str:
        """The untried first, then the long unused, then the one of the highest gain a cost."""
        patience = EXPLORE_EVERY * len(self.gains)
        for name, gain in self.gains.items():
            if not gain.tried or self.taken - gain.last >= patience:
                return name
        return max(self.gains, key=lambda name: self.gains[name].gained / max(self.gains[name].cost, 1e-12))

    def account(self, name: str, gained: float, cost: float) -> None:
        """Takes in a step of a model."""
        self.taken += 1
        gain = self.gains[name]
        gain.tried, gain.last = gain.tried + 1, self.taken
        gain.gained += max(gained, 0.0)
        gain.cost += cost


Stepper = Callable[[Point, float], Step]


def next_radius(radius: float, ratio: float) -> float:
    """The box for the next step, from actual over predicted gain of this one (Conn, Gould, Toint 2000, section 6.1)."""
    if ratio > 0.7:
        return min(LARGEST_RADIUS, 2 * radius)
    return radius if ratio > 0.25 else radius / 3


def ask_reference(problem: Problem, evaluator: Evaluator, theta: Vector) -> Point:
    """Value and gradient at the reference.

    Raises:
        SolveFailed: with the solver's message.
    """
    (point,) = evaluate_points(problem, evaluator, [theta], problem.reference_level, gradients=True)
    if point.error is not None or point.gradient is None:
        raise SolveFailed(point.error)
    return point


def descend_in_regions(
    problem: Problem,
    evaluator: Evaluator,
    start: Vector,
    steppers: Mapping[str, Stepper],
    arbiter: Arbiter,
    *,
    radius: float,
    steps: int,
    asked: Callable[[Point], None],
    cosines: Callable[[str, Step, Point], dict[str, float]],
) -> Point:
    """The best point of a descent by trust-region steps; every step is noted.

    Each model has a box of its own: one that errs must not hold back another. A failed solve is a rejected step.

    Args:
        problem, evaluator: of the run, at one sharpness.
        start: theta to begin at, `(size,)`.
        steppers: name -> the step that a model proposes from a centre within a radius.
        arbiter: chooses among them.
        radius: of the first boxes.
        steps: most reference solves, the start's included.
        asked: called with every point that the reference answered.
        cosines: how well the models' gradients point along the adjoint's at a centre, for the note; asked before
            the step is.

    Raises:
        SolveFailed: if the start cannot be solved.
    """
    centre = ask_reference(problem, evaluator, start)
    asked(centre)
    radii, stalled = dict.fromkeys(steppers, radius), 0
    for _ in range(steps - 1):
        name = arbiter.choose()
        spent, solves = evaluator.meter.cpu_seconds, _solves(problem, evaluator)
        try:
            step = steppers[name](centre, radii[name])
            seen = cosines(name, step, centre)
            # A model that predicts no gain has nothing to ask.
            point = ask_reference(problem, evaluator, step.theta) if step.predicted > 0 else centre
        except SolveFailed as error:
            evaluator.note("step failed", model=name, error=str(error))
            arbiter.account(name, 0.0, _solves(problem, evaluator) - solves)
            radii[name], stalled = next_radius(radii[name], 0.0), stalled + 1
            continue
        actual = centre.loss - point.loss
        arbiter.account(name, actual, _solves(problem, evaluator) - solves)
        evaluator.note(
            "step",
            model=name,
            stage=evaluator.stage,
            centre=centre.loss,
            predicted=step.predicted,
            actual=actual,
            radius=radii[name],
            accepted=actual > 0,
            cosines=seen,
            cpu_seconds=evaluator.meter.cpu_seconds - spent,
        )
        radii[name] = next_radius(radii[name], actual / step.predicted if step.predicted > 0 else 0.0)
        stalled = 0 if actual > 1e-3 * abs(centre.loss) else stalled + 1
        if point is not centre:
            asked(point)
        if actual > 0:
            centre = point
            evaluator.proposal = np.asarray(centre.theta)
        if stalled >= STALLED * len(steppers) or max(radii.values()) < SMALLEST_RADIUS:
            break
    return centre


def _solves(problem: Problem, evaluator: Evaluator) -> float:
    """Solves so far in units of the reference's cost."""
    fidelities = problem.simulator.fidelities
    counts = evaluator.meter.solves_by_level
    return sum(counts[level] * fidelity.cost for level, fidelity in enumerate(fidelities)) / fidelities[-1].cost
