"""Discrete design spaces: a design is a tuple of small integers, its codes."""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Protocol, Self, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from physics.base import Array, check_design

Codes = NDArray[np.int64]

# Draws or mutations that may fail before a space counts as having no more designs.
ATTEMPTS = 1000


@runtime_checkable
class DiscreteSpace(Protocol):
    """Codes `(n, size)`, `0 <= codes[:, i] < options[i]`, and the densities `(n, *shape)` they stand for.

    As a design space, its parameters are `theta = codes / (options - 1)` in [0, 1], so that problems, evaluator, store
    and reports know nothing of codes.
    """

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def size(self) -> int: ...
    @property
    def options(self) -> tuple[int, ...]: ...
    def decode(self, theta: Tensor) -> Tensor: ...
    def encode(self, density: Array) -> Array: ...
    def at(self, beta: float) -> Self: ...
    def offset(self, shift: float) -> Self: ...
    def binarize(self, theta: Array) -> Array: ...
    def codes(self, theta: Array) -> Codes: ...
    def theta(self, codes: Array) -> NDArray[np.float64]: ...
    def valid(self, codes: Array) -> NDArray[np.bool_]: ...
    def draw(self, rng: np.random.Generator) -> Codes: ...
    def sample(self, rng: np.random.Generator) -> NDArray[np.float64]: ...
    def neighbours(self, codes: Array) -> Codes: ...
    def mutate(self, codes: Array, rng: np.random.Generator) -> Codes: ...
    def crossover(self, first: Array, second: Array, rng: np.random.Generator) -> Codes: ...
    def orbit(self, codes: Array) -> Codes: ...
    def canonical(self, codes: Array) -> Codes: ...
    def tokens(self, codes: Array) -> Codes: ...
    def features(self, codes: Array) -> NDArray[np.float64]: ...
    def everything(self, limit: int) -> Codes | None: ...


