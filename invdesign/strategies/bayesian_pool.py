"""The designs among which a discrete search chooses."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from invdesign.evaluator import Evaluator
from invdesign.problem import Problem
from invdesign.spaces.discrete import Codes
from invdesign.strategies.bayesian_inputs import Features, Inputs, standardised, tokens_of
from invdesign.strategies.trials import Trials, discrete_space
from physics.base import Array

# Of spaces too large to list: parents, mutations of each, and random draws a round.
PARENTS, MUTATIONS, DRAWS = 20, 50, 1000
GUIDE_DRAWS = 2000


@dataclass(frozen=True, eq=False)
class Pool:
    """Designs with their inputs.

    Args:
        codes: `(n, size)`.
        inputs: of the n designs.
        orbits: number of each design's orbit, `(n,)`.
    """

    codes: Codes
    inputs: Inputs
    orbits: NDArray[np.int64]
    _rows: dict[tuple[int, ...], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._rows.update({tuple(row): number for number, row in enumerate(self.codes.tolist())})

    def rows(self, codes: Array) -> NDArray[np.int64]:
        """Where designs `(m, size)` of the pool are in it."""
        return np.array([self._rows[tuple(row)] for row in np.asarray(codes).tolist()], dtype=np.int64)


class PoolSource:
    """Makes pools: once the whole space where it can be listed, else anew each round.

    Args:
        problem, evaluator: of the run.
        features: cheap ones, or None.
        pairs: whether pairs of neighbouring codes are inputs.
        limit: largest space that is listed.
    """

    def __init__(
        self, problem: Problem, evaluator: Evaluator, features: Features | None, pairs: bool, limit: int
    ) -> None:
        self.problem, self.evaluator, self.features, self.pairs = problem, evaluator, features, pairs
        self.space = discrete_space(problem)
        self.whole = self.space.everything(limit)
        self._kept: Pool | None = None
        self._known: dict[tuple[int, ...], NDArray[np.float64]] = {}

    def pool(self, trials: Trials, rng: np.random.Generator) -> Pool:
        """All designs, or what was asked with mutations of the best of it and random draws."""
        if self.whole is not None:
            if self._kept is None:
                self._kept = self._made(self.whole)
            return self._kept
        asked = trials.array()
        best = asked[np.argsort(trials.losses, kind="stable")[:PARENTS]]
        fresh = [self.space.mutate(parent, rng) for parent in best for _ in range(MUTATIONS)]
        fresh += [self.space.draw(rng) for _ in range(DRAWS)]
        return self._made(np.array(list(dict.fromkeys(map(tuple, [*asked.tolist(), *np.array(fresh).tolist()])))))

    def guided(self, trials: Trials, rng: np.random.Generator, count: int, share: float) -> Codes:
        """`count` designs at random from the share of the space that the features guess best."""
        if not count or self.features is None:
            return np.zeros((0, self.space.size), dtype=np.int64)
        codes = self.whole
        if codes is None:
            drawn = [tuple(self.space.draw(rng).tolist()) for _ in range(GUIDE_DRAWS)]
            codes = np.array(list(dict.fromkeys(drawn)), dtype=np.int64)
        guess = self.features.guess(self.problem, self.evaluator, codes)
        near = np.argsort(guess, kind="stable")[: max(count, round(share * len(codes)))]
        return codes[rng.choice(near, size=min(count, len(near)), replace=False)]

    def _made(self, codes: Codes) -> Pool:
        cheap = np.zeros((len(codes), 0))
        if self.features is not None:
            cheap = standardised(self._cheap(codes))
        inputs = Inputs(tokens_of(self.space, codes, self.pairs), cheap)
        orbits = np.unique(self.space.canonical(codes), axis=0, return_inverse=True)[1].reshape(-1)
        return Pool(codes, inputs, orbits)

    def _cheap(self, codes: Codes) -> NDArray[np.float64]:
        """Features of codes; each design's are asked for once."""
        if self.features is None:
            return np.zeros((len(codes), 0))
        keys = list(map(tuple, codes.tolist()))
        missing = [row for row, key in enumerate(keys) if key not in self._known]
        if missing:
            found = self.features.values(self.problem, self.evaluator, codes[missing])
            self._known.update({keys[row]: values for row, values in zip(missing, found, strict=True)})
        return np.array([self._known[key] for key in keys])
