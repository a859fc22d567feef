"""The bend verified by Meep, in short: one wavelength, coarse cells."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from examples import bend_with_meep as bend
from invdesign import Budget, Problem, run
from invdesign.figures.layout import layout_of
from invdesign.result import Result
from invdesign.strategies import Relay
from physics.meep import MeepLadder, meep
from tests.meep import meep_there, needs_meep

__all__ = ["meep_there"]
pytestmark = needs_meep


@pytest.fixture(scope="module")
def problem(meep_there: object) -> Problem:
    """The example's, at one wavelength."""
    device = replace(bend.device, wavelength_um=(1.55,), cells_um=(0.04,))
    quick = MeepLadder(device, cells_um=(0.05,), slab_um=0.22, pml_um=0.6, transits=10.0)
    return replace(bend.problem, simulator=quick)


@pytest.fixture(scope="module")
def designed(problem: Problem) -> Result:
    """Designed on FDFD, verified by Meep."""
    return run(problem, bend.strategies["designed on FDFD"], budget=Budget(solves=45), seed=bend.seed)


def test_what_fdfd_designs_meep_verifies(designed: Result, tmp_path) -> None:
    best = designed.best
    assert best is not None
    assert best.response["transmission"].min() > 0.93
    assert set(np.unique(best.design)) == {0.0, 1.0}
    assert designed.costs.solves_by_fidelity["meep-2d-50nm"] >= 1
    # The solver's own process is on the meter: a solve in Meep takes longer than all the rest.
    assert designed.costs.cpu_seconds > 1.0
    assert designed.check is not None and designed.check.fidelity == "meep-2d-25nm"
    page = designed.report(tmp_path).read_text()
    told = f"MIT Meep (FDTD) {meep().version}, 20 cells per um (50 nm), 2D"
    assert f"meep-2d-50nm ({told})" in page and f"{meep().version}, 40 cells per um (25 nm), 2D" in page


def test_figures_and_exports_know_where_the_design_lies(problem: Problem) -> None:
    drawn, flat = layout_of(problem), layout_of(replace(problem, simulator=bend.device))
    assert drawn == flat and drawn.x_um == (-1.2, 1.2)


def test_steps_along_meeps_gradients_do_not_lose(problem: Problem, designed: Result) -> None:
    strategy = bend.strategies["refined on Meep"]
    assert isinstance(strategy, Relay) and designed.best is not None
    onwards = replace(strategy.then, start=designed.best.theta, evaluations=3)
    result = run(problem, onwards, budget=Budget(reference_solves=6), seed=bend.seed)
    assert result.best is not None
    assert result.costs.reference_solves >= 3
    assert result.best.loss <= designed.best.loss + 0.01
