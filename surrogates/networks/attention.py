"""Attention between the places of a design."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from surrogates.networks.activations import Activation
from surrogates.networks.common import AreaPool

TOKENS = 12


class Attention(nn.Module):
    """Self-attention between places, then two layers (Vaswani et al., NeurIPS 2017); ``reach`` is the heads.

    A token is a place, of a grid of 12 x 12 at most: a parameter of the design where it has so few. Places are told
    apart by a learned embedding, as parameters are not alike.
    """

    def __init__(self, shape: tuple[int, int], width: int, reach: int, activation: str, padding: str) -> None:
        super().__init__()
        coarse = (min(TOKENS, shape[0]), min(TOKENS, shape[1]))
        self.pool, self.spread = AreaPool(shape, coarse), AreaPool(coarse, shape)
        self.heads = reach if width % reach == 0 else 1
        self.place = nn.Parameter(0.02 * torch.randn(1, coarse[0] * coarse[1], width))
        self.norm = nn.LayerNorm(width)
        self.mixed, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.first, self.second = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.activation = Activation(activation, 2 * width)

    def forward(self, x: Tensor) -> Tensor:
        coarse = self.pool(x)
        b, c, h, w = coarse.shape
        tokens = coarse.flatten(2).transpose(1, 2) + self.place
        query, key, value = (
            part.reshape(b, h * w, self.heads, c // self.heads).transpose(1, 2)
            for part in self.mixed(self.norm(tokens)).chunk(3, dim=-1)
        )
        # Written out: the fused kernel has no second derivative.
        weights = torch.softmax(query @ key.transpose(-1, -2) / (c // self.heads) ** 0.5, dim=-1)
        tokens = tokens + self.out((weights @ value).transpose(1, 2).reshape(b, h * w, c))
        hidden = self.activation(self.first(tokens).flatten(0, 1)).unflatten(0, (b, h * w))
        tokens = self.second(hidden)
        return self.spread(tokens.transpose(1, 2).reshape(b, c, h, w))
