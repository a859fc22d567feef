"""The network of a graph: cells and hidden nodes as features, a head that reads those that it is connected to."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from surrogates.networks.common import SurrogateNetwork
from surrogates.networks.graph import NODE_ACTIVATIONS, Graph


class Layer(nn.Module):
    """Hidden nodes of one depth; ``b x n`` values before them to ``b x n'``, theirs added behind."""

    sources: Tensor
    rows: Tensor
    columns: Tensor

    def __init__(self, names: Sequence[str], first: int, wires: Sequence[tuple[int, int]]) -> None:
        super().__init__()
        used = sorted({source for source, _ in wires})
        self.kinds = [(name, len(list(same))) for name, same in groupby(names)]
        self.register_buffer("sources", torch.tensor(used), persistent=False)
        self.register_buffer("rows", torch.tensor([used.index(source) for source, _ in wires]), persistent=False)
        self.register_buffer("columns", torch.tensor([target - first for _, target in wires]), persistent=False)

    def forward(self, values: Tensor, weights: Tensor, biases: Tensor) -> Tensor:
        empty = weights.new_zeros(len(self.sources), len(biases))
        matrix = empty.index_put((self.rows, self.columns), weights)
        total = torch.addmm(biases, values[:, self.sources], matrix)
        parts = total.split([n for _, n in self.kinds], dim=1)
        made = [NODE_ACTIVATIONS[name](part) for (name, _), part in zip(self.kinds, parts, strict=True)]
        return torch.cat([values, *made], dim=1)


class WiredTrunk(nn.Module):
    """``b x h' x w'`` cells in [-1, 1] to ``b x features``: cells, then hidden nodes in their order.

    Fresh weights are normal with the variance of one over the number that a node reads; biases are 0.
    """

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        inputs = graph.inputs
        wires = [wire for wire in graph.connections if wire[1] < graph.features]
        fan_in = torch.bincount(torch.tensor([target - inputs for _, target in wires], dtype=torch.long))
        scale = [float(fan_in[target - inputs]) ** -0.5 for _, target in wires]
        self.weights = nn.Parameter(torch.randn(len(wires)) * torch.tensor(scale))
        self.biases = nn.Parameter(torch.zeros(len(graph.hidden)))
        depth: dict[int, int] = {}
        for source, target in wires:
            depth[target] = max(depth.get(target, 1), depth.get(source, 0) + 1)
        self.layers = nn.ModuleList()
        self.sizes: list[tuple[int, int]] = []
        for level in sorted(set(depth.values())):
            nodes = sorted(node for node in depth if depth[node] == level)
            own = [wire for wire in wires if depth[wire[1]] == level]
            self.layers.append(Layer([graph.hidden[node - inputs] for node in nodes], nodes[0], own))
            self.sizes.append((len(own), len(nodes)))

    def forward(self, x: Tensor) -> Tensor:
        values = x.flatten(1)
        weights = self.weights.split([n for n, _ in self.sizes])
        biases = self.biases.split([n for _, n in self.sizes])
        for layer, own, bias in zip(self.layers, weights, biases, strict=True):
            values = layer(values, own, bias)
        return values


class WiredHead(nn.Linear):
    """The outputs: a linear layer whose weights count only where the graph has a connection."""

    mask: Tensor

    def __init__(self, graph: Graph) -> None:
        super().__init__(graph.features, graph.outputs)
        mask = torch.zeros(graph.outputs, graph.features)
        for source, target in graph.connections:
            if target >= graph.features:
                mask[target - graph.features, source] = 1.0
        self.register_buffer("mask", mask, persistent=False)
        with torch.no_grad():
            nn.init.normal_(self.weight).mul_(mask).mul_(mask.sum(dim=1, keepdim=True).clamp(min=1) ** -0.5)
            nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight * self.mask, self.bias)

    @property
    def idle(self) -> int:
        """Weights that do not count."""
        return int((self.mask == 0).sum())


def wired_network(graph: Graph, shape: tuple[int, int], n_outputs: int) -> SurrogateNetwork:
    """A freshly initialised network for ``b x h x w`` -> ``b x n_outputs``.

    For another number of outputs than the graph's own the head reads all cells and hidden nodes.

    Raises:
        ValueError: for a design of fewer pixels along an axis than the graph has cells.
    """
    if shape[0] < graph.cells[0] or shape[1] < graph.cells[1]:
        raise ValueError(
            f"Expected a design of at least {graph.cells} pixels, the graph's cells. Got {shape}; give finer designs, "
            "or a graph of fewer cells."
        )
    network = SurrogateNetwork(shape, graph.cells, WiredTrunk(graph), graph.features, n_outputs)
    if n_outputs == graph.outputs:
        network.head = WiredHead(graph)
    return network


def graph_weights(network: SurrogateNetwork) -> list[float]:
    """Of a ``wired_network`` with the graph's own outputs: of its connections in order, then its nodes' biases."""
    trunk, head = _parts(network)
    with torch.no_grad():
        parts = [trunk.weights, head.weight[head.mask > 0], trunk.biases, head.bias]
        return [float(value) for value in torch.cat(parts).tolist()]


def set_graph_weights(network: SurrogateNetwork, values: Sequence[float]) -> None:
    """The inverse of ``graph_weights``."""
    trunk, head = _parts(network)
    sizes = [len(trunk.weights), int(head.mask.sum()), len(trunk.biases), len(head.bias)]
    with torch.no_grad():
        inner, outer, biases, shifts = torch.tensor(values).to(head.weight).split(sizes)
        trunk.weights.copy_(inner)
        trunk.biases.copy_(biases)
        head.weight.masked_scatter_(head.mask > 0, outer)
        head.bias.copy_(shifts)


def _parts(network: SurrogateNetwork) -> tuple[WiredTrunk, WiredHead]:
    if not isinstance(network.trunk, WiredTrunk) or not isinstance(network.head, WiredHead):
        raise TypeError("Expected a network of a graph, with the graph's own outputs. Got another.")
    return network.trunk, network.head
