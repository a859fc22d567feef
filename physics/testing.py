"""The conformance kit: what every simulator must satisfy before a strategy relies on it."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from physics.base import Array, Differentiable, Fidelity, HasCurvature, HasExamples, Response, Simulator


@dataclass(frozen=True)
class ConformanceReport:
    """What was found.

    Args:
        levels: names of the levels checked.
        designs: how many designs were simulated at each.
        taylor_slopes: level's name -> slope of the second-order remainder at each point, empty without gradients or
            where a finite-difference tolerance was given.
        gradient_errors: level's name -> largest relative error of a directional derivative, only with that tolerance.
        level_differences: quantity -> largest absolute difference of any level from the last one.
        curvature_slopes: level's name -> slope of the third-order remainder at each point, where the simulator has
            second derivatives and its gradients were checked by their rate.
    """

    levels: tuple[str, ...]
    designs: int
    taylor_slopes: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    gradient_errors: Mapping[str, float] = field(default_factory=dict)
    level_differences: Mapping[str, float] = field(default_factory=dict)
    curvature_slopes: Mapping[str, tuple[float, ...]] = field(default_factory=dict)


def check_simulator(
    sim: Simulator,
    *,
    rng: np.random.Generator | None = None,
    levels: Sequence[int] | None = None,
    designs: Array | None = None,
    points: int = 2,
    gradient_tolerance: float | None = None,
    gradient_step: float = 1e-2,
    agreement: Mapping[str, float] | None = None,
) -> ConformanceReport:
    """Check a simulator against the contract of :mod:`physics.base`.

    Shapes, types and finiteness of the response; the same answer again for the same replicate; a pickle round trip;
    designs and levels refused at the door; gradients, and products with the Hessian, by Taylor rate; agreement
    between levels.

    Args:
        sim: the simulator.
        rng: for designs, directions and cotangents; seeded with 0 if not given.
        levels: which levels to check; all if not given.
        designs: ``n x *design_shape``; from ``example_designs`` if not given, else uniform random densities.
        points: how many designs, where they are not given.
        gradient_tolerance: if given, gradients need only match central differences of step ``gradient_step`` to this
            relative error (solvers whose own noise floors the Taylor rate).
        gradient_step: fraction of the way to another design.
        agreement: quantity -> largest absolute difference allowed between any level and the last of ``levels``.

    Raises:
        AssertionError: naming what was expected and found.
    """
    rng = rng or np.random.default_rng(0)
    chosen = list(range(len(sim.fidelities))) if levels is None else list(levels)
    assert chosen, "Expected at least one level. Got none."
    assert isinstance(sim, Simulator), f"Expected a Simulator. Got {type(sim).__name__}."
    if designs is None:
        designs = sim.example_designs(rng, points) if isinstance(sim, HasExamples) else None
    if designs is None:
        designs = rng.random((points, *sim.design_shape))
    assert designs.shape[1:] == tuple(sim.design_shape), (
        f"Expected example designs of shape {tuple(sim.design_shape)}. Got {designs.shape[1:]}."
    )
    check_costs(sim)
    answers = {level: [check_response(sim, level, design) for design in designs] for level in chosen}
    check_repeatable(sim, chosen[0], designs[0], answers[chosen[0]][0])
    check_door(sim, chosen[0], designs[0])
    slopes: dict[str, tuple[float, ...]] = {}
    errors: dict[str, float] = {}
    curved: dict[str, tuple[float, ...]] = {}
    if isinstance(sim, Differentiable):
        for level in chosen:
            name = sim.fidelities[level].name
            check_vjp(sim, level, designs[0], answers[level][0], rng)
            if gradient_tolerance is None:
                slopes[name] = tuple(taylor_slope(sim, level, design, rng) for design in designs)
                if isinstance(sim, HasCurvature):
                    check_hvp(sim, level, designs[0], answers[level][0], rng)
                    curved[name] = tuple(curvature_slope(sim, level, design, rng) for design in designs)
            else:
                errors[name] = max(gradient_error(sim, level, d, rng, gradient_step) for d in designs)
                assert errors[name] <= gradient_tolerance, (
                    f"Expected directional derivatives at {name} within {gradient_tolerance:g} of central differences. "
                    f"Got a relative error of {errors[name]:.3g}."
                )
    differences = level_differences(answers, chosen)
    for quantity, allowed in (agreement or {}).items():
        assert differences.get(quantity, math.inf) <= allowed, (
            f"Expected levels to agree on {quantity!r} within {allowed:g}. Got {differences.get(quantity)}."
        )
    return ConformanceReport(
        tuple(sim.fidelities[level].name for level in chosen), len(designs), slopes, errors, differences, curved
    )


def check_costs(sim: Simulator) -> None:
    """Levels are named distinctly and ordered cheapest first, the cheapest at cost 1."""
    names, costs = [f.name for f in sim.fidelities], [f.cost for f in sim.fidelities]
    assert len(set(names)) == len(names), f"Expected distinct names of fidelities. Got {names}."
    assert costs == sorted(costs) and costs[0] == 1, f"Expected costs ascending from 1. Got {costs}."


def check_response(sim: Simulator, level: int, design: Array) -> Response:
    """Simulate; every announced quantity, and no other, has its shape and type and is finite."""
    fidelity: Fidelity = sim.fidelities[level]
    before = design.copy()
    response = sim.simulate(design, level)
    assert np.array_equal(design, before), "Expected the design to be left as it was. Got one changed in place."
    announced = {quantity.name for quantity in fidelity.response}
    assert set(response) == announced, f"Expected {sorted(announced)} at {fidelity.name}. Got {sorted(response)}."
    for quantity in fidelity.response:
        value = np.asarray(response[quantity.name])
        assert value.shape == quantity.shape, f"Expected {quantity.name!r} shaped {quantity.shape}. Got {value.shape}."
        kind = "c" if quantity.dtype is complex else "f"
        assert value.dtype.kind == kind, f"Expected {quantity.name!r} of {quantity.dtype.__name__}. Got {value.dtype}."
        assert np.isfinite(value).all(), f"Expected finite {quantity.name!r} at {fidelity.name}. Got NaN or infinity."
    return response


def check_repeatable(sim: Simulator, level: int, design: Array, answer: Response) -> None:
    """The same replicate gives the same bits, also from a pickled copy, whose identity is the same."""
    copy = pickle.loads(pickle.dumps(sim))  # noqa: S301  our own bytes, never left memory
    assert copy.identity == sim.identity, "Expected a pickled copy of equal identity. Got another."
    for who, other in (("a second call", sim), ("a pickled copy", copy)):
        again = other.simulate(design, level)
        for name, value in answer.items():
            assert np.array_equal(again[name], value), f"Expected the same {name!r} from {who}. Got a different one."


def check_door(sim: Simulator, level: int, design: Array) -> None:
    """Wrong shapes, NaN, densities outside [0, 1] and unknown levels raise ``ValueError``."""
    wrong = {"a wrong shape": design[..., :-1], "NaN": np.full_like(design, np.nan), "a density of 2": design * 0 + 2.0}
    for what, bad in wrong.items():
        assert _refuses(partial(sim.simulate, bad, level)), f"Expected a ValueError for {what}. Got none."
    for number in (-1, len(sim.fidelities)):
        assert _refuses(partial(sim.simulate, design, number)), f"Expected a ValueError for level {number}. Got none."


def check_vjp(sim: Differentiable, level: int, design: Array, answer: Response, rng: np.random.Generator) -> None:
    """A vjp's response is that of ``simulate``; cotangents may be a function; the gradient is real, shaped, linear."""
    cotangents = random_cotangents(answer, rng)
    response, gradient = sim.vjp(design, level, cotangents)
    for name, value in answer.items():
        atol = 1e-12 * np.abs(value).max(initial=0.0)
        assert np.allclose(response[name], value, rtol=1e-9, atol=atol), f"Expected {name!r} of vjp as of simulate."
    assert gradient.shape == tuple(sim.design_shape) and gradient.dtype.kind == "f", (
        f"Expected a real gradient of shape {tuple(sim.design_shape)}. Got {gradient.dtype} {gradient.shape}."
    )
    _, deferred = sim.vjp(design, level, lambda _: cotangents)
    _, doubled = sim.vjp(design, level, {name: 2 * value for name, value in cotangents.items()})
    scale = 1e-9 * np.abs(gradient).max()
    assert np.allclose(deferred, gradient, atol=scale), "Expected equal gradients for a function of the response."
    assert np.allclose(doubled, 2 * gradient, atol=scale), "Expected a gradient linear in the cotangents."
    try:
        sim.vjp(design, level, {"no such quantity": np.zeros(1)})
    except KeyError:
        return
    raise AssertionError("Expected a KeyError for the cotangent of an unknown quantity. Got none.")


