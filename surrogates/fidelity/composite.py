"""Composite networks: each level a linear and a nonlinear function of the one below."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from surrogates.architecture import Architecture
from surrogates.models.code import DesignCode
from surrogates.models.setting import OfAllLevels, Setting


@dataclass(frozen=True)
class Composite(OfAllLevels):
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
        self.setting, self.levels = setting, tuple(setting.codecs)
        self.low = model.low.build(setting.design_shape, sizes[0])
        self.steps = nn.ModuleList(
            _Correction(DesignCode(model.correction, setting), below, above, model.width)
            for below, above in pairwise(sizes)
        )

    def forward(self, design: Tensor, level: int) -> Tensor:
        answer = self.low(design)
        # A correction is of its own level, whichever level is asked: the next one corrects what that level answers.
        for own, step in list(zip(self.levels[1:], self.steps, strict=True))[: self.setting.position(level)]:
            answer = step(design, own, answer)
        return answer

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """``ValueError`` for corrections trained to depend on the level asked: here they would answer otherwise."""
        for step in range(len(self.steps)):
            for name in (f"steps.{step}.code.scale", f"steps.{step}.code.shift"):
                others = torch.arange(len(self.levels)) != step + 1
                if name in state_dict and state_dict[name][others].any():
                    raise ValueError(f"Expected {name} to know its own level alone. Got others; fit again.")
        return super().load_state_dict(state_dict, strict, assign)


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
