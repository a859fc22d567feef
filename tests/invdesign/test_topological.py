"""Topological derivatives against Mie's series, against fields, and against discs put in."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from scipy.ndimage import label
from scipy.special import h1vp, hankel1, jv, jvp

from invdesign import Adjoint, Budget, DensitySpace, Evaluator, Problem, Target, run
from invdesign.spaces.density import SYMMETRIES
from invdesign.spaces.distance import signed_distance
from invdesign.spaces.levelset import LevelSetSpace
from invdesign.spaces.shapes import Ellipse, ShapeSpace
from invdesign.spaces.topological import disc_factor, field_derivative, nucleate, nucleated, topological_derivative
from physics.base import Array
from physics.devices import waveguide_bend
from physics.devices.library import quarter_ring
from tests.invdesign.toy import Toy

GAIN = {"transmission": np.array([[-1.0]])}


def mie(polarization: str, order: int, e1: float, e2: float, omega: float, radius: float) -> complex:
    """Coefficient of the outgoing wave of a cylinder of e2 in e1 (Bohren and Huffman, section 8.4)."""
    k1, k2 = omega * np.sqrt(e1), omega * np.sqrt(e2)
    # Continuous are the field and its radial derivative, over the permittivity in Hz.
    w1, w2 = (k1, k2) if polarization == "Ez" else (k1 / e1, k2 / e2)
    inner, slope = jv(order, k2 * radius), jvp(order, k2 * radius)
    top = w2 * slope * jv(order, k1 * radius) - w1 * jvp(order, k1 * radius) * inner
    return top / (w1 * h1vp(order, k1 * radius) * inner - w2 * slope * hankel1(order, k1 * radius))


@pytest.mark.parametrize(("polarization", "order"), [("Ez", 0), ("Hz", 1)])
@pytest.mark.parametrize(("e1", "e2"), [(2.1, 12.1), (12.1, 2.1), (1.0, 4.0)])
def test_factor_is_the_limit_of_mies_series(polarization, order, e1, e2) -> None:
    """Over the same small change of contrast, where a disc's field is the field without it."""
    omega = 2 * np.pi / 1.55
    ratios = []
    for radius in (1e-2, 1e-3, 1e-4):
        faint = mie(polarization, order, e1, e1 * (1 + 1e-6), omega, radius) / (1e-6 * e1)
        ratios.append(mie(polarization, order, e1, e2, omega, radius) / (e2 - e1) / faint)
    errors = np.abs(np.array(ratios) - disc_factor(polarization, e1, e2))
    assert errors[-1] < 1e-5
    assert (errors[1:] < errors[:-1] / 30).all()


def gradient_of(device, density: Array) -> tuple[float, Array]:
    response, gradient = device.vjp(density, 0, GAIN)
    return -float(response["transmission"][0, 0]), gradient


def test_discs_put_into_a_bend() -> None:
    """What a small disc changes, over what the derivative says, tends to 1 as its radius goes to 0."""
    device = waveguide_bend(1.55, design_um=1.2, cells_um=0.02, pixel_um=0.005)
    base = (quarter_ring(device, 1) > 0.5).astype(float)
    loss, gradient = gradient_of(device, base)
    derivative = topological_derivative(base, gradient, device.pixel_um)
    distance = signed_distance(base, device.pixel_um, 0.5)
    for place in (distance > 0.06, distance < -0.06):
        i, j = np.unravel_index(np.where(place, np.abs(derivative), 0).argmax(), base.shape)
        x, y = ((k + 0.5) * device.pixel_um - 0.6 for k in (i, j))
        errors = []
        for radius in (0.04, 0.02, 0.01, 0.005):
            disc = ShapeSpace(device.design_shape, (Ellipse((x, y), ((radius, 1.0), radius)),), device.pixel_um)
            covered = disc.decode(torch.zeros(1, dtype=torch.float64)).numpy()
            changed = float(device.simulate(base + (1 - 2 * base) * covered, 0)["transmission"][0, 0])
            area = covered.sum() * device.pixel_um**2
            errors.append(abs((-changed - loss) / (area * derivative[i, j]) - 1))
        assert errors == sorted(errors, reverse=True)
        assert errors[-1] < 0.04, errors


