"""Activations by name, alone or behind a normalisation, or as expressions; all smooth, to be differentiated twice."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from surrogates.networks.expressions import ExpressionLayer, parse

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"silu": nn.SiLU, "gelu": nn.GELU, "tanh": nn.Tanh}
NORMALISED = "norm-"


class Activation(nn.Module):
    """Acts on ``b x c`` or ``b x c x h x w``.

    Args:
        name: of ``ACTIVATIONS``, or ``norm-`` and such a name: normalised first over all channels and places of a
            sample, with a scale and a shift a channel (Wu & He, ECCV 2018, one group). Or an expression of ``x`` in
            canonical spelling, e.g. ``mul(x, sigmoid(x))``; see :mod:`surrogates.networks.expressions`.
        channels: ``c``.
    """

    def __init__(self, name: str, channels: int) -> None:
        super().__init__()
        check_activation(name)
        self.norm = nn.GroupNorm(1, channels) if name.startswith(NORMALISED) else nn.Identity()
        plain = ACTIVATIONS.get(name.removeprefix(NORMALISED))
        self.act = ExpressionLayer(parse(name), channels) if plain is None else plain()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.norm(x))


def check_activation(name: str) -> None:
    """Raises ``ValueError`` for a name that is none, or an expression that is not in canonical spelling."""
    if name.removeprefix(NORMALISED) in ACTIVATIONS:
        return
    if "x" not in name or ("(" not in name and name != "x"):
        raise ValueError(
            f"Expected an activation among {', '.join(ACTIVATIONS)}, one of them after {NORMALISED!r}, or an "
            f"expression such as 'mul(x, sigmoid(x))'. Got {name!r}."
        )
    canonical = str(parse(name))
    if canonical != name:
        raise ValueError(f"Expected an expression in canonical spelling, {canonical!r}. Got {name!r}.")
