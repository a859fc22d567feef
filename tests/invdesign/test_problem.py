from __future__ import annotations

import pickle
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from invdesign import adjoint, run
from invdesign.arrays import content_key
from invdesign.budget import Budget, Meter
from invdesign.evaluator import Evaluator
from invdesign.executors import InProcess
from invdesign.ledger import Ledger
from invdesign.points import at_sharpness, evaluate_points
from invdesign.problem import Problem, Scenario
from invdesign.spaces.border import Border
from invdesign.spaces.constraints import Connected, MinimumFeature
from invdesign.spaces.levelset import LevelSetSpace
from invdesign.spaces.shapes import Ellipse, ShapeSpace
from invdesign.spaces.space import DensitySpace
from invdesign.store import Store
from invdesign.targets import Target
from physics.base import Array, Cotangents, Fidelity, Quantity, Response, resolve_cotangents
from tests.invdesign.toy import Toy

CORNERS = (
    Scenario("eroded", erosion=0.05),
    Scenario("dilated", erosion=-0.05),
    Scenario("strong", parameters={"gain": 1.5}),
)


def evaluator_for(problem: Problem) -> Evaluator:
    store = Store()
    meter = Meter(Budget(solves=10_000), reference_level=problem.reference_level)
    return Evaluator(store, Ledger(store, "run", meter), InProcess(), [f.name for f in problem.simulator.fidelities])


@pytest.mark.parametrize("combine", ["worst", "mean"])
@pytest.mark.parametrize("scenarios", [(), CORNERS])
def test_gradient_in_theta_passes_a_taylor_test(
    problem: Problem, scenarios: tuple[Scenario, ...], combine: str
) -> None:
    robust = replace(problem, scenarios=scenarios, combine=combine)  # type: ignore[arg-type]
    evaluator = evaluator_for(robust)
    for seed in range(3):
        rng = np.random.default_rng(seed)
        theta, direction = rng.uniform(0.3, 0.7, robust.space.size), rng.standard_normal(robust.space.size)
        steps = [0.02, 0.01, 0.005]
        (centre,) = evaluate_points(robust, evaluator, [theta], 1, gradients=True)
        assert centre.gradient is not None
        moved = evaluate_points(robust, evaluator, [theta + h * direction for h in steps], 1)
        slope = float(centre.gradient @ direction)
        rest = [abs(p.loss - centre.loss - h * slope) for p, h in zip(moved, steps, strict=True)]
        rates = np.log2(np.array(rest[:-1]) / np.array(rest[1:]))
        assert rates.min() > 1.7, rates


def test_worst_case_counts_the_worst_and_the_distance_is_exact(problem: Problem) -> None:
    robust = replace(problem, scenarios=CORNERS)
    theta = np.random.default_rng(0).random(robust.space.size)
    found = robust.evaluate(theta)
    alone = [replace(problem, space=c.space, simulator=c.simulator).evaluate(theta) for c in robust.cases()]
    assert list(found.responses) == ["nominal", "eroded", "dilated", "strong"]
    assert found.distance == max(one.distance for one in alone)
    worst = max(one.loss for one in alone)
    assert worst - 0.01 * np.log(4) <= found.loss <= worst


def test_a_density_is_evaluated_as_it_stands(problem: Problem) -> None:
    density = np.random.default_rng(0).random((12, 12))
    direct = problem.simulator.simulate(density, 1)
    found = problem.evaluate(density)
    assert np.array_equal(found.responses["nominal"]["s"], direct["s"])


def test_cotangents_follow_the_torch_convention(problem: Problem) -> None:
    target = replace(problem, targets=[Target("s", at={"port": "in"}, upper=0.1)]).target_loss(problem.reference)
    response = problem.simulator.simulate(np.full((12, 12), 0.8), 1)
    cotangents = target(response)
    assert set(cotangents) == {"s"}
    step, s = 1e-6, response["s"]
    for unit in (1, 1j):
        bumped = s.copy()
        bumped[0, 1] += step * unit
        change = [float(target.loss({"s": torch.as_tensor(v)})) for v in (s, bumped)]
        slope = (change[1] - change[0]) / step
        assert slope == pytest.approx(float(np.real(np.conj(cotangents["s"][0, 1]) * unit)), abs=1e-5)


CONSTRAINTS = (MinimumFeature(0.2, 0.15), Connected())


