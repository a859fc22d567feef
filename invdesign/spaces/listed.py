"""A discrete space restricted to listed designs, such as those of a table."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from invdesign.spaces.discrete import CodedSpace, Codes
from physics.base import Array


@dataclass(frozen=True, eq=False)
class Listed(CodedSpace):
    """The designs of a space that are on a list, and no others.

    Args:
        space: where the codes have their meaning.
        members: codes `(n, size)` of the designs.
    """

    space: CodedSpace
    members: Array = field(repr=False)

    def __post_init__(self) -> None:
        members = np.array(self.members, dtype=np.int64)
        if members.ndim != 2 or members.shape[1] != self.space.size or not len(members):
            raise ValueError(
                f"Expected codes of shape (n, {self.space.size}), one design at least. Got {members.shape}."
            )
        if (members < 0).any() or (members >= np.array(self.space.options)).any():
            raise ValueError(f"Expected codes from 0 to below {self.space.options}. Got others.")
        members = np.unique(members, axis=0)
        members.setflags(write=False)
        object.__setattr__(self, "members", members)

    @cached_property
    def _numbers(self) -> NDArray[np.int64]:
        """Sorted numbers of the members, one a design; `np.unique` sorted the rows alike."""
        return np.ravel_multi_index(tuple(self.members.T), self.options)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a density."""
        return self.space.shape

    @property
    def options(self) -> tuple[int, ...]:
        """As of the space."""
        return self.space.options

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """As of the space."""
        return self.space.pairs

    def patterns(self, codes: Array) -> NDArray[np.float64]:
        """As of the space."""
        return self.space.patterns(codes)

    def coded(self, patterns: Array) -> Codes:
        """As of the space."""
        return self.space.coded(patterns)

    def orbit(self, codes: Array) -> Codes:
        """As of the space; images need not be members."""
        return self.space.orbit(codes)

    def valid(self, codes: Array) -> NDArray[np.bool_]:
        """Members."""
        numbers = np.ravel_multi_index(tuple(np.asarray(codes).T), self.options)
        place = np.minimum(np.searchsorted(self._numbers, numbers), len(self._numbers) - 1)
        return self._numbers[place] == numbers

    def draw(self, rng: np.random.Generator) -> Codes:
        """A member at random."""
        return np.array(self.members[rng.integers(len(self.members))], dtype=np.int64)

    def everything(self, limit: int) -> Codes | None:
        """All members; None if there are more than `limit`."""
        return None if len(self.members) > limit else np.array(self.members, dtype=np.int64)
