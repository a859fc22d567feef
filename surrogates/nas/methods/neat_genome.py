"""The genome of NEAT: nodes, and connections that carry the number of the innovation that made them.

Stanley & Miikkulainen, "Evolving neural networks through augmenting topologies", Evolutionary Computation 10 (2002).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "sine": torch.sin,
    "gauss": lambda u: torch.exp(-(u**2)),
    "silu": torch.nn.functional.silu,
    "sigmoid": torch.sigmoid,
}
LINEAR = "linear"


@dataclass(frozen=True)
class Connection:
    """A weight from a node to another.

    Args:
        source, target: numbers of nodes.
        enabled: a split connection is kept, without effect.
    """

    source: int
    target: int
    weight: float
    enabled: bool = True


@dataclass(eq=False)
class Innovations:
    """Numbers what is new in one search: the same change has the same number, whoever makes it (section 3.2)."""

    connections: dict[tuple[int, int], int] = field(default_factory=dict)
    splits: dict[int, int] = field(default_factory=dict)
    nodes: int = 0

    def connection(self, source: int, target: int) -> int:
        """Of a connection between these nodes."""
        return self.connections.setdefault((source, target), len(self.connections))

    def node(self, split: int) -> int:
        """Of the node in the middle of the connection with that innovation number."""
        if split not in self.splits:
            self.splits[split], self.nodes = self.nodes, self.nodes + 1
        return self.splits[split]


@dataclass(frozen=True, eq=False)
class Genome:
    """A network without cycles.

    Nodes are numbered: the inputs first, one that is always 1, the outputs, then hidden ones as they came.

    Args:
        n_inputs, n_outputs: of the network.
        hidden: number of a hidden node -> its activation. Outputs are linear.
        connections: innovation number -> connection.
    """

    n_inputs: int
    n_outputs: int
    hidden: Mapping[int, str]
    connections: Mapping[int, Connection]

    @classmethod
    def minimal(cls, n_inputs: int, n_outputs: int, innovations: Innovations, rng: np.random.Generator) -> Genome:
        """Every input, and the one, to every output; no hidden node (section 3.4)."""
        innovations.nodes = max(innovations.nodes, n_inputs + 1 + n_outputs)
        pairs = [(i, n_inputs + 1 + o) for i in range(n_inputs + 1) for o in range(n_outputs)]
        scale = (n_inputs + 1) ** -0.5
        return cls(
            n_inputs,
            n_outputs,
            {},
            {innovations.connection(a, b): Connection(a, b, float(scale * rng.normal())) for a, b in pairs},
        )

    @property
    def sources(self) -> range:
        """Inputs and the one."""
        return range(self.n_inputs + 1)

    @property
    def outputs(self) -> range:
        """Of the network."""
        return range(self.n_inputs + 1, self.n_inputs + 1 + self.n_outputs)

    @cached_property
    def order(self) -> tuple[int, ...]:
        """Hidden nodes and outputs, every one after what it reads, be that enabled or not."""
        before: dict[int, set[int]] = {node: set() for node in (*self.hidden, *self.outputs)}
        for connection in self.connections.values():
            if connection.source in before:
                before[connection.target].add(connection.source)
        done: dict[int, None] = {}
        while len(done) < len(before):
            ready = [node for node in before if node not in done and before[node] <= done.keys()]
            if not ready:
                raise ValueError(f"Expected a network without rings. Got one among {sorted(before)}.")
            done |= dict.fromkeys(ready)
        return tuple(done)

    @property
    def n_enabled(self) -> int:
        """Connections with an effect."""
        return sum(connection.enabled for connection in self.connections.values())

    def to_json(self) -> dict[str, Any]:
        """Plain fields, nodes and connections in their order."""
        return {
            "inputs": self.n_inputs,
            "outputs": self.n_outputs,
            "hidden": list(self.hidden.items()),
            "connections": [[n, c.source, c.target, c.weight, c.enabled] for n, c in self.connections.items()],
        }

    def with_weights(self, weights: Mapping[int, float]) -> Genome:
        """The same with other weights, by innovation number."""
        changed = {n: replace(self.connections[n], weight=float(w)) for n, w in weights.items()}
        return replace(self, connections={**self.connections, **changed})


def add_node(genome: Genome, innovations: Innovations, rng: np.random.Generator) -> Genome:
    """A connection split: a weight of 1 into the new node, the old one out of it; the old connection is disabled.

    Also a weight of 0 from the one, which gradients move.
    """
    enabled = [n for n, c in genome.connections.items() if c.enabled and c.source != genome.n_inputs]
    if not enabled:
        return genome
    split = enabled[rng.integers(len(enabled))]
    node = innovations.node(split)
    if node in genome.hidden:
        return genome
    old = genome.connections[split]
    connections = dict(genome.connections)
    connections[split] = replace(old, enabled=False)
    for source, target, weight in (
        (old.source, node, 1.0),
        (genome.n_inputs, node, 0.0),
        (node, old.target, old.weight),
    ):
        connections[innovations.connection(source, target)] = Connection(source, target, weight)
    names = list(ACTIVATIONS)
    hidden = {**genome.hidden, node: names[rng.integers(len(names))]}
    return replace(genome, hidden=hidden, connections=connections)


def add_connection(genome: Genome, innovations: Innovations, rng: np.random.Generator) -> Genome:
    """A connection between two nodes that had none, forwards; the genome itself where all are connected."""
    place = {node: k for k, node in enumerate(genome.order)}
    taken = {(c.source, c.target) for c in genome.connections.values()}
    free = [
        (a, b)
        for b in genome.order
        for a in (*genome.sources, *genome.hidden)
        if (a, b) not in taken and place.get(a, -1) < place[b]
    ]
    if not free:
        return genome
    source, target = free[rng.integers(len(free))]
    new = {innovations.connection(source, target): Connection(source, target, float(0.5 * rng.normal()))}
    return replace(genome, connections={**genome.connections, **new})


def change_activation(genome: Genome, rng: np.random.Generator) -> Genome:
    """Another activation of a hidden node."""
    if not genome.hidden:
        return genome
    node = list(genome.hidden)[rng.integers(len(genome.hidden))]
    others = [name for name in ACTIVATIONS if name != genome.hidden[node]]
    return replace(genome, hidden={**genome.hidden, node: others[rng.integers(len(others))]})


def perturb(genome: Genome, scale: float, rng: np.random.Generator) -> Genome:
    """All weights moved at random."""
    return genome.with_weights({n: c.weight + scale * rng.normal() for n, c in genome.connections.items()})


def crossover(fitter: Genome, other: Genome, rng: np.random.Generator) -> Genome:
    """Genes of the same innovation from either parent; disjoint and excess ones from the fitter one (figure 4)."""
    connections = {}
    for number, gene in fitter.connections.items():
        if number in other.connections:
            twin = other.connections[number]
            # Weight alone: what is enabled stays as where the structure comes from, so that no node is cut off.
            gene = replace(gene, weight=twin.weight) if rng.random() < 0.5 else gene
        connections[number] = gene
    hidden = {n: other.hidden[n] if n in other.hidden and rng.random() < 0.5 else a for n, a in fitter.hidden.items()}
    return replace(fitter, hidden=hidden, connections=connections)


@dataclass(frozen=True)
class Compatibility:
    """delta = c1 E / N + c2 D / N + c3 W (equation 1): excess, disjoint genes, mean difference of the others' weights.

    N is the genes of the larger genome. Hidden nodes of another activation count as disjoint genes.
    """

    excess: float = 1.0
    disjoint: float = 1.0
    weights: float = 0.2

    def __call__(self, first: Genome, second: Genome) -> float:
        one, two = set(first.connections), set(second.connections)
        end = min(max(one, default=-1), max(two, default=-1))
        unmatched = one ^ two
        excess = sum(number > end for number in unmatched)
        shared = one & two
        apart = [abs(first.connections[n].weight - second.connections[n].weight) for n in shared]
        unlike = sum(first.hidden[n] != second.hidden[n] for n in set(first.hidden) & set(second.hidden))
        n = max(len(one), len(two), 1)
        distinct = self.excess * excess + self.disjoint * (len(unmatched) - excess + unlike)
        return distinct / n + self.weights * float(np.mean(apart or [0.0]))
