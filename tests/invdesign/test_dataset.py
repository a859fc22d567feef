from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from invdesign.budget import Budget
from invdesign.dataset import dataset
from invdesign.problem import Problem, Scenario
from invdesign.run import run
from invdesign.strategies import Adjoint, Hybrid
from tests.invdesign.toy import Toy


def test_levels_are_kept_apart_and_every_gradient_is_a_jacobian_product(problem: Problem) -> None:
    result = run(problem, Hybrid(step_on="low_fidelity"), budget=Budget(solves=120))
    data = dataset(result.records, problem.simulator.identity)
    assert list(data.levels) == [0, 1]
    for level, samples in data.levels.items():
        assert len({design.tobytes() for design in samples.designs}) == len(samples)
        for row, gradient in list(zip(samples.gradient_rows, samples.gradients, strict=True))[:5]:
            index = int(np.flatnonzero(samples.gradient_rows == row)[0])
            cotangents = {name: value[index] for name, value in samples.cotangents.items()}
            response, direct = problem.simulator.vjp(samples.designs[row], level, cotangents)  # type: ignore[attr-defined]
            np.testing.assert_allclose(samples.responses["s"][row], response["s"], rtol=1e-6)
            np.testing.assert_allclose(gradient, direct, rtol=1e-4, atol=1e-9)


def test_groups_are_optimisation_paths(problem: Problem) -> None:
    result = run(problem, Adjoint(evaluations=5, betas=(8,), starts=3), budget=Budget(solves=50))
    groups = dataset(result.records, problem.simulator.identity).levels[1].groups
    paths = [group for group in groups if group > 0]
    assert sorted(set(paths)) == [1, 2, 3]
    # Verified designs belong to the path they end.
    assert len(groups) == len(paths)


def test_other_simulators_and_failures_are_left_out(problem: Problem) -> None:
    robust = replace(problem, scenarios=[Scenario("loud", parameters={"gain": 1.5})])
    result = run(robust, Adjoint(evaluations=5, betas=(8,), starts=1), budget=Budget(solves=50))
    data = dataset(result.records, problem.simulator.identity)
    assert len(data.levels[1]) == sum(r.identity == problem.simulator.identity for r in result.records)
    assert len(data.levels[1]) < len(result.records)
    failing = run(replace(problem, simulator=Toy(fault="nan")), Adjoint(starts=1), budget=Budget(solves=5))
    with pytest.raises(ValueError, match="at least one successful"):
        dataset(failing.records, problem.simulator.identity)