def test_fields_give_the_same_derivative_as_the_gradient() -> None:
    """With unit-power modes d(s21) = i omega / 4 times the integral of de E_in E_out (first-order perturbation)."""
    device = waveguide_bend(1.55, design_um=1.2, cells_um=0.02)
    density = (quarter_ring(device, 1) > 0.5).astype(float)
    s21 = device.simulate(density, 0)["s"][1, 0]
    grids = []
    for source in ("in", "out"):
        fields = replace(device, source=source).fields(density, 0)
        rows, columns = (np.abs(c) < 0.6 for c in (fields.x_um, fields.y_um))
        grids.append(fields.values["Ez"][0][np.ix_(rows, columns)])
    adjoint = -2 * np.conj(s21) * 1j / (4 * 2 * np.pi / 1.55) * grids[1]
    void, solid = device.permittivity
    e1, e2 = np.where(density > 0.5, solid, void), np.where(density > 0.5, void, solid)
    ours = field_derivative(grids[0], adjoint, 1.55, e1, e2)
    theirs = topological_derivative(density, gradient_of(device, density)[1], device.pixel_um)
    assert np.abs(ours - theirs).max() < 0.02 * np.abs(theirs).max()


def test_hz_takes_the_factor_of_each_material() -> None:
    density, gradient = np.array([[0.0, 1.0]]), np.array([[0.3, 0.7]])
    ez = topological_derivative(density, gradient, 0.1)
    np.testing.assert_allclose(ez, [[30.0, -70.0]])
    hz = topological_derivative(density, gradient, 0.1, polarization="Hz", permittivity=(2.0, 12.0))
    np.testing.assert_allclose(hz, ez * [[4 / 14, 24 / 14]])
    fields = np.full((2, 1, 1), 1 + 0.5j)
    wanted = (2 * np.pi) ** 2 * 10 * (4 / 14) * 2 * np.real((1 + 0.5j) ** 2)
    np.testing.assert_allclose(field_derivative(fields, fields, 1.0, 2.0, 12.0), [[wanted]])


def decoded(space: LevelSetSpace, theta: Array) -> Array:
    return space.decode(torch.as_tensor(theta)).numpy()


