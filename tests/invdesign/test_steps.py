from __future__ import annotations

import numpy as np
import pytest

from invdesign.points import at_sharpness, evaluate_points
from invdesign.problem import Problem
from invdesign.strategies.descent import descend
from invdesign.strategies.hybrid import Hybrid
from invdesign.strategies.learning import Learner
from invdesign.strategies.network import sample
from invdesign.strategies.steps import LowFidelityModel, MeanGradientModel, NetworkModel, StepModel, corrected_step
from surrogates import TrainingConfig, fixed
from surrogates.families import baseline
from tests.invdesign.test_problem import evaluator_for

RADIUS = 0.02


def models(problem: Problem) -> dict[str, StepModel]:
    evaluator = evaluator_for(problem)
    learner = Learner(fixed(baseline("mlp"), members=2, config=TrainingConfig(epochs=10)), problem, evaluator, seed=0)
    sample(problem, evaluator, np.random.default_rng(0), (16, 12))
    learner.learn()
    return {
        "surrogate": NetworkModel(problem, learner),
        "low_fidelity": LowFidelityModel(problem, evaluator),
        "mean_gradient": MeanGradientModel(np.full(problem.space.size, 0.01)),
    }


@pytest.mark.parametrize("name", ["surrogate", "low_fidelity", "mean_gradient"])
def test_a_corrected_step_descends_on_the_reference(name: str, problem: Problem) -> None:
    sharp = at_sharpness(problem, 8.0)
    model, evaluator = models(sharp)[name], evaluator_for(sharp)
    for seed in range(3):
        theta = np.random.default_rng(seed).uniform(0.3, 0.7, sharp.space.size)
        (centre,) = evaluate_points(sharp, evaluator, [theta], 1, gradients=True)
        assert centre.gradient is not None
        step = corrected_step(model, theta, centre.gradient, RADIUS, 10)
        assert np.abs(step.theta - theta).max() <= RADIUS + 1e-12
        (after,) = evaluate_points(sharp, evaluator, [step.theta], 1)
        actual = centre.loss - after.loss
        assert actual > 0
        # First order agrees at the centre, so a short step gains about what was predicted.
        assert 0.4 < actual / step.predicted < 2.5


def test_the_network_model_is_uncertain_away_from_the_centre_only(problem: Problem) -> None:
    model = models(problem)["surrogate"]
    theta = np.random.default_rng(0).uniform(0.3, 0.7, problem.space.size)
    direction = np.random.default_rng(1).standard_normal(problem.space.size)
    spreads = [model.spread(np.clip(theta + h * direction, 0, 1), theta) for h in (0.0, 0.05, 0.2)]
    assert spreads[0] == pytest.approx(0.0, abs=1e-6)
    assert spreads[2] > spreads[1] > 0  # type: ignore[operator]


@pytest.mark.parametrize("optimizer", ["mma", "lbfgsb"])
def test_descent_finds_a_bounded_minimum(optimizer: str) -> None:
    target = np.array([0.3, 1.4, -0.2, 0.7])

    def function(x: np.ndarray) -> tuple[float, np.ndarray]:
        return float(((x - target) ** 2).sum()), 2 * (x - target)

    found = descend(
        function,
        np.full(4, 0.5),
        optimizer=optimizer,
        evaluations=60,
        relative_tolerance=1e-12,  # type: ignore[arg-type]
    )
    np.testing.assert_allclose(found, np.clip(target, 0, 1), atol=1e-3)


@pytest.mark.parametrize("optimizer", ["mma", "lbfgsb"])
def test_what_the_function_raises_comes_through(optimizer: str) -> None:
    class Stop(Exception):
        pass

    def function(x: np.ndarray) -> tuple[float, np.ndarray]:
        raise Stop("enough")

    with pytest.raises(Stop, match="enough"):
        descend(function, np.full(4, 0.5), optimizer=optimizer, evaluations=5)  # type: ignore[arg-type]


def test_unknown_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="step_on among auto"):
        Hybrid(step_on="guess")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'mma' or 'lbfgsb'"):
        descend(lambda x: (0.0, x), np.zeros(2), optimizer="adam", evaluations=1)  # type: ignore[arg-type]