@pytest.mark.parametrize("scenarios", [(), CORNERS])
def test_constraints_press_on_the_loss_of_a_point(problem: Problem, scenarios: tuple[Scenario, ...]) -> None:
    """The penalty is added once, on the nominal space; its gradient passes a Taylor test with the rest."""
    free = replace(problem, scenarios=scenarios)
    bound = replace(free, constraints=CONSTRAINTS)
    evaluator = evaluator_for(bound)
    for seed in range(3):
        rng = np.random.default_rng(seed)
        theta, direction = rng.uniform(0.2, 0.8, bound.space.size), rng.standard_normal(bound.space.size)
        steps = [1e-3, 5e-4, 2.5e-4]
        (plain,) = evaluate_points(free, evaluator, [theta], 1, gradients=True)
        (centre,) = evaluate_points(bound, evaluator, [theta], 1, gradients=True)
        penalty = float(bound.penalty(torch.from_numpy(theta)))
        assert penalty > 0.001
        assert centre.loss == pytest.approx(plain.loss + penalty)
        assert centre.distance == plain.distance
        assert centre.gradient is not None
        slope = float(centre.gradient @ direction)
        moved = evaluate_points(bound, evaluator, [theta + h * direction for h in steps], 1)
        rest = [abs(p.loss - centre.loss - h * slope) for p, h in zip(moved, steps, strict=True)]
        rates = np.log2(np.array(rest[:-1]) / np.array(rest[1:]))
        assert rates.min() > 1.7, rates
        assert moved[0].gradient is None


def test_evaluation_tells_the_constraints_apart(problem: Problem) -> None:
    bound = replace(problem, constraints=CONSTRAINTS)
    theta = np.random.default_rng(0).random(bound.space.size)
    found, plain = bound.evaluate(theta), problem.evaluate(theta)
    assert found.loss == plain.loss
    assert found.constraints.shape == (3,)
    np.testing.assert_array_equal(found.constraints, bound.constraint_values(torch.from_numpy(theta)).numpy())
    assert found.penalty == float(bound.penalty(torch.from_numpy(theta)))
    assert bound.evaluate(theta, binary=True).penalty == plain.penalty == 0
    assert problem.constraint_values(torch.zeros(2, bound.space.size)).shape == (2, 0)
    assert content_key(bound.content) != content_key(problem.content)


def test_penalty_grows_with_sharpness_and_vanishes_where_all_is_met(problem: Problem) -> None:
    met = np.zeros((12, 12))
    met[:, :6] = 1
    theta = torch.from_numpy(np.stack([met.ravel(), np.random.default_rng(0).random(144)]))
    bound = replace(problem, constraints=[Connected()], space=replace(problem.space, projection="none"))
    shares = []
    for beta in (8.0, 32.0, 128.0, np.inf):
        penalties = bound.penalty(theta) if beta == 8 else at_sharpness(bound, beta).penalty(theta)
        shares.append(float(penalties[1]))
        assert penalties[0] == 0
    assert shares == pytest.approx([shares[-1] * s for s in (1 / 17, 1 / 2, 16 / 17, 1.0)])


@dataclass(frozen=True)
class Tracing:
    """Answers how far a design is from a pattern of fine features."""

    design_shape: tuple[int, int] = (24, 24)
    identity: str = "tracing"
    fidelities: tuple[Fidelity, ...] = (Fidelity("exact", 1.0, (Quantity("misfit", {"pattern": ("fine",)}),)),)

    def _gap(self, design: Array) -> Array:
        fine = DensitySpace(self.design_shape, pixel_um=0.1, filter_radius_um=0.2)
        return design - fine.binarize(np.random.default_rng(0).random(fine.size))

    def simulate(self, design: Array, level: int, replicate: int = 0) -> Response:
        return {"misfit": np.array([(self._gap(design) ** 2).mean()])}

    def vjp(self, design: Array, level: int, cotangents: Cotangents, replicate: int = 0) -> tuple[Response, Array]:
        response = self.simulate(design, level)
        slope = resolve_cotangents(cotangents, response)["misfit"][0]
        return response, slope * 2 * self._gap(design) / design.size


def test_constraints_reach_a_strategy() -> None:
    """Tracing fine features: without the constraint they are copied, with it the violation is a fraction."""
    space = DensitySpace((24, 24), pixel_um=0.1, filter_radius_um=0.4)
    measure, values = MinimumFeature(0.4, 0.4), []
    for constraints in ((), (measure,)):
        bound = Problem(space, Tracing(), [Target("misfit", goal="minimize")], constraints=constraints)
        strategy = adjoint(evaluations=60, betas=(8.0, 32.0, 64.0), starts=1)
        result = run(bound, strategy, budget=Budget(solves=400), store=Store(), seed=0)
        last = result.candidates[-1]
        assert last.theta is not None
        values.append(float(measure.value(space.at(64.0), torch.from_numpy(last.theta)).max()))
    assert values[0] > 100
    assert values[1] < 0.1 * values[0]