def random_cotangents(response: Response, rng: np.random.Generator) -> dict[str, Array]:
    """Normal cotangents of every quantity, complex where it is."""

    def draw(value: Array) -> Array:
        real = rng.standard_normal(value.shape)
        return real + 1j * rng.standard_normal(value.shape) if np.iscomplexobj(value) else real

    return {name: draw(np.asarray(value)) for name, value in response.items()}


@dataclass(frozen=True)
class QuadraticLoss:
    """Re sum(conj(weights) r) + stiffness / 2 sum |r|^2 over the quantities r of a response, for checks.

    Args:
        weights: quantity -> array like it.
        stiffness: of the quadratic part.
    """

    weights: Mapping[str, Array]
    stiffness: float = 0.5

    def value(self, response: Response) -> float:
        """The loss."""
        linear = sum(float(np.real(np.vdot(w, response[name]))) for name, w in self.weights.items())
        return linear + self.stiffness / 2 * sum(float(np.vdot(v, v).real) for v in response.values())

    def __call__(self, response: Response) -> dict[str, Array]:
        """Its cotangents."""
        return {name: w + self.stiffness * response[name] for name, w in self.weights.items()}

    def change(self, response: Response, change: Response) -> dict[str, Array]:
        """Their derivative along a change of the response."""
        return {name: self.stiffness * change[name] for name in self.weights}


