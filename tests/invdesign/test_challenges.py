"""Windows and scores of the standard problems, against invrs-gym's definitions worked out by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from benchmarks.pixel_exchange import RANKING_SOFTNESS, Exchanges, Green, edges, polish
from benchmarks.windowed_descent import Course, Mesh, Search, Stage, shortfall, windows
from invdesign import DensitySpace, Problem
from invdesign.challenges import WorstWindow, challenge
from invdesign.export import feature_sizes
from invdesign.problem import TargetLoss
from invdesign.spaces.border import Border
from invdesign.spaces.density import images, symmetrize
from physics.devices.challenges import CHALLENGES


@pytest.fixture(scope="module")
def bend():
    return challenge("waveguide_bend", lightweight=True)


def response(power):
    return {"s": np.sqrt(np.asarray(power, dtype=float)).astype(complex)}


def as_tensors(power):
    return {"s": torch.from_numpy(response(power)["s"])}


def test_metric_of_the_bend(bend):
    """S11 at most 0.01, S21 at least 10^-0.05: in units of the windows' widths, 0.01 and 0.1087."""
    least = 10**-0.05
    assert bend.eval_metric(response([[0.01, 0.0], [least, 1.0]])) == pytest.approx(0.0, abs=1e-12)
    assert bend.eval_metric(response([[0.0, 0.0], [1.0, 1.0]])) == pytest.approx(1.0)
    assert bend.eval_metric(response([[0.005, 0.0], [1.0, 1.0]])) == pytest.approx(0.5)
    assert bend.eval_metric(response([[0.0, 0.0], [1.0, 0.5]])) == pytest.approx((0.5 - least) / (1 - least))
    assert bend.eval_metric(response([[0.03, 0.0], [1.0, 1.0]])) == pytest.approx(-2.0)


def test_metric_of_the_demultiplexer_takes_the_bands_apart():
    problem = challenge("wdm", lightweight=True)
    perfect = [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]
    assert problem.eval_metric(response(perfect)) == pytest.approx(1.0)
    crossed = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0]]
    assert problem.eval_metric(response(crossed)) == pytest.approx(-99.0)  # 1 where at most 0.01 is allowed
    full = challenge("wdm")
    assert (full.upper[1] == [1, 1, 1, 0.01, 0.01, 0.01]).all()
    assert (full.upper[2] == [0.01, 0.01, 0.01, 1, 1, 1]).all()


def test_metric_of_an_even_split():
    """Half each way is (0.5 - 10^-0.35) from either edge of a window 1 - 2 10^-0.35 wide: half of it."""
    problem = challenge("beam_splitter", lightweight=True)
    assert problem.eval_metric(response([[0, 0], [0.5, 0.5], [0.5, 0.5], [0, 0]])) == pytest.approx(0.5)
    splitter = challenge("power_splitter", lightweight=True)
    expected = (0.5 - 10**-0.35) / (1 - 10**-0.35)
    assert splitter.eval_metric(response([[0, 0], [0.5, 0.5], [0.5, 0.5]])) == pytest.approx(expected)


def test_violation_is_the_largest_excess_in_db(bend):
    tenth = 10**-0.1
    assert bend.violation_db(response([[1e-3, 1e-3], [1.0, tenth]])) == pytest.approx(0.5)
    assert bend.violation_db(response([[0.1, 1e-3], [1.0, tenth]])) == pytest.approx(10.0)
    assert bend.violation_db(response([[1e-3, 1e-3], [1.0, 10**-0.02]])) == pytest.approx(-0.3)


@pytest.mark.parametrize("name", CHALLENGES)
def test_sign_of_metric_and_violation_agree(name):
    problem = challenge(name, lightweight=True)
    rng, met = np.random.default_rng(0), 0
    for _ in range(200):
        spread = rng.choice([0.02, 1.0])
        inside = np.where(problem.lower > 0, (problem.lower + problem.upper) / 2, problem.upper / 2)
        power = np.clip(inside + spread * rng.uniform(-1, 1, inside.shape) * (problem.upper - problem.lower), 1e-9, 1)
        answer = response(power)
        assert (problem.eval_metric(answer) > 0) == (problem.violation_db(answer) < 0)
        met += problem.violation_db(answer) < 0
    assert 0 < met < 200


@pytest.mark.parametrize("name", CHALLENGES)
def test_targets_are_the_same_windows(name):
    problem = challenge(name, lightweight=True)
    fidelity = problem.device.fidelities[-1]
    power = np.random.default_rng(1).uniform(1e-3, 1, problem.lower.shape)
    distances = [float(target.distance(as_tensors(power), fidelity)) for target in problem.targets]
    assert max(distances) == pytest.approx(max(0.0, problem.violation_db(response(power))))
    assert float(WorstWindow.of(problem).distance(as_tensors(power), fidelity)) == pytest.approx(max(distances))
    for target in problem.targets:
        target.check(fidelity)


