"""Ensembles over discrete designs, whose members' disagreement is the spread: extra trees, and small networks."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesRegressor

from invdesign.strategies.bayesian_inputs import Inputs
from physics.base import Array

Real = NDArray[np.float64]

# Members agree exactly where trees never split; no spread at all would end the search there.
LEAST_SPREAD = 1e-6


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """Which column each value of each token has, as seen in training; others have none."""

    values: tuple[Array, ...]

    @classmethod
    def of(cls, inputs: Inputs) -> Vocabulary:
        """Of all images of training designs."""
        return cls(tuple(np.unique(column) for column in inputs.tokens.reshape(-1, inputs.tokens.shape[2]).T))

    def matrix(self, tokens: Array, cheap: Array) -> NDArray[np.float32]:
        """One-hot tokens `(n, t)` beside the cheap features, `(n, columns)`."""
        hot = [column[:, None] == known for column, known in zip(tokens.T, self.values, strict=True)]
        return np.concatenate([*hot, cheap], axis=1).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Members:
    """Fitted members: a function from a matrix `(n, columns)` to predictions `(members, n, m)`."""

    vocabulary: Vocabulary
    models: list[object]
    network: bool
    centre: Real
    spread: Real

    def answers(self, inputs: Inputs) -> Real:
        """Every member's predictions, `(members, n, m)`."""
        matrix = self.vocabulary.matrix(inputs.tokens[0], inputs.cheap)
        if self.network:
            with torch.no_grad():
                x = torch.from_numpy(matrix)
                raw = torch.cat([_forward(x, *self.models) for x in x.split(4096)], dim=1).double().numpy()  # type: ignore[arg-type]
        else:
            raw = np.stack([np.asarray(tree.predict(matrix)) for tree in self.models])  # type: ignore[attr-defined]
        return raw.reshape(len(raw), len(inputs), -1) * self.spread + self.centre

    def predict(self, inputs: Inputs) -> tuple[Real, Real]:
        """Mean and spread of the members, each `(n, m)`."""
        answers = self.answers(inputs)
        return answers.mean(0), np.maximum(answers.std(0), LEAST_SPREAD * self.spread)

    def paths(self, inputs: Inputs, count: int, rng: np.random.Generator) -> Real:
        """Members at random, `(count, n, m)`."""
        answers = self.answers(inputs)
        return answers[rng.integers(len(answers), size=count)]

    def believing(self, inputs: Inputs) -> Members:
        """The same: members are not conditioned."""
        return self


def _training(inputs: Inputs, values: Array) -> tuple[Vocabulary, Array, Real, Real, Real]:
    """Matrix and standardised targets, every image of a design a sample of its own."""
    y = np.asarray(values, dtype=np.float64)
    centre, spread = y.mean(0), y.std(0)
    spread = np.where(spread > 1e-12, spread, 1.0)
    vocabulary = Vocabulary.of(inputs)
    matrix = np.concatenate([vocabulary.matrix(image, inputs.cheap) for image in inputs.tokens])
    return vocabulary, matrix, np.tile((y - centre) / spread, (len(inputs.tokens), 1)), centre, spread


@dataclass(frozen=True)
class ExtraTrees:
    """Extremely randomised trees. Geurts et al., Machine Learning 63, 3 (2006).

    Args:
        trees: how many.
        share: of the columns tried at each split.
        leaf: least samples in a leaf.
    """

    trees: int = 100
    share: float = 0.5
    leaf: int = 1

    def fit(self, inputs: Inputs, values: Array, seed: int = 0) -> Members:
        """To values `(n, m)` of n designs."""
        vocabulary, matrix, y, centre, spread = _training(inputs, values)
        forest = ExtraTreesRegressor(
            self.trees, max_features=self.share, min_samples_leaf=self.leaf, bootstrap=True, random_state=seed, n_jobs=1
        )
        forest.fit(matrix, y if y.shape[1] > 1 else y[:, 0])
        return Members(vocabulary, list(forest.estimators_), False, centre, spread)


@dataclass(frozen=True)
class Networks:
    """Perceptrons of two hidden layers, from different weights on different bootstrap samples, trained together.

    Args:
        members: how many.
        width: of the hidden layers.
        steps: full-batch Adam steps.
        rate, decay: of Adam, and its decoupled weight decay.
    """

    members: int = 8
    width: int = 64
    steps: int = 200
    rate: float = 5e-3
    decay: float = 0.1

    def fit(self, inputs: Inputs, values: Array, seed: int = 0) -> Members:
        """To values `(n, m)` of n designs."""
        vocabulary, matrix, targets, centre, spread = _training(inputs, values)
        x, y = torch.from_numpy(matrix), torch.from_numpy(targets).float()
        source = torch.Generator().manual_seed(seed)
        sizes = [x.shape[1], self.width, self.width, y.shape[1]]
        weights: list[torch.Tensor] = []
        for a, b in itertools.pairwise(sizes):
            # One-hot rows hold few ones, whatever their length.
            fan = min(a, 16) if a == sizes[0] else a
            weights.append((torch.randn(self.members, a, b, generator=source) * (2 / fan) ** 0.5).requires_grad_())
            weights.append(torch.zeros(self.members, 1, b).requires_grad_())
        designs = len(inputs)
        counts = torch.zeros(self.members, designs)
        picks = torch.randint(designs, (self.members, designs), generator=source)
        counts.scatter_add_(1, picks, torch.ones_like(picks, dtype=torch.float32))
        share = counts.repeat(1, len(inputs.tokens))[:, :, None]
        optimizer = torch.optim.AdamW(weights, lr=self.rate, weight_decay=self.decay)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.rate, total_steps=self.steps)
        for _ in range(self.steps):
            optimizer.zero_grad()
            (share * (_forward(x, *weights) - y) ** 2).mean().mul(self.members).backward()
            optimizer.step()
            schedule.step()
        return Members(vocabulary, [w.detach() for w in weights], True, centre, spread)


def _forward(x: torch.Tensor, *weights: torch.Tensor) -> torch.Tensor:
    """All members at once, `(members, n, m)`."""
    w1, b1, w2, b2, w3, b3 = weights
    hidden = torch.nn.functional.silu(x @ w1 + b1)
    return torch.nn.functional.silu(hidden @ w2 + b2) @ w3 + b3
