"""The families by name, with the genes a search may vary and a sensible first guess."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import nn

from surrogates.networks.fno import FNOTrunk
from surrogates.networks.mlp import MLPTrunk
from surrogates.networks.resnet import ResNetTrunk
from surrogates.networks.unet import UNetTrunk

Gene = int | str


@dataclass(frozen=True)
class Family:
    """One kind of trunk.

    Args:
        trunk: ``trunk(pooled_shape, width, depth, modes, activation)`` with an attribute ``n_features``.
        choices: gene -> values a search may take; a gene left out is not varied.
        baseline: gene -> value of the first trial.
    """

    trunk: Callable[[tuple[int, int], int, int, int, str], nn.Module]
    choices: Mapping[str, tuple[Gene, ...]]
    baseline: Mapping[str, Gene]


FAMILIES: dict[str, Family] = {
    "mlp": Family(
        MLPTrunk,
        {"width": (64, 128, 256), "depth": (2, 3, 4), "resolution": (12, 16, 20, 25), "activation": ("silu", "gelu")},
        {"width": 128, "depth": 3, "resolution": 20, "activation": "silu"},
    ),
    "resnet": Family(
        ResNetTrunk,
        {"width": (8, 12), "depth": (2, 3), "resolution": (12, 16, 20), "activation": ("silu", "gelu")},
        {"width": 12, "depth": 2, "resolution": 16, "activation": "silu"},
    ),
    "unet": Family(
        UNetTrunk,
        {"width": (8, 12, 16), "depth": (2, 3), "resolution": (16, 20, 25), "activation": ("silu", "gelu")},
        {"width": 12, "depth": 2, "resolution": 20, "activation": "silu"},
    ),
    "fno": Family(
        FNOTrunk,
        {
            "width": (8, 12),
            "depth": (2, 3),
            "modes": (4, 6, 8),
            "resolution": (16, 20),
            "activation": ("silu", "gelu"),
        },
        {"width": 12, "depth": 2, "modes": 6, "resolution": 20, "activation": "silu"},
    ),
}
