"""One network that holds all networks of a space: every block a weighted sum of all operations, weights shared."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from surrogates.architecture import Architecture, Block, planar
from surrogates.nas.space import ArchitectureSpace
from surrogates.networks import IDENTITY, OPERATIONS, SurrogateNetwork
from surrogates.networks.trunk import Trunk
from surrogates.states import State, load_state, save_state

GATES = ("softmax", "sparsemax")


def sparsemax(scores: Tensor) -> Tensor:
    """The nearest point of the simplex along the last axis: small scores get exactly 0.

    Martins & Astudillo, ICML 2016 (arXiv 1602.02068), algorithm 1.
    """
    ordered = scores.sort(dim=-1, descending=True).values
    total = ordered.cumsum(dim=-1)
    place = torch.arange(1, scores.shape[-1] + 1, dtype=scores.dtype, device=scores.device)
    support = (1 + place * ordered > total).sum(dim=-1, keepdim=True)
    threshold = (total.gather(-1, support - 1) - 1) / support
    return (scores - threshold).clamp(min=0)


def best_first(weights: NDArray[np.float64]) -> Iterator[tuple[int, ...]]:
    """One option a row, all combinations in the order of falling product of their weights, made as they are taken.

    Each combination is reached from the one whose last row off its best option is a place better there, so that the
    next one is always among those that wait, ``rows`` more at most for every one taken. Of equal products that wait
    the first numbers go first. A weight of 0 counts as 1e-30.

    Args:
        weights: ``rows x options``, none below 0.
    """
    order = np.argsort(-weights, axis=1, kind="stable")
    logs = np.log(np.maximum(np.take_along_axis(weights, order, axis=1), 1e-30))
    rows = np.arange(len(weights))

    def entry(places: tuple[int, ...]) -> tuple[float, tuple[int, ...], tuple[int, ...]]:
        return -float(logs[rows, places].sum()), tuple(int(k) for k in order[rows, places]), places

    waiting = [entry((0,) * len(weights))]
    while waiting:
        _, numbers, places = heapq.heappop(waiting)
        yield numbers
        last = max((row for row, place in enumerate(places) if place), default=0)
        for row in range(last, len(places)):
            if places[row] + 1 < weights.shape[1]:
                heapq.heappush(waiting, entry((*places[:row], places[row] + 1, *places[row + 1 :])))


class Mixture(nn.Module):
    """x + sum_o weight_o branch_o(x), the branch of an identity being 0."""

    def __init__(self, branches: dict[int, nn.Module]) -> None:
        super().__init__()
        self.branches = nn.ModuleDict({str(number): branch for number, branch in branches.items()})
        self.weights = torch.empty(0)

    def forward(self, x: Tensor) -> Tensor:
        parts = [
            weight * branch(x)
            for number, branch in self.branches.items()
            # What has no weight need not be computed.
            if (weight := self.weights[int(number)]) != 0
        ]
        return sum(parts, x)


class Supernet(SurrogateNetwork):
    """All paths through a space's operations at once: ``b x *design_shape`` -> ``b x n_outputs``.

    Widths, resolution, activation and the like are those of one network; what is mixed are the blocks' operations.

    Args:
        space: whose blocks to mix.
        like: gives all else; its blocks have one width. None for the space's first network.
        design_shape, n_outputs: of the problem.

    Attributes:
        scores: ``length x n_operations`` parameters, the architecture's.
        gate, temperature: ``softmax`` or ``sparsemax`` of scores / temperature gives the weights.
        alive: ``length x n_operations``; what is not alive has no weight. A block with one alive has a weight of 1.

    Raises:
        ValueError: for blocks of several widths.
    """

    alive: Tensor

    def __init__(
        self, space: ArchitectureSpace, design_shape: Sequence[int], n_outputs: int, like: Architecture | None = None
    ) -> None:
        like = space.decode((0,) * len(space.options)) if like is None else like
        widths = {block.width for block in like.blocks}
        if len(widths) > 1:
            raise ValueError(f"Expected blocks of one width. Got {like.key}; mix networks of one width.")
        width = widths.pop()
        bare = replace(like, blocks=(Block(IDENTITY, width),)).build(design_shape, n_outputs)
        pooled = like.pooled_shape(design_shape)
        assert isinstance(bare.trunk, Trunk)
        super().__init__(planar(design_shape), pooled, bare.trunk, bare.trunk.n_features, n_outputs)
        self.head = bare.head
        self.space, self.like, self.width = space, like, width
        self.design_shape = tuple(design_shape)
        self.operations = tuple(
            (name, reach) for name, reach in space.operations if name == IDENTITY or OPERATIONS[name].stem == like.stem
        )
        self.mixtures = [
            Mixture(
                {
                    number: OPERATIONS[name].build(
                        pooled, width, Block(name, width, reach).reach, like.activation, like.padding
                    )
                    for number, (name, reach) in enumerate(self.operations)
                    if name != IDENTITY
                }
            )
            for _ in range(space.length)
        ]
        bare.trunk.steps = nn.ModuleList(self.mixtures)
        self.gate, self.temperature = "softmax", 1.0
        self.scores = nn.Parameter(torch.zeros(space.length, len(self.operations)))
        self.register_buffer("alive", torch.ones(self.scores.shape, dtype=torch.bool))

    def weights(self) -> Tensor:
        """``length x n_operations``, differentiable in the scores."""
        if self.gate not in GATES:
            raise ValueError(f"Expected a gate among {', '.join(GATES)}. Got {self.gate!r}.")
        scaled = self.scores / self.temperature
        gated = torch.softmax(scaled, dim=-1) if self.gate == "softmax" else sparsemax(scaled)
        alone = self.alive.sum(dim=1, keepdim=True) == 1
        return torch.where(alone, self.alive.to(gated), gated * self.alive)

    def from_pooled(self, pooled: Tensor) -> Tensor:
        """Responses from ``b x h' x w'`` pooled densities."""
        for mixture, weights in zip(self.mixtures, self.weights(), strict=True):
            mixture.weights = weights
        return super().from_pooled(pooled)

    def shared(self) -> list[nn.Parameter]:
        """All parameters but the scores."""
        return [p for p in self.parameters() if p is not self.scores]

    def entropy(self) -> NDArray[np.float64]:
        """``length``: of each block's weights, in nats."""
        with torch.no_grad():
            weights = self.weights().double()
        return torch.special.entr(weights / weights.sum(dim=1, keepdim=True)).sum(dim=1).cpu().numpy()

    def select(self, choice: Sequence[int]) -> None:
        """Leaves one operation alive in each block."""
        self.alive[:] = False
        self.alive[range(len(choice)), list(choice)] = True

    def best_path(self) -> tuple[int, ...]:
        """The operation of most weight in each block; where the cap refuses that, the most likely path it admits.

        Raises:
            ValueError: where the cap admits none.
        """
        with torch.no_grad():
            weights = self.weights().double().cpu().numpy()
        for path in best_first(weights):
            if self.space.admits(self.architecture(path)):
                return path
        raise ValueError("Expected a path within the cap. Got none; raise the cap or mix narrower networks.")

    def architecture(self, choice: Sequence[int]) -> Architecture:
        """The network of one operation a block, given by their numbers in ``operations``."""
        blocks = tuple(Block(self.operations[k][0], self.width, self.operations[k][1]) for k in choice)
        return replace(self.like, blocks=blocks)

    def path(self, choice: Sequence[int]) -> State:
        """The weights of that network, named as those of ``architecture(choice).build(...)``."""
        state = save_state(self)
        found = {n: a for n, a in state.items() if n.startswith(("trunk.stem.", "trunk.readout.", "head."))}
        step = 0
        for block, number in enumerate(choice):
            if self.operations[number][0] == IDENTITY:
                continue
            start = f"trunk.steps.{block}.branches.{number}."
            found |= {
                f"trunk.steps.{step}.branch.{n.removeprefix(start)}": a for n, a in state.items() if n.startswith(start)
            }
            step += 1
        return found

    def pruned(self, choice: Sequence[int]) -> SurrogateNetwork:
        """That network with its weights: the same function as this one with nothing else alive."""
        network = self.architecture(choice).build(self.design_shape, self.head.out_features)
        load_state(network, self.path(choice))
        return network.to(self.scores.device)