def block(space: LevelSetSpace) -> Array:
    nx, ny = space.shape
    return space.encode(np.pad(np.ones((nx // 2, ny)), ((0, nx - nx // 2), (0, 0))))


def test_holes_and_islands_go_where_they_help_most() -> None:
    space = LevelSetSpace((80, 80))
    theta = block(space)
    gradient = np.zeros((80, 80))
    gradient[18, 30], gradient[60, 50], gradient[40, 10], gradient[20, 60] = 3.0, -2.0, 50.0, -9.0
    before = decoded(space, theta)
    one, two, more = (decoded(space, nucleate(space, theta, gradient, count)) for count in (1, 2, 5))
    assert (before - one)[18, 30] == 1 and (one - before).max() < 0.02
    assert (two - one)[60, 50] == 1 and two[18, 30] == 0
    np.testing.assert_array_equal(two, more)  # Nothing else helps: one is at the boundary, one would hurt.
    for after, count in ((one, 1), (two, 2)):
        assert np.abs(after - before).sum() * 4e-4 == pytest.approx(count * np.pi * 0.1**2, rel=0.05)
    changed = np.argwhere(np.abs(one - before) > 0.02)
    assert np.hypot(*(changed - (18, 30)).T).max() < 1.5 * 0.1 / 0.02
    np.testing.assert_array_equal(nucleate(space, theta, -np.abs(gradient) * before), theta)


@pytest.mark.parametrize("n", [40, 41])
@pytest.mark.parametrize("symmetry", [*sorted(SYMMETRIES), ("mirror_x", "mirror_y")])
def test_images_come_along(symmetry, n) -> None:
    """Off the axes an orbit of them, on the centre a single one, whether that is a pixel or a corner of four."""
    space = LevelSetSpace((n, n), symmetry=symmetry, control_um=0.06)
    void = space.encode(np.zeros((n, n)))
    x = np.arange(n) - (n - 1) / 2
    centred = -np.exp(-(x[:, None] ** 2 + x**2) / 50)
    aside = -np.exp(-((x[:, None] - 8) ** 2 + (x - 16) ** 2) / 10)
    for gradient in (centred, aside):
        made = torch.from_numpy(decoded(space, nucleate(space, void, gradient, 1, radius_um=0.06, clearance_um=0.02)))
        found = label(made.numpy() > 0.5)[1]
        names = (symmetry,) if isinstance(symmetry, str) else symmetry
        orbit = 1 if gradient is centred else {"rotation90": 4, ("mirror_x", "mirror_y"): 4}.get(symmetry, 2)
        assert found == orbit
        assert float(made.sum()) * 4e-4 == pytest.approx(orbit * np.pi * 0.06**2, rel=0.05)
        for name in names:
            for image in SYMMETRIES[name]:
                torch.testing.assert_close(image(made), made, rtol=0, atol=1e-9)


def test_images_meet_across_a_period() -> None:
    """Next to the edge of a period a site and its mirror image are one disc, on the edge."""
    space = LevelSetSpace((40, 40), symmetry=("periodic_x", "mirror_x"), control_um=0.06)
    gradient = np.zeros((40, 40))
    gradient[[0, -1], 20] = -1.0
    made = decoded(space, nucleate(space, space.encode(np.zeros((40, 40))), gradient, 1, radius_um=0.06))
    whole = np.roll(made, 20, axis=0)
    assert label(whole > 0.5)[1] == 1 and label(made > 0.5)[1] == 2
    assert whole.sum() * 4e-4 == pytest.approx(np.pi * 0.06**2, rel=0.05)


def test_clearance_is_kept() -> None:
    space = LevelSetSpace((80, 60))
    gradient = np.random.default_rng(0).standard_normal((80, 60))
    made = decoded(space, nucleate(space, block(space), gradient, 12, radius_um=0.08, clearance_um=0.1))
    solid, void = label(made > 0.5)[1], label(made < 0.5)[1]
    assert solid > 3 and void > 3
    assert solid + void == 2 + 12


@dataclass(frozen=True)
class Alternating:
    """Descents with holes between them."""

    start: Array
    name: str = "alternating"

    def __call__(self, problem: Problem, evaluator: Evaluator, rng: np.random.Generator) -> None:
        theta = problem.space.encode(self.start)
        for _ in range(2):
            theta = nucleated(problem, evaluator, theta, 2, level=0, radius_um=0.08)
            Adjoint(start=theta, betas=(64.0,), evaluations=6, starts=1)(problem, evaluator, rng)
            theta = evaluator.proposal if evaluator.proposal is not None else theta


def test_holes_help_a_bend_at_once_and_between_descents() -> None:
    device = waveguide_bend(1.55, cells_um=0.04)
    space = LevelSetSpace(device.design_shape, symmetry="diagonal")
    block = np.pad(np.ones((60, 60)), ((0, 40), (0, 40)))
    theta = space.encode(block)
    loss, gradient = gradient_of(device, decoded(space, theta))
    opened = nucleate(space, theta, gradient, 2, radius_um=0.08)
    assert gradient_of(device, decoded(space, opened))[0] < loss - 0.05
    problem = Problem(space, device, [Target("transmission", at={"port": "out"}, lower=0.99)])
    result = run(problem, Alternating(block), budget=Budget(cpu_seconds=60))
    assert result.best is not None and result.best.response["transmission"].min() > 0.8


def test_wrong_arguments_are_refused() -> None:
    space = LevelSetSpace((20, 20))
    with pytest.raises(ValueError, match="'Ez' or 'Hz'"):
        disc_factor("Ex", 1.0, 2.0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="other than 0"):
        disc_factor("Hz", -2.0, 2.0)
    with pytest.raises(ValueError, match="one shape"):
        topological_derivative(np.zeros((4, 4)), np.zeros((4, 5)), 0.1)
    with pytest.raises(ValueError, match="one shape"):
        field_derivative(np.zeros((3, 4, 4)), np.zeros((3, 4, 4)), 1.0, 1.0, 2.0)
    with pytest.raises(ValueError, match="radius_um > 0"):
        nucleate(space, np.zeros(space.size), np.zeros((20, 20)), radius_um=0.0)
    toy = Toy()
    plain = Problem(DensitySpace(toy.design_shape, pixel_um=0.1), toy, [Target("transmission", lower=0.5)])
    with pytest.raises(TypeError, match="LevelSetSpace"):
        nucleated(plain, None, np.zeros(144))  # type: ignore[arg-type]
