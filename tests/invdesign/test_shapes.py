"""Parametrised shapes: areas against closed forms, gradients by Taylor rate and against a solver."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch

from invdesign.arrays import content_key
from invdesign.spaces.density import SYMMETRIES
from invdesign.spaces.rasterize import interval_fraction, polygon_fraction
from invdesign.spaces.scan import scan_polygon
from invdesign.spaces.shapes import Ellipse, Grating, Polygon, Shape, ShapeSpace
from physics.base import Array
from physics.devices import waveguide_bend

HEXAGON = Polygon(
    (((-0.7, -0.5), 0.03), (-0.2, (-0.7, -0.5)), (0.31, -0.52), (0.66, (0.0, 0.1)), (0.2, 0.5), (-0.3, 0.41))
)
TEETH = Grating((-0.8, -0.6), ((0.1, 0.3),) * 4, ((0.05, 0.2),) * 3, (-0.43, (0.2, 0.5)))
ELLIPSE = Ellipse(((-0.2, 0.2), (-0.2, 0.2)), ((0.3, 0.5), (0.3, 0.7)), (0.0, 1.5))


def density(space: ShapeSpace, theta: Array) -> Array:
    return space.decode(torch.as_tensor(theta, dtype=torch.float64)).numpy()


def generic(space: ShapeSpace, seed: int = 0) -> Array:
    return np.random.default_rng(seed).uniform(0.1, 0.9, space.size)


def area(points: Array) -> float:
    x, y = points.T
    return float(abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2)


@pytest.mark.parametrize("seed", range(4))
def test_polygons_are_exact(seed: int) -> None:
    """Two ways to the same fractions: a clipped integral pixel by pixel, and edges cut at pixel lines and summed."""
    rng = np.random.default_rng(seed)
    angles = np.sort(rng.random(9)) * 2 * np.pi
    star = (np.array([10, 8]) + (rng.uniform(2, 7, 9) * np.array([np.cos(angles), np.sin(angles)])).T)[:: (-1) ** seed]
    ours = polygon_fraction(torch.from_numpy(star.copy()), (20, 16)).numpy()
    np.testing.assert_allclose(ours, scan_polygon(star, (20, 16)), atol=1e-12)
    assert ours.sum() == pytest.approx(area(star), abs=1e-11)
    assert ours.min() > -1e-12 and ours.max() < 1 + 1e-12


def test_polygons_are_cut_off_at_the_region() -> None:
    square = np.array([[-3.0, -2.0], [2.25, -2.0], [2.25, 40.0], [-3.0, 40.0]])
    wanted = np.zeros((5, 4))
    wanted[:2], wanted[2] = 1, 0.25
    assert np.array_equal(scan_polygon(square, (5, 4)), wanted)
    np.testing.assert_allclose(polygon_fraction(torch.from_numpy(square), (5, 4)).numpy(), wanted, atol=1e-12)


def test_intervals() -> None:
    low, high = torch.tensor([0.25, 2.0], dtype=torch.float64), torch.tensor([1.5, 9.0], dtype=torch.float64)
    wanted = [[0.75, 0.5, 0, 0], [0, 0, 1, 1]]
    np.testing.assert_array_equal(interval_fraction(low, high, 4).numpy(), wanted)


def test_edges_on_pixel_lines_count_once() -> None:
    """A square whose edges lie on pixel lines grows by its side, not twice that."""
    corner = torch.tensor([[1.0, 1.0], [3.0, 1.0], [3.0, 3.0], [1.0, 3.0]], dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(polygon_fraction(corner, (5, 5)).sum(), corner)
    assert float(gradient[1:3, 0].sum()) == pytest.approx(2.0)
    assert float(gradient[2:4, 1].sum()) == pytest.approx(2.0)


def test_area_of_an_ellipse_converges_at_second_order() -> None:
    errors = []
    for n in (25, 50, 100, 200):
        space = ShapeSpace((n, n), (Ellipse((0.013, -0.021), ((0.3, 0.6), 0.7), 0.4),), pixel_um=2 / n)
        errors.append(abs(density(space, np.array([0.5])).sum() * space.pixel_um**2 - np.pi * 0.45 * 0.7))
    assert np.log2(errors[0] / errors[-1]) / 3 > 1.8


def test_area_of_a_disc_grows_by_its_circumference() -> None:
    space = ShapeSpace((100, 100), (Ellipse((0.0, 0.0), ((0.2, 0.8), (0.2, 0.8))),))
    for share in (0.2, 0.5, 0.8):
        theta = torch.tensor([share, share], dtype=torch.float64, requires_grad=True)
        (gradient,) = torch.autograd.grad(space.decode(theta).sum() * space.pixel_um**2, theta)
        assert float(gradient.sum()) / 0.6 == pytest.approx(2 * np.pi * (0.2 + 0.6 * share), rel=1e-2)


@pytest.mark.parametrize("shape", [ELLIPSE, HEXAGON, TEETH], ids=["ellipse", "polygon", "grating"])
def test_gradients_by_taylor_rate(shape: Shape) -> None:
    """Against a smooth functional of the density, at several points; the fractions bend only at pixel lines."""
    space = ShapeSpace((80, 60), (shape,), pixel_um=0.025)
    x = torch.linspace(-1, 1, 80, dtype=torch.float64)[:, None] + torch.linspace(0, 1, 60, dtype=torch.float64)
    weight = torch.sin(3 * x)

    def functional(theta: torch.Tensor) -> torch.Tensor:
        return (space.decode(theta) * weight).sum()

    rng = np.random.default_rng(1)
    for seed in range(3):
        theta = torch.tensor(generic(space, seed), requires_grad=True)
        value = functional(theta)
        (gradient,) = torch.autograd.grad(value, theta)
        direction = torch.from_numpy(rng.standard_normal(space.size))
        steps = 2e-4 * 2.0 ** -np.arange(4)
        with torch.no_grad():
            rest = [abs(float(functional(theta + h * direction) - value - h * gradient @ direction)) for h in steps]
        if max(rest) < 1e-11:
            continue  # Linear: a tooth moves in a pixel.
        rates = np.log2(np.array(rest[:-1]) / rest[1:])
        assert (rates > 1.8).all(), rates


def test_derivative_of_a_bend_by_the_parameters_of_a_shape() -> None:
    device = waveguide_bend(1.55, cells_um=0.04)
    space = ShapeSpace(
        device.design_shape, (Ellipse(((-0.4, 0.0), (-0.4, 0.0)), ((0.3, 0.7), (0.3, 0.7)), (0.0, 1.0)),)
    )

    def loss(theta: Array) -> float:
        return -float(device.simulate(density(space, theta), 0)["transmission"][0, 0])

    for seed in range(2):
        theta = generic(space, seed)
        leaf = torch.tensor(theta, requires_grad=True)
        drawn = space.decode(leaf)
        _, gradient = device.vjp(drawn.detach().numpy(), 0, {"transmission": np.array([[-1.0]])})
        (chained,) = torch.autograd.grad(drawn, leaf, torch.from_numpy(gradient))
        for i, step in enumerate(1e-4 * np.eye(space.size)):
            central = (loss(theta + step) - loss(theta - step)) / 2e-4
            assert float(chained[i]) == pytest.approx(central, rel=2e-3, abs=1e-6)


def test_grating_is_what_its_numbers_say() -> None:
    space = ShapeSpace((40, 10), (Grating((-1.0, 0.0), (0.2, 0.3), (0.1,), (-0.25, 0.25)),), pixel_um=0.05)
    drawn = density(space, np.array([0.0]))
    row = np.r_[np.ones(4), np.zeros(2), np.ones(6), np.zeros(28)]
    np.testing.assert_allclose(drawn, np.outer(row, np.ones(10)), atol=1e-9)
    across = ShapeSpace((10, 40), (Grating((-1.0, 0.0), (0.2, 0.3), (0.1,), (-0.25, 0.25), "y"),), pixel_um=0.05)
    np.testing.assert_array_equal(density(across, np.array([0.0])), drawn.T)


def test_holes_and_backgrounds() -> None:
    hole = Ellipse((0.0, 0.0), ((0.1, 0.4), 0.3), solid=False)
    block = Polygon(((-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)))
    first, last = (ShapeSpace((60, 60), order) for order in ((hole, block), (block, hole)))
    inverse = ShapeSpace((60, 60), (hole,), background=1.0)
    theta = np.array([0.5])
    assert density(first, theta)[30, 30] == 1
    assert density(last, theta)[30, 30] == 0
    assert density(last, theta)[[0, -1]].max() == 0 and density(inverse, theta)[[0, -1]].min() == 1


@pytest.mark.parametrize("shape", [ELLIPSE, HEXAGON, TEETH], ids=["ellipse", "polygon", "grating"])
@pytest.mark.parametrize("solid", [True, False])
def test_offset_moves_edges_by_its_distance(shape: Shape, solid: bool) -> None:
    """Steiner: to first order the area changes by circumference times distance."""
    from dataclasses import replace

    shape = replace(shape, solid=solid)  # type: ignore[type-var]
    space = ShapeSpace((100, 100), (shape,), background=0.0 if solid else 1.0)
    theta = generic(space)
    distance = 0.1 * space.erosion_um
    eroded, dilated = (density(space.offset(shift), theta).sum() * 4e-4 for shift in (0.1, -0.1))
    (values,) = space.values(torch.from_numpy(theta))
    numbers = values.numpy()
    if isinstance(shape, Ellipse):
        t = np.linspace(0, 2 * np.pi, 2001)
        length = np.hypot(np.diff(numbers[2] * np.cos(t)), np.diff(numbers[3] * np.sin(t))).sum()
    elif isinstance(shape, Polygon):
        points = numbers.reshape(-1, 2)
        length = np.hypot(*(np.roll(points, -1, axis=0) - points).T).sum()
    else:
        length = 2 * numbers[1:5].sum() + 8 * (numbers[-1] - numbers[-2])
    assert (dilated - eroded) / (2 * distance) == pytest.approx(length, rel=0.01)


@pytest.mark.parametrize("shape", [ELLIPSE, HEXAGON, TEETH], ids=["ellipse", "polygon", "grating"])
def test_encode_finds_a_member_again(shape: Shape) -> None:
    space = ShapeSpace((60, 50), (shape,), pixel_um=0.04)
    wanted = density(space, generic(space, 3))
    theta = space.encode(wanted)
    assert np.abs(density(space, theta) - wanted).mean() < 2e-3


def test_encode_refuses_what_is_no_member() -> None:
    space = ShapeSpace((40, 40), (Ellipse((0.0, 0.0), ((0.05, 0.2), 0.1)),))
    with pytest.raises(ValueError, match="member of this family"):
        space.encode(np.ones((40, 40)))


def test_batches_and_binary() -> None:
    space = ShapeSpace((80, 60), (ELLIPSE, TEETH, HEXAGON), pixel_um=0.025)
    thetas = torch.from_numpy(np.stack([space.sample(np.random.default_rng(s)) for s in range(3)]))
    batch = space.decode(thetas)
    assert batch.shape == (3, 80, 60)
    torch.testing.assert_close(batch[1], space.decode(thetas[1]))
    binary = space.binarize(thetas[1].numpy())
    assert set(np.unique(binary)) == {0.0, 1.0}
    assert np.abs(binary - batch[1].numpy()).mean() < 0.05
    assert space.at(64.0) == space and hash(space) == hash(space.at(8.0))
    assert content_key(space) != content_key(space.offset(0.1))


def test_an_ellipse_is_its_own_image() -> None:
    space = ShapeSpace((40, 40), (Ellipse((0.0, 0.0), ((0.1, 0.3), 0.2)),))
    drawn = torch.from_numpy(density(space, np.array([0.7])))
    for name in ("mirror_x", "mirror_y", "rotation180"):
        torch.testing.assert_close(SYMMETRIES[name][0](drawn), drawn, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ShapeSpace((0, 4), (ELLIPSE,)), "at least one pixel"),
        (lambda: ShapeSpace((4, 4), (Ellipse((0.0, 0.0), (0.1, 0.1)),)), "at least one parameter"),
        (lambda: ShapeSpace((4, 4), (ELLIPSE,), background=2.0), "background"),
        (lambda: Ellipse((0.0, 0.0), ((-0.1, 0.1), 0.1)), "above 0"),
        (lambda: Ellipse(((0.3, 0.1), 0.0), (0.1, 0.1)), "lowest < highest"),
        (lambda: Ellipse((float("nan"), 0.0), (0.1, 0.1)), "finite"),
        (lambda: Polygon(((0.0, 0.0), (1.0, 0.0))), "three vertices"),
        (lambda: Grating(0.0, (0.1, 0.1), (), (0.0, 1.0)), "a gap between each two"),
        (lambda: Grating(0.0, (0.1,), (), (0.0, 1.0), "z"), "axis"),
        (lambda: Grating(0.0, (0.1,), (), ((0.0, 1.0), 0.5)), "lower end below"),
    ],
)
def test_senseless_shapes_are_refused(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()  # type: ignore[operator]


def test_wrong_sizes_are_refused() -> None:
    space = ShapeSpace((20, 20), (ELLIPSE,))
    with pytest.raises(ValueError, match=r"\(\.\.\., 5\)"):
        space.decode(torch.zeros(3))
    with pytest.raises(ValueError, match=r"\(20, 20\)"):
        space.encode(np.zeros((3, 3)))


def test_the_documentation_runs(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """All snippets of docs/shapes.md in turn."""
    page = Path(__file__).parents[2] / "docs" / "shapes.md"
    snippets = page.read_text(encoding="utf-8").split("```python\n")[1:]
    page_module = types.ModuleType("documentation")
    monkeypatch.setitem(sys.modules, "documentation", page_module)
    for snippet in snippets:
        exec(snippet.split("```")[0], vars(page_module))
    assert len(snippets) == 5
    printed = [float(number) for number in re.findall(r"\[\[?([0-9.]+)\]", capsys.readouterr().out)]
    assert printed[0] > 0.9
