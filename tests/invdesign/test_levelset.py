"""Level sets: areas by convergence order, gradients by Taylor rate, distances by known shapes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from invdesign.arrays import content_key
from invdesign.spaces.density import SYMMETRIES
from invdesign.spaces.distance import signed_distance
from invdesign.spaces.levelset import LevelSetSpace
from invdesign.spaces.rasterize import half_plane_fraction
from physics.base import Array
from physics.devices import waveguide_bend
from physics.devices.library import quarter_ring


def sampled_disc(n: int, radius_px: float, centre_px: tuple[float, float] = (0.0, 0.0), samples: int = 8) -> Array:
    """Area fractions of a disc, centre counted from the array's, by counting points."""
    p = (np.arange(n * samples) + 0.5) / samples - n / 2
    inside = np.hypot(p[:, None] - centre_px[0], p[None, :] - centre_px[1]) < radius_px
    return inside.reshape(n, samples, n, samples).mean(axis=(1, 3))


def decoded(space: LevelSetSpace, theta: Array) -> Array:
    return space.decode(torch.as_tensor(theta)).numpy()


@pytest.mark.parametrize("angle", [0.0, 0.2, np.pi / 4, 1.3, 2.5])
def test_half_planes_have_their_area(angle: float) -> None:
    samples = (np.arange(400) + 0.5) / 400 - 0.5
    for value in (-0.6, -0.31, 0.0, 0.2, 0.55):
        above = value + np.cos(angle) * samples[:, None] + np.sin(angle) * samples > 0
        arguments = (torch.tensor(v, dtype=torch.float64) for v in (value, np.cos(angle), np.sin(angle)))
        # The rest is the blur, at most an eighth of its width, where the boundary runs along an edge.
        assert float(half_plane_fraction(*arguments)) == pytest.approx(above.mean(), abs=0.008)


def test_blur_moves_no_boundary() -> None:
    """Summed over a row of pixels, a straight edge gives its exact position."""
    x = torch.arange(-3.0, 4.0, dtype=torch.float64)
    for place in (-0.5, 0.0, 0.13, 0.5):
        row = half_plane_fraction(place - x, -torch.ones_like(x), torch.zeros_like(x))
        assert float(row.sum()) == pytest.approx(3.5 + place, abs=1e-12)


def test_area_of_a_disc_converges_at_second_order() -> None:
    radius, errors = 0.53, []
    for n in (25, 50, 100, 200):
        x = torch.as_tensor((np.arange(n) - (n - 1) / 2) * 2 / n)
        r = torch.hypot(x[:, None] - 0.013, x - 0.021)
        phi, slopes = radius - r, (-(x[:, None] - 0.013) / r, -(x - 0.021) / r)
        area = float(half_plane_fraction(phi * n / 2, *slopes).sum()) * (2 / n) ** 2
        errors.append(abs(area - np.pi * radius**2))
    assert np.log2(errors[0] / errors[-1]) / 3 > 1.8
    assert errors[-1] < 1e-4


def test_only_boundary_pixels_are_grey() -> None:
    space = LevelSetSpace((60, 60))
    density = decoded(space, space.encode(sampled_disc(60, 20)))
    distance = np.abs(np.hypot(*np.meshgrid(np.arange(60) - 29.5, np.arange(60) - 29.5)) - 20)
    assert set(np.unique(density[distance > 1])) == {0.0, 1.0}


def test_area_of_a_disc_grows_by_its_circumference() -> None:
    """d(area)/dr = 2 pi r through the chain rule, the level set being a disc's distance."""
    space = LevelSetSpace((80, 80), control_um=0.08)
    x = torch.as_tensor((np.arange(80) - 39.5) * 0.02)
    for radius in (0.3, 0.45, 0.6):
        distance = torch.as_tensor(radius) - torch.hypot(x[:, None], x)
        theta = torch.as_tensor(space.from_distance(distance.numpy())).requires_grad_()
        area = space.decode(theta).sum() * space.pixel_um**2
        (gradient,) = torch.autograd.grad(area, theta)
        # Raising phi by dr everywhere moves the boundary by dr.
        assert float(gradient.sum()) / (2 * space.depth) == pytest.approx(2 * np.pi * radius, rel=0.02)


@pytest.mark.parametrize("symmetry", sorted(SYMMETRIES))
def test_symmetries(symmetry: str) -> None:
    space = LevelSetSpace((31, 31), pixel_um=0.1, control_um=0.4, symmetry=symmetry)
    theta = np.random.default_rng(0).random(space.size)
    density, binary = space.decode(torch.from_numpy(theta)), torch.from_numpy(space.binarize(theta))
    assert 0.1 < float(binary.mean()) < 0.9
    for image in SYMMETRIES[symmetry]:
        torch.testing.assert_close(image(density), density, rtol=0, atol=1e-10)
        assert torch.equal(image(binary), binary)


