"""U-shaped convolutions with skips (Ronneberger, Fischer, Brox, MICCAI 2015)."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from surrogates.networks.common import ACTIVATIONS, AreaPool, Readout, WithCoordinates


class UNetTrunk(nn.Module):
    """``depth`` grids, each half as fine as the one before and twice as wide, down and up again."""

    def __init__(self, shape: tuple[int, int], width: int, depth: int, modes: int, activation: str) -> None:
        super().__init__()
        shapes = [shape]
        for _ in range(depth - 1):
            h, w = shapes[-1]
            shapes.append((-(-h // 2), -(-w // 2)))
        widths = [width * 2**k for k in range(depth)]
        self.coordinates = WithCoordinates(shape)
        self.down = nn.ModuleList(
            nn.Conv2d(n_in, n_out, 3, padding=1) for n_in, n_out in zip([3, *widths], widths, strict=False)
        )
        self.pools = nn.ModuleList(AreaPool(a, b) for a, b in pairwise(shapes))
        # Spreading a coarse cell over the fine pixels it covers is area averaging with the sizes swapped.
        self.spreads = nn.ModuleList(AreaPool(b, a) for a, b in pairwise(shapes))
        self.up = nn.ModuleList(nn.Conv2d(a + b, a, 3, padding=1) for a, b in pairwise(widths))
        self.activation = ACTIVATIONS[activation]()
        self.n_features = 4 * width
        self.readout = Readout(width, shape, self.n_features, activation)

    def forward(self, x: Tensor) -> Tensor:
        x = self.activation(self.down[0](self.coordinates(x)))
        skips = []
        for pool, layer in zip(self.pools, list(self.down)[1:], strict=True):
            skips.append(x)
            x = self.activation(layer(pool(x)))
        for spread, layer, skip in reversed(list(zip(self.spreads, self.up, skips, strict=True))):
            x = self.activation(layer(torch.cat([skip, spread(x)], dim=1)))
        return self.readout(x)
