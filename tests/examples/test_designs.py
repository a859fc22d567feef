"""The stored designs of the standard problems are what examples/designs/README.md says: in windows, and wide enough."""

from pathlib import Path

import numpy as np
import pytest

from invdesign.challenges import challenge
from invdesign.export import feature_sizes
from physics.devices.challenges import CHALLENGES, ceviche_reading, challenge_device

DESIGNS = Path(__file__).parents[2] / "examples" / "designs"
# Least width and spacing in pixels, and the score that others have published.
FULL = {
    "waveguide_bend": (9, 7, -1.2504),
    "power_splitter": (9, 8, 0.0090),
    "mode_converter": (6, 6, 0.9095),
    "beam_splitter": (6, 6, 0.0),
    "wdm": (8, 8, 0.0),
}


def stored(name, lightweight):
    return np.load(DESIGNS / f"{name}{'_lightweight' if lightweight else ''}.npy", allow_pickle=False)


def sizes_px(density):
    sizes = feature_sizes(density, 1.0)
    return sizes.min_width_um, sizes.min_spacing_um


@pytest.mark.parametrize("name", CHALLENGES)
def test_lightweight_designs_meet_their_windows(name):
    problem, density = challenge(name, lightweight=True, threads=1), stored(name, True)
    assert density.dtype == np.uint8 and set(np.unique(density)) == {0, 1}
    s = problem.device.simulate(density, 0)["s"]
    assert problem.violation_db({"s": s}) < 0 and problem.eval_metric({"s": s}) > 0
    assert problem.violation_db({"s": ceviche_reading(problem.device, s)}) < 0
    assert min(sizes_px(density)) >= problem.length_px
    if name != "wdm":  # on the finer mesh too
        finer = challenge(name, lightweight=True, cells_um=(0.02,), threads=1)
        assert finer.violation_db(finer.device.simulate(density, 0)) < 0


@pytest.mark.parametrize("name", CHALLENGES)
def test_lightweight_designs_meet_their_windows_in_the_outside_package(name):
    pytest.importorskip("ceviche_challenges", reason="the referee is ceviche_challenges 1.0.2")
    from benchmarks.ceviche_models import ceviche_model, ceviche_scattering

    s = ceviche_scattering(ceviche_model(name, lightweight=True), stored(name, True).astype(float))
    assert challenge(name, lightweight=True).violation_db({"s": s}) < 0


@pytest.mark.parametrize("name", FULL)
def test_features_of_full_designs(name):
    density = stored(name, False)
    assert density.dtype == np.uint8 and set(np.unique(density)) == {0, 1}
    width, spacing = sizes_px(density)
    assert width >= FULL[name][0] and spacing >= FULL[name][1]


@pytest.mark.slow
@pytest.mark.parametrize("name", FULL)
def test_full_designs_meet_their_windows_and_exceed_the_published_score(name):
    problem = challenge(name)
    response = problem.device.simulate(stored(name, False), 0)
    assert problem.violation_db(response) < 0
    assert problem.eval_metric(response) > FULL[name][2]


@pytest.mark.slow
@pytest.mark.parametrize("name", FULL)
def test_full_designs_in_the_outside_package(name):
    """At one wavelength, as its monitors read it."""
    pytest.importorskip("ceviche_challenges", reason="the referee is ceviche_challenges 1.0.2")
    from benchmarks.ceviche_models import ceviche_model, ceviche_scattering

    device, density = challenge_device(name, wavelength_um=(1.265,)), stored(name, False).astype(float)
    theirs = ceviche_scattering(ceviche_model(name, wavelength_um=(1.265,)), density)
    ours = ceviche_reading(device, device.simulate(density, 0)["s"])
    assert np.abs(np.abs(theirs) - np.abs(ours)).max() < 2e-4
