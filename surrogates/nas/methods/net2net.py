"""Weights of a larger network, from a smaller one's, that make the same function.

Chen, Goodfellow & Shlens, "Net2Net", ICLR 2016 (arXiv 1511.05641).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from surrogates.architecture import Architecture, Block
from surrogates.networks import IDENTITY
from surrogates.networks.activations import ACTIVATIONS, Activation
from surrogates.runtime import seeded
from surrogates.states import State, save_state

# Per operation: layer -> channels in, channels out. "stream" is what blocks add to; others are inside of a branch.
Ports = dict[str, tuple[tuple[str, ...], str]]
_S = ("stream",)
PORTS: dict[str, Ports] = {
    "spectral": {"spectral": (_S, "stream"), "local": (_S, "stream")},
    "factorised": {
        "down": (_S, "stream"), "along": (_S, "stream"), "first": (_S, "twice"), "second": (("twice",), "stream"),
    },
    "residual": {"layers.1": (_S, "hidden"), "layers.3": (("hidden",), "stream")},
    "dilated": {"layers.1": (_S, "hidden"), "layers.3": (("hidden",), "stream")},
    "dense": {"linear": (_S, "stream")},
    "u_levels": {"first": (_S, "stream")},
}  # fmt: skip
# Layers whose zeros make the branch zero, given an activation that keeps 0; True where one follows.
LAST: dict[str, tuple[tuple[str, ...], bool]] = {
    "spectral": (("spectral.", "local."), True),
    "factorised": (("second.",), False),
    "residual": (("layers.3.",), False),
    "dilated": (("layers.3.",), False),
    "dense": (("linear.",), True),
    "u_levels": (("up.0.",), True),
    "attention": (("second.",), False),
}
# Weights of products by frequency: ... x in x out x 2, where others are out x in x ...
_FOURIER = ("spectral", "down", "along")


@dataclass(frozen=True, eq=False)
class Problem:
    """``design_shape`` and ``n_outputs`` of the networks."""

    design_shape: tuple[int, ...]
    n_outputs: int

    def fresh(self, architecture: Architecture, rng: np.random.Generator) -> State:
        """Weights at random."""
        with seeded(int(rng.integers(2**31))):
            return save_state(architecture.build(self.design_shape, self.n_outputs))


def real_blocks(architecture: Architecture) -> tuple[Block, ...]:
    """Its blocks but identities."""
    return tuple(block for block in architecture.blocks if block.operation != IDENTITY)


def keeps_zero(activation: str) -> bool:
    """Whether it takes 0 to 0."""
    with torch.no_grad():
        return bool((Activation(activation, 4)(torch.zeros(1, 4)) == 0).all())


def can_deepen(architecture: Architecture, block: Block) -> bool:
    """Whether ``deepened`` takes that block: of a width that needs no map, its branch one that can be made zero."""
    known = LAST.get(block.operation)
    return known is not None and (not known[1] or keeps_zero(architecture.activation))


def deepened(
    architecture: Architecture, state: State, position: int, block: Block, problem: Problem, rng: np.random.Generator
) -> tuple[Architecture, State]:
    """The same function with another block at ``position``, whose branch gives 0: its last layer is 0, the rest random.

    Raises:
        ValueError: for a block of another width than its input, or whose branch cannot be made zero.
    """
    blocks = real_blocks(architecture)
    width = blocks[position - 1].width if position else architecture.blocks[0].width
    if block.width != width or not can_deepen(architecture, block):
        raise ValueError(
            f"Expected a block of width {width} with one of {', '.join(LAST)} behind an activation of 0 at 0. Got "
            f"{block.key} and {architecture.activation}."
        )
    larger = replace(architecture, blocks=(*blocks[:position], block, *blocks[position:]))
    new = problem.fresh(larger, rng)
    for name, array in state.items():
        new[_shifted(name, position)] = array
    start = f"trunk.steps.{position}.branch."
    for name, array in new.items():
        if name.startswith(tuple(start + layer for layer in LAST[block.operation][0])):
            new[name] = np.zeros_like(array)
    return larger, new


def _shifted(name: str, position: int) -> str:
    parts = name.split(".")
    if parts[:2] == ["trunk", "steps"] and int(parts[2]) >= position:
        parts[2] = str(int(parts[2]) + 1)
    return ".".join(parts)


def can_widen(architecture: Architecture) -> bool:
    """Whether ``widened`` takes that network: one width, an activation on every channel alone, no attention."""
    alone = architecture.activation in ACTIVATIONS
    same = len({block.width for block in architecture.blocks}) == 1
    return alone and same and all(block.operation in PORTS for block in real_blocks(architecture))


def widened(
    architecture: Architecture, state: State, width: int, rng: np.random.Generator, noise: float = 0.0
) -> tuple[Architecture, State]:
    """The same function, but for the noise, with ``width`` channels everywhere.

    Channels are repeated at random, and what reads a repeated channel is divided by how often it is there (equations 3
    and 4 of the paper).

    Args:
        noise: standard deviation of what is added to the weights that lead into a repeated channel, but for the first
            of its copies, relative to that of the layer's weights (section 2.3): without it copies learn the same for
            ever. All other weights are as at 0, where the function is the same to rounding.

    Raises:
        ValueError: for fewer channels, several widths, attention, or an activation that mixes channels.
    """
    old = architecture.blocks[0].width
    if not can_widen(architecture) or width < old:
        raise ValueError(
            f"Expected a network of one width of at most {width}, of operations among {', '.join(PORTS)} and "
            f"activations among {', '.join(ACTIVATIONS)}. Got {architecture.key}."
        )
    larger = replace(architecture, blocks=tuple(replace(block, width=width) for block in architecture.blocks))
    stream = _Repeats.draw(old, width, rng)
    rest = _Repeats.draw(4 * old, 4 * width, rng)
    new: State = {}
    into: dict[str, _Repeats] = {}  # layer -> its channels out
    stem = "trunk.stem.lift" if architecture.stem == "grid" else "trunk.stem.linear"
    new |= _layer(state, stem, None, stream)
    into[stem] = stream
    for step, block in enumerate(real_blocks(architecture)):
        maps = {
            "stream": stream,
            "hidden": _Repeats.draw(old, width, rng),
            "twice": _Repeats.draw(2 * old, 2 * width, rng),
        }
        start = f"trunk.steps.{step}.branch."
        ports = dict(PORTS[block.operation])
        if block.operation == "u_levels":
            names = ["stream", *(f"level {k + 1}" for k in range(block.reach))]
            maps |= {n: _Repeats.draw(2**k * old, 2**k * width, rng) for k, n in enumerate(names) if k}
            ports |= {f"down.{k}": ((names[k],), names[k + 1]) for k in range(block.reach)}
            ports |= {f"up.{k}": ((names[k], names[k + 1]), names[k]) for k in range(block.reach)}
        for layer, (before, after) in ports.items():
            joined = _Repeats.join([maps[name] for name in before])
            new |= _layer(state, start + layer, joined, maps[after], fourier=layer in _FOURIER)
            into[start + layer] = maps[after]
    if architecture.stem == "grid":
        weight = state["trunk.readout.linear.weight"]
        cells = weight.shape[1] // old
        new |= _layer(state, "trunk.readout.linear", stream.spread(cells), rest)
        into["trunk.readout.linear"] = rest
        new |= _layer(state, "head", rest, None)
    else:
        new |= _layer(state, "head", stream, None)
    if noise:
        for layer, channels in into.items():
            weight = new[f"{layer}.weight"]
            axis = _axes(weight, fourier=layer.rpartition(".")[2] in _FOURIER)[1]
            copies = np.expand_dims(channels.copied, tuple(k for k in range(weight.ndim) if k != axis))
            moved = weight + copies * noise * weight.std() * rng.normal(size=weight.shape)
            new[f"{layer}.weight"] = moved.astype(weight.dtype)
    return larger, new


@dataclass(frozen=True, eq=False)
class _Repeats:
    """Which old channel each new one is, and how often that one is there."""

    source: NDArray[np.int64]
    count: NDArray[np.int64]

    @classmethod
    def draw(cls, old: int, new: int, rng: np.random.Generator) -> _Repeats:
        source = np.concatenate([np.arange(old), rng.integers(old, size=new - old)])
        return cls(source, np.bincount(source, minlength=old)[source])

    @property
    def copied(self) -> NDArray[np.bool_]:
        """Whether it is a further copy of a channel that was there before."""
        found = np.ones(len(self.source), dtype=bool)
        found[np.unique(self.source, return_index=True)[1]] = False
        return found

    @classmethod
    def join(cls, parts: Sequence[_Repeats]) -> _Repeats:
        starts = np.cumsum([0] + [part.source.max() + 1 for part in parts])
        return cls(
            np.concatenate([part.source + start for part, start in zip(parts, starts, strict=False)]),
            np.concatenate([part.count for part in parts]),
        )

    def spread(self, cells: int) -> _Repeats:
        """Of ``cells`` numbers a channel, channel by channel."""
        source = (self.source[:, None] * cells + np.arange(cells)).ravel()
        return _Repeats(source, np.repeat(self.count, cells))


def _axes(weight: NDArray[Any], fourier: bool) -> tuple[int, int]:
    """Of channels in and out."""
    return (weight.ndim - 3, weight.ndim - 2) if fourier else (1, 0)


def _layer(state: State, name: str, before: _Repeats | None, after: _Repeats | None, fourier: bool = False) -> State:
    weight = state[f"{name}.weight"]
    axis_in, axis_out = _axes(weight, fourier)
    if before is not None:
        shape = [1] * weight.ndim
        shape[axis_in] = -1
        weight = weight.take(before.source, axis=axis_in) / before.count.reshape(shape)
    if after is not None:
        weight = weight.take(after.source, axis=axis_out)
    found: State = {f"{name}.weight": weight.astype(state[f"{name}.weight"].dtype)}
    if f"{name}.bias" in state:
        bias = state[f"{name}.bias"]
        found[f"{name}.bias"] = bias if after is None else bias[after.source]
    return found
