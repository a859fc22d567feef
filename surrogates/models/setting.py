"""What a model is built for, and the contract of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from torch import nn

from surrogates.encoding import ResponseCodec


@dataclass(frozen=True, eq=False)
class Setting:
    """The data a network is built for.

    Args:
        design_shape: of one design.
        codecs: level -> units of its responses, in ascending order; the last is the reference.
    """

    design_shape: tuple[int, ...]
    codecs: Mapping[int, ResponseCodec]

    @property
    def reference(self) -> int:
        """The last level."""
        return list(self.codecs)[-1]

    def position(self, level: int) -> int:
        """A level's place, from 0."""
        return list(self.codecs).index(level)


class Model(Protocol):
    """A frozen value that builds a network ``forward(design, level)``, of all levels at once.

    The network maps ``b x *design_shape`` densities (float32) to ``b x n_outputs`` standardised responses of a level.
    """

    @property
    def smooth(self) -> bool:
        """Whether it may be differentiated twice, as training on gradients does."""
        ...

    def levels(self, setting: Setting) -> tuple[int, ...]:
        """The levels it is trained on and answers, the reference among them."""
        ...

    def build(self, setting: Setting) -> nn.Module:
        """Freshly initialised from torch's current generator."""
        ...

    def to_json(self) -> dict[str, Any]:
        """All that decides what is built; callables by their identity."""
        ...


class OfAllLevels:
    """Part of a model that answers every level, by a network that may be differentiated twice."""

    @property
    def smooth(self) -> bool:
        """May be differentiated twice."""
        return True

    def levels(self, setting: Setting) -> tuple[int, ...]:
        """All."""
        return tuple(setting.codecs)
