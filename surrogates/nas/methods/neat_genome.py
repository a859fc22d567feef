"""The genome of NEAT: nodes, and connections that carry the number of the innovation that made them.

Stanley & Miikkulainen, "Evolving neural networks through augmenting topologies", Evolutionary Computation 10 (2002).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from surrogates.networks import Graph, SurrogateNetwork
from surrogates.networks.graph import NODE_ACTIVATIONS, canonical_order
from surrogates.networks.wired import graph_weights, set_graph_weights, wired_network
from surrogates.runtime import seeded


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
    """A network without rings.

    Nodes are numbered: the inputs first, one that is always 1, the outputs, then hidden ones as they came. Every hidden
    node and output reads the one.

    Args:
        cells: rows and columns of the grid that a design is averaged to, the inputs row by row.
        n_outputs: of the network.
        hidden: number of a hidden node -> its activation. Outputs are linear.
        connections: innovation number -> connection.
    """

    cells: tuple[int, int]
    n_outputs: int
    hidden: Mapping[int, str]
    connections: Mapping[int, Connection]

    @classmethod
    def minimal(
        cls, cells: tuple[int, int], n_outputs: int, innovations: Innovations, rng: np.random.Generator
    ) -> Genome:
        """Every input, and the one, to every output; no hidden node (section 3.4)."""
        n_inputs = cells[0] * cells[1]
        innovations.nodes = max(innovations.nodes, n_inputs + 1 + n_outputs)
        pairs = [(i, n_inputs + 1 + o) for i in range(n_inputs + 1) for o in range(n_outputs)]
        scale = (n_inputs + 1) ** -0.5
        return cls(
            cells,
            n_outputs,
            {},
            {innovations.connection(a, b): Connection(a, b, float(scale * rng.normal())) for a, b in pairs},
        )

    @property
    def n_inputs(self) -> int:
        """Cells."""
        return self.cells[0] * self.cells[1]

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
            "cells": list(self.cells),
            "outputs": self.n_outputs,
            "hidden": list(self.hidden.items()),
            "connections": [[n, c.source, c.target, c.weight, c.enabled] for n, c in self.connections.items()],
        }

    @cached_property
    def _wired(self) -> tuple[Graph, tuple[int, ...]]:
        """The graph, and the innovation numbers of its connections in order and of its nodes' biases."""
        inputs, enabled = self.n_inputs, {n: c for n, c in self.connections.items() if c.enabled}
        place = {node: k for k, node in enumerate((*range(inputs), *self.hidden, *self.outputs))}
        names = list(self.hidden.values())
        wires = {(place[c.source], place[c.target]): n for n, c in enabled.items() if c.source != inputs}
        biases = {place[c.target]: n for n, c in enabled.items() if c.source == inputs}
        order = canonical_order(inputs, names, list(wires))
        end = inputs + len(names)
        kept = [*range(inputs), *order, *range(end, end + self.n_outputs)]
        number = {node: k for k, node in enumerate(kept)}
        own = {(number[a], number[b]): n for (a, b), n in wires.items() if a in number and b in number}
        graph = Graph(self.cells, self.n_outputs, tuple(names[node - inputs] for node in order), tuple(own))
        return graph, (*(own[wire] for wire in graph.connections), *(biases[node] for node in kept[inputs:]))

    @property
    def graph(self) -> Graph:
        """What of it has an effect, without weights: the same for all histories."""
        return self._wired[0]

    def network(self, shape: tuple[int, int]) -> SurrogateNetwork:
        """``b x h x w`` -> ``b x n_outputs``, with the genome's weights."""
        with seeded(0):
            network = wired_network(self.graph, shape, self.n_outputs)
        set_graph_weights(network, [self.connections[n].weight for n in self._wired[1]])
        return network

    def with_weights_of(self, network: SurrogateNetwork) -> Genome:
        """The same with the weights that its network now has."""
        return self.with_weights(dict(zip(self._wired[1], graph_weights(network), strict=True)))

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
    names = list(NODE_ACTIVATIONS)
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
    others = [name for name in NODE_ACTIVATIONS if name != genome.hidden[node]]
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
