"""Trust-region steps against scripted models: what is accepted, how the boxes move, who is asked."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from invdesign.points import Point
from invdesign.problem import Problem
from invdesign.strategies.descent import SolveFailed, Vector
from invdesign.strategies.steps import Step, widened_step
from invdesign.strategies.trust_region import Arbiter, Stepper, descend_in_regions, next_radius
from tests.invdesign.test_problem import evaluator_for

RADIUS = 0.02


def along(sign: float, claim: float = 1.0) -> Stepper:
    """A model that steps down (sign 1) or up (-1) the gradient and claims `claim` times the first-order gain."""

    def step(centre: Point, radius: float) -> Step:
        gradient = np.asarray(centre.gradient)
        theta = np.clip(np.asarray(centre.theta) - sign * radius * np.sign(gradient), 0, 1)
        gain = abs(float(gradient @ (theta - np.asarray(centre.theta))))
        return Step(theta, claim * gain, None, gradient)

    return step


def descend(problem: Problem, steppers: dict[str, Stepper], steps: int = 10) -> tuple[Point, list[dict[str, object]]]:
    evaluator = evaluator_for(problem)
    theta = np.random.default_rng(0).uniform(0.4, 0.6, problem.space.size)
    point = descend_in_regions(
        problem,
        evaluator,
        theta,
        steppers,
        Arbiter(tuple(steppers)),
        radius=RADIUS,
        steps=steps,
        asked=lambda point: None,
        cosines=lambda name, step, centre: {},
    )
    return point, [dict(note.content) for note in evaluator.notes if note.kind == "step"]


def test_what_improves_is_accepted_and_what_does_not_is_not(problem: Problem) -> None:
    point, notes = descend(problem, {"good": along(1), "bad": along(-1)})
    assert all(note["accepted"] == (float(note["actual"]) > 0) for note in notes)  # type: ignore[arg-type]
    assert True in {note["accepted"] for note in notes if note["model"] == "good"}
    assert {note["accepted"] for note in notes if note["model"] == "bad"} == {False}
    for note, following in itertools.pairwise(notes):
        gain = note["actual"] if note["accepted"] else 0.0
        assert following["centre"] == pytest.approx(float(note["centre"]) - float(gain), rel=1e-12)  # type: ignore[arg-type]
    assert point.loss < float(notes[0]["centre"])  # type: ignore[arg-type]


def test_each_box_follows_its_own_models_predictions(problem: Problem) -> None:
    _, notes = descend(problem, {"honest": along(1), "boastful": along(1, claim=10)}, steps=14)
    for name in ("honest", "boastful"):
        mine = [note for note in notes if note["model"] == name]
        assert mine[0]["radius"] == RADIUS
        for note, following in itertools.pairwise(mine):
            ratio = float(note["actual"]) / float(note["predicted"])  # type: ignore[arg-type]
            assert following["radius"] == next_radius(float(note["radius"]), ratio)  # type: ignore[arg-type]
    honest = [note["radius"] for note in notes if note["model"] == "honest"]
    assert max(honest) > RADIUS  # type: ignore[type-var]


def test_radii_grow_shrink_and_stay() -> None:
    assert next_radius(0.1, 0.9) == 0.2
    assert next_radius(0.4, 1.5) == 0.5
    assert next_radius(0.1, 0.5) == 0.1
    assert next_radius(0.1, 0.1) == pytest.approx(0.1 / 3)
    assert next_radius(0.1, -5) == pytest.approx(0.1 / 3)


def test_a_failed_solve_is_a_rejected_step(problem: Problem) -> None:
    calls = 0

    def brittle(centre: Point, radius: float) -> Step:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise SolveFailed("the coarse mesh did not converge")
        return along(1)(centre, radius)

    point, notes = descend(problem, {"brittle": brittle}, steps=5)
    assert notes[0]["radius"] == pytest.approx(RADIUS / 3)
    assert point.loss < float(notes[0]["centre"])  # type: ignore[arg-type]


def test_a_model_without_hope_costs_nothing_and_gives_way(problem: Problem) -> None:
    point, notes = descend(problem, {"hopeless": along(1, claim=0.0), "good": along(1)}, steps=8)
    assert [note["model"] for note in notes[:2]] == ["hopeless", "good"]
    assert point.loss < float(notes[0]["centre"])  # type: ignore[arg-type]


def test_the_arbiter_prefers_what_gains_most_a_cost() -> None:
    arbiter = Arbiter(("a", "b"))
    assert arbiter.choose() == "a"
    arbiter.account("a", gained=1.0, cost=4.0)
    assert arbiter.choose() == "b"
    arbiter.account("b", gained=0.9, cost=1.0)
    chosen = []
    for _ in range(30):
        name = arbiter.choose()
        chosen.append(name)
        arbiter.account(name, gained=1.0 if name == "a" else 0.9, cost=4.0 if name == "a" else 1.0)
    assert chosen.count("b") > 20
    assert "a" in chosen


@pytest.mark.parametrize(("spread", "links"), [(0.0, 3), (1e9, 1)])
def test_the_box_widens_only_where_the_networks_agree(spread: float, links: int) -> None:
    class Slope:
        name = "slope"

        def value_and_gradient(self, theta: Vector) -> tuple[float, Vector]:
            return float(theta.sum()), np.ones_like(theta)

        def spread(self, theta: Vector, centre: Vector) -> float:
            return spread

    centre = np.full(5, 0.5)
    step = widened_step(Slope(), centre, np.ones(5), 0.05, 10, chain=3, doubt=0.5)
    assert np.abs(step.theta - centre).max() == pytest.approx(0.05 * links, rel=1e-3)
