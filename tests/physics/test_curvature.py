"""Products with the Hessian: by Taylor rate, against differences of gradients, and on kept factorisations."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from physics.base import HasCurvature, SimulationError, check_design, resolve_cotangents
from physics.devices import beam_splitter, waveguide_bend
from physics.fdfd import linear, multifrontal, region
from physics.fdfd.curvature import factors, factors_bytes
from physics.testing import QuadraticLoss, check_hvp, check_simulator, curvature_slope, random_cotangents
from tests.physics.test_media import LOSSLESS, LOSSY, PLACES, POLARIZATIONS, design_map
from tests.physics.test_testing import Quadratic

BEND = waveguide_bend((1.53, 1.56), design_um=1.2, pixel_um=0.04, cells_um=(0.04,))
LOSSY_MEDIA = (2.1, 9.0 + 1.5j)
DEVICES = {
    "Ez": BEND,
    "Ez, lossy, both sources": replace(BEND, permittivity=LOSSY_MEDIA, source=("in", "out")),
    "Hz": replace(BEND, polarization="Hz"),
    "Hz, lossy, both sources": replace(BEND, polarization="Hz", permittivity=LOSSY_MEDIA, source=("out", "in")),
    "Hz, pixels that divide no cell": replace(BEND, polarization="Hz", cells_um=(0.037,), wavelength_um=(1.55,)),
    "three ports": beam_splitter((1.55,), design_um=(1.6, 2.0), pixel_um=0.04, cells_um=(0.04,)),
}


@pytest.fixture(autouse=True)
def empty_cache():
    factors.clear()
    yield
    factors.clear()


def case(device, seed=0):
    rng = np.random.default_rng(seed)
    design = rng.uniform(0.2, 0.8, device.design_shape)
    loss = QuadraticLoss(random_cotangents(device.simulate(design, 0), rng))
    return design, loss, rng.random(design.shape) - design


@pytest.mark.parametrize("name", DEVICES)
def test_taylor_rate_and_symmetry(name):
    device = DEVICES[name]
    assert isinstance(device, HasCurvature)
    rng = np.random.default_rng(1)
    binary = (rng.random(device.design_shape) > 0.5).astype(float)
    for design in (rng.uniform(0.2, 0.8, device.design_shape), binary):
        assert 2.8 < curvature_slope(device, 0, design, rng) < 3.3
        check_hvp(device, 0, design, device.simulate(design, 0), rng)


@pytest.mark.parametrize("name", ["Ez, lossy, both sources", "Hz"])
def test_products_match_differences_of_gradients(name):
    device = DEVICES[name]
    design, loss, direction = case(device)
    h = 1e-4
    ahead, behind = (device.vjp(design + step * direction, 0, loss)[1] for step in (h, -h))
    product = device.hvp(design, 0, loss, direction)[1]
    assert_allclose(product, (ahead - behind) / (2 * h), rtol=1e-5, atol=1e-6 * np.abs(product).max())


def test_the_kit_reports_the_rate():
    report = check_simulator(replace(BEND, wavelength_um=(1.55,)), points=1)
    assert all(2.8 < slope < 3.2 for slope in report.curvature_slopes["fdfd-40nm"])


@pytest.mark.parametrize("permittivity", [LOSSLESS, LOSSY], ids=["lossless", "lossy"])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("polarization", POLARIZATIONS)
def test_the_stencil_and_its_adjoint_change_as_their_differences(polarization, place, permittivity):
    media = design_map(polarization, place, permittivity)
    rng = np.random.default_rng(5)
    density, direction = rng.uniform(0.2, 0.8, media.pixels), rng.standard_normal(media.pixels)
    i0, i1, j0, j1 = media.window
    shape = (3, i1 - i0, j1 - j0)
    d = rng.standard_normal(shape) + 1j * rng.standard_normal(shape)
    h = 1e-5
    ahead, behind = density + h * direction, density - h * direction
    for exact, high, low in zip(
        media.change(density, direction), media.values(ahead), media.values(behind), strict=True
    ):
        difference = (high - low) / (2 * h)
        assert_allclose(exact, difference, atol=1e-7 * max(1.0, np.abs(difference).max()))
    exact = media.pull_back_change(density, direction, *d)
    difference = (media.pull_back(ahead, *d) - media.pull_back(behind, *d)) / (2 * h)
    assert_allclose(exact, difference, atol=1e-6 * max(1e-3, np.abs(difference).max()))
    assert polarization == "Hz" or not exact.any()


def count_eliminations(monkeypatch):
    made = []

    class Counted(multifrontal.Elimination):
        def __init__(self, *args):
            made.append(1)
            super().__init__(*args)

    monkeypatch.setattr(region, "Elimination", Counted)
    return made


def test_products_make_no_factorisation_after_the_gradient(monkeypatch):
    design, loss, direction = case(BEND)
    BEND.hvp(design, 0, loss, direction)  # the first product makes its own, and says that they are wanted
    made = count_eliminations(monkeypatch)
    other = 1 - design
    BEND.vjp(other, 0, loss)
    assert len(made) == len(BEND.wavelength_um)
    for _ in range(3):
        BEND.hvp(other, 0, loss, direction)
        BEND.hvp(design, 0, loss, direction)
    assert len(made) == len(BEND.wavelength_um)


@pytest.mark.parametrize("megabytes", ["256", "0.9", "0"])
def test_a_product_does_not_depend_on_what_is_kept(monkeypatch, megabytes):
    design, loss, direction = case(BEND)
    alone = BEND.hvp(design, 0, loss, direction)[1]
    factors.clear()
    monkeypatch.setenv("FDFD_FACTORS_MB", megabytes)
    for again in (replace(BEND, threads=1), BEND):
        BEND.vjp(1 - design, 0, loss)
        again.vjp(design, 0, loss)
        assert np.array_equal(again.hvp(design, 0, loss, direction)[1], alone)
        assert factors.nbytes <= 1e6 * float(megabytes)


def test_nothing_is_kept_before_the_first_product(monkeypatch):
    design, loss, direction = case(BEND)
    BEND.vjp(design, 0, loss)
    assert factors.nbytes == 0
    BEND.hvp(design, 0, loss, direction)
    assert factors.nbytes > 0
    monkeypatch.setenv("FDFD_FACTORS_MB", "lots")
    with pytest.raises(ValueError, match="number of megabytes"):
        factors_bytes()


def test_factorisations_that_fell_back_are_not_kept(monkeypatch):
    design, loss, direction = case(BEND)
    usual = BEND.hvp(design, 0, loss, direction)[1]
    factors.clear()
    accepted = region.ACCEPTED
    monkeypatch.setattr(region, "ACCEPTED", -1.0)  # no elimination is good enough
    pivoted = BEND.hvp(design, 0, loss, direction)[1]
    assert factors.nbytes == 0
    assert_allclose(pivoted, usual, rtol=1e-7, atol=1e-9 * np.abs(usual).max())
    # One that falls back only in a product is dropped then.
    monkeypatch.setattr(region, "ACCEPTED", accepted)
    BEND.vjp(design, 0, loss)
    assert factors.nbytes > 0
    monkeypatch.setattr(region, "ACCEPTED", -1.0)
    BEND.hvp(design, 0, loss, direction)
    assert factors.nbytes == 0


def test_a_failed_product_is_an_error_and_leaves_nothing(monkeypatch):
    design, loss, direction = case(BEND)
    BEND.hvp(design, 0, loss, direction)
    monkeypatch.setattr(region, "ACCEPTED", -1.0)
    monkeypatch.setattr(linear, "ACCEPTED", -1.0)
    with pytest.raises(SimulationError, match="backward error"):
        BEND.hvp(design, 0, loss, direction)
    assert all(scene.wavelength_um != 1.53 for scene, _ in factors._kept)


def test_constant_cotangents_and_the_door():
    design, loss, direction = case(BEND)
    straight = replace(loss, stiffness=0.0)
    by_arrays = BEND.hvp(design, 0, dict(loss.weights), direction)[1]
    assert_allclose(by_arrays, BEND.hvp(design, 0, straight, direction)[1], rtol=1e-12)
    assert np.array_equal(BEND.hvp(design, 0, {}, direction)[1], np.zeros(design.shape))
    with pytest.raises(TypeError, match=r"change\(response, change\)"):
        BEND.hvp(design, 0, lambda response: dict(loss.weights), direction)
    for wrong in (direction[1:], direction * np.nan, direction * 1j):
        with pytest.raises(ValueError, match="direction of finite real numbers"):
            BEND.hvp(design, 0, loss, wrong)
    with pytest.raises(ValueError, match=r"in \[0, 1\]"):
        BEND.hvp(design + 1, 0, loss, direction)
    with pytest.raises(KeyError, match="power"):
        BEND.hvp(design, 0, {"power": np.ones(2)}, direction)


class Curved(Quadratic):
    """y = sum(x^2) over rows with its second derivative, right or faulty."""

    def hvp(self, design, level, cotangents, direction, replicate=0):
        response, scale = self.simulate(design, level), self.unit * (1.0 if level == 1 else 1.02)
        check_design(design, self.design_shape)
        y = resolve_cotangents(cotangents, response)["y"]
        dy = cotangents.change(response, {"y": 2 * scale * (design * direction).sum(axis=1)})["y"]
        product = 2 * scale * (direction * y[:, None] + design * dy[:, None])
        if self.fault == "size":
            product = product * 1.02
        if self.fault == "asymmetric":
            product = product + 1e-3 * scale * np.roll(direction, 1, axis=0)
        if self.fault == "affine":
            product = product + 1e-3 * scale
        if self.fault == "other response":
            response = {"y": response["y"] * 1.001}
        return response, product


def test_the_kit_finds_wrong_products():
    assert check_simulator(Curved()).curvature_slopes["fine"]
    for fault, message in (
        ("size", r"fall with h\^3"),
        ("asymmetric", "symmetric"),
        ("affine", "linear in the direction"),
        ("other response", "of hvp as of simulate"),
    ):
        with pytest.raises(AssertionError, match=message):
            check_simulator(Curved(fault))
