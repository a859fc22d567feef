"""Design on the network: learn from solves, descend from many starts, verify, learn from what came back."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from invdesign.evaluator import Evaluator
from invdesign.points import at_sharpness, evaluate_points, verify
from invdesign.problem import Problem
from invdesign.strategies.learning import Learner, check_choice
from invdesign.strategies.patience import Patience
from invdesign.strategies.start import random_theta
from physics.base import Differentiable
from surrogates.choice import ArchitectureChoice
from surrogates.search import search

Vectors = NDArray[np.float64]
SAMPLED_BETAS = (4.0, 8.0, 16.0)


@dataclass(frozen=True)
class Surrogate:
    """Random designs train an ensemble whose architecture is searched; then rounds of descent on it from many starts.

    The solver need not have gradients; where it has, the networks learn from them too. A round descends on the mean
    loss plus `caution` spreads, asks the reference at the most promising ends, verifies the best of them, and trains
    again.

    Args:
        surrogate: how the architecture is chosen, `surrogates.search(...)` or `surrogates.fixed(...)`.
        designs: random designs simulated first, at each fidelity from the cheapest to the reference; None for 96 at the
            cheapest falling to 32 at the reference, 55 where there is one fidelity.
        betas: sharpness of the projection, a round each; the last is kept.
        starts: descents a round, half from random designs, half from the best known ones.
        steps: of a descent.
        asked: ends asked of the reference a round.
        caution: spreads added to the loss.
    """

    surrogate: ArchitectureChoice = field(default_factory=search)
    designs: tuple[int, ...] | None = None
    betas: tuple[float, ...] = (8.0, 8.0, 16.0, 16.0, 32.0)
    starts: int = 12
    steps: int = 50
    asked: int = 4
    caution: float = 1.0
    name: str = "surrogate"

    def __post_init__(self) -> None:
        check_choice(self.surrogate)
        if not self.betas or min(self.betas) <= 0 or min(self.starts, self.steps, self.asked) < 1:
            raise ValueError("Expected betas above 0, and starts, steps and asked of at least 1.")

    def __call__(self, problem: Problem, evaluator: Evaluator, rng: np.random.Generator) -> None:
        """Runs the strategy."""
        known = sample(problem, evaluator, rng, self.designs or falling(96, 32, problem))
        if not known:
            evaluator.note("given up", error="Every solve at the reference failed; there is nothing to learn from.")
            return
        learner = Learner(self.surrogate, problem, evaluator, seed=int(rng.integers(2**31)))
        number, patience = 0, Patience(evaluator)
        while True:
            learner.learn()
            sharp = at_sharpness(problem, self.betas[min(number, len(self.betas) - 1)])
            number += 1
            evaluator.stage = f"round {number}: descending on the network"
            best = sorted(known, key=lambda pair: pair[0])[: self.starts // 2]
            starts = [theta for _, theta in best]
            starts += [random_theta(problem, rng) for _ in range(self.starts - len(starts))]
            ends = self._descend(sharp, evaluator, learner, np.array(starts))
            evaluator.stage = f"round {number}: asking the solver"
            points = evaluate_points(
                sharp, evaluator, list(ends[: self.asked]), problem.reference_level, gradients=has_gradients(problem)
            )
            solved = [(point.loss, np.asarray(point.theta)) for point in points if point.error is None]
            known += solved
            if solved:
                theta = min(solved, key=lambda pair: pair[0])[1]
                evaluator.proposal = theta
                verify(problem, evaluator, theta, f"round {number}")
            if patience.lost():
                return

    def _descend(self, problem: Problem, evaluator: Evaluator, learner: Learner, starts: Vectors) -> Vectors:
        """Ends of the descents, most promising first; `starts x size`."""
        inputs = {
            "surrogate": learner.key,
            "problem": problem.content,
            "starts": starts,
            "steps": self.steps,
            "caution": self.caution,
        }

        def compute() -> dict[str, Vectors]:
            thetas = torch.tensor(starts, requires_grad=True)
            optimizer = torch.optim.Adam([thetas], lr=0.03)
            for _ in range(self.steps):
                optimizer.zero_grad()
                cautious_losses(problem, learner, thetas, self.caution).sum().backward()
                optimizer.step()
                with torch.no_grad():
                    thetas.clamp_(0, 1)
            with torch.no_grad():
                ends = cautious_losses(problem, learner, thetas, self.caution)
            order = torch.argsort(ends, stable=True)
            return {"thetas": thetas.detach()[order].numpy(), "losses": ends[order].numpy()}

        return evaluator.memo("network descent", inputs, compute)["thetas"]


def has_gradients(problem: Problem) -> bool:
    """Whether the solver gives gradients; without, the networks learn from values alone."""
    return isinstance(problem.simulator, Differentiable)


def cautious_losses(problem: Problem, learner: Learner, thetas: torch.Tensor, caution: float) -> torch.Tensor:
    """Predicted loss plus `caution` calibrated spreads of the networks' losses, `(b,)`."""
    mean, members = learner.losses(problem, thetas)
    return mean + caution * learner.spread_scale * members.std(0)


def falling(most: int, least: int, problem: Problem) -> tuple[int, ...]:
    """Numbers of designs in equal ratios from the cheapest fidelity to the reference; their mean where there is one."""
    levels = len(problem.simulator.fidelities)
    if levels == 1:
        return (round((most * least) ** 0.5),)
    return tuple(round(most * (least / most) ** (level / (levels - 1))) for level in range(levels))


def sample(
    problem: Problem, evaluator: Evaluator, rng: np.random.Generator, designs: tuple[int, ...]
) -> list[tuple[float, Vectors]]:
    """Simulates random designs of several contrasts and sharpnesses, `designs` many a fidelity.

    Gradients are asked for where the solver has them.

    The designs of the reference are among those of the levels below. Gives (loss, theta) at the reference.

    Raises:
        ValueError: if there is not one number a fidelity.
    """
    levels = len(problem.simulator.fidelities)
    if len(designs) != levels:
        raise ValueError(
            f"Expected a number of designs for each of {levels} fidelities. Got {designs}; leave `designs` out, or "
            f"give as many as there are fidelities."
        )
    drawn = [
        (random_theta(problem, rng, contrast=float(rng.uniform(0.1, 0.5))), float(rng.choice(SAMPLED_BETAS)))
        for _ in range(max(designs))
    ]
    # One path number a design, whatever the level: no split puts its levels on both sides.
    paths = [evaluator.new_group() for _ in drawn]
    known: list[tuple[float, Vectors]] = []
    for level, count in enumerate(designs):
        if not problem.answers(level):
            continue  # a rung of proxies: nothing the targets could be judged by
        evaluator.stage = f"sampling at {problem.simulator.fidelities[level].name}"
        for beta in SAMPLED_BETAS:
            chosen = [i for i in range(count) if drawn[i][1] == beta]
            thetas, groups = [drawn[i][0] for i in chosen], [paths[i] for i in chosen]
            sharp = at_sharpness(problem, beta)
            points = evaluate_points(sharp, evaluator, thetas, level, gradients=has_gradients(problem), groups=groups)
            if level == problem.reference_level:
                known += [(point.loss, np.asarray(point.theta)) for point in points if point.error is None]
    return known
