"""Where a search asks for networks to be trained: rungs of fidelity, one budget in CPU seconds, one record."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from surrogates.architecture import Architecture
from surrogates.nas.space import ArchitectureSpace


class BudgetSpent(Exception):
    """Raised by a lab that is asked or charged once the budget is spent; ends a search.

    What is begun within the budget is done and charged whole: a search may overshoot by its last training or charge.
    """


@dataclass(frozen=True)
class Rung:
    """How thoroughly a network is tried.

    Args:
        epochs: of training.
        share: of the training samples, the first of a fixed order.
        level: of simulation whose samples are trained on; None for the reference. Always judged on the reference.
        resolution: of the network in place of its own; None for its own.
    """

    epochs: int
    share: float = 1.0
    level: int | None = None
    resolution: int | None = None

    def __post_init__(self) -> None:
        if self.epochs < 1 or not 0 < self.share <= 1:
            raise ValueError(f"Expected epochs of at least 1 and a share in (0, 1]. Got {self}.")

    def continues(self, below: Rung) -> bool:
        """Whether training goes on from where that rung stopped, so that promotion costs the difference."""
        same = (self.share, self.level, self.resolution) == (below.share, below.level, below.resolution)
        return same and below.epochs < self.epochs

    def rows(self, samples: int) -> NDArray[np.int64]:
        """Of so many samples its share, ascending: the first of an order that is the same for all."""
        order = np.random.default_rng(0).permutation(samples)
        return np.sort(order[: max(2, round(self.share * samples))])

    @property
    def key(self) -> str:
        """E.g. ``e27``, ``e9-s0.33-l0-r12``."""
        rest = [f"s{self.share:g}"] if self.share < 1 else []
        rest += [f"l{self.level}"] if self.level is not None else []
        rest += [f"r{self.resolution}"] if self.resolution is not None else []
        return "-".join([f"e{self.epochs}", *rest])


def check_ascending(rungs: Sequence[Rung]) -> None:
    """``ValueError`` unless after each rung one of the same samples and resolution has more epochs."""
    if not rungs:
        raise ValueError("Expected one rung at least. Got none.")
    for below, rung in pairwise(rungs):
        if replace(below, epochs=1) == replace(rung, epochs=1) and not rung.continues(below):
            raise ValueError(f"Expected more epochs than the rung below, {below.key}. Got {rung.key}; order them.")


def check_rung(rungs: Sequence[Rung], number: int) -> None:
    """``ValueError`` for the number of a rung, counted from 0 or, negative, from the end, that there is not."""
    if not -len(rungs) <= number < len(rungs):
        raise ValueError(f"Expected one of {len(rungs)} rungs, counted from 0. Got {number}.")


def chain(rungs: Sequence[Rung], number: int) -> range:
    """Numbers of the rungs of one training, this one's: from where it begins to where it can be promoted to."""
    first = last = number
    while first > 0 and rungs[first].continues(rungs[first - 1]):
        first -= 1
    while last + 1 < len(rungs) and rungs[last + 1].continues(rungs[last]):
        last += 1
    return range(first, last + 1)


def unpaid(rungs: Sequence[Rung], number: int, asked: Callable[[int], bool]) -> range:
    """Rungs that a question for one is charged: of its training, those above the highest that was asked.

    Training to a rung pays for all below that it came through; to ask these later costs nothing.
    """
    own = chain(rungs, number)
    paid = [k for k in own if asked(k)]
    return range(max(paid) + 1 if paid else own[0], number + 1)


@dataclass(frozen=True)
class Shapes:
    """What goes in and out of a problem's networks.

    Args:
        design_shape: of a design.
        n_outputs: real numbers that a response is encoded in.

    Raises:
        ValueError: for a shape without entries, or numbers below 1.
    """

    design_shape: tuple[int, ...]
    n_outputs: int

    def __post_init__(self) -> None:
        if not self.design_shape or min(*self.design_shape, self.n_outputs) < 1:
            raise ValueError(f"Expected a design shape and a number of outputs of at least 1 each. Got {self}.")


@dataclass(frozen=True, eq=False)
class Trial:
    """One network, tried once.

    Args:
        architecture, rung, seed: what; the rung by its number.
        error: what a search minimises, on held-out groups; infinite where training diverged.
        measures: further figures by name: ``value_error``, ``r2``, ``gradient_cosine``,
            ``latent_cosine`` where it is judged, ``step_error``, ``actual_over_predicted``, ``parameters``,
            ``latency_ms``; of fields see ``FieldLab``.
        curve: ``epochs``, the error after each epoch; to the last finite one where training diverged. Empty where a
            table does not hold it.
        cpu_seconds: charged for it: the training since the highest rung below that was asked and that it went on from,
            judging and timing included; 0 for a rung that a training already asked came through.
        spent: CPU seconds of the whole search when it was done.
    """

    architecture: Architecture
    rung: int
    seed: int
    error: float
    measures: Mapping[str, float]
    curve: NDArray[np.float64]
    cpu_seconds: float
    spent: float


