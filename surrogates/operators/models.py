"""DeepONet and conditional neural field over the coordinates of each quantity, wavelength say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from surrogates.architecture import Architecture
from surrogates.encoding import Field, ResponseCodec
from surrogates.models.code import DesignCode
from surrogates.models.setting import Setting
from surrogates.networks.conditioning import CONDITIONINGS
from surrogates.networks.coordinates import BranchAndTrunk, ModulatedField

Axes = tuple[tuple[str, tuple[tuple[float, ...], ...]], ...]
"""(quantity, its axes in order); an axis is as many numbers as the quantity has entries along it."""
Head = Callable[[int, int, int], nn.Module]
"""(n_code, n_coordinates, n_out) -> a module (``b x n_code``, ``p x n_coordinates``) -> ``b x p x n_out``."""


@dataclass(frozen=True)
class DeepONet:
    """Branch on the design, trunk on the response's coordinates (Lu et al., Nat. Mach. Intell. 2021).

    Args:
        architecture: of the design's trunk, whose features the branch sees.
        axes: coordinates of quantities; one left out has its indices.
        modes: terms of the sum.
        width, depth: of the coordinates' network.
        bandwidth: of its Fourier features, in half waves along an axis.
    """

    architecture: Architecture
    axes: Axes = ()
    modes: int = 32
    width: int = 48
    depth: int = 2
    bandwidth: float = 1.0

    @property
    def smooth(self) -> bool:
        """May be differentiated twice."""
        return True

    def levels(self, setting: Setting) -> tuple[int, ...]:
        """All; they share the network, their level is a code."""
        return tuple(setting.codecs)

    def build(self, setting: Setting) -> nn.Module:
        """Freshly initialised."""

        def head(n_code: int, n_coordinates: int, n_out: int) -> nn.Module:
            return BranchAndTrunk(n_code, n_coordinates, n_out, self.modes, self.width, self.depth, self.bandwidth)

        return OverCoordinates(self.architecture, self.axes, setting, head)

    def to_json(self) -> dict[str, Any]:
        """Plain fields."""
        return _json("deeponet", self)


@dataclass(frozen=True)
class NeuralField:
    """A network of the response's coordinates whose channels the design steers.

    Args:
        architecture: of the design's trunk, whose features steer.
        axes: coordinates of quantities; one left out has its indices.
        width, depth: of the coordinates' network.
        conditioning: ``film`` (Perez et al., AAAI 2018) or ``attention`` (Takamoto et al., ICML 2023).
        bandwidth: of its Fourier features, in half waves along an axis.
    """

    architecture: Architecture
    axes: Axes = ()
    width: int = 48
    depth: int = 2
    conditioning: str = "film"
    bandwidth: float = 1.0

    def __post_init__(self) -> None:
        if self.conditioning not in CONDITIONINGS:
            raise ValueError(f"Expected a conditioning among {', '.join(CONDITIONINGS)}. Got {self.conditioning!r}.")

    @property
    def smooth(self) -> bool:
        """May be differentiated twice."""
        return True

    def levels(self, setting: Setting) -> tuple[int, ...]:
        """All; they share the network, their level is a code."""
        return tuple(setting.codecs)

    def build(self, setting: Setting) -> nn.Module:
        """Freshly initialised."""

        def head(n_code: int, n_coordinates: int, n_out: int) -> nn.Module:
            return ModulatedField(
                n_code, n_coordinates, n_out, self.width, self.depth, self.conditioning, self.bandwidth
            )

        return OverCoordinates(self.architecture, self.axes, setting, head)

    def to_json(self) -> dict[str, Any]:
        """Plain fields."""
        return _json("neural_field", self)


def _json(name: str, model: DeepONet | NeuralField) -> dict[str, Any]:
    axes = [[quantity, [list(axis) for axis in along]] for quantity, along in model.axes]
    return {"name": name, **asdict(model), "architecture": model.architecture.to_json(), "axes": axes}


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
