"""Hill climbing by network morphisms: children go on from their parent's weights and train a few epochs only.

Elsken, Metzen & Hutter, "Simple and efficient architecture search for convolutional neural networks", ICLR workshop
2018 (arXiv 1711.04528), with the morphisms of Net2Net (Chen, Goodfellow & Shlens, ICLR 2016).
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np

from surrogates.architecture import Architecture, Block
from surrogates.nas.lab import BudgetSpent, Lab
from surrogates.nas.learner import Learner
from surrogates.nas.live import LiveLab
from surrogates.nas.methods.net2net import Problem, can_deepen, can_widen, deepened, real_blocks, widened
from surrogates.states import State
from surrogates.training import TrainingDiverged


def inherit(
    parent: Architecture,
    state: State,
    child: Architecture,
    problem: Problem,
    rng: np.random.Generator,
    noise: float = 0.0,
) -> tuple[State, bool]:
    """Weights for a child, and whether they make the parent's function.

    A block more leaves the function as it is, more channels do so but for the noise: to rounding at 0. Otherwise all
    weights are taken over that have a place of the same name and shape in the child.

    Args:
        noise: of widened networks, see ``widened``.
    """
    if replace(child, blocks=parent.blocks) == parent:
        added = _added(parent, child)
        if added is not None and can_deepen(parent, added[1]):
            return deepened(parent, state, *added, problem, rng)[1], True
        width = child.blocks[0].width
        wider = tuple(replace(block, width=width) for block in parent.blocks)
        if wider == child.blocks and width > parent.blocks[0].width and can_widen(parent):
            return widened(parent, state, width, rng, noise)[1], True
    fresh = problem.fresh(child, rng)
    taken = {n: a for n, a in state.items() if n in fresh and fresh[n].shape == a.shape}
    return fresh | taken, False


def _added(parent: Architecture, child: Architecture) -> tuple[int, Block] | None:
    """Place and value of the one block the child has more, if its width is that of the blocks around."""
    fewer, more = real_blocks(parent), real_blocks(child)
    if len(more) != len(fewer) + 1:
        return None
    for k, block in enumerate(more):
        width = fewer[k - 1].width if k else parent.blocks[0].width
        if (*more[:k], *more[k + 1 :]) == fewer and block.width == width:
            return k, block
    return None


@dataclass(frozen=True)
class Morphisms:
    """From a small network, step by step to the best of some neighbours, each trained from inherited weights.

    Args:
        steps: at most.
        children: neighbours tried a step, beside the parent, which trains on.
        first_epochs, epochs: of the first network, and of every child.
        noise: in the weights that lead into the copies of repeated channels, relative: a widened network is its
            parent's function to about that. At 0 it is so to rounding, and copies stay alike for ever.
        start: the first network, of the lab's space and within its cap; None for the one of fewest parameters among
            some at random.
    """

    steps: int = 8
    children: int = 5
    first_epochs: int = 6
    epochs: int = 3
    noise: float = 0.02
    start: Architecture | None = None
    name: str = "morphisms"

    def __post_init__(self) -> None:
        for name, least in (("steps", 0), ("children", 0), ("first_epochs", 1), ("epochs", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"Expected {name} of at least {least}. Got {getattr(self, name)}.")
        if not self.noise >= 0:
            raise ValueError(f"Expected noise of at least 0. Got {self.noise}.")

    def __call__(self, lab: Lab, rng: np.random.Generator) -> None:
        climb(self, lab, rng)


@dataclass(frozen=True, eq=False)
class Climb:
    """A hill climb, as far as the budget allowed.

    Args:
        path: the network after each step, the first one first.
        errors: of the same, with inherited weights, on the task's held-out samples. Where the budget was spent before
            the first network's short training, that of its training by the lab.
        state: the last one's weights.
    """

    path: tuple[Architecture, ...]
    errors: tuple[float, ...]
    state: State


def climb(method: Morphisms, lab: Lab, rng: np.random.Generator) -> Climb:
    """The search itself. Training is charged; each network climbed to is also asked from the lab, from scratch.

    The budget ends it: a step that is then under way goes to the best of the children trained so far, which may remain
    without its training from scratch.

    Raises:
        TypeError: for a lab that does not train.
        ValueError: for a start that is not of the lab's space, or beyond its cap.
        BudgetSpent: if the budget was spent before anything was trained, or with a first network that diverged.
    """
    if not isinstance(lab, LiveLab):
        raise TypeError(f"Expected a LiveLab: children train on from weights. Got {type(lab).__name__}.")
    if method.start is not None and method.start not in lab.space:
        raise ValueError(
            f"Expected a start of the lab's space, within its cap. Got {method.start.key}; give one of it, or None."
        )
    problem = Problem(lab.task.train.design_shape, lab.task.codec.n_outputs)

    def smallest() -> Architecture:
        drawn = [lab.space.sample(rng) for _ in range(10)]
        return min(drawn, key=lambda network: network.n_parameters(problem.design_shape, problem.n_outputs))

    current = method.start or smallest()
    whole = lab.ask(current)
    try:
        state, error = train_from(lab, current, None, method.first_epochs, rng)
    except BudgetSpent:
        if not np.isfinite(whole.error):
            raise
        return Climb((current,), (whole.error,), dict(lab.weights(current)))
    path, errors = [current], [error]
    with suppress(BudgetSpent):
        for _ in range(method.steps):
            parent, neighbours = path[-1], lab.space.neighbours(path[-1])
            drawn = rng.permutation(len(neighbours))[: method.children]
            trained: list[tuple[Architecture, State, float]] = []
            with suppress(BudgetSpent):
                for child in [parent, *(neighbours[k] for k in drawn)]:
                    start, _ = inherit(parent, state, child, problem, rng, method.noise)
                    trained.append((child, *train_from(lab, child, start, method.epochs, rng)))
            best, best_state, best_error = min(trained, key=lambda one: one[2], default=(parent, state, errors[-1]))
            if best_error < errors[-1]:
                state = best_state
                path.append(best)
                errors.append(best_error)
                if best != parent:
                    lab.ask(best)
            lab.charge(0.0)  # ends here where nothing is left
    return Climb(tuple(path), tuple(errors), state)


def train_from(
    lab: LiveLab, architecture: Architecture, start: State | None, epochs: int, rng: np.random.Generator
) -> tuple[State, float]:
    """Weights after some epochs with a learning rate that comes down, and their error; charged to the lab.

    Raises:
        BudgetSpent: if the budget was spent before.
    """
    lab.charge(0.0)
    task = lab.task
    began = time.process_time()
    learner = Learner(
        architecture, task.config, task.samples(task.rungs[-1]), task.codec, epochs, int(rng.integers(2**31)), start
    )
    check = learner.prepared(task.held_out)
    error = float("inf")
    try:
        for _ in range(epochs):
            error = learner.advance(check, task.config.monitor)
    except TrainingDiverged:
        error = float("inf")
    lab.charge(time.process_time() - began)
    return learner.weights(), error
