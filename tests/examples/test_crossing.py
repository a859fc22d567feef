"""The crossing, in short."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from examples import crossing
from invdesign import Budget, run


def test_the_low_fidelity_finds_a_crossing_that_a_finer_mesh_confirms() -> None:
    problem = replace(crossing.problem, simulator=replace(crossing.simulator, cells_um=0.04))
    result = run(problem, crossing.strategies["low fidelity"], budget=Budget(solves=40), seed=crossing.seed)
    best = result.best
    assert best is not None
    assert best.distance == 0
    through, north, south = best.response["transmission"]
    assert through.min() >= 0.95
    assert max(north.max(), south.max()) <= 0.01
    np.testing.assert_allclose(north, south, atol=1e-10)
    np.testing.assert_array_equal(best.design, np.rot90(best.design))
    assert result.check is not None
    assert result.check.fidelity == "fdfd-20nm"
    assert result.check.distance == 0


def test_one_guide_over_the_other_is_what_there_is_to_beat() -> None:
    through = crossing.problem.evaluate(crossing.plain).responses["nominal"]["transmission"][0]
    assert 0.75 < through.min() < 0.9
