"""Ways for a few numbers (wavelength, load, a design's code) to steer the channels of a network."""

from __future__ import annotations

import torch
from torch import Tensor, nn

CONDITIONINGS = ("film", "attention")


def _spread(factor: Tensor, x: Tensor) -> Tensor:
    """``b x c`` factors over the axes of ``b x c x ...``."""
    return factor.reshape(*factor.shape, *[1] * (x.ndim - 2))


class FiLM(nn.Module):
    """x * (1 + gamma(condition)) + beta(condition), channel by channel; at first x itself.

    Perez, Strub, de Vries, Dumoulin, Courville, AAAI 2018, eq. 2.
    """

    def __init__(self, n_conditions: int, channels: int) -> None:
        super().__init__()
        last = nn.Linear(2 * channels, 2 * channels)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.map = nn.Sequential(nn.Linear(n_conditions, 2 * channels), nn.SiLU(), last)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        gamma, beta = self.map(condition).chunk(2, dim=1)
        return x * (1 + _spread(gamma, x)) + _spread(beta, x)


class ChannelAttention(nn.Module):
    """x + sum_i mask_i(condition) * branch_i(x): masks over channels, in (0, 1), made from the condition.

    The parameter-guided channel attention of Takamoto, Alesiani, Niepert (CAPE, ICML 2023) with the branches 1x1
    and depthwise 3x3 on grids ``b x c x h x w``, and 1x1 alone on points ``b x c x p``.
    """

    def __init__(self, n_conditions: int, channels: int, *, grid: bool) -> None:
        super().__init__()
        branches: list[nn.Module] = [nn.Conv1d(channels, channels, 1)]
        if grid:
            branches = [nn.Conv2d(channels, channels, 1), nn.Conv2d(channels, channels, 3, padding=1, groups=channels)]
        self.branches = nn.ModuleList(branches)
        self.masks = nn.Sequential(
            nn.Linear(n_conditions, 2 * channels), nn.SiLU(), nn.Linear(2 * channels, len(branches) * channels)
        )

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        masks = torch.sigmoid(self.masks(condition)).chunk(len(self.branches), dim=1)
        for mask, branch in zip(masks, self.branches, strict=True):
            x = x + _spread(mask, x) * branch(x)
        return x


def check_conditioning(name: str) -> None:
    """Raises ``ValueError`` for a name that is none."""
    if name not in CONDITIONINGS:
        raise ValueError(f"Expected a conditioning among {', '.join(CONDITIONINGS)}. Got {name!r}.")


def conditioning(name: str, n_conditions: int, channels: int, *, grid: bool) -> nn.Module:
    """A module ``(x, condition) -> x`` by name."""
    check_conditioning(name)
    return FiLM(n_conditions, channels) if name == "film" else ChannelAttention(n_conditions, channels, grid=grid)
