"""NEAT with gradients: small networks that grow from none, their weights trained and handed on.

Stanley & Miikkulainen, "Evolving neural networks through augmenting topologies", Evolutionary Computation 10 (2002);
weights are trained by gradient descent in every generation and inherited (Lamarck); hidden nodes have mixed
activations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from surrogates.nas.lab import BudgetSpent
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
        max_connections: enabled; a change that makes more is left out. None for as many as come.

    Raises:
        ValueError: for numbers that leave no evolution.
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
    max_connections: int | None = None

    def __post_init__(self) -> None:
        if min(self.population, self.generations, self.species) < 1 or self.steps < 0 or not self.learning_rate > 0:
            raise ValueError(
                "Expected population, generations and species of at least 1, steps of at least 0 and a learning_rate "
                f"above 0. Got {self}."
            )


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


Judge = Callable[[Sequence[Genome]], Sequence[tuple[Genome, float]]]


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

    Raises:
        ValueError: where networks without hidden nodes have more than ``max_connections``.
    """
    return evolve_by(
        neat, n_inputs, n_outputs, lambda genomes: [improved(genome, neat, loss, error) for genome in genomes], rng
    )


def evolve_by(neat: Neat, n_inputs: int, n_outputs: int, judge: Judge, rng: np.random.Generator) -> Evolved:
    """As ``evolve``, each generation trained and judged by a function.

    Args:
        judge: genomes -> the same in their order, weights as trained, with their errors. ``BudgetSpent`` of it ends the
            evolution with what was found until then.

    Raises:
        ValueError: where networks without hidden nodes have more than ``max_connections``.
        BudgetSpent: if it comes before the first generation was judged.
    """
    innovations = Innovations()
    genomes = [Genome.minimal(n_inputs, n_outputs, innovations, rng) for _ in range(neat.population)]
    if not _fits(genomes[0], neat):
        raise ValueError(
            f"Expected at most {neat.max_connections} connections. Got {genomes[0].n_enabled} of {n_inputs} inputs, "
            f"and the one, to {n_outputs} outputs; allow more, or give fewer inputs."
        )
    representatives: dict[int, Genome] = {}
    best, best_error = genomes[0], float("inf")
    errors: list[float] = []
    counts: list[int] = []
    threshold = neat.threshold
    with suppress(BudgetSpent):
        for _ in range(neat.generations):
            judged = judge(genomes)
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
            fitness = dict(zip(map(id, genomes), ranks([e + neat.price * g.n_enabled for g, e in judged]), strict=True))
            representatives = {s: members[rng.integers(len(members))] for s, members in species.items()}
            ranked = {s: [(g, float(fitness[id(g)])) for g in members] for s, members in species.items()}
            genomes = next_generation(neat, ranked, innovations, rng)
    if not errors:
        raise BudgetSpent("The budget was spent before a generation of networks was trained.")
    return Evolved(best, best_error, tuple(errors), tuple(counts))


def improved(
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
        larger = add_node(genome, innovations, rng)
        genome = larger if _fits(larger, neat) else genome
    if rng.random() < neat.new_connection:
        larger = add_connection(genome, innovations, rng)
        genome = larger if _fits(larger, neat) else genome
    if rng.random() < neat.new_activation:
        genome = change_activation(genome, rng)
    return genome


def _fits(genome: Genome, neat: Neat) -> bool:
    return neat.max_connections is None or genome.n_enabled <= neat.max_connections


def train(genome: Genome, neat: Neat, loss: Callable[[NeatNetwork], Tensor]) -> Genome:
    """The genome with trained weights; as it was if training diverges."""
    network = NeatNetwork(genome)
    optimiser = torch.optim.Adam(network.parameters(), lr=neat.learning_rate)
    for _ in range(neat.steps):
        optimiser.zero_grad()
        loss(network).backward()
        optimiser.step()
    return network.trained() if bool(torch.isfinite(network.weights).all()) else genome
