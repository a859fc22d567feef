"""Networks around a coarse solver: what it misses, and what to ask it."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from surrogates.architecture import Architecture, planar
from surrogates.fidelity.solver import Solver
from surrogates.models.setting import Setting
from surrogates.networks.common import AreaPool


@dataclass(frozen=True)
class _GrayBox:
    """A model that asks a solver at every prediction."""

    architecture: Architecture
    solver: Solver

    @property
    def smooth(self) -> bool:
        """As the solver is."""
        return self.solver.smooth

    def levels(self, setting: Setting) -> tuple[int, ...]:
        """The reference: the solver stands for those below."""
        return (setting.reference,)

    def _json(self, name: str) -> dict[str, Any]:
        return {"name": name, "architecture": self.architecture.to_json(), "solver": self.solver.identity}


class _AroundSolver(nn.Module):
    def __init__(self, model: _GrayBox, setting: Setting, n_outputs: int) -> None:
        super().__init__()
        self.solver, self.codec = model.solver, setting.codecs[setting.reference]
        self.network = model.architecture.build(setting.design_shape, n_outputs)

    def solved(self, asked: Tensor) -> Tensor:
        """``b x n_outputs``: the solver's answer, standardised."""
        return self.codec.encode(self.solver.responses(asked)).to(asked)


@dataclass(frozen=True)
class Discrepancy(_GrayBox):
    """y = r * solver(x) + network(x): the network learns what the solver misses.

    The ratio r is learned, one an output, as in Kennedy & O'Hagan (Biometrika 2000).

    Args:
        architecture: of the network.
        solver: takes the design itself and answers the reference's quantities.
    """

    def build(self, setting: Setting) -> nn.Module:
        """Freshly initialised: starts as the solver."""
        return _Discrepancy(self, setting)

    def to_json(self) -> dict[str, Any]:
        """Plain fields; the solver by its identity."""
        return self._json("discrepancy")


class _Discrepancy(_AroundSolver):
    def __init__(self, model: Discrepancy, setting: Setting) -> None:
        n_outputs = setting.codecs[setting.reference].n_outputs
        super().__init__(model, setting, n_outputs)
        self.ratio = nn.Parameter(torch.ones(n_outputs))
        nn.init.zeros_(self.network.head.weight)
        nn.init.zeros_(self.network.head.bias)

    def forward(self, design: Tensor, level: int) -> Tensor:
        return self.ratio * self.solved(design) + self.network(design)


@dataclass(frozen=True)
class CoarseInput(_GrayBox):
    """y = solver(w * network(x) + (1 - w) * average(x)): the network writes the coarse solver's input.

    Physics-enhanced deep surrogates (Pestourie, Mroueh, Rackauckas, Das, Johnson, Nat. Mach. Intell. 2023); the
    weight w is learned, and the network is trained through the solver.

    Args:
        architecture: of the network.
        solver: takes designs of ``coarse_shape`` and answers the reference's quantities.
        coarse_shape: of the solver's input: one or two axes.
    """

    coarse_shape: tuple[int, ...]

    def build(self, setting: Setting) -> nn.Module:
        """Freshly initialised: starts near the averaged design."""
        return _CoarseInput(self, setting)

    def to_json(self) -> dict[str, Any]:
        """Plain fields; the solver by its identity."""
        return {**self._json("coarse_input"), "coarse_shape": list(self.coarse_shape)}


class _CoarseInput(_AroundSolver):
    def __init__(self, model: CoarseInput, setting: Setting) -> None:
        super().__init__(model, setting, prod(model.coarse_shape))
        self.coarse = model.coarse_shape
        self.average = AreaPool(planar(setting.design_shape), planar(model.coarse_shape))
        self.weight = nn.Parameter(torch.tensor(-1.0))
        nn.init.zeros_(self.network.head.bias)

    def coarse_input(self, design: Tensor) -> Tensor:
        """``b x *coarse_shape`` densities in [0, 1]: what the solver is asked."""
        own = torch.sigmoid(self.network(design)).reshape(-1, *self.coarse)
        averaged = self.average(design.reshape(-1, *self.network.shape)).reshape(-1, *self.coarse)
        weight = torch.sigmoid(self.weight)
        return weight * own + (1 - weight) * averaged

    def forward(self, design: Tensor, level: int) -> Tensor:
        return self.solved(self.coarse_input(design))
