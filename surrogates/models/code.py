"""What several heads see of a design: features of a trunk, modulated by the level."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from surrogates.architecture import Architecture
from surrogates.models.setting import Setting


class DesignCode(nn.Module):
    """``b x n_features`` from ``b x *design_shape`` and a level: scaled and shifted, at first by nothing.

    Feature-wise modulation as in FiLM (Perez et al., AAAI 2018).
    """

    def __init__(self, architecture: Architecture, setting: Setting) -> None:
        super().__init__()
        self.setting = setting
        network = architecture.build(setting.design_shape, 1)
        self.shape, self.pool, self.trunk = network.shape, network.pool, network.trunk
        self.n_features = network.head.in_features
        self.scale = nn.Parameter(torch.zeros(len(setting.codecs), self.n_features))
        self.shift = nn.Parameter(torch.zeros(len(setting.codecs), self.n_features))

    def forward(self, design: Tensor, level: int) -> Tensor:
        row = self.setting.position(level)
        features = self.trunk(2 * self.pool(design.reshape(-1, *self.shape)) - 1)
        return features * (1 + self.scale[row]) + self.shift[row]
