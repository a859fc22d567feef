"""The grating coupler, in short: designed on its coarse mesh alone, checked on the next."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from examples import grating_coupler as coupler
from invdesign import Budget, run


def test_unequal_grooves_beat_equal_ones_on_a_finer_mesh_too() -> None:
    problem = replace(coupler.problem, simulator=replace(coupler.simulator, cells_um=0.04))
    result = run(problem, coupler.strategies["low fidelity"], budget=Budget(solves=35), seed=coupler.seed)
    best, check = result.best, result.check
    assert best is not None
    assert best.response["efficiency"][0] > 0.58
    assert check is not None
    assert check.response["efficiency"][0] > 0.56
    equal = problem.evaluate(coupler.strategies["equal grooves"].density)  # type: ignore[attr-defined]
    assert equal.responses["nominal"]["efficiency"][0] < 0.5


def test_grooves_are_binary_but_for_the_pixels_they_cut() -> None:
    density = coupler.space.binarize(coupler.apodised(0.3, 0.5))
    assert density.shape == coupler.simulator.design_shape
    grey = (density > 0) & (density < 1)
    assert np.count_nonzero(grey) <= 2 * coupler.GROOVES
