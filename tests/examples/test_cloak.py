"""The cloak of the demo, in short: the numbers its story rests on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from benchmarks.cloak import series_width_um
from examples import cloak as example
from invdesign import Budget, low_fidelity, run
from physics.devices.open.library import cloak, cloak_void


def test_a_short_descent_hides_most_of_the_rod() -> None:
    simulator = cloak((1.55,), cells_um=(0.04,))
    problem = replace(example.problem, simulator=simulator)
    strategy = low_fidelity(betas=(8.0, 16.0), evaluations=25, start=example.start, starts=1)
    result = run(problem, strategy, budget=Budget(solves=60), seed=example.seed)
    best, check = result.best, result.check
    assert best is not None and check is not None
    bare = simulator.simulate(example.bare, 0)["scattering_width_um"].item()
    assert np.asarray(best.response["scattering_width_um"]).item() < 0.25 * bare
    assert np.asarray(check.response["scattering_width_um"]).item() < 0.25 * bare
    np.testing.assert_allclose(best.response["scattering_width_um"], best.response["extinction_width_um"])
    np.testing.assert_array_equal(best.design, best.design[:, ::-1])
    assert not best.design[cloak_void(simulator)].any()


def test_the_bare_rod_scatters_as_the_series_says() -> None:
    simulator = replace(example.simulator, wavelength_um=(1.55,))
    found = simulator.simulate(example.bare, 1)["scattering_width_um"].item()
    np.testing.assert_allclose(found, series_width_um(1.55, 0.3, 12.0), rtol=0.006)