def test_the_smooth_worst_window_bounds_the_worst_from_above(bend):
    fidelity = bend.device.fidelities[-1]
    power = [[0.1, 1e-3], [0.9, 0.8]]
    worst = bend.violation_db(response(power))
    for softness in (1.0, 0.1, 0.01):
        loss = float(WorstWindow.of(bend, softness=softness).loss(as_tensors(power), fidelity))
        assert worst <= loss <= worst + softness * np.log(4) + 1e-9


@pytest.mark.parametrize("scale", ["power", "db", "score"])
def test_gradient_of_the_worst_window(bend, scale):
    target = WorstWindow.of(bend, scale)
    s = torch.tensor([[0.3 + 0.1j, 0.05j], [0.5 - 0.2j, 0.9 + 0j]], dtype=torch.complex128, requires_grad=True)
    assert torch.autograd.gradcheck(lambda value: target.loss({"s": value}, bend.device.fidelities[-1]), s)


def test_a_problem_takes_the_windows(bend):
    space = DensitySpace(bend.device.design_shape, bend.device.pixel_um, bend.symmetry, 0.16)
    problem = Problem(space, bend.device, bend.targets)
    x, y = np.meshgrid(*(np.arange(n) + 0.5 for n in bend.device.design_shape), indexing="ij")
    ring = (np.abs(np.hypot(x, y) - 20) < 5).astype(float)
    evaluation = problem.evaluate(ring)
    assert evaluation.distance == pytest.approx(max(0.0, bend.violation_db(evaluation.responses["nominal"])))


def test_wrong_shapes_are_refused(bend):
    other = challenge("power_splitter", lightweight=True)
    with pytest.raises(ValueError, match="Expected scattering parameters of shape"):
        WorstWindow.of(bend).check(other.device.fidelities[-1])


def test_surroundings_are_the_guides():
    border = Border.of(challenge("power_splitter", lightweight=True).device)
    assert border.values("left", 40).nonzero()[0].tolist() == list(range(15, 25))
    assert border.values("right", 40).nonzero()[0].tolist() == [*range(3, 13), *range(27, 37)]
    assert not border.values("top", 40).any() and not border.values("bottom", 40).any()
    bend_border = Border.of(challenge("waveguide_bend", lightweight=True).device)
    assert bend_border.values("bottom", 40).sum() == bend_border.values("left", 40).sum() == 10


def smooth_binary(problem, seed):
    """A binary design with the problem's symmetry."""
    pixels = torch.from_numpy(problem.device.example_designs(np.random.default_rng(seed), 1)[0])
    return (symmetrize(pixels, problem.symmetry) > 0.5).double().numpy()


@pytest.mark.parametrize(("name", "cell_um"), [("waveguide_bend", 0.04), ("waveguide_bend", 0.02), ("wdm", 0.04)])
def test_exchanged_pixels_scatter_as_a_new_solve_says(name, cell_um):
    """One orbit and two at once, on the diagonal and off it, before and after an exchange was made."""
    problem = challenge(name, lightweight=True, cells_um=(cell_um,))
    density, symmetries = smooth_binary(problem, 0), problem.symmetry
    index = torch.arange(density.size).reshape(density.shape)
    moved = np.stack([image(index).numpy().ravel() for image in images(symmetries)], axis=1)
    orbits = moved[np.flatnonzero((moved.min(axis=1) == np.arange(len(moved))) & edges(density).ravel())][::5]
    if symmetries:
        on_diagonal = np.arange(len(density)) * (len(density) + 1)
        orbits = np.concatenate([orbits, moved[on_diagonal[[7, 20]]]])
    green = Green.of(problem.device, 1, density, orbits, symmetries)

    def solved(changed):
        return problem.device.simulate(changed, 0)["s"][:, 1]

    def flipped(start, group):
        changed = start.copy()
        pixels = np.unique(orbits[group])
        changed.ravel()[pixels] = 1 - changed.ravel()[pixels]
        return changed

    last = len(orbits) - 1
    for group in ([0], [last], [3, last], [1, 2]):
        np.testing.assert_allclose(green.exchanged(np.array([group]))[0], solved(flipped(density, group)), atol=1e-5)
    green.exchange(np.array([2, last]))
    there = flipped(density, [2, last])
    np.testing.assert_allclose(green.s, solved(there), atol=1e-5)
    for group in ([0], [last]):  # the second takes part of the exchange back
        np.testing.assert_allclose(green.exchanged(np.array([group]))[0], solved(flipped(there, group)), atol=1e-5)