class CodedSpace(ABC):
    """What discrete spaces share; a space says its options, patterns, symmetric images, and what is valid."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Of a density."""

    @property
    @abstractmethod
    def options(self) -> tuple[int, ...]:
        """How many values each code has."""

    @property
    @abstractmethod
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """Pairs of codes that are neighbours in the sheet, for features."""

    @abstractmethod
    def patterns(self, codes: Array) -> NDArray[np.float64]:
        """Densities `(n, *shape)` of codes `(n, size)`."""

    @abstractmethod
    def coded(self, patterns: Array) -> Codes:
        """The inverse: codes `(n, size)` of densities `(n, *shape)`."""

    @abstractmethod
    def orbit(self, codes: Array) -> Codes:
        """Images `(g, n, size)` of codes under the symmetries of the physics; the first are the codes themselves."""

    @abstractmethod
    def valid(self, codes: Array) -> NDArray[np.bool_]:
        """Which of the codes `(n, size)` can be made, `(n,)`."""

    def mended(self, codes: Codes, rng: np.random.Generator) -> Codes:
        """Codes `(size,)` made valid, where a space knows how; else as they are."""
        return codes

    @property
    def size(self) -> int:
        """Number of codes of a design."""
        return len(self.options)

    def codes(self, theta: Array) -> Codes:
        """Codes `(..., size)` of parameters `(..., size)`."""
        given = np.asarray(theta, dtype=np.float64)
        if given.shape[-1:] != (self.size,):
            raise ValueError(f"Expected parameters of shape (..., {self.size}). Got {given.shape}.")
        top = np.array(self.options) - 1
        return np.clip(np.rint(given * top), 0, top).astype(np.int64)

    def theta(self, codes: Array) -> NDArray[np.float64]:
        """Parameters `(..., size)` in [0, 1] of codes `(..., size)`."""
        return np.asarray(codes) / np.maximum(np.array(self.options) - 1, 1)

    def decode(self, theta: Tensor) -> Tensor:
        """Density `(..., *shape)` of the codes nearest to theta `(..., size)`; it has no gradient."""
        codes = self.codes(theta.detach().numpy())
        flat = self.patterns(codes.reshape(-1, self.size))
        return torch.from_numpy(flat.reshape(*codes.shape[:-1], *self.shape))

    def binarize(self, theta: Array) -> NDArray[np.float64]:
        """What would be made, `(*shape)`; the same as `decode`."""
        return self.patterns(self.codes(theta)[None])[0]

    def encode(self, density: Array) -> NDArray[np.float64]:
        """Parameters `(size,)` of a density of this space."""
        return self.theta(self.coded(check_design(density, self.shape)[None])[0])

    def at(self, beta: float) -> Self:
        """The same space: nothing is projected here."""
        return self

    def offset(self, shift: float) -> Self:
        """The same space; `ValueError` for a shift, as codes know no over- or underetching."""
        if shift:
            raise ValueError(f"Expected no erosion of a discrete design. Got {shift}; drop it from the scenario.")
        return self

    def draw(self, rng: np.random.Generator) -> Codes:
        """Codes `(size,)` of a valid design, at random."""
        for _ in range(ATTEMPTS):
            codes = self.mended(rng.integers(self.options), rng)
            if self.valid(codes[None])[0]:
                return codes
        raise RuntimeError(f"Expected a valid design among {ATTEMPTS} drawn ones. Got none; loosen its constraints.")

    def sample(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """Parameters `(size,)` of a valid design, at random."""
        return self.theta(self.draw(rng))

    def neighbours(self, codes: Array) -> Codes:
        """All valid designs `(m, size)` that differ from codes `(size,)` in one code."""
        base = np.asarray(codes, dtype=np.int64)
        rows = []
        for site, count in enumerate(self.options):
            for value in range(count):
                if value != base[site]:
                    rows.append(np.where(np.arange(self.size) == site, value, base))
        found = np.array(rows, dtype=np.int64).reshape(-1, self.size)
        return found[self.valid(found)]

    def mutate(self, codes: Array, rng: np.random.Generator) -> Codes:
        """A valid design that differs from codes `(size,)`, usually in one code; mended where it has to be."""
        base = np.asarray(codes, dtype=np.int64)
        free = np.flatnonzero(np.array(self.options) > 1)
        for _ in range(ATTEMPTS):
            changed = base.copy()
            site = rng.choice(free)
            changed[site] = (changed[site] + rng.integers(1, self.options[site])) % self.options[site]
            changed = self.mended(changed, rng)
            if (changed != base).any() and self.valid(changed[None])[0]:
                return changed
        return self.draw(rng)

    def crossover(self, first: Array, second: Array, rng: np.random.Generator) -> Codes:
        """A valid design whose codes come from one of two parents `(size,)` each."""
        for _ in range(ATTEMPTS):
            child = np.where(rng.random(self.size) < 0.5, first, second).astype(np.int64)
            child = self.mended(child, rng)
            if self.valid(child[None])[0]:
                return child
        return np.asarray(first, dtype=np.int64).copy()

    def canonical(self, codes: Array) -> Codes:
        """The lexicographically least image of each of the codes `(n, size)`, one value an orbit."""
        images = self.orbit(np.atleast_2d(codes))
        best = images[0].copy()
        for image in images[1:]:
            differ = image != best
            first = differ.argmax(1)
            rows = np.arange(len(best))
            less = differ.any(1) & (image[rows, first] < best[rows, first])
            best[less] = image[less]
        return best

    def tokens(self, codes: Array) -> Codes:
        """Integers `(n, size + pairs)`: the codes, and each pair of neighbouring codes as one number."""
        rows = np.atleast_2d(np.asarray(codes, dtype=np.int64))
        joint = [rows[:, i] * self.options[j] + rows[:, j] for i, j in self.pairs]
        return np.concatenate([rows, np.array(joint, dtype=np.int64).reshape(-1, len(rows)).T], axis=1)

    def token_options(self) -> tuple[int, ...]:
        """How many values each token has."""
        return (*self.options, *(self.options[i] * self.options[j] for i, j in self.pairs))

    def features(self, codes: Array) -> NDArray[np.float64]:
        """One-hot tokens `(n, sum of their options)`, averaged over the orbit, so that images have the same."""
        images = self.orbit(np.atleast_2d(codes))
        return np.mean([one_hot(self.tokens(image), self.token_options()) for image in images], axis=0)

    def everything(self, limit: int) -> Codes | None:
        """All valid designs `(n, size)`; None where there are more than `limit` codes to look through."""
        if math.prod(self.options) > limit:
            return None
        codes = np.array(list(itertools.product(*map(range, self.options))), dtype=np.int64)
        return codes[self.valid(codes)]


def one_hot(tokens: Array, options: tuple[int, ...]) -> NDArray[np.float64]:
    """Tokens `(n, t)` as 0 and 1, `(n, sum of options)`."""
    starts = np.concatenate([[0], np.cumsum(options)[:-1]]).astype(np.int64)
    hot = np.zeros((len(tokens), sum(options)))
    hot[np.arange(len(tokens))[:, None], np.asarray(tokens) + starts] = 1.0
    return hot


def distinct(codes: Codes) -> Iterator[int]:
    """Rows of codes `(n, size)` that no earlier row equals."""
    seen = set()
    for row, key in enumerate(map(tuple, codes.tolist())):
        if key not in seen:
            seen.add(key)
            yield row
