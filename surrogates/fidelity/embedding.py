"""One network for all levels, the level among its inputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from surrogates.architecture import Architecture
from surrogates.models.code import DesignCode
from surrogates.models.setting import OfAllLevels, Setting


@dataclass(frozen=True)
class LevelEmbedding(OfAllLevels):
    """A trunk that all levels share; its features are scaled and shifted by a learned code of the level.

    Feature-wise modulation as in FiLM (Perez et al., AAAI 2018). Levels share the head too where they answer the same
    quantities.

    Args:
        architecture: of trunk and head.
    """

    architecture: Architecture

    def build(self, setting: Setting) -> nn.Module:
        """Freshly initialised: all levels start alike."""
        return _Embedded(self.architecture, setting)

    def to_json(self) -> dict[str, Any]:
        """Plain fields."""
        return {"name": "level_embedding", "architecture": self.architecture.to_json()}


class _Embedded(nn.Module):
    def __init__(self, architecture: Architecture, setting: Setting) -> None:
        super().__init__()
        self.code = DesignCode(architecture, setting)
        known = {codec.fields: level for level, codec in reversed(list(setting.codecs.items()))}
        self.owner = {level: str(known[codec.fields]) for level, codec in setting.codecs.items()}
        sizes = {owner: setting.codecs[int(owner)].n_outputs for owner in sorted(set(self.owner.values()))}
        self.heads = nn.ModuleDict({owner: nn.Linear(self.code.n_features, size) for owner, size in sizes.items()})

    def forward(self, design: Tensor, level: int) -> Tensor:
        return self.heads[self.owner[level]](self.code(design, level))
