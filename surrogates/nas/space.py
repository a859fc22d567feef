"""A space of architectures: every gene one of a few values, every reader of the genotype from the same genes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import optuna
from numpy.typing import NDArray

from surrogates.architecture import OF_GRIDS, Architecture, Block
from surrogates.nas.cost import flops, known_latency_ms
from surrogates.networks import IDENTITY, OPERATIONS

Codes = tuple[int, ...]
Key = TypeVar("Key")
Kept = TypeVar("Kept")
Value = str | int | float | bool | None
ATTEMPTS = 1000
SMALL = 10_000
# Networks that a space remembers of each kind, so that a search does not make the same ones time and again.
REMEMBERED = 20_000
# Gene that means nothing behind the stem "pixels" -> the field with its values.
_GRID_GENES = {name: name if name == "coordinates" else f"{name}s" for name in OF_GRIDS}


def _remember(known: dict[Key, Kept], key: Key, value: Kept) -> Kept:
    """Enters the value; what was known is forgotten first where it is too much."""
    if len(known) >= REMEMBERED:
        known.clear()
    known[key] = value
    return value


@dataclass(frozen=True)
class Cap:
    """What a network may cost at most on one problem.

    Args:
        design_shape, n_outputs: of the problem.
        parameters: trainable numbers; None for any.
        flops: of a prediction, as ``cost.flops`` counts them; None for any.
        latency_ms: of a design's gradient, CPU time on this machine, measured once a process and network; None for any.
            Near the cap another machine, or another process, may decide otherwise.

    Raises:
        ValueError: for a cap on nothing.
    """

    design_shape: tuple[int, ...]
    n_outputs: int
    parameters: int | None = None
    flops: int | None = None
    latency_ms: float | None = None

    def __post_init__(self) -> None:
        if self.parameters is None and self.flops is None and self.latency_ms is None:
            raise ValueError("Expected parameters, flops or latency_ms to cap. Got none; leave the cap out for none.")

    def admits(self, architecture: Architecture) -> bool:
        """Whether it is cheap enough."""
        shape, outputs = self.design_shape, self.n_outputs
        if self.parameters is not None and architecture.n_parameters(shape, outputs) > self.parameters:
            return False
        if self.flops is not None and flops(architecture, shape, outputs) > self.flops:
            return False
        return self.latency_ms is None or known_latency_ms(architecture, shape, outputs) <= self.latency_ms


@dataclass(frozen=True)
class ArchitectureSpace:
    """Architectures of up to ``length`` blocks.

    A design is a tuple of codes, one a gene, ``0 <= code < options``. Several tuples may stand for one network: an
    identity may be anywhere, and an operation of another stem counts as one.

    Args:
        length: blocks.
        operations: what a block may be: (name, reach), with ("identity", 0) for shorter networks.
        widths: channels of a block.
        stems, resolutions, activations, paddings, coordinates, heads, gradient_weights: as in ``Architecture``.
        one_width: all blocks as wide as the first.
        cap: what a network may cost; None for no cap.

    Raises:
        ValueError: for a gene without values, or values that no architecture may have.
    """

    length: int = 3
    operations: tuple[tuple[str, int], ...] = (
        ("spectral", 6),
        ("factorised", 6),
        ("residual", 0),
        ("dilated", 2),
        ("u_levels", 1),
        ("attention", 2),
        (IDENTITY, 0),
    )
    widths: tuple[int, ...] = (8, 12, 16)
    stems: tuple[str, ...] = ("grid",)
    resolutions: tuple[int, ...] = (20,)
    activations: tuple[str, ...] = ("silu",)
    paddings: tuple[str, ...] = ("zeros",)
    coordinates: tuple[bool, ...] = (True,)
    heads: tuple[str, ...] = ("averages",)
    gradient_weights: tuple[float | None, ...] = (None,)
    one_width: bool = True
    cap: Cap | None = None

    def __post_init__(self) -> None:
        if self.length < 1:
            raise ValueError(f"Expected a length of at least 1. Got {self.length}.")
        for name, values in self.genes.items():
            if not values or len(set(values)) < len(values):
                raise ValueError(f"Expected distinct values of {name}, one at least. Got {values}.")
        for operation, reach in self.operations:
            Block(operation, 1, reach)  # says what is wrong with it

    @cached_property
    def genes(self) -> dict[str, tuple[Any, ...]]:
        """Gene -> its values."""
        blocks = {f"operation {k}": self.operations for k in range(self.length)}
        widths = {f"width {k}": self.widths for k in range(1 if self.one_width else self.length)}
        rest = {
            "stem": self.stems,
            "resolution": self.resolutions,
            "activation": self.activations,
            "padding": self.paddings,
            "coordinates": self.coordinates,
            "head": self.heads,
            "gradient_weight": self.gradient_weights,
        }
        return blocks | widths | rest

    @cached_property
    def options(self) -> tuple[int, ...]:
        """Values of each gene."""
        return tuple(len(values) for values in self.genes.values())

    @property
    def size(self) -> int:
        """Tuples of codes; several may be one network."""
        return math.prod(self.options)

    def decode(self, codes: Codes) -> Architecture:
        """The network of a tuple of codes."""
        known = self._decoded.get(codes)
        if known is None:
            known = _remember(self._decoded, codes, self._decode(codes))
        return known

    @cached_property
    def _decoded(self) -> dict[Codes, Architecture]:
        return {}

    @cached_property
    def _encoded(self) -> dict[Architecture, Codes]:
        return {}

    @cached_property
    def _around(self) -> dict[Architecture, tuple[Architecture, ...]]:
        return {}

    def _decode(self, codes: Codes) -> Architecture:
        value = {name: values[code] for (name, values), code in zip(self.genes.items(), codes, strict=True)}
        blocks = []
        for k in range(self.length):
            operation, reach = value[f"operation {k}"]
            if operation != IDENTITY and OPERATIONS[operation].stem != value["stem"]:
                operation, reach = IDENTITY, 0
            blocks.append(Block(operation, value[f"width {0 if self.one_width else k}"], reach))
        rest = {n: v for n, v in value.items() if not n.startswith(("operation ", "width "))}
        return Architecture(tuple(blocks), **rest)

    @cached_property
    def _codes(self) -> dict[Architecture, Codes]:
        """One tuple a network, the first in order."""
        found: dict[Architecture, Codes] = {}
        for codes in itertools.product(*map(range, self.options)):
            found.setdefault(self.decode(codes), codes)
        return found

    def encode(self, architecture: Architecture) -> Codes:
        """A tuple of codes for a network of this space: its blocks first, then identities.

        Raises:
            ValueError: for a network of another space.
        """
        known = self._encoded.get(architecture)
        if known is None:
            known = _remember(self._encoded, architecture, self._encode(architecture))
        return known

    def _encode(self, architecture: Architecture) -> Codes:
        real = [b for b in architecture.blocks if b.operation != IDENTITY]
        blocks: list[tuple[str, int]] = [self._given(b) for b in real]
        blocks += [self._nothing(architecture.stem)] * (self.length - len(blocks))
        last = architecture.blocks[-1].width
        widths = [b.width for b in architecture.blocks] + [last] * self.length
        wanted: dict[str, Any] = {f"operation {k}": blocks[k] for k in range(self.length)}
        wanted |= {f"width {k}": widths[k] for k in range(self.length)}
        if architecture.stem == "pixels":
            # Any value stands for the default.
            wanted |= {name: getattr(self, genes)[0] for name, genes in _GRID_GENES.items()}
        try:
            codes = tuple(
                values.index(wanted.get(name, getattr(architecture, name, None))) for name, values in self.genes.items()
            )
            if self.decode(codes) == architecture and len(real) <= self.length:
                return codes
        except ValueError:
            pass
        raise ValueError(f"Expected an architecture of this space. Got {architecture.key}.")

    def _nothing(self, stem: str) -> tuple[str, int]:
        """The entry of ``operations`` that adds no block behind a stem."""
        of_others = [one for one in self.operations if one[0] != IDENTITY and OPERATIONS[one[0]].stem != stem]
        identity = (IDENTITY, 0)
        return of_others[0] if of_others and identity not in self.operations else identity

    def _given(self, block: Block) -> tuple[str, int]:
        """The entry of ``operations`` that makes this block; a reach of 0 stands for the default."""
        for operation, reach in self.operations:
            if operation == block.operation and Block(operation, block.width, reach) == block:
                return operation, reach
        return block.operation, block.reach

    def __contains__(self, architecture: Architecture) -> bool:
        try:
            self.encode(architecture)
        except ValueError:
            return False
        return self.admits(architecture)

    def admits(self, architecture: Architecture) -> bool:
        """Whether it is within the cap."""
        return self.cap is None or self.cap.admits(architecture)

    def sample(self, rng: np.random.Generator) -> Architecture:
        """A network at random: every gene uniformly; of a small space of which the cap leaves little, every network.

        Raises:
            RuntimeError: if the cap leaves nothing, or so little of a large space that none was drawn.
        """
        codes = [0] * len(self.options)
        for _ in range(ATTEMPTS):
            for gene in self._free:
                codes[gene] = int(rng.integers(self.options[gene]))
            drawn = self.decode(tuple(codes))
            if self.admits(drawn):
                return drawn
        if self.size <= SMALL and self._admitted:
            return self._admitted[rng.integers(len(self._admitted))]
        raise RuntimeError(f"Expected a network within the cap among {ATTEMPTS} drawn ones. Got none; raise the cap.")

    def mutate(self, architecture: Architecture, rng: np.random.Generator) -> Architecture:
        """Another network that differs in one gene, at random."""
        choices = self._neighbours(architecture)
        return choices[rng.integers(len(choices))] if choices else self.sample(rng)

    def neighbours(self, architecture: Architecture) -> list[Architecture]:
        """All other networks that differ in one gene, each once."""
        return list(self._neighbours(architecture))

    def _neighbours(self, architecture: Architecture) -> tuple[Architecture, ...]:
        known = self._around.get(architecture)
        if known is not None:
            return known
        codes = self.encode(architecture)
        found: dict[Architecture, None] = {}
        for gene, count in enumerate(self.options):
            for value in range(count):
                if value != codes[gene]:
                    other = self.decode((*codes[:gene], value, *codes[gene + 1 :]))
                    if other != architecture and self.admits(other):
                        found.setdefault(other)
        return _remember(self._around, architecture, tuple(found))

    def crossover(self, first: Architecture, second: Architecture, rng: np.random.Generator) -> Architecture:
        """A network whose genes come from one of two parents each; the first parent where the cap refuses all."""
        one, two = self.encode(first), self.encode(second)
        for _ in range(20):
            child = self.decode(tuple(a if rng.random() < 0.5 else b for a, b in zip(one, two, strict=True)))
            if self.admits(child):
                return child
        return first

    def everything(self, limit: int = 100_000) -> list[Architecture]:
        """All networks within the cap, each once.

        Raises:
            ValueError: where there are more tuples of codes than the limit.
        """
        if self.size > limit:
            raise ValueError(f"Expected a space of at most {limit} tuples of codes. This one has {self.size}.")
        return list(self._admitted)

    @cached_property
    def _free(self) -> tuple[int, ...]:
        """Genes of more than one value."""
        return tuple(gene for gene, n in enumerate(self.options) if n > 1)

    @cached_property
    def _admitted(self) -> tuple[Architecture, ...]:
        return tuple(architecture for architecture in self._codes if self.admits(architecture))

    def features(self, architecture: Architecture) -> NDArray[np.float64]:
        """The genes as one-hot numbers, for regression."""
        codes = self.encode(architecture)
        return np.concatenate([np.eye(n)[code] for n, code in zip(self.options, codes, strict=True)])

    def suggest(self, trial: optuna.trial.BaseTrial) -> Architecture:
        """What an Optuna trial proposes; parameters are the genes' numbers, genes of one value are left out."""
        codes = [
            int(trial.suggest_categorical(name, list(range(n)))) if n > 1 else 0
            for name, n in zip(self.genes, self.options, strict=True)
        ]
        return self.decode(tuple(codes))

    def parameters(self, architecture: Architecture) -> dict[str, int]:
        """As Optuna's parameters: the inverse of ``suggest``."""
        codes = self.encode(architecture)
        return {name: codes[k] for k, name in enumerate(self.genes) if self.options[k] > 1}

    def from_parameters(self, parameters: Mapping[str, int]) -> Architecture:
        """The network of Optuna's parameters: the inverse of ``parameters``.

        Raises:
            KeyError: where one is missing.
        """
        return self.decode(
            tuple(parameters[name] if n > 1 else 0 for name, n in zip(self.genes, self.options, strict=True))
        )

    def distributions(self) -> Mapping[str, optuna.distributions.CategoricalDistribution]:
        """Of Optuna's parameters."""
        return {
            name: optuna.distributions.CategoricalDistribution(list(range(n)))
            for name, n in zip(self.genes, self.options, strict=True)
            if n > 1
        }

    def capped(self, cap: Cap | None) -> ArchitectureSpace:
        """The same space with another cap."""
        return replace(self, cap=cap)

    def __iter__(self) -> Iterator[Architecture]:
        return iter(self.everything())
