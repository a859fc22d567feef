"""A relay: the second strategy begins where the first ended."""

from __future__ import annotations

import numpy as np
import pytest

from invdesign import Budget, DensitySpace, Problem, Target, adjoint, drawn, low_fidelity, relay, run
from invdesign.store import Store
from tests.invdesign.toy import Toy

PROBLEM = Problem(
    space=DensitySpace((12, 12), filter_radius_um=0.05),
    simulator=Toy(),
    targets=[Target("transmission", goal="maximize")],
)
FIRST = low_fidelity(starts=1, evaluations=10)
THEN = adjoint(starts=1, betas=(64.0,), evaluations=10)


def test_the_second_goes_on_where_the_first_ended() -> None:
    alone = run(PROBLEM, FIRST, budget=Budget(solves=500))
    both = run(PROBLEM, relay(FIRST, THEN), budget=Budget(solves=500))
    assert alone.best is not None and both.best is not None
    assert [c.key for c in both.candidates[: len(alone.candidates)]] == [c.key for c in alone.candidates]
    onwards = both.records[len(alone.records) - 1 :]
    asked = [record.design for record in onwards if record.gradient is not None]
    start = PROBLEM.space.at(64.0).decode(np_tensor(alone.best.theta)).numpy()
    np.testing.assert_allclose(asked[0], start, atol=1e-6)
    assert both.best.loss <= alone.best.loss


def np_tensor(values):
    """Parameters as the space takes them."""
    import torch

    return torch.from_numpy(np.asarray(values))


def test_a_design_without_parameters_is_a_start_too() -> None:
    density = np.tile(np.linspace(0.3, 0.7, 12), (12, 1))
    result = run(PROBLEM, relay(drawn(density), adjoint(starts=1, betas=(8.0, 64.0))), budget=Budget(solves=500))
    assert result.best is not None and len(result.candidates) >= 2
    assert result.best.loss < result.candidates[0].loss


def test_a_relay_that_was_cut_off_goes_on(tmp_path) -> None:
    budget, strategy = Budget(solves=60), relay(FIRST, THEN)
    whole = run(PROBLEM, strategy, budget=budget)
    path = tmp_path / "store.db"
    with Store(path) as store:
        run(PROBLEM, FIRST, budget=budget, store=store)
    again = run(PROBLEM, strategy, budget=budget, store=path)
    assert [c.key for c in again.candidates] == [c.key for c in whole.candidates]


@pytest.mark.parametrize(
    "wrong", [(FIRST, drawn(np.zeros((12, 12)))), (FIRST, adjoint), (low_fidelity(), 3), (3, THEN)]
)
def test_only_strategies_that_can_begin_and_go_on_make_one(wrong) -> None:
    with pytest.raises(ValueError, match="Expected a strategy"):
        relay(*wrong)
