"""Multilayer perceptron on the pooled pixels, with skip connections."""

from __future__ import annotations

from torch import Tensor, nn

from surrogates.networks.common import ACTIVATIONS


class MLPTrunk(nn.Module):
    """``depth`` layers of ``width`` units."""

    def __init__(self, shape: tuple[int, int], width: int, depth: int, modes: int, activation: str) -> None:
        super().__init__()
        self.first = nn.Linear(shape[0] * shape[1], width)
        self.rest = nn.ModuleList(nn.Linear(width, width) for _ in range(depth - 1))
        self.activation = ACTIVATIONS[activation]()
        self.n_features = width

    def forward(self, x: Tensor) -> Tensor:
        x = self.activation(self.first(x.flatten(1)))
        for layer in self.rest:
            x = x + self.activation(layer(x))
        return x
