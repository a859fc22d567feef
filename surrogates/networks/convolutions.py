"""Convolutions: a residual pair, a dilated one, and a branch on coarser grids."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from surrogates.networks.activations import Activation
from surrogates.networks.common import AreaPool


def convolution(n_in: int, n_out: int, shape: tuple[int, int], padding: str, dilation: int = 1) -> nn.Conv2d:
    """3 x 3, of the input's size; a dilation beyond a small grid is cut down to it."""
    reach = (min(dilation, max(1, shape[0] - 1)), min(dilation, max(1, shape[1] - 1)))
    return nn.Conv2d(n_in, n_out, 3, padding=reach, dilation=reach, padding_mode=padding)  # type: ignore[arg-type]


class Residual(nn.Module):
    """conv(act(conv(act(x)))), the branch of He et al., ECCV 2016 (arXiv 1603.05027)."""

    def __init__(self, shape: tuple[int, int], width: int, reach: int, activation: str, padding: str) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            Activation(activation, width),
            convolution(width, width, shape, padding),
            Activation(activation, width),
            convolution(width, width, shape, padding),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class Dilated(nn.Module):
    """The same with the first convolution dilated by ``reach`` (Yu & Koltun, ICLR 2016)."""

    def __init__(self, shape: tuple[int, int], width: int, reach: int, activation: str, padding: str) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            Activation(activation, width),
            convolution(width, width, shape, padding, dilation=reach),
            Activation(activation, width),
            nn.Conv2d(width, width, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class ULevels(nn.Module):
    """Down ``reach`` grids, each half as fine and twice as wide, and up again with skips (Ronneberger et al. 2015)."""

    def __init__(self, shape: tuple[int, int], width: int, reach: int, activation: str, padding: str) -> None:
        super().__init__()
        shapes = [shape]
        for _ in range(reach):
            h, w = shapes[-1]
            shapes.append((-(-h // 2), -(-w // 2)))
        widths = [width * 2**k for k in range(reach + 1)]
        self.first = convolution(width, width, shape, padding)
        self.pools = nn.ModuleList(AreaPool(a, b) for a, b in pairwise(shapes))
        # Spreading a coarse cell over the fine pixels it covers is area averaging with the sizes swapped.
        self.spreads = nn.ModuleList(AreaPool(b, a) for a, b in pairwise(shapes))
        self.down = nn.ModuleList(
            convolution(a, b, s, padding) for (a, b), s in zip(pairwise(widths), shapes[1:], strict=True)
        )
        self.up = nn.ModuleList(
            convolution(a + b, a, s, padding) for (a, b), s in zip(pairwise(widths), shapes, strict=False)
        )
        self.acts_down = nn.ModuleList(Activation(activation, channels) for channels in widths)
        self.acts_up = nn.ModuleList(Activation(activation, channels) for channels in widths[:-1])

    def forward(self, x: Tensor) -> Tensor:
        x = self.acts_down[0](self.first(x))
        skips = []
        for pool, layer, act in zip(self.pools, self.down, list(self.acts_down)[1:], strict=True):
            skips.append(x)
            x = act(layer(pool(x)))
        for spread, layer, act, skip in reversed(list(zip(self.spreads, self.up, self.acts_up, skips, strict=True))):
            x = act(layer(torch.cat([skip, spread(x)], dim=1)))
        return x
