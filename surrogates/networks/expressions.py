"""Layers written as expressions, e.g. ``mul(x, sigmoid(mul(v1, x)))``: normalisation and activation in one.

After Liu, Brock, Simonyan & Le, "Evolving normalization-activation layers", NeurIPS 2020 (arXiv 2004.02967): primitive
operations, statistics of a sample over places and channels, learned numbers a channel. All primitives are smooth.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

EPSILON = 1e-5
# Initial value of each learned number a channel.
LEARNED = {"v0": 1.0, "v1": 1.0, "gamma": 1.0, "beta": 0.0}
LEAVES = ("x", *LEARNED)
UNARY: dict[str, Callable[[Tensor], Tensor]] = {
    "neg": torch.neg,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "exp": torch.exp,
    "square": torch.square,
    "abs": lambda u: torch.sqrt(u**2 + EPSILON),  # rounded at 0
}
BINARY: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add": torch.add,
    "mul": torch.mul,
    "div": lambda u, v: u * v / (v**2 + EPSILON),  # 0 at a divisor of 0
}
COMMUTATIVE = ("add", "mul")
REGIONS = ("instance", "group", "layer")
MOMENTS = ("mean", "var", "std", "rstd")
STATISTICS = tuple(f"{moment}_{region}" for region in REGIONS for moment in MOMENTS)
MAX_SIZE = 100
_TOKEN = re.compile(r"\s*([a-z_0-9]+|[(),])")


@dataclass(frozen=True)
class Expression:
    """A tree; ``str`` writes it canonically, sums and products in order of size and spelling.

    Args:
        name: of a leaf (``x``, the input; ``v0``, ``v1``, ``gamma``, ``beta``, learned, one a channel) or a primitive.
        parts: what a primitive acts on.

    Raises:
        ValueError: for an unknown name, or the wrong number of parts.
    """

    name: str
    parts: tuple[Expression, ...] = ()

    def __post_init__(self) -> None:
        known = arity(self.name)
        if len(self.parts) != known:
            raise ValueError(f"Expected {known} parts of {self.name}. Got {len(self.parts)}.")
        if self.name in COMMUTATIVE:
            object.__setattr__(self, "parts", tuple(sorted(self.parts, key=lambda part: (part.size, str(part)))))

    def __str__(self) -> str:
        return f"{self.name}({', '.join(map(str, self.parts))})" if self.parts else self.name

    @functools.cached_property
    def size(self) -> int:
        """Leaves and primitives."""
        return 1 + sum(part.size for part in self.parts)

    @property
    def names(self) -> frozenset[str]:
        """All leaves and primitives in it."""
        return frozenset({self.name}).union(*(part.names for part in self.parts))


def arity(name: str) -> int:
    """Parts of a leaf or primitive; ``ValueError`` for a name that is neither."""
    if name in LEAVES:
        return 0
    if name in UNARY or name in STATISTICS:
        return 1
    if name in BINARY:
        return 2
    known = ", ".join([*LEAVES, *UNARY, *BINARY, *STATISTICS])
    raise ValueError(f"Expected names among {known} in an expression. Got {name!r}.")


@functools.lru_cache(maxsize=4096)
def parse(text: str) -> Expression:
    """An expression from its text.

    Raises:
        ValueError: for a text that is none, that has more than 100 names, or that does not contain ``x``.
    """
    tokens: list[str] = []
    position = 0
    while position < len(text.rstrip()):
        found = _TOKEN.match(text, position)
        if found is None or len(tokens) > 4 * MAX_SIZE:
            raise ValueError(f"Expected an expression such as 'mul(x, sigmoid(x))'. Got {text[:100]!r}.")
        tokens.append(found.group(1))
        position = found.end()
    tokens.append("")
    expression, end = _parse(tokens, 0, text)
    if tokens[end] or "x" not in expression.names or expression.size > MAX_SIZE:
        raise ValueError(f"Expected one expression of x, of at most {MAX_SIZE} names. Got {text[:100]!r}.")
    return expression


def _parse(tokens: list[str], at: int, text: str) -> tuple[Expression, int]:
    name = tokens[at]
    count = arity(name)
    at += 1
    parts = []
    for k in range(count):
        if tokens[at] != "(,"[min(k, 1)]:
            raise ValueError(f"Expected {count} parts in parentheses after {name}. Got {text[:100]!r}.")
        part, at = _parse(tokens, at + 1, text)
        parts.append(part)
    if count:
        if tokens[at] != ")":
            raise ValueError(f"Expected {count} parts in parentheses after {name}. Got {text[:100]!r}.")
        at += 1
    return Expression(name, tuple(parts)), at


def groups(channels: int) -> int:
    """Groups of at least 4 channels each, 8 at most."""
    return max((g for g in range(1, 9) if channels % g == 0 and channels // g >= 4), default=1)


class ExpressionLayer(nn.Module):
    """Acts on ``b x c`` or ``b x c x h x w``; holds the learned numbers that occur in the expression, ``c`` each.

    Statistics are of one sample: an instance is a channel's places, a group those of some channels, a layer all. Where
    there are no places, an instance is a group.
    """

    def __init__(self, expression: Expression, channels: int) -> None:
        super().__init__()
        self.expression = expression
        self.groups = groups(channels)
        self.learned = nn.ParameterDict(
            {name: nn.Parameter(torch.full((channels,), LEARNED[name])) for name in LEARNED if name in expression.names}
        )

    def forward(self, x: Tensor) -> Tensor:
        return self._value(self.expression, x).expand_as(x)

    def _value(self, node: Expression, x: Tensor) -> Tensor:
        if node.name == "x":
            return x
        if node.name in LEARNED:
            return self.learned[node.name].reshape(1, -1, *[1] * (x.ndim - 2))
        values = [self._value(part, x) for part in node.parts]
        if node.name in UNARY:
            return UNARY[node.name](values[0])
        if node.name in BINARY:
            return BINARY[node.name](values[0], values[1])
        moment, region = node.name.split("_")
        return self._statistic(moment, region, values[0].expand_as(x))

    def _statistic(self, moment: str, region: str, u: Tensor) -> Tensor:
        """The same for all channels and places of a region, so of the shape of ``u`` or one that expands to it."""
        if region == "instance" and u.ndim > 2:
            return _moment(moment, u, tuple(range(2, u.ndim)))
        if region == "layer":
            return _moment(moment, u, tuple(range(1, u.ndim)))
        parted = u.unflatten(1, (self.groups, -1))
        value = _moment(moment, parted, tuple(range(2, parted.ndim)))
        return value.expand(*parted.shape[:3], *[1] * (u.ndim - 2)).flatten(1, 2)


def _moment(moment: str, u: Tensor, axes: tuple[int, ...]) -> Tensor:
    mean = u.mean(dim=axes, keepdim=True)
    if moment == "mean":
        return mean
    variance = ((u - mean) ** 2).mean(dim=axes, keepdim=True)
    if moment == "var":
        return variance
    return torch.sqrt(variance + EPSILON) if moment == "std" else torch.rsqrt(variance + EPSILON)


EVONORM_S0 = "add(beta, mul(gamma, mul(rstd_group(x), mul(x, sigmoid(mul(v1, x))))))"
"""x sigmoid(v1 x) / sqrt(variance of the group + epsilon) gamma + beta (Table 2 of the paper)."""