def test_exchanges_are_among_those_of_the_largest_first_order_gain(bend):
    """A pixel changed by little moves the worst window as its rank was given by; the first exchange is no worse."""
    rng = np.random.default_rng(3)
    density = symmetrize(torch.from_numpy(rng.uniform(size=bend.device.design_shape)), bend.symmetry).numpy()
    density = (gaussian_filter(density, 3) > 0.5).astype(float)
    search = Search(bend, (Mesh(bend.device, benchmark_space(bend)),), math.inf)
    whole, few = Exchanges(search, density), Exchanges(search, density, 12)
    assert len(few.orbits) == 12 < len(whole.orbits)
    promised = whole._promised()
    kept = {int(orbit[0]) for orbit in few.orbits}
    assert kept == {int(whole.orbits[k][0]) for k in np.argsort(promised, kind="stable")[:12]}
    target = WorstWindow(*windows(bend, bend.device), "db", RANKING_SOFTNESS)
    judge = TargetLoss((target,), bend.device.fidelities[0])

    def loss(moved):
        return float(judge.judge([bend.device.simulate(moved, 0)])[0])

    best = np.unique(whole.orbits[np.argmin(promised)])
    slopes = []
    for share in (0.02, 0.01):
        moved = density.copy()
        moved.ravel()[best] += share * (1 - 2 * moved.ravel()[best])
        slopes.append((loss(moved) - loss(density)) / share)
    assert 2 * slopes[1] - slopes[0] == pytest.approx(promised.min() * len(best) / whole.orbits.shape[1], rel=2e-2)


def test_wide_enough_is_what_imageruler_measures(bend):
    search = Search(bend, (Mesh(bend.device, benchmark_space(bend)),), math.inf)
    for solid in (True, False):
        for width in (2, 3, 4):
            design = np.full(bend.device.design_shape, float(not solid))
            design[10:30, 20 : 20 + width] = float(solid)
            sizes = feature_sizes(design, 1.0)
            assert (sizes.min_width_um if solid else sizes.min_spacing_um) == width
            assert search.wide_enough(design) == (width >= 3)


def test_shortfall_is_the_violation_and_inside_minus_the_metric(bend):
    inside, outside = ([[1e-3, 1e-3], [1.0, 0.95]], [[1e-3, 1e-3], [1.0, 0.7]])
    s = [np.sqrt(np.array(power)) for power in (inside, outside)]
    assert shortfall(bend, s[:1]) == pytest.approx(-bend.eval_metric({"s": s[0]})) and shortfall(bend, s[:1]) < 0
    assert shortfall(bend, s) == pytest.approx(bend.violation_db({"s": s[1]})) and shortfall(bend, s) > 0


def test_gradient_over_two_meshes_is_that_of_the_smooth_maximum(bend):
    """Taylor: the remainder falls as the square of the step."""
    space = benchmark_space(bend)
    meshes = (Mesh(replace(bend.device, cells_um=(0.02,)), space), Mesh(bend.device, space))
    search = Search(bend, meshes, math.inf)
    rng = np.random.default_rng(0)
    theta, direction = rng.uniform(0.3, 0.7, space.size), rng.standard_normal(space.size)
    course = Course(search, Stage("db", 4.0, 1.0, 0.5, 1, (-1, -2)), meshes, theta)
    loss, slope = course(theta)
    steps = (4e-3, 2e-3, 1e-3)
    remainders = [abs(course(theta + h * direction)[0] - loss - h * (slope @ direction)) for h in steps]
    orders = np.log2(np.array(remainders[:-1]) / np.array(remainders[1:]))
    assert (np.abs(orders - 2) < 0.2).all()


@pytest.mark.slow
def test_a_bend_from_scratch_meets_its_windows_by_either_reading_and_on_a_finer_mesh(bend):
    checks = (replace(bend.device, cells_um=(0.02,)),)
    search = Search(bend, (Mesh(bend.device, benchmark_space(bend)),), math.inf, checks, log=lambda line: None)
    theta = np.clip(0.5 + 0.05 * np.random.default_rng(0).standard_normal(1600), 0, 1)
    sharper = [Stage("db", beta, 0.5, 1.0, 40) for beta in (8.0, 16.0, 32.0)]
    search.descend(theta, (Stage("power", 4.0, 1.0, 0.0, 40), *sharper), "test")
    design = polish(search, search.best[1], "test")
    assert search.shortfall(design) < -0.5
    for device in (bend.device, *checks):
        assert bend.eval_metric(device.simulate(design, 0)) > 0.5
    assert feature_sizes(design, 1.0).min_width_um >= 3 and feature_sizes(design, 1.0).min_spacing_um >= 3
    np.testing.assert_array_equal(design, design.T)


def benchmark_space(problem):
    length = 3 * problem.device.pixel_um
    return DensitySpace(
        problem.device.design_shape,
        problem.device.pixel_um,
        problem.symmetry,
        0.2,
        border=Border.of(problem.device),
        minimum_width_um=length,
        minimum_spacing_um=length,
    )
