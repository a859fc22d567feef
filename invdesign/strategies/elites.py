"""Several different designs for one target: MAP-Elites on discrete spaces. Mouret and Clune, arXiv:1504.04909."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from invdesign.evaluator import Evaluator
from invdesign.problem import Problem
from invdesign.records import Candidate
from invdesign.spaces.discrete import Codes
from invdesign.strategies.trials import ATTEMPTS, Trials


class Descriptor(Protocol):
    """What makes designs different: a niche of codes `(size,)` and what came of them, a tuple of integers."""

    def __call__(self, codes: Codes, candidate: Candidate) -> tuple[int, ...]: ...


@dataclass(frozen=True)
class MaterialShare:
    """Niches by the share of material in `bins` equal parts of [0, 1]."""

    bins: int = 10

    def __call__(self, codes: Codes, candidate: Candidate) -> tuple[int, ...]:
        """The bin."""
        return (min(int(candidate.design.mean() * self.bins), self.bins - 1),)


@dataclass(frozen=True)
class ResponseBins:
    """Niches by quantities without axes.

    Args:
        edges: name -> ascending edges between the bins.
    """

    edges: tuple[tuple[str, tuple[float, ...]], ...]

    def __call__(self, codes: Codes, candidate: Candidate) -> tuple[int, ...]:
        """A bin a quantity."""
        return tuple(int(np.searchsorted(edges, float(candidate.response[name]))) for name, edges in self.edges)


@dataclass(frozen=True)
class SomeCodes:
    """Niches by some of the codes themselves, e.g. what the middle rows hold; symmetric images share a niche only if
    the codes do."""

    sites: tuple[int, ...]

    def __call__(self, codes: Codes, candidate: Candidate) -> tuple[int, ...]:
        """The codes at the sites."""
        return tuple(int(codes[site]) for site in self.sites)


@dataclass(frozen=True)
class MapElites:
    """Keeps the best design of every niche; mutates, or crosses, elites at random.

    When it ends, the archive is left as the note "elites": a label, niche, loss and distance each, best first.

    Args:
        descriptor: what the niches are.
        initial: random designs first.
        crossover: share of children with two elite parents.
        batch: children a round; they are solved together.
        generations: rounds; None to go on until the budget is spent.
    """

    descriptor: Descriptor = MaterialShare()
    initial: int = 40
    crossover: float = 0.2
    batch: int = 4
    generations: int | None = None
    name: str = "map-elites"

    def __post_init__(self) -> None:
        if self.initial < 1 or self.batch < 1 or not 0 <= self.crossover <= 1:
            raise ValueError(
                f"Expected an initial design and a batch of 1 at least, and a share of crossover from 0 to 1. Got "
                f"{self.initial}, {self.batch} and {self.crossover}."
            )

    def __call__(self, problem: Problem, evaluator: Evaluator, rng: np.random.Generator) -> None:
        """Runs the strategy."""
        trials = Trials(problem, evaluator)
        try:
            self._search(trials, evaluator, rng)
        finally:
            # The budget ends a search in the midst of it; its archive stands nevertheless.
            elites = sorted(self.archive(trials).items(), key=lambda item: trials.losses[item[1]])
            found = [(niche, trials.candidates[row]) for niche, row in elites]
            evaluator.note(
                "elites",
                elites=[
                    {"niche": list(niche), "label": c.label, "key": c.key, "loss": c.loss, "distance": c.distance}
                    for niche, c in found
                    if c is not None
                ],
            )

    def archive(self, trials: Trials) -> dict[tuple[int, ...], int]:
        """Niche -> row of the best trial in it; the first of equal ones."""
        best: dict[tuple[int, ...], int] = {}
        losses = trials.losses
        for row, (codes, candidate) in enumerate(zip(trials.array(), trials.candidates, strict=True)):
            if candidate is None:
                continue
            niche = self.descriptor(codes, candidate)
            if niche not in best or losses[row] < losses[best[niche]]:
                best[niche] = row
        return best

    def _search(self, trials: Trials, evaluator: Evaluator, rng: np.random.Generator) -> None:
        evaluator.stage = "random designs"
        for _ in range(self.initial):
            drawn = trials.fresh_draw(rng)
            if drawn is not None:
                trials.ask(drawn[None], "random, trial")
        generation = 0
        while self.generations is None or generation < self.generations:
            generation += 1
            elites = list(self.archive(trials).values())
            evaluator.stage = f"generation {generation}, {len(elites)} niches"
            children = [child for _ in range(self.batch) if (child := self._child(trials, elites, rng)) is not None]
            if not children:
                evaluator.note("space used up", designs=len(trials))
                return
            trials.ask(np.array(children), f"generation {generation}, child")

    def _child(self, trials: Trials, elites: list[int], rng: np.random.Generator) -> Codes | None:
        if not elites:
            return trials.fresh_draw(rng)
        codes = trials.array()
        child = codes[rng.choice(elites)]
        if rng.random() < self.crossover:
            child = trials.space.crossover(child, codes[rng.choice(elites)], rng)
        for _ in range(ATTEMPTS):
            if child not in trials:
                return child
            child = trials.space.mutate(child, rng)
        return trials.fresh_draw(rng)