def check_hvp(sim: HasCurvature, level: int, design: Array, answer: Response, rng: np.random.Generator) -> None:
    """Products are real and shaped, of the response of ``simulate``, the same bits again, linear, and symmetric."""
    loss = QuadraticLoss(random_cotangents(answer, rng))
    v, w = (rng.random(design.shape) - design for _ in range(2))
    response, along_v = sim.hvp(design, level, loss, v)
    again, along_w = sim.hvp(design, level, loss, v)[1], sim.hvp(design, level, loss, w)[1]
    for name, value in answer.items():
        atol = 1e-12 * np.abs(value).max(initial=0.0)
        assert np.allclose(response[name], value, rtol=1e-9, atol=atol), f"Expected {name!r} of hvp as of simulate."
    assert along_v.shape == tuple(sim.design_shape) and along_v.dtype.kind == "f", (
        f"Expected a real product of shape {tuple(sim.design_shape)}. Got {along_v.dtype} {along_v.shape}."
    )
    assert np.array_equal(again, along_v), "Expected the same product from a second call. Got a different one."
    scale = 1e-9 * max(np.abs(along_v).max(), np.abs(along_w).max())
    both = sim.hvp(design, level, loss, 2 * v + w)[1]
    assert np.allclose(both, 2 * along_v + along_w, atol=scale), "Expected products linear in the direction."
    first, second = float((w * along_v).sum()), float((v * along_w).sum())
    size = math.sqrt((w**2).sum() * (along_v**2).sum()) + math.sqrt((v**2).sum() * (along_w**2).sum())
    assert abs(first - second) <= 1e-9 * size, f"Expected a symmetric Hessian. Got {first} and {second}."


def curvature_slope(
    sim: HasCurvature, level: int, design: Array, rng: np.random.Generator, steps: int = 7, first: float = 2e-2
) -> float:
    """Slope in log-log of L(x + h d) - L(x) - h g.d - h^2 d.Hd / 2: 3 for a right product, 2 for a wrong one.

    As :func:`taylor_slope`, for a quadratic loss; 3 if all remainders are at the rounding of L.

    Raises:
        AssertionError: if the slope over the smallest measurable steps is below 2.7.
    """
    loss = QuadraticLoss(random_cotangents(sim.simulate(design, level), rng))
    direction = rng.random(design.shape) - design
    response, gradient = sim.vjp(design, level, loss)
    product = sim.hvp(design, level, loss, direction)[1]
    start, line, bend = loss.value(response), float((gradient * direction).sum()), float((product * direction).sum())
    h = first * 0.5 ** np.arange(steps)
    values = [loss.value(sim.simulate(np.clip(design + step * direction, 0.0, 1.0), level)) for step in h]
    remainder = np.abs(np.array(values) - start - h * line - h**2 / 2 * bend)
    return _slope(remainder, h, 1e-12 * max(abs(start), abs(line), abs(bend)), 3, sim.fidelities[level].name)


