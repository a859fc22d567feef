"""Composite networks: each level a linear and a nonlinear function of the one below."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from surrogates.architecture import Architecture
from surrogates.models.code import DesignCode
from surrogates.models.setting import Setting


@dataclass(frozen=True)
class Composite:
    """y_high = F_linear(y_low) + F_nonlinear(x, y_low), y_low a network of the design.

    Meng & Karniadakis, J. Comput. Phys. 401 (2020). More than two levels form a chain.

    Args:
        low: of the first level's network.
        correction: of the network whose features, beside y_low, the nonlinear parts see.
        width: of the nonlinear parts' hidden layer.
    """

    low: Architecture
    correction: Architecture
    width: int = 32

    @property
    def smooth(self) -> bool:
        """May be differentiated twice."""
        return True

    def levels(self, setting: Setting) -> tuple[int, ...]:
        """All."""
        return tuple(setting.codecs)

    def build(self, setting: Setting) -> nn.Module:
        """Freshly initialised: each level starts as a copy of the one below where both answer the same."""
        return _Chain(self, setting)

    def to_json(self) -> dict[str, Any]:
        """Plain fields."""
        parts = {"low": self.low.to_json(), "correction": self.correction.to_json(), "width": self.width}
        return {"name": "composite", **parts}


class _Chain(nn.Module):
    def __init__(self, model: Composite, setting: Setting) -> None:
        super().__init__()
        sizes = [codec.n_outputs for codec in setting.codecs.values()]
        self.setting = setting
        self.low = model.low.build(setting.design_shape, sizes[0])
        self.steps = nn.ModuleList(
            _Correction(DesignCode(model.correction, setting), below, above, model.width)
            for below, above in pairwise(sizes)
        )

    def forward(self, design: Tensor, level: int) -> Tensor:
        answer = self.low(design)
        for step in list(self.steps)[: self.setting.position(level)]:
            answer = step(design, level, answer)
        return answer


class _Correction(nn.Module):
    def __init__(self, code: DesignCode, below: int, above: int, width: int) -> None:
        super().__init__()
        self.code = code
        self.linear = nn.Linear(below, above)
        self.hidden = nn.Linear(code.n_features + below, width)
        self.out = nn.Linear(width, above)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)
        if below == above:
            nn.init.eye_(self.linear.weight)
            nn.init.zeros_(self.linear.bias)

    def forward(self, design: Tensor, level: int, below: Tensor) -> Tensor:
        seen = torch.cat([self.code(design, level), below], dim=1)
        return self.linear(below) + self.out(nn.functional.silu(self.hidden(seen)))
