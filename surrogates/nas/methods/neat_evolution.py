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
from torch import Tensor

from surrogates.nas.lab import BudgetSpent
from surrogates.nas.methods.neat_genome import (
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
from surrogates.networks import Graph, SurrogateNetwork


@dataclass(frozen=True)
class Growth:
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
        leaders: the best genome of each graph with its error, best first.
        errors: of the best of each generation.
        species: their number in each generation.
    """

    genome: Genome
    error: float
    leaders: tuple[tuple[Genome, float], ...]
    errors: tuple[float, ...]
    species: tuple[int, ...]


Judge = Callable[[Sequence[Genome]], Sequence[tuple[Genome, float]]]
Loss = Callable[[SurrogateNetwork], Tensor]
Error = Callable[[SurrogateNetwork], float]


def evolve(
    growth: Growth, n_inputs: int, n_outputs: int, loss: Loss, error: Error, rng: np.random.Generator
) -> Evolved:
    """Networks of ``b x n_inputs`` numbers in [0, 1] that make the error small; all begin without hidden nodes.

    Args:
        loss: to be trained on, differentiable.
        error: to be judged by.
    """

    def judge(genomes: Sequence[Genome]) -> list[tuple[Genome, float]]:
        return [improved(genome, growth, (1, n_inputs), loss, error) for genome in genomes]

    return evolve_by(growth, (1, n_inputs), n_outputs, judge, rng)


def evolve_by(
    growth: Growth,
    cells: tuple[int, int],
    n_outputs: int,
    judge: Judge,
    rng: np.random.Generator,
    admits: Callable[[Genome], bool] = lambda genome: True,
) -> Evolved:
    """As ``evolve``, each generation trained and judged by a function.

    Args:
        judge: genomes -> the same in their order, weights as trained, with their errors. ``BudgetSpent`` of it ends the
            evolution with what was found until then.
        admits: whether a genome is small enough; a change that makes it larger is left out.

    Raises:
        BudgetSpent: if it comes before the first generation was judged.
    """
    innovations = Innovations()
    genomes = [Genome.minimal(cells, n_outputs, innovations, rng) for _ in range(growth.population)]
    leaders: dict[Graph, tuple[Genome, float]] = {}
    representatives: dict[int, Genome] = {}
    errors: list[float] = []
    counts: list[int] = []
    threshold = growth.threshold
    with suppress(BudgetSpent):
        for _ in range(growth.generations):
            judged = judge(genomes)
            genomes, found = [genome for genome, _ in judged], [e for _, e in judged]
            for genome, error in judged:
                if genome.graph not in leaders or error < leaders[genome.graph][1]:
                    leaders[genome.graph] = (genome, error)
            species = speciate(genomes, representatives, growth.compatibility, threshold, 2 * growth.species)
            threshold *= 0.8 if len(species) < growth.species else 1.25 if len(species) > growth.species else 1.0
            errors.append(min(found))
            counts.append(len(species))
            if min(errors) <= growth.goal:
                break
            fitness = dict(
                zip(map(id, genomes), ranks([e + growth.price * g.n_enabled for g, e in judged]), strict=True)
            )
            representatives = {s: members[rng.integers(len(members))] for s, members in species.items()}
            ranked = {s: [(g, float(fitness[id(g)])) for g in members] for s, members in species.items()}
            genomes = next_generation(growth, ranked, innovations, rng, admits)
    if not errors:
        raise BudgetSpent("The budget was spent before a generation of networks was trained.")
    best = tuple(sorted(leaders.values(), key=lambda leader: leader[1]))
    return Evolved(*best[0], best, tuple(errors), tuple(counts))


def improved(genome: Genome, growth: Growth, shape: tuple[int, int], loss: Loss, error: Error) -> tuple[Genome, float]:
    """The genome with weights as trained, or as they were if those are better, and their error.

    Args:
        shape: of the designs.
    """
    network = genome.network(shape)
    before = error(network)
    optimiser = torch.optim.Adam(network.parameters(), lr=growth.learning_rate)
    for _ in range(growth.steps):
        optimiser.zero_grad()
        loss(network).backward()
        optimiser.step()
    after = error(network)
    if before < after or not np.isfinite(after):
        return genome, before if np.isfinite(before) else float("inf")
    return genome.with_weights_of(network), after


def next_generation(
    growth: Growth,
    species: dict[int, list[tuple[Genome, float]]],
    innovations: Innovations,
    rng: np.random.Generator,
    admits: Callable[[Genome], bool] = lambda genome: True,
) -> list[Genome]:
    """Children of each species in proportion to its shared fitness; its best is kept as it is."""
    counts = offspring({s: [f for _, f in members] for s, members in species.items()}, growth.population)
    children: list[Genome] = []
    for number, members in species.items():
        ranked = [genome for genome, _ in sorted(members, key=lambda member: -member[1])]
        parents = ranked[: max(1, round(growth.survivors * len(ranked)))]
        children += ranked[: min(counts[number], 1)]
        for _ in range(counts[number] - 1):
            one, two = sorted(rng.integers(len(parents), size=2))
            child = crossover(parents[one], parents[two], rng) if rng.random() < growth.mating else parents[one]
            children.append(mutated(child, growth, innovations, rng, admits))
    return children


def mutated(
    genome: Genome,
    growth: Growth,
    innovations: Innovations,
    rng: np.random.Generator,
    admits: Callable[[Genome], bool] = lambda genome: True,
) -> Genome:
    """Weights moved; at times a node, a connection or an activation changed."""
    genome = perturb(genome, growth.jitter, rng)
    if rng.random() < growth.new_node:
        larger = add_node(genome, innovations, rng)
        genome = larger if admits(larger) else genome
    if rng.random() < growth.new_connection:
        larger = add_connection(genome, innovations, rng)
        genome = larger if admits(larger) else genome
    if rng.random() < growth.new_activation:
        genome = change_activation(genome, rng)
    return genome
