"""Filter and projections: borders, periods, subpixel smoothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from invdesign.spaces.border import Border, Mask, inverted, surround
from invdesign.spaces.density import conic_filter, conic_kernel, tanh_projection
from invdesign.spaces.projection import SMOOTHING_PX, fill_factor, smoothed_projection
from tests.invdesign.taylor import taylor_rates

GUIDED = Border(left=((4, "void"), (5, "solid"), (3, "void")), right="void", bottom="solid", top="void")


def field(seed: int, shape: tuple[int, int] = (10, 12)) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).random(shape))


def test_border_is_what_a_larger_array_would_be() -> None:
    """The filtered design is the middle of the filtered plane in which border and design are drawn."""
    design = field(0)
    plane = torch.zeros(30, 32, dtype=torch.float64)
    plane[:10, 14:19] = 1  # the guide on the left
    plane[10:20, :10] = 1  # the solid below
    plane[10:20, 10:22] = design
    filtered = conic_filter(plane, 4.5)[10:20, 10:22]
    torch.testing.assert_close(conic_filter(design, 4.5, GUIDED), filtered)
    wider = conic_filter(plane, 4.5)[8:22, 8:24]
    torch.testing.assert_close(conic_filter(design, 4.5, GUIDED, margin=2), wider)


def test_border_keeps_constants_and_corners_need_both_sides() -> None:
    solid = Border("solid", "solid", "solid", "solid")
    ones = torch.ones(6, 7, dtype=torch.float64)
    torch.testing.assert_close(conic_filter(ones, 3.3, solid), ones)
    mixed = surround(ones, 2, Border(left="solid", bottom="void"))
    assert (mixed[:2, :2] == 0).all()
    assert (mixed[:2, -2:] == 1).all()


def test_unknown_sides_go_on_as_before() -> None:
    design = field(1)
    padded = torch.nn.functional.pad(design[None, None], (3,) * 4, mode="replicate")
    expected = torch.nn.functional.conv2d(padded, conic_kernel(3.7)[None, None])[0, 0]
    torch.testing.assert_close(conic_filter(design, 3.7), expected)


@pytest.mark.parametrize("periodic", [(True, False), (False, True), (True, True)])
def test_periodic_filter_commutes_with_translation(periodic: tuple[bool, bool]) -> None:
    shifts, axes = [s for s, p in zip((3, 5), periodic, strict=True) if p], [a for a in (0, 1) if periodic[a]]
    design = field(2)
    border = Border(left="continue" if periodic[0] else "void", bottom="continue" if periodic[1] else "solid")
    moved = conic_filter(torch.roll(design, shifts, axes), 4.2, border, periodic)
    torch.testing.assert_close(moved, torch.roll(conic_filter(design, 4.2, border, periodic), shifts, axes))


def test_frame_of_a_scene_becomes_its_border() -> None:
    plane = np.zeros((16, 18))
    plane[:3, 7:12] = 1
    plane[:3, 12] = 0.4  # a guide that ends within a pixel
    plane[3:13, :3] = 1
    border = Border.around(plane, 3)
    assert border == Border(
        left=((4, 0.0), (5, 1.0), (1, 0.4), (2, 0.0)), right=((12, 0.0),), bottom=((10, 1.0),), top=((10, 0.0),)
    )
    assert hash(border) == hash(Border.around(plane, 3))
    around = surround(torch.zeros(10, 12, dtype=torch.float64), 3, border)
    np.testing.assert_array_equal(around[:3, 3:15].numpy(), plane[:3, 3:15])
    assert inverted(inverted(border)) == border
    plane[0, 9] = 0
    with pytest.raises(ValueError, match="changes on the left side"):
        Border.around(plane, 3)


@pytest.mark.parametrize(
    ("sides", "message"),
    [
        ({"left": "metal"}, "'solid', 'void', 'continue' or runs"),
        ({"left": ((3, "metal"),)}, "runs of at least one pixel"),
        ({"top": ((0, "solid"),)}, "runs of at least one pixel"),
        ({"top": ((2, 1.5),)}, "fraction in"),
        ({"top": ()}, "or runs"),
        ({"top": (3,)}, r"runs \(pixels, state\)"),
    ],
)
def test_senseless_borders_are_refused(sides: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Border(**sides)  # type: ignore[arg-type]


def test_masks_keep_their_pixels() -> None:
    for seed in range(5):
        pixels = np.random.default_rng(seed).random((7, 9)) > 0.5
        mask = Mask.of(pixels, (7, 9))
        assert np.array_equal(mask.array, pixels)
        assert mask == Mask.of(pixels.astype(float), (7, 9))
    assert not Mask.of(np.zeros((2, 3)), (2, 3)).array.any()
    with pytest.raises(ValueError, match="zeros and ones"):
        Mask.of(np.full((2, 3), 0.5), (2, 3))


def published_projection(rho: np.ndarray, beta: float, eta: float) -> np.ndarray:
    """arXiv:2503.20189v3, written out pixel by pixel for an array with a margin of one."""
    result = np.empty((rho.shape[0] - 2, rho.shape[1] - 2))

    def project(value: float) -> float:
        if np.isinf(beta):
            return float(value > eta)
        return (np.tanh(beta * eta) + np.tanh(beta * (value - eta))) / (np.tanh(beta * eta) + np.tanh(beta * (1 - eta)))

    def share(t: float) -> float:
        return 1 / 2 - 15 / 16 * t + 5 / 8 * t**3 - 3 / 16 * t**5

    for i, j in np.ndindex(*result.shape):
        value = rho[i + 1, j + 1]
        slope = np.hypot((rho[i + 2, j + 1] - rho[i, j + 1]) / 2, (rho[i + 1, j + 2] - rho[i + 1, j]) / 2)
        t = (eta - value) / slope / 0.55
        if abs(t) >= 1:
            result[i, j] = project(value)
            continue
        low, high = value - 0.55 * slope * share(t), value + 0.55 * slope * share(-t)
        result[i, j] = (1 - share(t)) * project(low) + share(t) * project(high)
    return result


@pytest.mark.parametrize("beta", [4.0, 32.0, np.inf])
@pytest.mark.parametrize("eta", [0.4, 0.5])
def test_smoothed_projection_is_the_published_one(beta: float, eta: float) -> None:
    rho = conic_filter(field(3, (20, 22)), 3.5)
    found = smoothed_projection(rho, beta, eta, curvature=False)
    np.testing.assert_allclose(found.numpy(), published_projection(rho.numpy(), beta, eta), atol=1e-14)


def test_second_order_term_is_of_second_order() -> None:
    """On a straight edge it does nothing; on a disc of many pixels next to nothing."""
    x = torch.linspace(-1, 1, 21, dtype=torch.float64)
    plane = 0.5 + 0.3 * x[:, None] + 0.1 * x[None, :]
    for curvature in (True, False):
        edge = smoothed_projection(plane, np.inf, 0.52, curvature)
        torch.testing.assert_close(edge, smoothed_projection(plane, np.inf, 0.52))
    r = torch.hypot(*torch.meshgrid(x, x, indexing="ij"))
    first, second = (smoothed_projection(1 - r, np.inf, 0.5, curvature) for curvature in (False, True))
    assert 0 < (first - second).abs().max() < 0.01


def test_infinite_sharpness_is_binary_but_for_edges_and_measures_area() -> None:
    """The area of a disc follows its radius to some hundredths of a pixel, and far better than thresholded pixels."""
    x = torch.arange(-20.0, 21.0, dtype=torch.float64)
    r = torch.hypot(*torch.meshgrid(x, x, indexing="ij"))
    errors, thresholded = [], []
    for radius in np.arange(10, 12, 0.1):
        field = torch.sigmoid((radius - r) / 4)
        density = smoothed_projection(field, np.inf, 0.5)
        grey = (density > 0) & (density < 1)
        assert 0 < grey.sum() < 2.5 * 2 * np.pi * radius * SMOOTHING_PX
        errors.append((float(density.sum()) - np.pi * radius**2) / (2 * np.pi * radius))
        thresholded.append((float((field > 0.5).sum()) - np.pi * radius**2) / (2 * np.pi * radius))
    assert np.abs(errors).max() < 0.04
    assert np.std(errors) < 0.3 * np.std(thresholded)


def test_fill_factor_is_a_share() -> None:
    t = torch.linspace(-1, 1, 101, dtype=torch.float64)
    share = fill_factor(t)
    assert share[0] == 1
    assert share[-1] == 0
    assert (share.diff() < 0).all()
    torch.testing.assert_close(share + fill_factor(-t), torch.ones_like(t))


@pytest.mark.parametrize("beta", [8.0, 64.0, np.inf])
def test_smoothed_gradient_passes_a_taylor_test(beta: float) -> None:
    weights = field(9, (20, 22))
    for seed in range(4):
        rho = conic_filter(field(seed, (20, 22)), 3.5, margin=1).numpy()
        rates = taylor_rates(
            lambda x: (smoothed_projection(x, beta, 0.5) * weights).sum(), rho, np.random.default_rng(seed), 2e-4
        )
        assert min(rates) > 1.7, rates


def test_gradient_survives_where_an_edge_crosses_a_pixel() -> None:
    """Sweeping an edge through a pixel: value and slope are continuous; the step's slope would vanish throughout."""
    x = torch.arange(-2.0, 3.0, dtype=torch.float64)
    values, derivatives = [], []
    for shift in np.linspace(-1, 1, 401):
        place = torch.tensor(shift, dtype=torch.float64, requires_grad=True)
        rho = (0.5 + 0.1 * (x + place))[:, None].expand(5, 5)
        value = smoothed_projection(rho, np.inf, 0.5)[1, 1]
        values.append(float(value.detach()))
        derivatives.append(float(torch.autograd.grad(value, place, allow_unused=True)[0] or 0.0))
    assert (values[0], values[-1]) == (0.0, 1.0)
    assert np.abs(np.diff(values)).max() < 0.02
    assert np.abs(np.diff(derivatives)).max() < 0.03
    assert np.trapezoid(derivatives, np.linspace(-1, 1, 401)) == pytest.approx(1, abs=1e-4)


def test_uniform_grey_has_no_edge_and_no_accident() -> None:
    rho = torch.full((6, 6), 0.5, dtype=torch.float64, requires_grad=True)
    density = smoothed_projection(rho, 8.0, 0.5)
    (gradient,) = torch.autograd.grad(density.sum(), rho)
    torch.testing.assert_close(density, tanh_projection(rho, 8.0, 0.5)[1:-1, 1:-1])
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("border", [Border(), GUIDED])
def test_filter_gradient_passes_a_taylor_test(border: Border) -> None:
    for seed in range(3):
        rates = taylor_rates(
            lambda x: (conic_filter(x, 4.5, border) ** 3).sum(), field(seed).numpy(), np.random.default_rng(seed), 0.1
        )
        assert min(rates) > 1.7, rates
