"""What a run withstands: bad losses, foreign settings, endless loops, misunderstandings."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from invdesign.budget import Budget
from invdesign.evaluator import Evaluator
from invdesign.points import verify
from invdesign.problem import Problem, Scenario
from invdesign.run import run
from invdesign.spaces.space import DensitySpace
from invdesign.store import Store
from invdesign.strategies import Adjoint, Random, Surrogate
from invdesign.targets import CustomTarget, Target, TensorResponse
from physics.base import Array, Fidelity, Response
from surrogates import ArchitectureChoice, TrainingConfig, fixed
from tests.invdesign.kills import Killed, numbers
from tests.invdesign.test_run import OFFSET, SMALL, STRATEGIES, Wavering
from tests.invdesign.toy import Toy


def not_a_number(response: TensorResponse) -> torch.Tensor:
    return response["transmission"].mean() * float("nan")


def steep(response: TensorResponse) -> torch.Tensor:
    return torch.sqrt(response["transmission"].mean() * 0)


@pytest.mark.parametrize("loss", [not_a_number, steep])
def test_a_bad_loss_neither_ends_the_run_nor_spoils_the_store(
    loss: Callable[[TensorResponse], torch.Tensor], problem: Problem, tmp_path: Path
) -> None:
    path = tmp_path / "a.db"
    strategy, budget = Adjoint(evaluations=5, starts=3), Budget(solves=40)
    fresh = run(problem, strategy, budget=budget)
    bad = run(replace(problem, targets=[CustomTarget(loss)]), strategy, budget=budget, store=path)
    assert any(note.kind in ("start given up", "not judged") for note in bad.notes)
    assert numbers(run(problem, strategy, budget=budget, store=path)) == numbers(fresh)


@pytest.mark.parametrize("at", [{"wavelength_um": slice(1.4, 1.7)}, {"wavelength_um": {1.5, 1.6}}])
def test_any_region_can_be_run(at: dict[str, object], problem: Problem) -> None:
    chosen = replace(problem, targets=[Target("transmission", at=at, lower=0.3)])
    assert run(chosen, Random(designs=1), budget=Budget(solves=5)).best is not None


def test_settings_of_a_surrogate_do_not_share_descents(problem: Problem, tmp_path: Path) -> None:
    def strategy(members: int, epochs: int) -> Surrogate:
        mlp = fixed(members=members, config=TrainingConfig(epochs=epochs, pretraining_epochs=2))
        return Surrogate(mlp, designs=(10, 8), starts=3, steps=4)

    path, budget = tmp_path / "a.db", Budget(solves=30)
    run(problem, strategy(2, 3), budget=budget, store=path)
    shared = run(problem, strategy(3, 12), budget=budget, store=path)
    alone = run(problem, strategy(3, 12), budget=budget)
    assert numbers(shared) == numbers(alone)


def test_corners_that_share_a_nominal_design_are_different_candidates(problem: Problem) -> None:
    robust = replace(problem, scenarios=[Scenario("eroded", erosion=0.2)])
    thetas = [np.full(problem.space.size, value) for value in (0.6, 0.9)]

    @dataclass(frozen=True)
    class Both:
        def __call__(self, problem: Problem, evaluator: Evaluator, rng: np.random.Generator) -> None:
            for theta in thetas:
                verify(problem, evaluator, theta, "a")

    result = run(robust, Both(), budget=Budget(solves=9))
    assert len(result.candidates) == 2
    first, second = result.candidates
    np.testing.assert_array_equal(first.design, second.design)
    assert not np.array_equal(first.responses["eroded"]["s"], second.responses["eroded"]["s"])


def test_replay_only_does_not_borrow_from_another_run(problem: Problem, tmp_path: Path) -> None:
    path, strategy = tmp_path / "a.db", Adjoint(evaluations=10)

    def kill(evaluator: Evaluator) -> None:
        if evaluator.meter.solves >= 5:
            raise Killed

    with pytest.raises(Killed):
        run(problem, strategy, budget=Budget(solves=60), store=path, observer=kill)
    run(problem, strategy, budget=Budget(solves=50), store=path)
    assert run(problem, strategy, budget=Budget(solves=60), store=path, replay_only=True).costs.solves == 5


def test_a_left_path_is_dropped_from_the_journal(problem: Problem, tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    OFFSET[0] = 0.0
    run(problem, Wavering(), budget=Budget(solves=5), store=path)
    OFFSET[0] = 0.1
    with pytest.warns(UserWarning, match="differs from its journal"):
        run(problem, Wavering(), budget=Budget(solves=5), store=path)
    with Store(path) as store, warnings.catch_warnings():
        warnings.simplefilter("error")
        run(problem, Wavering(), budget=Budget(solves=5), store=store)
        (entry,) = store.runs()
        assert len(store.journal(entry["run"])) == entry["requests"] == 3
    OFFSET[0] = 0.0


def test_endless_loops_end(problem: Problem) -> None:
    tiny = Problem(DensitySpace((2, 2), pixel_um=0.1, filter_radius_um=0), Toy((2, 2)), problem.targets)
    result = run(tiny, Random(), budget=Budget(solves=1000))
    assert len(result.candidates) <= 16
    failing = replace(problem, simulator=Toy(fault="nan"))
    for strategy in (Adjoint(level=0), STRATEGIES["surrogate"], STRATEGIES["hybrid"], STRATEGIES["hybrid on low"]):
        assert run(failing, strategy, budget=Budget(reference_solves=5000)).best is None


def test_the_best_theta_stands_as_proposal(problem: Problem) -> None:
    """Cut anywhere, the last proposal is the best point of its stage."""
    for solves in range(5, 17, 3):
        result = run(problem, Adjoint(optimizer="lbfgsb"), budget=Budget(solves=solves))
        losses = [
            float(problem.target_loss(problem.reference).judge([r.response])[0])
            for r in result.records
            if r.response and r.gradient is not None
        ]
        best = int(np.argmin(losses))
        proposed = [c for c in result.candidates if c.label == "last proposal"]
        asked = [r for r in result.records if r.gradient is not None]
        for candidate in proposed:
            decoded = problem.space.at(8.0).decode(torch.from_numpy(candidate.theta)).numpy()
            np.testing.assert_allclose(decoded, asked[best].design, atol=1e-6)


def test_senseless_settings_are_refused(problem: Problem) -> None:
    for senseless in ({"betas": ()}, {"evaluations": 0}, {"starts": 0}, {"optimizer": "adam"}):
        with pytest.raises(ValueError, match="Expected"):
            Adjoint(**senseless)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="call it, as in adjoint"):
        run(problem, Adjoint, budget=Budget(solves=5))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="level from -2 to 1"):
        run(problem, Adjoint(level=7), budget=Budget(solves=5))
    with pytest.raises(TypeError, match="CPU time of one solve"), ThreadPoolExecutor() as threads:
        run(problem, Random(), budget=Budget(solves=5), executor=threads)
    with pytest.raises(ValueError, match=r"'gone' with erosion=0\.7"):
        replace(problem, scenarios=[Scenario("gone", erosion=0.7)])


def test_gradients_asked_of_a_simulator_without_are_refused(problem: Problem) -> None:
    class Values:
        """A toy without gradients."""

        def __init__(self) -> None:
            self.toy = Toy()
            self.fidelities, self.design_shape, self.identity = self.toy.fidelities, (12, 12), "values"

        def simulate(self, design: Array, level: int, replicate: int = 0) -> Response:
            return self.toy.simulate(design, level, replicate)

    plain = replace(problem, simulator=Values())
    with pytest.raises(TypeError, match="use a strategy that needs none"):
        run(plain, Adjoint(), budget=Budget(solves=5))
    assert run(plain, Random(designs=3), budget=Budget(solves=5)).best is not None


@dataclass(frozen=True)
class Plain:
    """A toy that answers values only."""

    toy: Toy = field(default_factory=Toy)
    design_shape: tuple[int, int] = (12, 12)
    identity: str = "plain"

    @property
    def fidelities(self) -> tuple[Fidelity, ...]:
        return self.toy.fidelities

    def simulate(self, design: Array, level: int, replicate: int = 0) -> Response:
        return self.toy.simulate(design, level, replicate)


@pytest.mark.parametrize("choice", [SMALL, fixed(members=2, config=TrainingConfig(epochs=8, pretraining_epochs=4))])
def test_a_surrogate_needs_no_gradients_of_the_solver(choice: ArchitectureChoice, problem: Problem) -> None:
    plain = replace(problem, simulator=Plain())
    result = run(plain, Surrogate(choice, designs=(20, 12), starts=4, steps=8), budget=Budget(solves=50))
    assert result.best is not None
    assert all(note["gradients"] == 0 for note in result.noted("surrogate"))
    assert result.best.distance < problem.evaluate(np.full((12, 12), 0.5)).distance


def test_a_mended_solver_is_asked_again_on_request(problem: Problem, tmp_path: Path) -> None:
    path, budget = tmp_path / "a.db", Budget(solves=20)
    broken = replace(problem, simulator=Toy(fault="nan"))
    assert run(broken, Random(), budget=budget, store=path).best is None
    assert run(problem, Random(), budget=budget, store=path).best is None
    assert run(problem, Random(), budget=budget, store=path, retry_failed=True).best is not None


def test_misunderstandings_are_told_apart(problem: Problem) -> None:
    with pytest.raises(TypeError, match="Expected a Budget"):
        run(problem, Random(), budget=60)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="numbers as limits"):
        Budget(cpu_seconds="60")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="lists of targets"):
        replace(problem, targets=problem.targets[0])
    with pytest.raises(TypeError, match=r"search\(\.\.\.\) or fixed"):
        Surrogate("mlp")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="Expected an Architecture"):
        fixed("mlp")  # type: ignore[arg-type]


def test_a_result_prints_in_a_line_or_two(problem: Problem) -> None:
    result = run(problem, Random(designs=2), budget=Budget(solves=5))
    assert len(repr(result)) < 3000
    assert len(repr(result.records[0])) < 1000
