"""Runs on every kind of space, with constraints: killed, resumed, reported; widths as constrained and as measured."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from invdesign.budget import Budget
from invdesign.problem import Problem, Scenario
from invdesign.result import Result
from invdesign.run import Strategy, run
from invdesign.spaces.border import Border
from invdesign.spaces.constraints import Connected, Constraint, MinimumFeature
from invdesign.spaces.levelset import LevelSetSpace
from invdesign.spaces.shapes import Ellipse, ShapeSpace
from invdesign.spaces.space import DensitySpace, DesignSpace, LengthScaleWarning
from invdesign.store import Store
from invdesign.strategies import Adjoint, Newton
from invdesign.targets import Target
from tests.invdesign.kills import outlives_kills
from tests.invdesign.test_newton import CurvedToy

SHAPE = (12, 12)
PIXELS = DensitySpace(
    SHAPE, 0.1, filter_radius_um=0.3, minimum_width_um=0.3, minimum_spacing_um=0.4, border=Border(left="solid")
)
CASES: dict[str, tuple[DesignSpace, Sequence[Constraint]]] = {
    "pixels": (PIXELS, [MinimumFeature(0.3, 0.3), Connected()]),
    "level set": (LevelSetSpace(SHAPE, 0.1, control_um=0.2), [MinimumFeature(0.2)]),
    "shapes": (
        ShapeSpace(SHAPE, (Ellipse(((-0.2, 0.2), 0.0), ((0.2, 0.5), (0.2, 0.5))),), 0.1),
        [Connected(solid=False, void=True)],
    ),
}


def problem_on(kind: str) -> Problem:
    space, constraints = CASES[kind]
    wanted = Target("transmission", at={"port": "out"}, lower=0.3)
    return Problem(space, CurvedToy(), [wanted], [Scenario("eroded", 0.1)], constraints=constraints)


@pytest.mark.parametrize(
    ("kind", "strategy"),
    [
        ("pixels", Adjoint(evaluations=3)),
        ("pixels", Newton(evaluations=3)),
        ("level set", Newton(evaluations=3)),
        ("shapes", Adjoint(evaluations=3)),
    ],
    ids=lambda part: getattr(part, "name", part),
)
def test_a_killed_run_with_constraints_ends_as_an_uninterrupted_one(
    kind: str, strategy: Strategy, tmp_path: Path
) -> None:
    outlives_kills(problem_on(kind), strategy, Budget(solves=26), tmp_path, (7, 19))


@pytest.mark.parametrize("kind", CASES)
def test_a_result_says_what_was_constrained_and_what_is_measured(kind: str, tmp_path: Path) -> None:
    result = run(problem_on(kind), Adjoint(evaluations=4, starts=1), budget=Budget(solves=60), store=tmp_path / "a.db")
    width, spacing = result.features
    assert (width.kind, spacing.kind) == ("width", "spacing")
    assert (width.constrained_um, spacing.constrained_um) == {
        "pixels": (0.3, 0.3),
        "level set": (0.2, None),
        "shapes": (None, None),
    }[kind]
    assert (width.constraint is None) == (width.constrained_um is None)
    assert (width.repaired_um, spacing.repaired_um) == ((0.3, 0.4) if kind == "pixels" else (None, None))
    if kind == "pixels":
        assert (width.met, spacing.met, spacing.wanted_um) == (True, True, 0.4)
    with Store(tmp_path / "a.db") as store:
        ending = store.runs()[0]["ending"]
    assert json.dumps(ending["features"][0]["measured_um"]) == json.dumps(width.measured_um)
    if kind == "shapes":
        assert {check.met for check in result.features} == {None}
    page = result.report(tmp_path / "page").read_text(encoding="utf-8")
    assert (tmp_path / "page" / "design.gds").is_file()
    if width.measured_um is not None:
        assert f"{1000 * width.measured_um:.0f} nm" in page
        said = {"pixels": "repaired to 300 nm", "level set": "constrained to 200 nm", "shapes": "none asked for"}[kind]
        assert said in page


def test_a_length_that_cannot_be_kept_is_said_and_ends_no_run() -> None:
    """A free column across a narrow fixed bar between fixed gaps can be neither solid nor void."""
    bar = np.zeros(SHAPE, dtype=bool)
    bar[5:7, :] = True
    column = np.arange(SHAPE[1]) == 6
    gaps = np.roll(bar, 2, 0) | np.roll(bar, -2, 0)
    space = DensitySpace(
        SHAPE,
        0.1,
        filter_radius_um=0.2,
        solid=bar & ~column,
        void=gaps & ~column,
        minimum_width_um=0.5,
        minimum_spacing_um=0.5,
    )
    problem = Problem(space, CurvedToy(), [Target("transmission", at={"port": "out"}, lower=0.3)])
    with pytest.warns(LengthScaleWarning, match="no repair removed"):
        result: Result = run(problem, Adjoint(evaluations=3, starts=1), budget=Budget(solves=30))
    assert result.best is not None
    assert False in {check.met for check in result.features}