def taylor_slope(
    sim: Differentiable, level: int, design: Array, rng: np.random.Generator, steps: int = 7, first: float = 2e-2
) -> float:
    """Slope in log-log of L(x + h d) - L(x) - h g.d, which is 2 for a right gradient and 1 for a wrong one.

    L is the real inner product of random cotangents with the response; d points to a random design, so x + h d stays in
    [0, 1]. Remainders at the rounding of L, whatever its unit, are left out; 2 if all are. Farrell et al., SIAM J. Sci.
    Comput. 35, C369 (2013), 5.2.

    Raises:
        AssertionError: if the slope over the smallest measurable steps is below 1.8.
    """
    loss, gradient, direction = _directional(sim, level, design, rng)
    start, slope_of_line = loss(0.0), float((gradient * direction).sum())
    h = first * 0.5 ** np.arange(steps)
    remainder = np.array([abs(loss(step) - start - step * slope_of_line) for step in h])
    return _slope(remainder, h, 1e-12 * max(abs(start), abs(slope_of_line)), 2, sim.fidelities[level].name)


def _slope(remainder: Array, h: Array, floor: float, order: int, where: str) -> float:
    """Slope over the smallest three steps whose remainder is above the floor; AssertionError if below the order."""
    measurable = remainder > 10 * floor
    if not measurable.any():
        return float(order)
    last = max(1, int(np.flatnonzero(measurable)[-1]))
    begin, above = max(0, last - 2), np.maximum(remainder, max(floor, np.finfo(float).tiny))
    slope = float(np.log2(above[begin] / above[last]) / (last - begin))
    assert slope > 0.9 * order, (
        f"Expected the Taylor remainder at {where} to fall with h^{order}. "
        f"Got slope {slope:.3f}, remainders {remainder} for steps {h}."
    )
    return slope


def gradient_error(sim: Differentiable, level: int, design: Array, rng: np.random.Generator, step: float) -> float:
    """Relative error of the directional derivative against a central difference."""
    loss, gradient, direction = _directional(sim, level, design, rng, margin=step)
    finite = (loss(step) - loss(-step)) / (2 * step)
    slope = float((gradient * direction).sum())
    scale = max(abs(finite), abs(slope))
    return abs(slope - finite) / scale if scale > 0 else 0.0


def _directional(
    sim: Differentiable, level: int, design: Array, rng: np.random.Generator, margin: float = 0.0
) -> tuple[Callable[[float], float], Array, Array]:
    """A loss along a random direction that stays in [0, 1], its gradient at ``design``, and the direction."""
    centre = design + 2 * margin * (0.5 - design)
    direction = rng.random(design.shape) - centre
    cotangents = random_cotangents(sim.simulate(centre, level), rng)

    def loss(step: float) -> float:
        response = sim.simulate(np.clip(centre + step * direction, 0.0, 1.0), level)
        return float(sum(np.real(np.vdot(c, response[name])) for name, c in cotangents.items()))

    return loss, sim.vjp(centre, level, cotangents)[1], direction


def level_differences(answers: Mapping[int, Sequence[Response]], chosen: Sequence[int]) -> dict[str, float]:
    """Quantity -> largest absolute difference of any level from the last, where shapes are the same."""
    differences: dict[str, float] = {}
    for level in chosen[:-1]:
        for low, high in zip(answers[level], answers[chosen[-1]], strict=True):
            for name in set(low) & set(high):
                if low[name].shape == high[name].shape:
                    gap = float(np.abs(low[name] - high[name]).max())
                    differences[name] = max(differences.get(name, 0.0), gap)
    return differences


def _refuses(call: Callable[[], object]) -> bool:
    try:
        call()
    except ValueError:
        return True
    return False
