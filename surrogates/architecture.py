"""The genotype of a network: a frozen value that Optuna can suggest and that builds the module."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import optuna
import torch

from surrogates.networks import FAMILIES, SurrogateNetwork
from surrogates.networks.common import ACTIVATIONS


def planar(design_shape: Sequence[int]) -> tuple[int, int]:
    """A design's grid as height and width; a chain of ``n`` pixels is ``1 x n``."""
    if len(design_shape) == 1:
        return 1, int(design_shape[0])
    if len(design_shape) == 2:
        return int(design_shape[0]), int(design_shape[1])
    raise ValueError(f"Expected a design of one or two axes. Got shape {tuple(design_shape)}; flatten the others.")


@dataclass(frozen=True)
class Architecture:
    """What a network looks like, whatever the design's size and the number of outputs.

    Args:
        family: ``mlp``, ``resnet``, ``unet`` or ``fno``.
        width: channels (units of the mlp).
        depth: layers, blocks or, for the U-Net, grids.
        modes: Fourier modes kept an axis; 0 in families without any.
        resolution: pixels along the design's longer side after area averaging; a smaller design is left as it is.
        activation: ``silu``, ``gelu`` or ``tanh``, all smooth: gradient training differentiates twice.
    """

    family: str = "fno"
    width: int = 12
    depth: int = 3
    modes: int = 6
    resolution: int = 20
    activation: str = "silu"

    def __post_init__(self) -> None:
        if self.family not in FAMILIES:
            raise ValueError(f"Expected a family among {', '.join(FAMILIES)}. Got {self.family!r}.")
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"Expected an activation among {', '.join(ACTIVATIONS)}. Got {self.activation!r}.")
        if "modes" not in FAMILIES[self.family].choices:
            object.__setattr__(self, "modes", 0)
        elif self.modes < 1:
            raise ValueError(f"Expected at least one Fourier mode. Got {self.modes}.")
        for gene in ("width", "depth", "resolution"):
            if getattr(self, gene) < 1:
                raise ValueError(f"Expected {gene} of at least 1. Got {getattr(self, gene)}.")

    @classmethod
    def baseline(cls, family: str) -> Architecture:
        """A sensible first guess of that family."""
        return cls(family, **dict(FAMILIES[family].baseline))  # type: ignore[arg-type]

    @classmethod
    def suggest(cls, trial: optuna.trial.BaseTrial, families: Sequence[str] = tuple(FAMILIES)) -> Architecture:
        """The architecture an Optuna trial proposes; genes are named ``<family>.<gene>``."""
        family = str(trial.suggest_categorical("family", list(families)))
        genes: dict[str, Any] = {
            gene: trial.suggest_categorical(f"{family}.{gene}", list(values))
            for gene, values in FAMILIES[family].choices.items()
        }
        return cls(family, **genes)

    @property
    def key(self) -> str:
        """Readable and unique, e.g. ``fno-w12-d3-m6-r20-silu``."""
        return f"{self.family}-w{self.width}-d{self.depth}-m{self.modes}-r{self.resolution}-{self.activation}"

    def parameters(self) -> dict[str, Any]:
        """As Optuna's parameters: the inverse of ``suggest``."""
        genes = {f"{self.family}.{gene}": getattr(self, gene) for gene in FAMILIES[self.family].choices}
        return {"family": self.family, **genes}

    def to_json(self) -> dict[str, Any]:
        """Plain fields; ``from_json`` is the inverse."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Architecture:
        """From ``to_json``."""
        return cls(**fields)

    def pooled_shape(self, design_shape: Sequence[int]) -> tuple[int, int]:
        """Height and width the trunk sees."""
        shape = planar(design_shape)
        factor = max(max(shape) / self.resolution, 1.0)
        return max(round(shape[0] / factor), 1), max(round(shape[1] / factor), 1)

    def build(self, design_shape: Sequence[int], n_outputs: int) -> SurrogateNetwork:
        """A freshly initialised network (torch's current generator) for ``b x *design_shape`` -> ``b x n_outputs``."""
        pooled = self.pooled_shape(design_shape)
        trunk = FAMILIES[self.family].trunk(pooled, self.width, self.depth, self.modes, self.activation)
        return SurrogateNetwork(planar(design_shape), pooled, trunk, int(trunk.n_features), n_outputs)  # type: ignore[arg-type]

    def n_parameters(self, design_shape: Sequence[int], n_outputs: int) -> int:
        """Trainable numbers of one network (there is one network a level)."""
        with torch.device("meta"):
            return sum(p.numel() for p in self.build(design_shape, n_outputs).parameters())