class Lab(Protocol):
    """Trains, or looks up, what a search asks; the same question again in one search costs nothing.

    Nothing is begun once ``spent`` has come to ``budget_cpu_seconds``; the last thing begun may take it beyond.
    ``shapes`` are the problem's, None where nothing tells them. ``seeds`` is how many trainings of a network there are
    to ask for, by seeds from 0; None for as many as wanted. ``record`` enters a trial that a method has from elsewhere,
    and charges nothing.
    """

    space: ArchitectureSpace
    trials: list[Trial]
    budget_cpu_seconds: float
    spent: float

    @property
    def rungs(self) -> Sequence[Rung]: ...
    @property
    def shapes(self) -> Shapes | None: ...
    @property
    def seeds(self) -> int | None: ...

    def ask(self, architecture: Architecture, rung: int = -1, seed: int = 0) -> Trial: ...
    def charge(self, cpu_seconds: float) -> None: ...
    def record(self, trial: Trial) -> None: ...


class Method(Protocol):
    """A search: plain sequential code, seeded by ``rng``, that asks only the lab. A frozen dataclass."""

    @property
    def name(self) -> str: ...
    def __call__(self, lab: Lab, rng: np.random.Generator) -> None: ...


@dataclass(frozen=True, eq=False)
class Found:
    """What a search found.

    Args:
        method: its name.
        best: the network of the least mean error at the last rung, or at the highest rung reached.
        error: that mean.
        trials: all, in order.
        spent: CPU seconds; beyond the budget by the last training or charge, see ``BudgetSpent``.
        incumbents: see ``anytime``.
    """

    method: str
    best: Architecture
    error: float
    trials: tuple[Trial, ...]
    spent: float
    incumbents: tuple[tuple[float, Architecture], ...] = field(default=())

    @property
    def learning_rate(self) -> float | None:
        """That of the best network's training, where the method tried several; None for the lab's own.

        It is of the training of least error at the highest rung of that network. ``LiveLab.weights`` trains at the
        lab's own rate; those of this training are ``lab.at_rate(found.learning_rate).weights(found.best)``.
        """
        own = [trial for trial in self.trials if trial.architecture == self.best and np.isfinite(trial.error)]
        if not own:
            return None
        return max(own, key=lambda trial: (trial.rung, -trial.error)).measures.get("learning_rate")


def search_with(method: Method, lab: Lab, seed: int) -> Found:
    """Runs a method until it ends or, the budget being spent, asks or charges once more.

    Raises:
        ValueError: if nothing could be trained.
    """
    with suppress(BudgetSpent):
        method(lab, np.random.default_rng(seed))
    if not lab.trials:
        raise ValueError(
            f"Expected {method.name} to train one network at least. Got none for {lab.spent:.3g} of "
            f"{lab.budget_cpu_seconds:g} CPU s; raise the budget, or begin a new journal where other processes have "
            "begun all there was to do."
        )
    best, error = incumbent(lab.trials)
    return Found(method.name, best, error, tuple(lab.trials), lab.spent, anytime(lab.trials))


def incumbent(trials: Sequence[Trial]) -> tuple[Architecture, float]:
    """The network a search would give: of those at the highest rung reached, the one of least mean error over seeds.

    Raises:
        ValueError: where no training came to a finite error.
    """
    usable = [trial for trial in trials if np.isfinite(trial.error)]
    if not usable:
        raise ValueError("Expected one network at least that trained to a finite error. Got none.")
    top = max(trial.rung for trial in usable)
    errors: dict[Architecture, list[float]] = {}
    for trial in usable:
        if trial.rung == top:
            errors.setdefault(trial.architecture, []).append(trial.error)
    means = {architecture: float(np.mean(values)) for architecture, values in errors.items()}
    best = min(means, key=means.__getitem__)
    return best, means[best]


def anytime(trials: Sequence[Trial]) -> tuple[tuple[float, Architecture], ...]:
    """(CPU seconds, the network that the search would then give, see ``incumbent``) at each change."""
    found: list[tuple[float, Architecture]] = []
    top, errors = -1, dict[Architecture, list[float]]()
    means: dict[Architecture, float] = {}
    for trial in trials:
        if not np.isfinite(trial.error) or trial.rung < top:
            continue
        if trial.rung > top:
            top, errors, means = trial.rung, {}, {}
        errors.setdefault(trial.architecture, []).append(trial.error)
        means[trial.architecture] = float(np.mean(errors[trial.architecture]))
        best = min(means, key=means.__getitem__)
        if not found or found[-1][1] != best:
            found.append((trial.spent, best))
    return tuple(found)
