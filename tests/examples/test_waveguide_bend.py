"""The bend of the demo, in short: the numbers its story rests on."""

from __future__ import annotations

import numpy as np

from examples import waveguide_bend as bend
from invdesign import Budget, run


def test_the_low_fidelity_finds_a_bend_that_a_finer_mesh_confirms() -> None:
    result = run(bend.problem, bend.strategies["low fidelity"], budget=Budget(solves=90), seed=bend.seed)
    best = result.best
    assert best is not None
    assert best.distance == 0
    assert best.response["transmission"].min() >= 0.97
    assert set(np.unique(best.design)) == {0.0, 1.0}
    np.testing.assert_array_equal(best.design, best.design.T)
    assert result.check is not None
    assert result.check.fidelity == "fdfd-10nm"
    assert result.check.drift < 0.01


def test_the_quarter_ring_is_what_there_is_to_beat() -> None:
    strategy = bend.strategies["quarter ring"]
    drawn = bend.problem.evaluate(strategy.density)  # type: ignore[attr-defined]
    transmission = drawn.responses["nominal"]["transmission"]
    assert 0.93 < transmission.min() < 0.96
    assert drawn.distance > 0