def test_gradient_of_decode() -> None:
    space = LevelSetSpace((9, 7), pixel_um=0.1, control_um=0.3, symmetry="mirror_x", inset_um=0.01)
    theta = torch.rand(space.size, dtype=torch.float64, generator=torch.Generator().manual_seed(1), requires_grad=True)
    assert torch.autograd.gradcheck(space.decode, (theta,))


def test_batches_and_grey_starts() -> None:
    space = LevelSetSpace((20, 30))
    thetas = torch.rand(2, 3, space.size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    batch = space.decode(thetas)
    assert batch.shape == (2, 3, 20, 30)
    torch.testing.assert_close(batch[1, 2], space.decode(thetas[1, 2]))
    flat = space.decode(torch.full((space.size,), 0.5, dtype=torch.float64))
    torch.testing.assert_close(flat, torch.full((20, 30), 0.5, dtype=torch.float64))


def test_encode_keeps_smooth_structures() -> None:
    space = LevelSetSpace((100, 100))
    disc = sampled_disc(100, 30, (5, 2))
    theta = space.encode(disc)
    assert theta.min() >= 0 and theta.max() <= 1
    assert np.abs(decoded(space, theta) - disc).max() < 0.05
    assert np.array_equal(space.binarize(theta), (disc > 0.5).astype(float))
    for value in (0.0, 1.0):
        assert (decoded(space, space.encode(np.full((100, 100), value))) == value).all()


def test_reinitialized_is_the_same_structure_with_unit_slope() -> None:
    space = LevelSetSpace((80, 80))
    theta = space.encode(sampled_disc(80, 25))
    steep = np.clip(0.5 + (theta - 0.5) * 2.5, 0, 1)
    again = space.reinitialized(steep)
    assert np.abs(decoded(space, again) - decoded(space, steep)).mean() < 1e-3

    def slope(values: Array) -> float:
        _, x, y = space.level_set(torch.as_tensor(values))
        density = decoded(space, values)
        return float(torch.hypot(x, y)[torch.as_tensor((density > 0.1) & (density < 0.9))].mean())

    assert slope(steep) > 2
    assert slope(again) == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("shift", [-0.3, -0.1, 0.1, 0.3])
def test_offset_moves_the_boundary_by_its_distance(shift: float) -> None:
    space = LevelSetSpace((80, 80))
    theta = space.encode(sampled_disc(80, 25))
    moved = space.offset(shift / 2).offset(shift / 2)
    radius = [np.sqrt(decoded(s, theta).sum() / np.pi) * 0.02 for s in (space, moved)]
    assert radius[1] - radius[0] == pytest.approx(-shift * space.erosion_um, rel=0.05)


def test_sharpness_sets_the_width_of_the_edge() -> None:
    space = LevelSetSpace((60, 60))
    theta = space.encode(np.pad(np.ones((30, 60)), ((0, 30), (0, 0))))
    grey = [((d > 0.01) & (d < 0.99)).sum(axis=0).mean() for d in (decoded(space.at(b), theta) for b in (8, 16, 64))]
    assert grey[0] == pytest.approx(4, abs=1.1)
    assert grey[0] > grey[1] > grey[2] >= 0
    for beta in (8, 16):
        assert np.array_equal(space.at(beta).binarize(theta), space.binarize(theta))


def test_signed_distance_of_a_disc() -> None:
    x = np.arange(50) - 24.5
    exact = 15 - np.hypot(x[:, None], x)
    np.testing.assert_allclose(signed_distance(exact, 0.1), 0.1 * exact, atol=0.03)
    np.testing.assert_allclose(signed_distance(7 + 3 * exact, 0.1, level=7), 0.1 * exact, atol=0.03)
    assert (signed_distance(np.zeros((4, 4)), 0.1) == -np.inf).all()
    assert (signed_distance(np.ones((4, 4)), 0.1) == np.inf).all()
    with pytest.raises(ValueError, match="two axes"):
        signed_distance(np.zeros(4), 0.1)


@pytest.mark.parametrize(("polarization", "cell_um"), [("Ez", 0.04), ("Hz", 0.04), ("Hz", 0.025)])
def test_shape_derivative_of_a_bend_by_taylor_rate(polarization: str, cell_um: float) -> None:
    """The solver's gradient by density, chained to the boundary: what is left of a step falls as its square."""
    device = waveguide_bend(1.55, cells_um=cell_um, polarization=polarization)
    space = LevelSetSpace(device.design_shape)
    ring = space.encode(quarter_ring(device))
    rng = np.random.default_rng(0)

    def loss(theta: Array) -> float:
        return -float(device.simulate(decoded(space, theta), 0)["transmission"][0, 0])

    for spread in (0.0, 0.02, 0.05):
        theta = np.clip(ring + spread * rng.standard_normal(space.size), 0, 1)
        leaf = torch.tensor(theta, requires_grad=True)
        density = space.decode(leaf)
        cotangent = {"transmission": np.array([[-1.0]])}
        response, gradient = device.vjp(density.detach().numpy(), 0, cotangent)
        (chained,) = torch.autograd.grad(density, leaf, torch.from_numpy(gradient))
        value, direction = -float(response["transmission"][0, 0]), rng.standard_normal(space.size)
        steps = 3e-4 * 2.0 ** -np.arange(5)
        slope = float(chained.numpy() @ direction)
        rest = [abs(loss(theta + h * direction) - value - h * slope) for h in steps]
        rates = np.log2(np.array(rest[:-1]) / rest[1:])
        assert (np.abs(rates - 2) < 0.2).all(), rates
        central = (loss(theta + 1e-4 * direction) - loss(theta - 1e-4 * direction)) / 2e-4
        assert slope == pytest.approx(central, rel=1e-3)


@pytest.mark.parametrize("symmetry", ["periodic_x", ("periodic_x", "periodic_y", "mirror_y")])
def test_periods_go_on_across_their_edges(symmetry: str | tuple[str, ...]) -> None:
    """A design that is shifted round its period by whole control points is the same design, shifted."""
    space = LevelSetSpace((40, 30), symmetry=symmetry)
    assert space.control_shape == (8, 6 if "periodic_y" in symmetry else 9)
    theta = np.random.default_rng(0).random(space.size).reshape(space.control_shape)
    rolled = decoded(space, np.roll(theta, 2, axis=0).ravel())
    np.testing.assert_allclose(rolled, np.roll(decoded(space, theta.ravel()), 10, axis=0), atol=1e-9)
    disc = np.roll(sampled_disc(40, 8)[:, 5:35], 20, axis=0)
    assert np.abs(decoded(space, space.encode(disc)) - disc).max() < 0.1
    edge = decoded(space, space.sample(np.random.default_rng(1)))
    assert np.abs(edge[0] - edge[-1]).mean() < 0.4


def test_samples_are_structures() -> None:
    space = LevelSetSpace((80, 80), symmetry="mirror_y")
    first, second = (space.sample(np.random.default_rng(seed)) for seed in (0, 1))
    for theta in (first, second):
        density = decoded(space, theta)
        assert 0.3 < density.mean() < 0.7
        assert ((density > 0.01) & (density < 0.99)).mean() < 0.2
        np.testing.assert_allclose(density, density[:, ::-1], atol=1e-9)
    assert np.abs(first - second).max() > 0.1
    np.testing.assert_array_equal(first, space.sample(np.random.default_rng(0)))


def test_spaces_are_values() -> None:
    space = LevelSetSpace((20, 20))
    assert space == LevelSetSpace((20, 20)) and hash(space) == hash(LevelSetSpace((20, 20)))
    assert content_key(space) != content_key(space.offset(0.1)) != content_key(space.at(8))
    assert replace(space, depth_um=0.3).depth == 0.3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shape": (0, 4)}, "at least one pixel"),
        ({"symmetry": "spiral"}, "symmetries among"),
        ({"shape": (20, 30), "symmetry": "diagonal"}, "square"),
        ({"symmetry": ("diagonal", "periodic_x")}, "periods along both"),
        ({"pixel_um": 0.0}, "pixel_um > 0"),
        ({"control_um": 0.03}, "between two pixels"),
        ({"control_um": 2.0}, "between two pixels"),
        ({"depth_um": 0.01}, "at least control_um"),
        ({"beta": 0.0}, "beta > 0"),
    ],
)
def test_senseless_spaces_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LevelSetSpace(**({"shape": (20, 20)} | arguments))  # type: ignore[arg-type]


def test_wrong_sizes_are_refused() -> None:
    space = LevelSetSpace((20, 20))
    with pytest.raises(ValueError, match=rf"\(\.\.\., {space.size}\)"):
        space.decode(torch.zeros(3))
    with pytest.raises(ValueError, match=r"\(20, 20\)"):
        space.encode(np.zeros((3, 3)))
