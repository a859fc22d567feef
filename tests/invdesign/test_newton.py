"""Second derivatives of a loss by the parameters, steps in boxes, and the strategy that takes them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import Bounds, minimize

from invdesign.budget import Budget, Meter
from invdesign.curvature import Curvature, CurvedLoss
from invdesign.evaluator import Evaluator
from invdesign.executors import InProcess, Processes
from invdesign.ledger import Ledger
from invdesign.points import evaluate_points
from invdesign.problem import Problem, Scenario
from invdesign.run import run
from invdesign.spaces.constraints import Connected, MinimumFeature
from invdesign.spaces.space import DensitySpace
from invdesign.store import Store
from invdesign.strategies import Adjoint, Newton
from invdesign.strategies.box_steps import box_step
from invdesign.targets import CustomTarget, Target
from physics.base import Array, CurvedCotangents, Response, SimulationError, resolve_change, resolve_cotangents
from physics.devices import waveguide_bend
from physics.fdfd import multifrontal, region
from physics.fdfd.curvature import factors
from physics.testing import check_simulator
from tests.invdesign.kills import numbers, outlives_kills
from tests.invdesign.toy import Toy

BEND = waveguide_bend((1.53, 1.57), design_um=1.2, pixel_um=0.04, cells_um=(0.04,), threads=1)
SPACE = DensitySpace(BEND.design_shape, 0.04, symmetry="diagonal", beta=8.0)
PROBLEM = Problem(SPACE, BEND, [Target("transmission", lower=0.9), Target("s", {"port": "in"}, upper=0.2)])


@dataclass(frozen=True)
class CurvedToy(Toy):
    """The toy with second derivatives, by torch."""

    def hvp(
        self, design: Array, level: int, cotangents: CurvedCotangents, direction: Array, replicate: int = 0
    ) -> tuple[Response, Array]:
        if "singular" in self.fault:
            raise SimulationError("Expected a soluble system. Got a resonance.")
        response = self.simulate(design, level)
        x = torch.tensor(design, requires_grad=True)
        weights = torch.from_numpy(self._linear(design, level)[0])
        z = (weights @ (2 * x.reshape(-1) - 1).to(weights.dtype)).reshape(2, 2)
        s = z / torch.sqrt(1 + z.abs() ** 2)
        outputs = {"s": s, "transmission": s[1:].abs() ** 2}
        seeds = {name: torch.zeros_like(value).requires_grad_() for name, value in outputs.items()}
        (pulled,) = torch.autograd.grad(list(outputs.values()), x, list(seeds.values()), create_graph=True)
        along = (pulled * torch.from_numpy(direction)).sum()
        change = dict(zip(seeds, torch.autograd.grad(along, list(seeds.values()), retain_graph=True), strict=True))
        given = resolve_cotangents(cotangents, response)
        moved = resolve_change(cotangents, response, {name: value.numpy() for name, value in change.items()})

        def pull(values: dict[str, Array], *, graph: bool) -> torch.Tensor:
            chosen = [torch.as_tensor(values.get(n, 0.0), dtype=v.dtype).expand(v.shape) for n, v in outputs.items()]
            return torch.autograd.grad(list(outputs.values()), x, chosen, create_graph=graph, retain_graph=True)[0]

        first = pull(moved, graph=False)
        (second,) = torch.autograd.grad((pull(given, graph=True) * torch.from_numpy(direction)).sum(), x)
        return response, (first + second).numpy()


def evaluator_of(problem: Problem) -> Evaluator:
    store = Store(":memory:")
    names = [fidelity.name for fidelity in problem.simulator.fidelities]
    return Evaluator(store, Ledger(store, "run", Meter(Budget(solves=10**6))), InProcess(), names)


def curved_problem(fault: str = "") -> Problem:
    space = DensitySpace((12, 12), pixel_um=0.1, filter_radius_um=0.2)
    return Problem(space, CurvedToy(fault=fault), [Target("transmission", at={"port": "out"}, lower=0.3)])


# -- the Hessian ------------------------------------------------------------------------------------------------------

VARIANTS = {
    "plain": PROBLEM,
    "corners": replace(
        PROBLEM, scenarios=[Scenario("eroded", 0.05), Scenario("red", parameters={"wavelength_shift_um": 0.02})]
    ),
    "mean of corners": replace(PROBLEM, scenarios=[Scenario("dilated", -0.05)], combine="mean"),
    "constraints": replace(PROBLEM, constraints=[MinimumFeature(0.12, 0.12), Connected()]),
    "linear space": replace(PROBLEM, space=replace(SPACE, projection="none")),
    "Hz": replace(PROBLEM, simulator=replace(BEND, polarization="Hz")),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_products_match_differences_of_gradients(name: str) -> None:
    problem, rng = VARIANTS[name], np.random.default_rng(4)
    theta = rng.uniform(0.3, 0.7, problem.space.size)
    v, w = rng.uniform(-1, 1, (2, problem.space.size))
    evaluator = evaluator_of(problem)

    def gradient(at: Array) -> Array:
        (point,) = evaluate_points(problem, evaluator, [at], 0, gradients=True)
        assert point.gradient is not None
        return point.gradient

    def difference(h: float) -> Array:
        return (gradient(theta + h * v) - gradient(theta - h * v)) / (2 * h)

    # Richardson's extrapolation, with steps that the store's single precision bears.
    expected = (4 * difference(5e-3) - difference(1e-2)) / 3
    (point,) = evaluate_points(problem, evaluator, [theta], 0, gradients=True)
    hessian = Curvature(problem, point)
    product = hessian.product(v)
    assert np.linalg.norm(product - expected) < 2e-4 * np.linalg.norm(expected)
    first, second = w @ product, v @ hessian.product(w)
    assert abs(first - second) < 1e-7 * np.linalg.norm(w) * np.linalg.norm(product)


@pytest.mark.parametrize(
    "target",
    [
        Target("s", {"port": "out"}, lower=0.7, upper=0.9),
        Target("transmission", lower=-1.0, scale="db"),
        Target("s", {"port": "in"}, upper=-20.0, scale="db", goal="minimize"),
        CustomTarget(lambda r: (r["s"][1] - 0.5j).abs().pow(3).sum() + r["transmission"].prod()),
        CustomTarget(lambda r: r["transmission"].sum()),
    ],
)
def test_cotangents_change_as_their_differences(target: Target | CustomTarget) -> None:
    fidelity, rng = BEND.fidelities[0], np.random.default_rng(0)
    loss = CurvedLoss((target,), fidelity)
    assert isinstance(loss, CurvedCotangents)

    def draw(shape: tuple[int, ...]) -> Array:
        return rng.uniform(0.2, 0.6, shape)

    response = {
        q.name: draw(q.shape) + 1j * draw(q.shape) if q.dtype is complex else draw(q.shape) for q in fidelity.response
    }
    change = {name: rng.standard_normal(value.shape) * value for name, value in response.items()}
    h = 1e-5
    ahead, behind = (loss({n: r + step * change[n] for n, r in response.items()}) for step in (h, -h))
    found = loss.change(response, change)
    for name, value in ahead.items():
        np.testing.assert_allclose(
            found.get(name, np.zeros_like(value)), (value - behind[name]) / (2 * h), rtol=1e-6, atol=1e-8
        )


# -- steps in boxes ---------------------------------------------------------------------------------------------------


def quadratic(rng: np.random.Generator, size: int, lowest: float) -> tuple[Array, Array]:
    basis, _ = np.linalg.qr(rng.standard_normal((size, size)))
    return rng.standard_normal(size), basis * np.geomspace(1.0, 50.0, size) @ basis.T + lowest * np.eye(size)


@pytest.mark.parametrize("width", [0.02, 0.3, 100.0])
@pytest.mark.parametrize("seed", range(4))
def test_a_convex_model_is_solved_in_its_box(width: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    g, h = quadratic(rng, 30, 0.0)
    lower, upper = -width * rng.random(30), width * rng.random(30)
    lower[:5] = 0.0
    step = box_step(g, lambda v: h @ v, lower, upper, products=400, tolerance=1e-9)
    value = g @ step.step + step.step @ h @ step.step / 2
    found = minimize(
        lambda s: g @ s + s @ h @ s / 2, np.zeros(30), jac=lambda s: g + h @ s, method="L-BFGS-B",
        bounds=Bounds(lower, upper), options={"ftol": 1e-16, "gtol": 1e-12, "maxiter": 5000},
    )  # fmt: skip
    assert (lower <= step.step).all() and (step.step <= upper).all()
    assert step.gain == pytest.approx(-value, rel=1e-9)
    assert value <= found.fun + 1e-9 * abs(found.fun)


def test_inside_the_box_it_is_newton_s_step() -> None:
    g, h = quadratic(np.random.default_rng(0), 20, 0.0)
    step = box_step(g, lambda v: h @ v, np.full(20, -50.0), np.full(20, 50.0), products=60, tolerance=1e-10)
    np.testing.assert_allclose(step.step, -np.linalg.solve(h, g), rtol=1e-6, atol=1e-8)
    assert step.products <= 60


@pytest.mark.parametrize("products", [1, 2, 3, 5, 9, 30])
@pytest.mark.parametrize("seed", range(3))
def test_an_indefinite_model_falls_by_more_than_steepest_descent_gives(products: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    g, h = quadratic(rng, 25, -8.0)
    lower, upper = np.full(25, -0.1), np.full(25, 0.1)
    lower[::3], upper[1::3] = 0.0, 0.0
    asked: list[Array] = []
    step = box_step(g, lambda v: asked.append(v) or h @ v, lower, upper, products=products)  # type: ignore[func-returns-value]
    assert step.products == len(asked) <= products
    assert (lower <= step.step).all() and (step.step <= upper).all()
    assert step.gain == pytest.approx(-(g @ step.step + step.step @ h @ step.step / 2), rel=1e-9)
    # Along the steepest descent that leaves no edge, as far as the first one.
    p = np.where(((lower == 0) & (g > 0)) | ((upper == 0) & (g < 0)), 0.0, -g)
    edge = (0.1 / np.abs(p[p != 0])).min()
    lengths = np.linspace(0, edge, 200)
    cauchy = -(lengths * (g @ p) + lengths**2 / 2 * (p @ h @ p)).min()
    assert step.gain >= 0.999 * cauchy > 0


def test_nothing_to_gain_takes_no_product() -> None:
    g = np.array([1.0, -1.0, 0.0])
    step = box_step(g, lambda v: v, np.array([0.0, -1, -1]), np.array([1.0, 0, 1]), products=5)
    assert step.gain == 0.0 and step.products == 0 and not step.step.any()


# -- the strategy -----------------------------------------------------------------------------------------------------


def test_the_toy_is_a_sound_simulator() -> None:
    check_simulator(CurvedToy())


def test_a_killed_run_ends_as_an_uninterrupted_one(tmp_path: Path) -> None:
    problem, strategy, budget = curved_problem(), Newton(evaluations=6, products=3), Budget(solves=36)
    resumed, store = outlives_kills(problem, strategy, budget, tmp_path, (6, 23))
    again = run(problem, strategy, budget=budget, store=store, seed=3)
    assert again.costs == resumed.costs
    assert resumed.costs.cpu_seconds_by_phase["newton step"] > 0


@pytest.mark.slow
def test_a_pool_of_processes_changes_no_number() -> None:
    problem, strategy = curved_problem(), Newton(evaluations=5, betas=(8.0, 16.0), starts=1)
    with Processes(1) as pool:
        pooled = run(problem, strategy, budget=Budget(solves=30), executor=pool)
    assert numbers(pooled) == numbers(run(problem, strategy, budget=Budget(solves=30)))


def test_it_meets_the_target_and_foresees_its_gains() -> None:
    result = run(curved_problem(), Newton(starts=1), budget=Budget(solves=120), seed=1)
    assert result.best is not None and result.best.distance < 0.1
    steps = [note.content for note in result.notes if note.kind == "newton step"]
    good = [step for step in steps if abs(step["actual"] / step["predicted"] - 1) < 0.3]
    assert len(good) > len(steps) / 2
    assert all(step["products"] <= 4 for step in steps)


def test_a_bend_gains_more_by_as_many_factorisations(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    class Counted(multifrontal.Elimination):
        def __init__(self, *args: Array) -> None:
            made.append(1)
            super().__init__(*args)

    problem = replace(PROBLEM, targets=[Target("transmission", lower=0.9)])
    judge = problem.target_loss(problem.reference)
    factors.clear()
    monkeypatch.setattr(region, "Elimination", Counted)

    def lowest(strategy: Adjoint | Newton) -> float:
        made.clear()
        result = run(problem, strategy, budget=Budget(solves=60), seed=0)
        return min(float(judge.judge([r.response or {}])[0]) for r in result.records if r.gradient is not None)

    settings: dict[str, Any] = {"starts": 1, "betas": (8.0,), "evaluations": 12}
    first_order = [lowest(Adjoint(optimizer="mma", **settings)), lowest(Adjoint(optimizer="lbfgsb", **settings))]
    assert lowest(Newton(**settings)) < 0.7 * min(first_order)
    # Twelve solves, a verification, a check on the finer mesh; the first product of a process makes its own.
    assert len(made) <= len(BEND.wavelength_um) * (12 + 1 + 1 + 1)
    factors.clear()


def test_failures_end_a_stage_not_the_run() -> None:
    result = run(curved_problem("singular"), Newton(betas=(8.0,), starts=2), budget=Budget(solves=20))
    assert [note.kind for note in result.notes].count("no second derivatives") == 2
    assert result.best is not None
    failing = run(curved_problem("raise"), Newton(starts=4), budget=Budget(solves=60), seed=2)
    assert any(note.kind in ("step failed", "start given up") for note in failing.notes)


def test_the_door() -> None:
    plain = replace(curved_problem(), simulator=Toy())
    with pytest.raises(TypeError, match="second derivatives"):
        run(plain, Newton(), budget=Budget(solves=5))
    for senseless in (
        {"betas": ()}, {"products": 0}, {"evaluations": 0}, {"starts": 0}, {"radius": 0.0}, {"tolerance": 1.0},
    ):  # fmt: skip
        with pytest.raises(ValueError, match="Expected"):
            Newton(**senseless)  # type: ignore[arg-type]