def test_misfits_are_refused(problem: Problem) -> None:
    with pytest.raises(ValueError, match=r"shape \(12, 12\). Got \(8, 8\)"):
        replace(problem, space=DensitySpace((8, 8), pixel_um=0.1))
    with pytest.raises(ValueError, match="at least one target"):
        replace(problem, targets=[])
    with pytest.raises(ValueError, match="port among"):
        replace(problem, targets=[Target("transmission", at={"port": "drop"}, lower=0.1)])
    with pytest.raises(ValueError, match="parameters among gain"):
        replace(problem, scenarios=[Scenario("hot", parameters={"temperature_K": 350})])
    with pytest.raises(ValueError, match=r"gain in \[0.5, 2.0\]"):
        replace(problem, scenarios=[Scenario("loud", parameters={"gain": 5})])
    with pytest.raises(ValueError, match="filter radius above half the length"):
        replace(problem, constraints=[MinimumFeature(0.5)])
    with pytest.raises(TypeError, match="list of constraints"):
        replace(problem, constraints=MinimumFeature(0.1))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="differ"):
        replace(problem, scenarios=[Scenario("nominal")])


def test_equal_problems_have_equal_keys_and_others_do_not(problem: Problem) -> None:
    """However a value is spelt; every part of a space and each constraint counts."""
    corner = np.zeros((12, 12), dtype=bool)
    corner[:3, :3] = True
    plain = DensitySpace((12, 12), 0.1, filter_radius_um=0.2, beta=8, symmetry=["mirror_x"])  # type: ignore[arg-type]
    spelt = DensitySpace([12, 12], np.float64(0.1), "mirror_x", 0.2, beta=8.0)  # type: ignore[arg-type]
    spelt = replace(spelt, symmetry=("mirror_x",))
    assert plain == spelt
    assert hash(plain) == hash(spelt)
    assert content_key(plain) == content_key(spelt)
    levels = [LevelSetSpace((12, 12), 1, control_um=2, beta=b) for b in (32, 32.0)]
    assert content_key(levels[0]) == content_key(levels[1])
    space = problem.space
    assert isinstance(space, DensitySpace)
    others = [
        *(replace(space, **{name: 0.2}) for name in ("minimum_width_um", "minimum_spacing_um", "shift")),
        *(replace(space, symmetry=s) for s in ("mirror_x", "mirror_y", ("mirror_x", "mirror_y"))),
        *(replace(space, **{name: corner}) for name in ("solid", "void")),
        *(replace(space, border=Border(**{name: "void"})) for name in ("left", "right", "bottom", "top")),
        replace(space, projection="smoothed"),
        replace(space, projection="smoothed", beta=np.inf),
        LevelSetSpace((12, 12), 0.1, control_um=0.2),
        LevelSetSpace((12, 12), 0.1, control_um=0.3),
        *(ShapeSpace((12, 12), (Ellipse((0.0, 0.0), ((0.1, 0.4), 0.3), solid=s),), 0.1) for s in (True, False)),
    ]
    constraints = [
        [MinimumFeature(0.2)],
        [MinimumFeature(0.2, 0.2)],
        [Connected()],
        [Connected(border=Border())],
        [Connected(), MinimumFeature(0.2)],
    ]
    problems = [problem, *(replace(problem, space=s) for s in others)]
    problems += [replace(problem, constraints=c) for c in constraints]
    keys = [content_key(p.content) for p in problems]
    assert len(set(keys)) == len(keys)
    thawed = [pickle.loads(pickle.dumps(p)) for p in problems]  # noqa: S301
    assert [content_key(p.content) for p in thawed] == keys


def test_content_keys_follow_content(problem: Problem) -> None:
    same = Problem(problem.space, Toy(), [Target("transmission", at={"port": "out"}, lower=0.3)])
    other = replace(problem, targets=[Target("transmission", at={"port": "out"}, lower=0.31)])
    assert content_key(problem.targets) == content_key(same.targets)
    assert content_key(problem.targets) != content_key(other.targets)
    assert content_key(lambda x: x + 1) != content_key(lambda x: x + 2)
    with pytest.raises(TypeError, match="strings, numbers"):
        content_key(object())
