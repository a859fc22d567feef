"""Probabilities of a discrete space's codes as parameters, with gradients straight through the rounding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from invdesign.spaces.discrete import CodedSpace, Codes, DiscreteSpace
from physics.base import Array


@dataclass(frozen=True)
class OneHot:
    """Parameters `(..., size)`, one for every option of every code of a discrete space, code after code.

    Decoding rounds to the most probable options, so that a solver sees a pattern of the space; the gradient passes to
    the probabilities as if they, not their rounding, had been decoded: Bengio, Leonard, Courville, arXiv:1308.3432
    (2013), section 4. The derivative in a probability is that of the pattern with its option in the place of the
    rounded one, which is exact for densities that are linear in the options of each code.

    Args:
        space: of the codes.
        lift: density of what is cut, when decoded. Where nothing is, a solver sees no change when a little material
            returns (its stiffness goes with the cube of the density), nor what the rest would do with it; 0 decodes
            patterns as they are.

    Raises:
        ValueError: for a lift outside [0, 1).
    """

    space: DiscreteSpace
    lift: float = 0.3

    def __post_init__(self) -> None:
        if not 0 <= self.lift < 1:
            raise ValueError(f"Expected a lift in [0, 1). Got {self.lift}.")

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a density."""
        return self.space.shape

    @property
    def size(self) -> int:
        """Number of all options."""
        return sum(self.space.options)

    @property
    def starts(self) -> NDArray[np.int64]:
        """Place of the first option of every code."""
        return np.concatenate([[0], np.cumsum(self.space.options)[:-1]]).astype(np.int64)

    def codes(self, theta: Array) -> Codes:
        """The most probable codes `(..., codes)` of probabilities `(..., size)`."""
        given = np.asarray(theta, dtype=np.float64)
        if given.shape[-1:] != (self.size,):
            raise ValueError(f"Expected parameters of shape (..., {self.size}). Got {given.shape}.")
        parts = np.split(given, self.starts[1:], axis=-1)
        return np.stack([part.argmax(-1) for part in parts], axis=-1)

    def theta(self, codes: Array) -> NDArray[np.float64]:
        """Certain probabilities `(..., size)` of codes `(..., codes)`."""
        rows = np.asarray(codes, dtype=np.int64)
        hot = np.zeros((*rows.shape[:-1], self.size))
        np.put_along_axis(hot, rows + self.starts, 1.0, axis=-1)
        return hot

    def decode(self, theta: Tensor) -> Tensor:
        """Density `(..., *shape)` of the rounded theta `(..., size)`, lifted; its gradient passes straight through."""
        return self.lift + (1 - self.lift) * _Rounded.apply(theta, self)

    def binarize(self, theta: Array) -> NDArray[np.float64]:
        """What would be made, `(*shape)`: of codes that are not valid, mended ones where the space knows how."""
        codes = self.codes(theta)
        if isinstance(self.space, CodedSpace) and not self.space.valid(codes[None])[0]:
            # A generator of its own: the same codes become the same design.
            codes = self.space.mended(codes, np.random.default_rng(0))
        return np.asarray(self.space.binarize(self.space.theta(codes)))

    def encode(self, density: Array) -> NDArray[np.float64]:
        """Parameters `(size,)` of a density of the discrete space."""
        return self.theta(self.space.codes(self.space.encode(density)))

    def at(self, beta: float) -> OneHot:
        """The same space: what is decoded is rounded, whatever the sharpness."""
        return self

    def offset(self, shift: float) -> OneHot:
        """The same space; `ValueError` for a shift, as of the discrete space."""
        self.space.offset(shift)
        return self

    def sample(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """Parameters `(size,)` of a valid design, at random."""
        return self.theta(self.space.draw(rng))


class _Rounded(torch.autograd.Function):
    """Patterns of rounded probabilities forward, and back as if nothing had been rounded."""

    @staticmethod
    def forward(context: Any, theta: Tensor, relaxed: OneHot) -> Tensor:
        codes = relaxed.codes(theta.detach().numpy())
        context.relaxed, context.codes = relaxed, codes
        return relaxed.space.decode(torch.from_numpy(relaxed.space.theta(codes)))

    @staticmethod
    def backward(context: Any, *pulled: Tensor) -> tuple[Tensor, None]:
        relaxed, codes = context.relaxed, context.codes
        space, axes = relaxed.space, len(relaxed.shape)
        rows = codes.reshape(-1, codes.shape[-1])
        # Every code replaced by each of its options, one at a time.
        site = np.repeat(np.arange(len(space.options)), space.options)
        option = np.arange(relaxed.size) - relaxed.starts[site]
        changed = np.repeat(rows[:, None, :], relaxed.size, axis=1)
        changed[:, np.arange(relaxed.size), site] = option
        patterns = space.decode(torch.from_numpy(space.theta(changed)))
        weights = pulled[0].reshape(len(rows), 1, *pulled[0].shape[pulled[0].ndim - axes :])
        slopes = (patterns * weights).flatten(2).sum(-1)
        return slopes.reshape(*codes.shape[:-1], relaxed.size), None
