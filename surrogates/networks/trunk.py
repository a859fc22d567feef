"""Stem, blocks and read-out: from a pooled density to features."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from surrogates.networks.activations import Activation
from surrogates.networks.common import Readout, WithCoordinates
from surrogates.networks.convolutions import convolution

STEMS = ("grid", "pixels")
PADDINGS = ("zeros", "replicate", "circular")
HEADS = ("averages", "mean")


class Widened(nn.Module):
    """Another number of channels where a block wants one, by a linear map of the channels."""

    def __init__(self, stem: str, n_in: int, n_out: int) -> None:
        super().__init__()
        same = n_in == n_out
        self.map = nn.Identity() if same else nn.Conv2d(n_in, n_out, 1) if stem == "grid" else nn.Linear(n_in, n_out)

    def forward(self, x: Tensor) -> Tensor:
        return self.map(x)


class Step(nn.Module):
    """x + branch(x), on the block's number of channels."""

    def __init__(self, widened: Widened, branch: nn.Module) -> None:
        super().__init__()
        self.widened = widened
        self.branch = branch

    def forward(self, x: Tensor) -> Tensor:
        x = self.widened(x)
        return x + self.branch(x)


class GridStem(nn.Module):
    """``b x h x w`` as ``b x width x h x w``: a convolution of the density, with or without the coordinates."""

    def __init__(self, shape: tuple[int, int], width: int, coordinates: bool, padding: str) -> None:
        super().__init__()
        self.coordinates = WithCoordinates(shape) if coordinates else None
        self.lift = convolution(3 if coordinates else 1, width, shape, padding)

    def forward(self, x: Tensor) -> Tensor:
        return self.lift(x[:, None] if self.coordinates is None else self.coordinates(x))


class PixelStem(nn.Module):
    """``b x h x w`` as ``b x width``: a dense layer."""

    def __init__(self, shape: tuple[int, int], width: int, activation: str) -> None:
        super().__init__()
        self.linear = nn.Linear(shape[0] * shape[1], width)
        self.activation = Activation(activation, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.linear(x.flatten(1)))


class Means(nn.Module):
    """``b x c x h x w`` as ``b x n_features``: the mean over all places (no place matters), a layer."""

    def __init__(self, channels: int, n_features: int, activation: str) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, n_features)
        self.activation = Activation(activation, n_features)

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.linear(x.mean(dim=(2, 3))))


class Trunk(nn.Module):
    """``b x h x w`` pooled densities in [-1, 1] to ``b x n_features``.

    Args:
        stem: the first layer.
        steps: the blocks.
        readout: from feature maps to features; None where the steps give features.
        n_features: of the output.
    """

    def __init__(self, stem: nn.Module, steps: Sequence[nn.Module], readout: nn.Module | None, n_features: int) -> None:
        super().__init__()
        self.stem = stem
        self.steps = nn.ModuleList(steps)
        self.readout = nn.Identity() if readout is None else readout
        self.n_features = n_features

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for step in self.steps:
            x = step(x)
        return self.readout(x)


def readout(head: str, channels: int, shape: tuple[int, int], activation: str) -> tuple[nn.Module, int]:
    """The read-out of feature maps and its number of features."""
    n_features = 4 * channels
    if head == "mean":
        return Means(channels, n_features, activation), n_features
    return Readout(channels, shape, n_features, activation), n_features
