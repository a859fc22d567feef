"""The space of layers written as expressions: drawing, and changing, one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from surrogates.networks.expressions import BINARY, STATISTICS, UNARY, Expression, arity

LEAVES = ("x", "x", "v0", "v1")  # the input as often as what is learned
ATTEMPTS = 1000


@dataclass(frozen=True)
class LayerSpace:
    """Expressions of ``x`` of limited size, each behind a learned scale and shift a channel.

    As in section 3.1 of arXiv 2004.02967: primitives over the input and learned numbers a channel; the affine map of
    the channels at the end is part of every layer.

    Args:
        primitives: to draw from.
        max_size: leaves and primitives before the scale and the shift.
        max_depth: of a drawn tree.
    """

    primitives: tuple[str, ...] = (*UNARY, *BINARY, *STATISTICS)
    max_size: int = 14
    max_depth: int = 4

    def __post_init__(self) -> None:
        if not self.primitives or any(arity(name) == 0 for name in self.primitives):
            raise ValueError(f"Expected primitives, one at least. Got {self.primitives}.")
        if self.max_size < 2 or self.max_depth < 1:
            raise ValueError(f"Expected a max_size of at least 2 and a max_depth of at least 1. Got {self}.")

    def sample(self, rng: np.random.Generator) -> Expression:
        """A layer at random.

        Raises:
            RuntimeError: if the limits leave nothing.
        """
        for _ in range(ATTEMPTS):
            drawn = self._grow(rng, self.max_depth)
            if self._fits(drawn):
                return drawn
        raise RuntimeError(
            f"Expected an expression within the limits among {ATTEMPTS} drawn ones. Got none; relax them."
        )

    def mutate(self, expression: Expression, rng: np.random.Generator) -> Expression:
        """Another layer: at a node at random, another primitive with the same parts, or another tree."""
        for _ in range(ATTEMPTS):
            changed = self._replaced(expression, int(rng.integers(expression.size)), rng)
            if changed != expression and self._fits(changed):
                return changed
        return self.sample(rng)

    def _fits(self, expression: Expression) -> bool:
        return "x" in expression.names and bool(expression.parts) and expression.size <= self.max_size

    def _grow(self, rng: np.random.Generator, depth: int) -> Expression:
        if depth == 0 or (depth < self.max_depth and rng.random() < 0.25):
            return Expression(LEAVES[rng.integers(len(LEAVES))])
        # One, two parts or a statistic alike often: there are many statistics.
        kinds = [[n for n in self.primitives if n in kind] for kind in (UNARY, BINARY, BINARY, STATISTICS)]
        usable = [kind for kind in kinds if kind]
        kind = usable[rng.integers(len(usable))]
        name = kind[rng.integers(len(kind))]
        return Expression(name, tuple(self._grow(rng, depth - 1) for _ in range(arity(name))))

    def _replaced(self, node: Expression, at: int, rng: np.random.Generator) -> Expression:
        """The tree with its node number ``at`` (parents first) replaced."""
        if at == 0:
            alike = [n for n in self.primitives if node.parts and arity(n) == len(node.parts)]
            if alike and rng.random() < 0.5:
                return Expression(alike[rng.integers(len(alike))], node.parts)
            return self._grow(rng, int(rng.integers(self.max_depth)))
        at -= 1
        parts = []
        for part in node.parts:
            parts.append(self._replaced(part, at, rng) if 0 <= at < part.size else part)
            at -= part.size
        return Expression(node.name, tuple(parts))


def affine(expression: Expression) -> Expression:
    """Behind a learned scale and shift."""
    return Expression("add", (Expression("beta"), Expression("mul", (Expression("gamma"), expression))))
