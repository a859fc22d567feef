"""Windows and scores of the standard problems, against invrs-gym's definitions worked out by hand."""

import math

import numpy as np
import pytest
import torch

from benchmarks.windowed_descent import Mesh, Search, Stage
from invdesign import DensitySpace, Problem
from invdesign.border import Border
from invdesign.challenges import WorstWindow, challenge
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
        loss = float(WorstWindow.of(bend, softness_db=softness).loss(as_tensors(power), fidelity))
        assert worst <= loss <= worst + softness * np.log(4) + 1e-9


@pytest.mark.parametrize("scale", ["db", "power"])
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


@pytest.mark.slow
def test_a_bend_from_scratch_meets_its_windows_by_either_reading(bend):
    search = Search(bend, (Mesh(bend.device, benchmark_space(bend)),), math.inf, log=lambda line: None)
    theta = np.clip(0.5 + 0.05 * np.random.default_rng(0).standard_normal(1600), 0, 1)
    sharper = [Stage("db", beta, 0.5, 1.0, 40) for beta in (8.0, 16.0, 32.0, 64.0, 256.0)]
    search.descend(theta, (Stage("power", 4.0, 1.0, 0.0, 40), *sharper), "test")
    design = search.polish(search.best[1], -0.2)
    assert bend.violation_db(bend.device.simulate(design, 0)) <= search.violation_db(design) < -0.1
    assert search.wide_enough(design)
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
