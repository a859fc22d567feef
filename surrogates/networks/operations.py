"""The operations that a block can hold. A new one is a module and an entry here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from surrogates.networks.activations import Activation
from surrogates.networks.attention import Attention
from surrogates.networks.convolutions import Dilated, Residual, ULevels
from surrogates.networks.spectral import FactorisedSpectral, Spectral

Builder = Callable[[tuple[int, int], int, int, str, str], nn.Module]


@dataclass(frozen=True)
class Operation:
    """One kind of block.

    Args:
        build: ``build(shape, width, reach, activation, padding)`` for ``b x width x h x w`` (``b x width`` after the
            stem "pixels") to the same shape; what it gives is added to its input.
        stem: behind which stem it works: "grid" or "pixels".
        reaches: values of ``reach`` to choose from, the first one by default; empty where it means nothing.
    """

    build: Builder
    stem: str = "grid"
    reaches: tuple[int, ...] = ()


class Dense(nn.Module):
    """act(linear(x))."""

    def __init__(self, shape: tuple[int, int], width: int, reach: int, activation: str, padding: str) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)
        self.activation = Activation(activation, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.linear(x))


IDENTITY = "identity"

OPERATIONS: dict[str, Operation] = {
    "spectral": Operation(Spectral, reaches=(6, 4, 8)),
    "factorised": Operation(FactorisedSpectral, reaches=(6, 4, 8)),
    "residual": Operation(Residual),
    "dilated": Operation(Dilated, reaches=(2, 4)),
    "u_levels": Operation(ULevels, reaches=(1, 2)),
    "attention": Operation(Attention, reaches=(2, 4)),
    "dense": Operation(Dense, stem="pixels"),
}
