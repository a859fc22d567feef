"""Networks from a density and a condition to a complex field: convolutional, Fourier, or of coordinates."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from surrogates.architecture import Architecture
from surrogates.networks import IDENTITY, OPERATIONS
from surrogates.networks.common import AreaPool, unit_grid
from surrogates.networks.conditioning import check_conditioning, conditioning
from surrogates.networks.coordinates import BranchAndTrunk, ModulatedField
from surrogates.networks.trunk import Step, Widened

Shape = tuple[int, int]


class FieldNetwork(nn.Module):
    """``draws`` gives ``s x b x h x w`` complex fields in standardised units; training minimises ``loss``."""

    def draws(self, design: Tensor, condition: Tensor) -> Tensor:
        """One draw, or several of a network with a spread of its own."""
        return self(design, condition)[None]

    def loss(self, design: Tensor, condition: Tensor, field: Tensor) -> tuple[Tensor, Tensor]:
        """Mean squared error, and the ``b x h x w`` field it is of, which other terms may judge."""
        predicted = self(design, condition)
        return (torch.view_as_real(predicted - field) ** 2).sum(dim=-1).mean(), predicted


class FieldModel(Protocol):
    """A frozen value that builds a network from designs and conditions (scaled to [-1, 1]) to fields."""

    def build(self, design_shape: Shape, field_shape: Shape, n_conditions: int) -> FieldNetwork: ...
    def to_json(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class GridField:
    """An architecture's blocks at the field's own resolution, the condition steering the channels between them.

    Args:
        architecture: of stem ``grid``; its resolution and head play no part.
        conditioning: ``film`` or ``attention``.
    """

    architecture: Architecture
    conditioning: str = "film"

    def __post_init__(self) -> None:
        check_conditioning(self.conditioning)
        if self.architecture.stem != "grid":
            raise ValueError(f"Expected an architecture of stem 'grid'. Got {self.architecture.stem!r}; take resnet.")

    def build(self, design_shape: Shape, field_shape: Shape, n_conditions: int) -> FieldNetwork:
        """Freshly initialised."""
        return GridNetwork(self, design_shape, field_shape, n_conditions)

    def to_json(self) -> dict[str, Any]:
        """Plain fields."""
        return {"name": "grid", "architecture": self.architecture.to_json(), "conditioning": self.conditioning}


class GridNetwork(FieldNetwork):
    """Lift, blocks with conditioning, two channels out; ``extra`` channels may come in beside the density."""

    grid: Tensor

    def __init__(
        self, model: GridField, design_shape: Shape, field_shape: Shape, n_conditions: int, n_extra: int = 0
    ) -> None:
        super().__init__()
        architecture = model.architecture
        self.pool = AreaPool(design_shape, field_shape)
        self.register_buffer("grid", unit_grid(field_shape), persistent=False)
        width = architecture.blocks[0].width
        self.lift = nn.Conv2d(3 + n_extra, width, 3, padding=1)
        steps, steers = [], []
        for block in architecture.blocks:
            if block.operation == IDENTITY:
                continue
            build = OPERATIONS[block.operation].build
            branch = build(field_shape, block.width, block.reach, architecture.activation, architecture.padding)
            steps.append(Step(Widened("grid", width, block.width), branch))
            width = block.width
            steers.append(conditioning(model.conditioning, n_conditions, width, grid=True) if n_conditions else None)
        self.steps = nn.ModuleList(steps)
        self.steers = nn.ModuleList(nn.Identity() if steer is None else steer for steer in steers)
        self.out = nn.Sequential(nn.Conv2d(width, 2 * width, 1), nn.SiLU(), nn.Conv2d(2 * width, 2, 1))

    def forward(self, design: Tensor, condition: Tensor, extra: Tensor | None = None) -> Tensor:
        density = 2 * self.pool(design)[:, None] - 1
        grid = self.grid.expand(len(design), *self.grid.shape)
        x = self.lift(torch.cat([density, grid, *([] if extra is None else [extra])], dim=1))
        for step, steer in zip(self.steps, self.steers, strict=True):
            x = step(x)
            x = x if isinstance(steer, nn.Identity) else steer(x, condition)
        real, imaginary = self.out(x).unbind(dim=1)
        return torch.complex(real, imaginary)


@dataclass(frozen=True)
class CoordinateField:
    """A network of the pixel's coordinates; the design's features and the condition are its code.

    Args:
        architecture: of the design's trunk.
        kind: ``deeponet`` (Lu et al. 2021), or steered by ``film`` or ``attention``.
        modes: terms of the DeepONet's sum.
        width, depth: of the coordinates' network.
        bandwidth: of its Fourier features: the wavelengths that fit the window, about.
    """

    architecture: Architecture
    kind: str = "deeponet"
    modes: int = 64
    width: int = 64
    depth: int = 3
    bandwidth: float = 2.0

    def __post_init__(self) -> None:
        if self.kind != "deeponet":
            check_conditioning(self.kind)

    def build(self, design_shape: Shape, field_shape: Shape, n_conditions: int) -> FieldNetwork:
        """Freshly initialised."""
        return _CoordinateNetwork(self, design_shape, field_shape, n_conditions)

    def to_json(self) -> dict[str, Any]:
        """Plain fields."""
        return {"name": "coordinates", **asdict(self), "architecture": self.architecture.to_json()}


class _CoordinateNetwork(FieldNetwork):
    coordinates: Tensor

    def __init__(self, model: CoordinateField, design_shape: Shape, field_shape: Shape, n_conditions: int) -> None:
        super().__init__()
        network = model.architecture.build(design_shape, 1)
        self.pool, self.trunk = network.pool, network.trunk
        self.field_shape = field_shape
        self.register_buffer("coordinates", unit_grid(field_shape).flatten(1).T.contiguous(), persistent=False)
        n_code = network.head.in_features + n_conditions
        # The condition acts on the code, so that a DeepONet's branch is not merely linear in it.
        self.mix = nn.Sequential(nn.Linear(n_code, model.width), nn.SiLU())
        if model.kind == "deeponet":
            self.head: nn.Module = BranchAndTrunk(
                model.width, 2, 2, model.modes, model.width, model.depth, model.bandwidth
            )
        else:
            self.head = ModulatedField(model.width, 2, 2, model.width, model.depth, model.kind, model.bandwidth)

    def forward(self, design: Tensor, condition: Tensor) -> Tensor:
        code = self.mix(torch.cat([self.trunk(2 * self.pool(design) - 1), condition], dim=1))
        real, imaginary = self.head(code, self.coordinates).unbind(dim=-1)
        return torch.complex(real, imaginary).reshape(-1, *self.field_shape)
