"""The fixed nets of the field by name, with the genes a search may vary and a sensible first guess."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna

from surrogates.architecture import Architecture, Block

Gene = int | str


@dataclass(frozen=True)
class Family:
    """Networks of one kind.

    Args:
        make: from the genes to an architecture.
        choices: gene -> values a search may take.
        baseline: gene -> value of the first trial.
    """

    make: Callable[..., Architecture]
    choices: Mapping[str, tuple[Gene, ...]]
    baseline: Mapping[str, Gene]


def mlp(width: int = 128, depth: int = 3, resolution: int = 20, activation: str = "silu") -> Architecture:
    """``depth`` dense layers on the pixels, with skip connections."""
    if depth < 1:
        raise ValueError(f"Expected a depth of at least 1. Got {depth}.")
    blocks = (Block("dense", width),) * (depth - 1) or (Block("identity", width),)
    return Architecture(blocks, stem="pixels", resolution=resolution, activation=activation)


def resnet(width: int = 12, depth: int = 2, resolution: int = 16, activation: str = "silu") -> Architecture:
    """``depth`` residual blocks, dilated by 1, 2, 4, 1, ... so that a few see the whole design."""
    cycle = (Block("residual", width), Block("dilated", width, 2), Block("dilated", width, 4))
    return Architecture(tuple(cycle[k % 3] for k in range(depth)), resolution=resolution, activation=activation)


def unet(width: int = 12, depth: int = 2, resolution: int = 20, activation: str = "silu") -> Architecture:
    """One U over ``depth`` grids (Ronneberger, Fischer, Brox, MICCAI 2015)."""
    if depth < 2:
        raise ValueError(f"Expected a U over a depth of at least 2 grids. Got {depth}; take a resnet for one grid.")
    return Architecture((Block("u_levels", width, depth - 1),), resolution=resolution, activation=activation)


def fno(
    width: int = 12, depth: int = 2, modes: int = 6, resolution: int = 20, activation: str = "silu"
) -> Architecture:
    """``depth`` Fourier layers (Li et al., ICLR 2021)."""
    return Architecture((Block("spectral", width, modes),) * depth, resolution=resolution, activation=activation)


def factorised_fno(
    width: int = 16, depth: int = 3, modes: int = 6, resolution: int = 20, activation: str = "silu"
) -> Architecture:
    """``depth`` factorised Fourier layers (Tran et al., ICLR 2023)."""
    return Architecture((Block("factorised", width, modes),) * depth, resolution=resolution, activation=activation)


_SMOOTH = ("silu", "gelu")
FAMILIES: dict[str, Family] = {
    "mlp": Family(
        mlp,
        {"width": (64, 128, 256), "depth": (2, 3, 4), "resolution": (12, 16, 20, 25), "activation": _SMOOTH},
        {"width": 128, "depth": 3, "resolution": 20, "activation": "silu"},
    ),
    "resnet": Family(
        resnet,
        {"width": (8, 12), "depth": (2, 3), "resolution": (12, 16, 20), "activation": _SMOOTH},
        {"width": 12, "depth": 2, "resolution": 16, "activation": "silu"},
    ),
    "unet": Family(
        unet,
        {"width": (8, 12, 16), "depth": (2, 3), "resolution": (16, 20, 25), "activation": _SMOOTH},
        {"width": 12, "depth": 2, "resolution": 20, "activation": "silu"},
    ),
    "fno": Family(
        fno,
        {"width": (8, 12), "depth": (2, 3), "modes": (4, 6, 8), "resolution": (16, 20), "activation": _SMOOTH},
        {"width": 12, "depth": 2, "modes": 6, "resolution": 20, "activation": "silu"},
    ),
    "factorised": Family(
        factorised_fno,
        {"width": (12, 16), "depth": (2, 3, 4), "modes": (4, 6, 8), "resolution": (16, 20), "activation": _SMOOTH},
        {"width": 16, "depth": 3, "modes": 6, "resolution": 20, "activation": "silu"},
    ),
}


def baseline(family: str) -> Architecture:
    """A sensible first guess of that family.

    Raises:
        ValueError: for a name that is none.
    """
    if family not in FAMILIES:
        raise ValueError(f"Expected a family among {', '.join(FAMILIES)}. Got {family!r}.")
    return FAMILIES[family].make(**FAMILIES[family].baseline)


def baseline_parameters(family: str) -> dict[str, Any]:
    """The first guess as Optuna's parameters."""
    return {"family": family} | {f"{family}.{gene}": value for gene, value in FAMILIES[family].baseline.items()}


def suggest(trial: optuna.trial.BaseTrial, families: Sequence[str] = tuple(FAMILIES)) -> Architecture:
    """The architecture an Optuna trial proposes; genes are named ``<family>.<gene>``."""
    family = FAMILIES[name := str(trial.suggest_categorical("family", list(families)))]
    genes = {gene: trial.suggest_categorical(f"{name}.{gene}", list(values)) for gene, values in family.choices.items()}
    return family.make(**genes)
