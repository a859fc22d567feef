"""Activations by name, alone or behind a normalisation; all smooth: gradient training differentiates twice."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"silu": nn.SiLU, "gelu": nn.GELU, "tanh": nn.Tanh}
NORMALISED = "norm-"


class Activation(nn.Module):
    """Acts on ``b x c`` or ``b x c x h x w``.

    Args:
        name: of ``ACTIVATIONS``, or ``norm-`` and such a name: normalised first over all channels and places of a
            sample, with a scale and a shift a channel (Wu & He, ECCV 2018, one group).
        channels: ``c``.
    """

    def __init__(self, name: str, channels: int) -> None:
        super().__init__()
        check_activation(name)
        self.norm = nn.GroupNorm(1, channels) if name.startswith(NORMALISED) else nn.Identity()
        self.act = ACTIVATIONS[name.removeprefix(NORMALISED)]()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.norm(x))


def check_activation(name: str) -> None:
    """Raises ``ValueError`` for a name that is none."""
    if name.removeprefix(NORMALISED) not in ACTIVATIONS:
        raise ValueError(
            f"Expected an activation among {', '.join(ACTIVATIONS)}, or one of them after {NORMALISED!r}. Got {name!r}."
        )
