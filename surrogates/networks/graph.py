"""A network wired node by node, as a value: equal for all numberings of the same nodes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

NODE_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "sine": torch.sin,
    "gauss": lambda u: torch.exp(-(u**2)),
    "silu": torch.nn.functional.silu,
    "sigmoid": torch.sigmoid,
}

Wires = Sequence[tuple[int, int]]
_FIELDS = ("cells", "outputs", "hidden", "connections")


@dataclass(frozen=True)
class Graph:
    """Nodes and who reads whom, without cycles and without weights; skips as they come.

    Nodes are numbered: the design's cells row by row, hidden ones, outputs. Every hidden node and output has a bias;
    outputs are linear. Equal graphs are equal values: hidden nodes that lead to no output are dropped, the others are
    numbered canonically (by depth, then activation, then place in the graph: colour refinement, ties broken by trying
    them; McKay & Piperno, J. Symbolic Computation 60, 94 (2014)), and connections are sorted by target and source.

    Args:
        cells: rows and columns of the grid that a design is averaged to.
        outputs: of the network.
        hidden: activations of the hidden nodes, of ``NODE_ACTIVATIONS``.
        connections: (source, target) pairs of numbers.

    Raises:
        ValueError: for what is no such graph.
    """

    cells: tuple[int, int]
    outputs: int
    hidden: tuple[str, ...] = ()
    connections: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        _check(self)
        order = canonical_order(self.inputs, self.hidden, self.connections)
        number = {node: k for k, node in enumerate(order, start=self.inputs)}
        first = self.inputs + len(self.hidden)
        number |= {n: n for n in range(self.inputs)}
        number |= {first + k: self.inputs + len(order) + k for k in range(self.outputs)}
        wires = [(number[a], number[b]) for a, b in self.connections if a in number and b in number]
        if not wires:
            raise ValueError("Expected a connection that leads to an output. Got none.")
        object.__setattr__(self, "cells", tuple(self.cells))
        object.__setattr__(self, "hidden", tuple(self.hidden[node - self.inputs] for node in order))
        object.__setattr__(self, "connections", tuple(sorted(wires, key=lambda wire: wire[::-1])))

    @property
    def inputs(self) -> int:
        """Cells of the design."""
        return self.cells[0] * self.cells[1]

    @property
    def features(self) -> int:
        """Cells and hidden nodes: what outputs may read."""
        return self.inputs + len(self.hidden)

    @property
    def key(self) -> str:
        """E.g. ``graph3x4-o2-h5-c41-0123456789ab``: cells, outputs, hidden nodes, connections, a hash of all."""
        digest = hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).hexdigest()
        counts = f"o{self.outputs}-h{len(self.hidden)}-c{len(self.connections)}"
        return f"graph{self.cells[0]}x{self.cells[1]}-{counts}-{digest[:12]}"

    def to_json(self) -> dict[str, Any]:
        """Plain fields; ``from_json`` is the inverse."""
        return {
            "cells": list(self.cells),
            "outputs": self.outputs,
            "hidden": list(self.hidden),
            "connections": [list(wire) for wire in self.connections],
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Graph:
        """From ``to_json``.

        Raises:
            ValueError: for anything else.
        """
        if not isinstance(fields, Mapping) or set(fields) != set(_FIELDS):
            raise ValueError(f"Expected a graph's {', '.join(_FIELDS)}. Got {fields!r}.")
        listed = [fields["cells"], fields["hidden"], fields["connections"]]
        if not all(isinstance(one, list) for one in (*listed, *(listed[2] if isinstance(listed[2], list) else ()))):
            raise ValueError(f"Expected lists of cells, hidden nodes and connections. Got {fields!r}.")
        wires = tuple(tuple(wire) for wire in fields["connections"])
        return cls(tuple(fields["cells"]), fields["outputs"], tuple(fields["hidden"]), wires)


def _check(graph: Graph) -> None:
    def count(value: object, least: int) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and value >= least

    if len(graph.cells) != 2 or not all(count(n, 1) for n in (*graph.cells, graph.outputs)):
        raise ValueError(f"Expected rows and columns of cells, and outputs. Got {graph.cells} and {graph.outputs!r}.")
    unknown = [name for name in graph.hidden if not isinstance(name, str) or name not in NODE_ACTIVATIONS]
    if unknown:
        raise ValueError(f"Expected activations among {', '.join(NODE_ACTIVATIONS)}. Got {unknown[0]!r}.")
    for wire in graph.connections:
        if (
            len(wire) != 2
            or not all(count(n, 0) for n in wire)
            or wire[0] >= graph.features
            or not graph.inputs <= wire[1] < graph.features + graph.outputs
        ):
            raise ValueError(
                f"Expected connections from one of {graph.features} cells and hidden nodes to a hidden node or one of "
                f"{graph.outputs} outputs behind them. Got {wire}."
            )
    if len(set(graph.connections)) < len(graph.connections):
        raise ValueError("Expected each connection once. Got one twice.")
    idle = set(range(graph.inputs, graph.features)) - {target for _, target in graph.connections}
    if idle:
        raise ValueError(f"Expected hidden nodes that read something. Got none for {sorted(idle)}; leave them out.")


def canonical_order(inputs: int, hidden: Sequence[str], wires: Wires) -> list[int]:
    """Hidden nodes that lead to an output, in an order that depends on the graph and not on their numbers.

    Every one comes after what it reads, those of equal depth together, those of equal activation among them together.

    Raises:
        ValueError: for a graph with a ring.
    """
    end = inputs + len(hidden)
    live, depth = _live(wires, end), _depths(inputs, end, wires)
    nodes = [node for node in range(inputs, end) if node in live]
    used = [(a, b) for a, b in wires if b >= end or b in live]
    reads: dict[int, list[int]] = {node: [a for a, b in used if b == node] for node in nodes}
    feeds: dict[int, list[int]] = {node: [b for a, b in used if a == node] for node in nodes}
    Colours = dict[int, int]

    def refined(colours: Colours) -> Colours:
        """Nodes told apart by the colours of those around them, as far as that goes; ranks from 0."""
        kinds = 0
        while True:

            def told(node: int, colours: Colours = colours) -> tuple[int, int]:
                return (1, colours[node]) if node in colours else (0, node)

            signs = {n: (c, sorted(map(told, reads[n])), sorted(map(told, feeds[n]))) for n, c in colours.items()}
            distinct: list[Any] = []
            for sign in sorted(signs.values()):
                if not distinct or distinct[-1] != sign:
                    distinct.append(sign)
            colours = {node: distinct.index(sign) for node, sign in signs.items()}
            if len(distinct) == kinds:
                return colours
            kinds = len(distinct)

    def tied(colours: Colours) -> list[int]:
        groups: dict[int, list[int]] = {}
        for node, colour in colours.items():
            groups.setdefault(colour, []).append(node)
        return next((groups[colour] for colour in sorted(groups) if len(groups[colour]) > 1), [])

    def chosen(colours: Colours, node: int) -> Colours:
        return refined({n: 2 * c + (n != node) for n, c in colours.items()})

    def leaf(colours: Colours) -> list[tuple[int, int]]:
        while ties := tied(colours):
            colours = chosen(colours, ties[0])
        return spelled(colours)

    def spelled(colours: Colours) -> list[tuple[int, int]]:
        return sorted((inputs + colours.get(a, a - inputs), inputs + colours.get(b, b - inputs)) for a, b in used)

    def least(colours: Colours) -> Colours:
        found, seen = [], []
        for node in tied(colours):
            branch = chosen(colours, node)
            # Two choices that can come to the same spelling are alike: a symmetry of the graph swaps them.
            spelling = leaf(branch)
            if spelling not in seen:
                seen.append(spelling)
                found.append(least(branch))
        return min(found, key=spelled) if found else colours

    kinds = sorted({(depth[node], hidden[node - inputs]) for node in nodes})
    colours = least(refined({node: kinds.index((depth[node], hidden[node - inputs])) for node in nodes}))
    return sorted(nodes, key=colours.__getitem__)


def _live(wires: Wires, end: int) -> set[int]:
    """Nodes below ``end`` that lead to one from there on."""
    live: set[int] = set()
    while True:
        more = {a for a, b in wires if b >= end or b in live}
        if more == live:
            return live
        live = more


def _depths(inputs: int, end: int, wires: Wires) -> dict[int, int]:
    """Of hidden nodes: 1 more than the deepest that each reads, 0 for cells."""
    waiting = {node: {a for a, b in wires if b == node and a >= inputs} for node in range(inputs, end)}
    depth: dict[int, int] = {}
    while waiting:
        ready = [node for node, reads in waiting.items() if reads <= depth.keys()]
        if not ready:
            raise ValueError(f"Expected a graph without rings. Got one among the nodes {sorted(waiting)}.")
        for node in ready:
            depth[node] = 1 + max((depth[a] for a in waiting.pop(node)), default=0)
    return depth
