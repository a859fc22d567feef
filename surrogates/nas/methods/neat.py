"""NEAT with gradients: small networks that grow from none, their weights trained and handed on.

Stanley & Miikkulainen, "Evolving neural networks through augmenting topologies", Evolutionary Computation 10 (2002);
weights are trained by gradient descent in every generation and inherited (Lamarck); hidden nodes have mixed
activations.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from surrogates.architecture import planar
from surrogates.batches import LevelTensors, prepare
from surrogates.data import Dataset
from surrogates.nas.learner import monitored
from surrogates.nas.live import Task
from surrogates.nas.methods.neat_genome import (
    ACTIVATIONS,
    Compatibility,
    Genome,
    Innovations,
    add_connection,
    add_node,
    change_activation,
    crossover,
    perturb,
)
from surrogates.nas.methods.species import offspring, ranks, speciate
from surrogates.networks import SurrogateNetwork
from surrogates.runtime import pick_device, torch_threads
from surrogates.splitting import split
from surrogates.training import batch_loss


class NeatNetwork(nn.Module):
    """A genome's network: ``b x n_inputs`` (trailing axes flattened) -> ``b x n_outputs``, smooth."""

    def __init__(self, genome: Genome) -> None:
        super().__init__()
        self.genome = genome
        self.enabled = [number for number, connection in genome.connections.items() if connection.enabled]
        self.weights = nn.Parameter(torch.tensor([genome.connections[n].weight for n in self.enabled]))
        self.reads = {
            node: [(k, c.source) for k, n in enumerate(self.enabled) if (c := genome.connections[n]).target == node]
            for node in genome.order
        }

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        values = dict(enumerate(x.unbind(1))) | {self.genome.n_inputs: torch.ones_like(x[:, 0])}
        for node, reads in self.reads.items():
            if reads:
                total = (
                    torch.stack([values[source] for _, source in reads], dim=1) @ self.weights[[k for k, _ in reads]]
                )
            else:
                total = torch.zeros_like(x[:, 0])
            hidden = self.genome.hidden.get(node)
            values[node] = total if hidden is None else ACTIVATIONS[hidden](total)
        return torch.stack([values[node] for node in self.genome.outputs], dim=1)

    def trained(self) -> Genome:
        """The genome with the weights as they are now."""
        return self.genome.with_weights(dict(zip(self.enabled, self.weights.tolist(), strict=True)))


@dataclass(frozen=True)
class Neat:
    """How networks evolve.

    Args:
        population: genomes.
        generations: at most.
        steps, learning_rate: of Adam, for every genome in every generation.
        goal: error at which the search ends.
        threshold: distance within a species, at first.
        species: wanted; the threshold is moved until there are as many.
        compatibility: the distance.
        survivors: share of a species that may have children.
        mating: share of children with two parents.
        new_node, new_connection, new_activation: chances of a mutation of a child.
        jitter: standard deviation of the change of a child's weights.
        price: added to the error for every enabled connection.
    """

    population: int = 30
    generations: int = 30
    steps: int = 30
    learning_rate: float = 0.05
    goal: float = 0.0
    threshold: float = 0.4
    species: int = 4
    compatibility: Compatibility = Compatibility()  # noqa: RUF009
    survivors: float = 0.4
    mating: float = 0.4
    new_node: float = 0.15
    new_connection: float = 0.25
    new_activation: float = 0.1
    jitter: float = 0.1
    price: float = 1e-4


@dataclass(frozen=True, eq=False)
class Evolved:
    """Outcome of a run.

    Args:
        genome, error: the best of all, weights trained.
        errors: of the best of each generation.
        species: their number in each generation.
    """

    genome: Genome
    error: float
    errors: tuple[float, ...]
    species: tuple[int, ...]


def evolve(
    neat: Neat,
    n_inputs: int,
    n_outputs: int,
    loss: Callable[[NeatNetwork], Tensor],
    error: Callable[[NeatNetwork], float],
    rng: np.random.Generator,
) -> Evolved:
    """Networks that make the error small; all begin without hidden nodes.

    Args:
        loss: to be trained on, differentiable.
        error: to be judged by.
    """
    innovations = Innovations()
    genomes = [Genome.minimal(n_inputs, n_outputs, innovations, rng) for _ in range(neat.population)]
    representatives: dict[int, Genome] = {}
    best, best_error = genomes[0], float("inf")
    errors, counts, threshold = [], [], neat.threshold
    for _ in range(neat.generations):
        judged = [_improved(genome, neat, loss, error) for genome in genomes]
        genomes, found = [genome for genome, _ in judged], [e for _, e in judged]
        least = int(np.argmin(found))
        if found[least] < best_error:
            best, best_error = genomes[least], found[least]
        species = speciate(genomes, representatives, neat.compatibility, threshold, 2 * neat.species)
        threshold *= 0.8 if len(species) < neat.species else 1.25 if len(species) > neat.species else 1.0
        errors.append(found[least])
        counts.append(len(species))
        if best_error <= neat.goal:
            break
        priced = [
            e + neat.price * sum(c.enabled for c in g.connections.values()) for g, e in zip(genomes, found, strict=True)
        ]
        fitness = dict(zip(map(id, genomes), ranks(priced), strict=True))
        representatives = {s: members[rng.integers(len(members))] for s, members in species.items()}
        genomes = next_generation(
            neat, {s: [(g, float(fitness[id(g)])) for g in members] for s, members in species.items()}, innovations, rng
        )
    return Evolved(best, best_error, tuple(errors), tuple(counts))


