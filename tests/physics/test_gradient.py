"""Gradients by Taylor rate, and what a vjp promises."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from physics.devices import beam_splitter, quarter_ring, waveguide_bend
from physics.fdfd import Constant, RegionFactor, Table
from physics.testing import gradient_error, taylor_slope

BEND = waveguide_bend((1.53, 1.56), design_um=1.2, pixel_um=0.04, cells_um=(0.04, 0.03))


def point(kind):
    if kind == "grey":
        return np.full(BEND.design_shape, 0.5)
    if kind == "binary":
        return (quarter_ring(BEND) > 0.5).astype(float)
    return np.random.default_rng(7).random(BEND.design_shape)


@pytest.mark.parametrize("kind", ["grey", "binary", "random"])
@pytest.mark.parametrize("level", [0, 1])
def test_taylor_rate(kind, level):
    for seed in (0, 1):
        assert 1.8 < taylor_slope(BEND, level, point(kind), np.random.default_rng(seed)) < 2.3


def test_taylor_rate_of_three_ports():
    device = beam_splitter((1.55,), design_um=(1.6, 2.4), pixel_um=0.04, cells_um=(0.04,))
    design = device.example_designs(np.random.default_rng(0), 1)[0]
    assert 1.8 < taylor_slope(device, 0, design, np.random.default_rng(0)) < 2.3
    assert gradient_error(device, 0, design, np.random.default_rng(0), 1e-3) < 1e-4


def test_single_pixels_match_central_differences():
    design = np.random.default_rng(3).uniform(0.2, 0.8, BEND.design_shape)
    weight = {"transmission": np.array([[1.0, -0.5]]), "reflection": np.array([0.3, 2.0])}
    _, gradient = BEND.vjp(design, 0, weight)
    for pixel in [(0, 0), (15, 2), (29, 29), (0, 14)]:
        values = []
        for step in (1e-4, -1e-4):
            moved = design.copy()
            moved[pixel] += step
            response = BEND.simulate(moved, 0)
            values.append(sum((weight[name] * response[name]).sum() for name in weight))
        assert_allclose(gradient[pixel], (values[0] - values[1]) / 2e-4, rtol=1e-5, atol=1e-9)


def test_power_and_amplitude_cotangents_agree():
    design = point("random")
    response, by_power = BEND.vjp(design, 0, {"transmission": np.ones((1, 2))})
    seed = np.zeros_like(response["s"])
    seed[1] = 2 * response["s"][1]
    _, by_amplitude = BEND.vjp(design, 0, {"s": seed})
    assert_allclose(by_amplitude, by_power, rtol=1e-12)
    _, deferred = BEND.vjp(design, 0, lambda r: {"transmission": np.ones_like(r["transmission"])})
    assert np.array_equal(deferred, by_power)


def test_nothing_asked_for_gives_zero():
    _, gradient = BEND.vjp(point("grey"), 0, {})
    assert np.array_equal(gradient, np.zeros(BEND.design_shape))


def test_one_factorisation_a_wavelength_and_one_solve(monkeypatch):
    BEND.simulate(point("grey"), 0)  # the cached exterior
    calls = []
    init, solve = RegionFactor.__init__, RegionFactor.solve
    monkeypatch.setattr(RegionFactor, "__init__", lambda self, *a: calls.append("factor") or init(self, *a))
    monkeypatch.setattr(RegionFactor, "solve", lambda self, *a: calls.append("solve") or solve(self, *a))
    BEND.vjp(point("random"), 0, {"transmission": np.ones((1, 2))})
    assert sorted(calls) == ["factor", "factor", "solve", "solve"]


def test_bad_cotangents_are_refused():
    with pytest.raises(KeyError, match="power"):
        BEND.vjp(point("grey"), 0, {"power": np.ones(2)})
    with pytest.raises(ValueError, match="shape"):
        BEND.vjp(point("grey"), 0, {"reflection": np.ones(3)})


LOSSY = (2.1 + 1e-3j, 12.1 + 0.5j)
DISPERSIVE = (Constant(1.45, dn_dt=1e-5), Table((1.4, 1.5, 1.7), (3.40, 3.50, 3.45), (0.0, 0.01, 0.02)))
METAL = (2.1, -8.0 + 1.0j)


@pytest.mark.parametrize("polarization", ["Ez", "Hz"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"permittivity": LOSSY},
        {"permittivity": DISPERSIVE, "temperature_k": 330.0},
        {"permittivity": METAL},
        {"source": ("in", "out")},
        {"source": ("out",), "permittivity": LOSSY, "background": 2.1 + 1e-3j},
    ],
    ids=["plain", "lossy", "dispersive", "metal", "two sources", "other source"],
)
def test_taylor_rate_of_media_polarizations_and_sources(polarization, changes):
    """At a grey, a nearly binary and a random point; cells that do not divide the pixels too."""
    bend = waveguide_bend(1.55, design_um=0.8, pixel_um=0.04, cells_um=(0.04, 0.03), margin_um=0.4, pml_um=0.4)
    device, rng = replace(bend, polarization=polarization, **changes), np.random.default_rng(4)
    designs = [*device.example_designs(rng, 2), rng.random(device.design_shape)]
    for level, design in zip((0, 1, 0), designs, strict=True):
        assert 1.8 < taylor_slope(device, level, design, np.random.default_rng(1)) < 2.3


def test_taylor_rate_where_the_window_is_pivoted(monkeypatch):
    """The gradient does not depend on which factorisation solved the window."""
    design, ones = point("random"), {"transmission": np.ones((1, 2))}
    _, expected = BEND.vjp(design, 0, ones)
    once = RegionFactor._once
    monkeypatch.setattr(RegionFactor, "_once", lambda *a: once(*a) * np.nan)
    _, gradient = BEND.vjp(design, 0, ones)
    assert_allclose(gradient, expected, atol=1e-10 * np.abs(expected).max())


def test_the_gradient_of_all_sources_is_the_sum_of_each():
    design, rng = point("random"), np.random.default_rng(5)
    both = replace(BEND, source=("in", "out"))
    weight, amplitude = rng.standard_normal((2, 2, 2)), rng.standard_normal((2, 2, 2)) + 1j
    _, together = both.vjp(design, 0, {"power": weight, "s": amplitude})
    total = np.zeros(BEND.design_shape)
    for k, (name, own) in enumerate((("in", 0), ("out", 1))):
        cotangents = {
            "s": amplitude[:, k],
            "reflection": weight[own, k],
            "transmission": weight[1 - own, k][None],
        }
        total += replace(BEND, source=name).vjp(design, 0, cotangents)[1]
    assert_allclose(together, total, atol=1e-12 * np.abs(total).max())
