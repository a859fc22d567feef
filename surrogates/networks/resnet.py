"""Residual convolutions, dilated so that a few blocks see the whole design (He et al. 2016; Yu & Koltun 2016)."""

from __future__ import annotations

from torch import Tensor, nn

from surrogates.networks.common import ACTIVATIONS, Readout, WithCoordinates


class ResidualBlock(nn.Module):
    """x + conv(act(conv(act(x)))), the first convolution dilated."""

    def __init__(self, width: int, dilation: int, activation: str) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.activation = ACTIVATIONS[activation]()

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(self.activation(self.first(self.activation(x))))


class ResNetTrunk(nn.Module):
    """``depth`` residual blocks of ``width`` channels, dilations 1, 2, 4, 1, 2, 4, ..."""

    def __init__(self, shape: tuple[int, int], width: int, depth: int, modes: int, activation: str) -> None:
        super().__init__()
        self.n_features = 4 * width
        self.layers = nn.Sequential(
            WithCoordinates(shape),
            nn.Conv2d(3, width, 3, padding=1),
            *(ResidualBlock(width, 2 ** (k % 3), activation) for k in range(depth)),
            ACTIVATIONS[activation](),
            Readout(width, shape, self.n_features, activation),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)