def _improved(
    genome: Genome, neat: Neat, loss: Callable[[NeatNetwork], Tensor], error: Callable[[NeatNetwork], float]
) -> tuple[Genome, float]:
    """The genome with weights as trained, or as they were if those are better, and their error."""
    both = [genome, train(genome, neat, loss)]
    found = [error(NeatNetwork(one)) for one in both]
    k = 0 if found[0] < found[1] or not np.isfinite(found[1]) else 1
    return both[k], found[k] if np.isfinite(found[k]) else float("inf")


def next_generation(
    neat: Neat,
    species: dict[int, list[tuple[Genome, float]]],
    innovations: Innovations,
    rng: np.random.Generator,
) -> list[Genome]:
    """Children of each species in proportion to its shared fitness; its best is kept as it is."""
    counts = offspring({s: [f for _, f in members] for s, members in species.items()}, neat.population)
    children: list[Genome] = []
    for number, members in species.items():
        ranked = [genome for genome, _ in sorted(members, key=lambda member: -member[1])]
        parents = ranked[: max(1, round(neat.survivors * len(ranked)))]
        children += ranked[: min(counts[number], 1)]
        for _ in range(counts[number] - 1):
            one, two = sorted(rng.integers(len(parents), size=2))
            child = crossover(parents[one], parents[two], rng) if rng.random() < neat.mating else parents[one]
            children.append(mutated(child, neat, innovations, rng))
    return children


def mutated(genome: Genome, neat: Neat, innovations: Innovations, rng: np.random.Generator) -> Genome:
    """Weights moved; at times a node, a connection or an activation changed."""
    genome = perturb(genome, neat.jitter, rng)
    if rng.random() < neat.new_node:
        genome = add_node(genome, innovations, rng)
    if rng.random() < neat.new_connection:
        genome = add_connection(genome, innovations, rng)
    if rng.random() < neat.new_activation:
        genome = change_activation(genome, rng)
    return genome


def train(genome: Genome, neat: Neat, loss: Callable[[NeatNetwork], Tensor]) -> Genome:
    """The genome with trained weights; as it was if training diverges."""
    network = NeatNetwork(genome)
    optimiser = torch.optim.Adam(network.parameters(), lr=neat.learning_rate)
    for _ in range(neat.steps):
        optimiser.zero_grad()
        loss(network).backward()
        optimiser.step()
    return network.trained() if bool(torch.isfinite(network.weights).all()) else genome


@dataclass(frozen=True, eq=False)
class NeatSurrogate:
    """A grown network as a surrogate.

    Args:
        network: ``b x *design_shape`` -> ``b x n_outputs`` standardised responses.
        evolved: how it came.
        error: on the task's held-out samples.
        cpu_seconds: of the search.
    """

    network: SurrogateNetwork
    evolved: Evolved
    error: float
    cpu_seconds: float


def neat_surrogate(neat: Neat, task: Task, cells: tuple[int, int], rng: np.random.Generator) -> NeatSurrogate:
    """A network of the design averaged over ``cells`` (rows, columns), trained on the task's reference samples.

    A quarter of the training samples judges the genomes; those held out by the task are looked at once, at the end.

    Raises:
        ValueError: for more cells than the design has pixels, or more than 64 in all.
    """
    shape = planar(task.train.design_shape)
    if not (1 <= cells[0] <= shape[0] and 1 <= cells[1] <= shape[1] and cells[0] * cells[1] <= 64):
        raise ValueError(f"Expected cells within {shape}, 64 at most in all. Got {cells}; average over larger ones.")
    started, codec, level = time.process_time(), task.codec, task.train.reference
    device, weight = pick_device("cpu"), task.config.gradient_weight
    n_inputs, n_outputs = cells[0] * cells[1], codec.n_outputs
    parts = split(Dataset({level: task.train.levels[level]}), 0.25, int(rng.integers(2**31)))
    wrap = partial(_surrogate, shape, cells, n_outputs)
    probe = wrap(NeatNetwork(Genome.minimal(n_inputs, n_outputs, Innovations(), rng)))
    train_on, judge_by, held_out = (
        prepare(probe, codec, data, device) for data in (parts[0].levels[level], parts[1].levels[level], task.held_out)
    )
    everything = np.arange(len(train_on.pooled))

    def error(data: LevelTensors, network: NeatNetwork) -> float:
        value, cosine = data.score(wrap(network))
        return monitored({"value_error": value, "gradient_cosine": cosine}, task.config.monitor)

    with torch_threads(1):
        evolved = evolve(
            neat, n_inputs, n_outputs,
            lambda network: batch_loss(wrap(network), train_on, everything, weight, rng),
            partial(error, judge_by), rng,
        )  # fmt: skip
        network = NeatNetwork(evolved.genome)
        final = error(held_out, network)
    return NeatSurrogate(wrap(network), evolved, final, time.process_time() - started)


def _surrogate(shape: tuple[int, int], cells: Sequence[int], n_outputs: int, network: NeatNetwork) -> SurrogateNetwork:
    """The genome's network behind the pooling, its outputs as they are."""
    whole = SurrogateNetwork(shape, (cells[0], cells[1]), network, n_outputs, n_outputs)
    with torch.no_grad():
        whole.head.weight.copy_(torch.eye(n_outputs))
        whole.head.bias.zero_()
    whole.head.requires_grad_(False)
    return whole
