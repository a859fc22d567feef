from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from invdesign.arrays import content_key
from invdesign.budget import Budget, Meter
from invdesign.evaluator import Evaluator
from invdesign.executors import InProcess
from invdesign.ledger import Ledger
from invdesign.points import evaluate_points
from invdesign.problem import Problem, Scenario
from invdesign.space import DensitySpace
from invdesign.store import Store
from invdesign.targets import Target
from tests.invdesign.toy import Toy

CORNERS = (
    Scenario("eroded", erosion=0.05),
    Scenario("dilated", erosion=-0.05),
    Scenario("strong", parameters={"gain": 1.5}),
)


def evaluator_for(problem: Problem) -> Evaluator:
    store = Store()
    meter = Meter(Budget(solves=10_000), reference_level=problem.reference_level)
    return Evaluator(store, Ledger(store, "run", meter), InProcess(), [f.name for f in problem.simulator.fidelities])


@pytest.mark.parametrize("combine", ["worst", "mean"])
@pytest.mark.parametrize("scenarios", [(), CORNERS])
def test_gradient_in_theta_passes_a_taylor_test(
    problem: Problem, scenarios: tuple[Scenario, ...], combine: str
) -> None:
    robust = replace(problem, scenarios=scenarios, combine=combine)  # type: ignore[arg-type]
    evaluator = evaluator_for(robust)
    for seed in range(3):
        rng = np.random.default_rng(seed)
        theta, direction = rng.uniform(0.3, 0.7, robust.space.size), rng.standard_normal(robust.space.size)
        steps = [0.02, 0.01, 0.005]
        (centre,) = evaluate_points(robust, evaluator, [theta], 1, gradients=True)
        assert centre.gradient is not None
        moved = evaluate_points(robust, evaluator, [theta + h * direction for h in steps], 1)
        slope = float(centre.gradient @ direction)
        rest = [abs(p.loss - centre.loss - h * slope) for p, h in zip(moved, steps, strict=True)]
        rates = np.log2(np.array(rest[:-1]) / np.array(rest[1:]))
        assert rates.min() > 1.7, rates


def test_worst_case_counts_the_worst_and_the_distance_is_exact(problem: Problem) -> None:
    robust = replace(problem, scenarios=CORNERS)
    theta = np.random.default_rng(0).random(robust.space.size)
    found = robust.evaluate(theta)
    alone = [replace(problem, space=c.space, simulator=c.simulator).evaluate(theta) for c in robust.cases()]
    assert list(found.responses) == ["nominal", "eroded", "dilated", "strong"]
    assert found.distance == max(one.distance for one in alone)
    worst = max(one.loss for one in alone)
    assert worst - 0.01 * np.log(4) <= found.loss <= worst


def test_a_density_is_evaluated_as_it_stands(problem: Problem) -> None:
    density = np.random.default_rng(0).random((12, 12))
    direct = problem.simulator.simulate(density, 1)
    found = problem.evaluate(density)
    assert np.array_equal(found.responses["nominal"]["s"], direct["s"])


def test_cotangents_follow_the_torch_convention(problem: Problem) -> None:
    target = replace(problem, targets=[Target("s", at={"port": "in"}, upper=0.1)]).target_loss(problem.reference)
    response = problem.simulator.simulate(np.full((12, 12), 0.8), 1)
    cotangents = target(response)
    assert set(cotangents) == {"s"}
    step, s = 1e-6, response["s"]
    for unit in (1, 1j):
        bumped = s.copy()
        bumped[0, 1] += step * unit
        change = [float(target.loss({"s": torch.as_tensor(v)})) for v in (s, bumped)]
        slope = (change[1] - change[0]) / step
        assert slope == pytest.approx(float(np.real(np.conj(cotangents["s"][0, 1]) * unit)), abs=1e-5)


def test_misfits_are_refused(problem: Problem) -> None:
    with pytest.raises(ValueError, match=r"shape \(12, 12\). Got \(8, 8\)"):
        replace(problem, space=DensitySpace((8, 8), pixel_um=0.1))
    with pytest.raises(ValueError, match="at least one target"):
        replace(problem, targets=[])
    with pytest.raises(ValueError, match="port among"):
        replace(problem, targets=[Target("transmission", at={"port": "drop"}, lower=0.1)])
    with pytest.raises(ValueError, match="parameters among gain"):
        replace(problem, scenarios=[Scenario("hot", parameters={"temperature_K": 350})])
    with pytest.raises(ValueError, match=r"gain in \[0.5, 2.0\]"):
        replace(problem, scenarios=[Scenario("loud", parameters={"gain": 5})])
    with pytest.raises(ValueError, match="differ"):
        replace(problem, scenarios=[Scenario("nominal")])


def test_content_keys_follow_content(problem: Problem) -> None:
    same = Problem(problem.space, Toy(), [Target("transmission", at={"port": "out"}, lower=0.3)])
    other = replace(problem, targets=[Target("transmission", at={"port": "out"}, lower=0.31)])
    assert content_key(problem.targets) == content_key(same.targets)
    assert content_key(problem.targets) != content_key(other.targets)
    assert content_key(lambda x: x + 1) != content_key(lambda x: x + 2)
    with pytest.raises(TypeError, match="strings, numbers"):
        content_key(object())
