"""DeepONet and conditional neural field over the coordinates of each quantity, wavelength say."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from surrogates.architecture import Architecture
from surrogates.encoding import Field, ResponseCodec
from surrogates.models.code import DesignCode
from surrogates.models.setting import OfAllLevels, Setting
from surrogates.networks.conditioning import check_conditioning
from surrogates.networks.coordinates import BranchAndTrunk, ModulatedField

Axes = tuple[tuple[str, tuple[tuple[float, ...], ...]], ...]
"""(quantity, its axes in order); an axis is as many numbers as the quantity has entries along it."""
Head = Callable[[int, int, int], nn.Module]
"""(n_code, n_coordinates, n_out) -> a module (``b x n_code``, ``p x n_coordinates``) -> ``b x p x n_out``."""


@dataclass(frozen=True)
class _OverAxes(OfAllLevels, ABC):
    """A model whose levels share the network, their level a code."""

    architecture: Architecture
    axes: Axes = ()

    @property
    @abstractmethod
    def name(self) -> str:
        """In files."""

    @abstractmethod
    def head(self, n_code: int, n_coordinates: int, n_out: int) -> nn.Module:
        """A module (``b x n_code``, ``p x n_coordinates``) -> ``b x p x n_out``."""

    def build(self, setting: Setting) -> nn.Module:
        """Freshly initialised."""
        return OverCoordinates(self.architecture, self.axes, setting, self.head)

    def to_json(self) -> dict[str, Any]:
        """Plain fields."""
        architecture = self.architecture.to_json()
        return {"name": self.name, **asdict(self), "architecture": architecture, "axes": axes_json(self.axes)}


@dataclass(frozen=True)
class DeepONet(_OverAxes):
    """Branch on the design, trunk on the response's coordinates (Lu et al., Nat. Mach. Intell. 2021).

    Args:
        architecture: of the design's trunk, whose features the branch sees.
        axes: coordinates of quantities; one left out has its indices.
        modes: terms of the sum.
        width, depth: of the coordinates' network.
        bandwidth: of its Fourier features, in half waves along an axis.
    """

    modes: int = 32
    width: int = 48
    depth: int = 2
    bandwidth: float = 1.0

    @property
    def name(self) -> str:
        """In files."""
        return "deeponet"

    def head(self, n_code: int, n_coordinates: int, n_out: int) -> nn.Module:
        """Freshly initialised, of one quantity."""
        return BranchAndTrunk(n_code, n_coordinates, n_out, self.modes, self.width, self.depth, self.bandwidth)


@dataclass(frozen=True)
class NeuralField(_OverAxes):
    """A network of the response's coordinates whose channels the design steers.

    Args:
        architecture: of the design's trunk, whose features steer.
        axes: coordinates of quantities; one left out has its indices.
        width, depth: of the coordinates' network.
        conditioning: ``film`` (Perez et al., AAAI 2018) or ``attention`` (Takamoto et al., ICML 2023).
        bandwidth: of its Fourier features, in half waves along an axis.
    """

    width: int = 48
    depth: int = 2
    conditioning: str = "film"
    bandwidth: float = 1.0

    def __post_init__(self) -> None:
        check_conditioning(self.conditioning)

    @property
    def name(self) -> str:
        """In files."""
        return "neural_field"

    def head(self, n_code: int, n_coordinates: int, n_out: int) -> nn.Module:
        """Freshly initialised, of one quantity."""
        how, waves = self.conditioning, self.bandwidth
        return ModulatedField(n_code, n_coordinates, n_out, self.width, self.depth, how, waves)


def axes_json(axes: Axes) -> list[Any]:
    """Plain lists of plain numbers."""
    return [[quantity, [[float(place) for place in axis] for axis in along]] for quantity, along in axes]


def axes_of(field: Field, axes: Axes) -> tuple[tuple[float, ...], ...]:
    """A quantity's axes: as given, or its indices.

    Raises:
        ValueError: lengths that are not the quantity's shape.
    """
    along = dict(axes).get(field.name, tuple(tuple(float(k) for k in range(n)) for n in field.shape))
    if tuple(len(axis) for axis in along) != field.shape:
        raise ValueError(
            f"Expected axes of lengths {field.shape} for {field.name!r}. Got {tuple(len(axis) for axis in along)}."
        )
    return along


def coordinates(trained: tuple[tuple[float, ...], ...], asked: tuple[tuple[float, ...], ...]) -> Tensor:
    """``p x c``, in the order of flattened entries, trained range scaled to [-1, 1]; ``1 x 1`` zero for a scalar."""
    if not trained:
        return torch.zeros(1, 1)
    scaled = []
    for axis, places in zip(trained, asked, strict=True):
        values = torch.tensor(axis, dtype=torch.float64)
        middle, reach = (values.max() + values.min()) / 2, (values.max() - values.min()) / 2
        scaled.append((torch.tensor(places, dtype=torch.float64) - middle) / (reach if reach > 0 else 1.0))
    return torch.stack(torch.meshgrid(*scaled, indexing="ij"), dim=-1).reshape(-1, len(trained)).float()


class OverCoordinates(nn.Module):
    """A head a quantity, each over its own coordinates; complex ones have two channels."""

    def __init__(self, architecture: Architecture, axes: Axes, setting: Setting, head: Head) -> None:
        super().__init__()
        codec: ResponseCodec = setting.codecs[setting.reference]
        for level, other in setting.codecs.items():
            if other.fields != codec.fields:
                raise ValueError(f"Expected the same quantities at every level. Got others at level {level}.")
        unknown = sorted({name for name, _ in axes} - {field.name for field in codec.fields})
        if unknown:
            raise ValueError(f"Expected axes of quantities that are answered. Got some of {', '.join(unknown)}.")
        self.code = DesignCode(architecture, setting)
        self.heads = nn.ModuleList()
        for k, field in enumerate(codec.fields):
            along = axes_of(field, axes)
            places = coordinates(along, along)
            self.register_buffer(f"coordinates_{k}", places, persistent=False)
            self.heads.append(head(self.code.n_features, places.shape[1], 2 if field.is_complex else 1))

    def forward(self, design: Tensor, level: int) -> Tensor:
        code = self.code(design, level)
        parts = []
        for k, head in enumerate(self.heads):
            # Channels first: the vector holds a quantity's real parts, then its imaginary ones.
            parts.append(head(code, getattr(self, f"coordinates_{k}")).transpose(1, 2).flatten(1))
        return torch.cat(parts, dim=1)
