"""Modules and blueprints co-evolved: networks are blueprints with a module in every place.

Miikkulainen et al., "Evolving deep neural networks", 2017 (arXiv 1703.00548), section 3.2 (CoDeepNEAT).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

import numpy as np

from surrogates.architecture import Architecture
from surrogates.nas.lab import Lab, check_rung
from surrogates.nas.methods.species import offspring, ranks, speciate
from surrogates.nas.space import ArchitectureSpace
from surrogates.networks import IDENTITY, OPERATIONS

Parent = TypeVar("Parent")
Module = tuple[int, ...]
"""A short chain of operations, by their numbers in the space."""


@dataclass(frozen=True)
class Blueprint:
    """Which species of module goes where, and the genes that are not operations.

    Args:
        species: numbers, in order.
        rest: codes of the space's other genes.
    """

    species: tuple[int, ...]
    rest: tuple[int, ...]


@dataclass(frozen=True)
class CoDeepNeat:
    """Two populations; a network's error counts for its blueprint and for every module in it.

    Args:
        modules, blueprints: sizes of the populations.
        module_length: operations of a module, at most.
        species: of modules, at most.
        threshold: distance within a species.
        assemblies: networks made of each blueprint a generation.
        generations: at most; a budget ends the search before.
        crossover: share of children with two parents.
        rung: at which networks are asked.
    """

    modules: int = 12
    blueprints: int = 6
    module_length: int = 2
    species: int = 4
    threshold: float = 0.5
    assemblies: int = 1
    generations: int = 100
    crossover: float = 0.3
    rung: int = -1
    name: str = "codeepneat"

    def __post_init__(self) -> None:
        for name in ("modules", "blueprints", "module_length", "species", "assemblies", "generations"):
            if getattr(self, name) < 1:
                raise ValueError(f"Expected {name} of at least 1. Got {getattr(self, name)}.")
        if not self.threshold >= 0 or not 0 <= self.crossover <= 1:
            raise ValueError(
                f"Expected a threshold of at least 0 and a crossover in [0, 1]. Got {self.threshold} and "
                f"{self.crossover}."
            )

    def __call__(self, lab: Lab, rng: np.random.Generator) -> None:
        """Generation after generation.

        Raises:
            ValueError: for a rung that the lab has not.
        """
        check_rung(lab.rungs, self.rung)
        evolution = CoEvolution(self, lab.space, rng)
        for _ in range(self.generations):
            evolution.generation(lab)


def distance(first: Module, second: Module) -> float:
    """Least insertions, deletions and replacements from one to the other, over the longer one's length."""
    row = list(range(len(second) + 1))
    for i, a in enumerate(first, start=1):
        before, row[0] = row[0], i
        for j, b in enumerate(second, start=1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (a != b))
    return row[-1] / max(len(first), len(second), 1)


def assemble(space: ArchitectureSpace, blueprint: Blueprint, chosen: Mapping[int, Module]) -> Architecture:
    """The network: every place of a species holds the same module; what is beyond the space's length is cut off."""
    chain = [code for species in blueprint.species for code in chosen[species]]
    if (IDENTITY, 0) in space.operations:
        chain += [space.operations.index((IDENTITY, 0))] * space.length
    else:
        chain *= space.length
    return space.decode((*chain[: space.length], *blueprint.rest))


@dataclass(eq=False)
class CoEvolution:
    """The two populations as they change.

    Args:
        method, space, rng: of the search.
    """

    method: CoDeepNeat
    space: ArchitectureSpace
    rng: np.random.Generator
    modules: dict[int, list[Module]] = field(init=False)
    blueprints: list[Blueprint] = field(init=False)

    def __post_init__(self) -> None:
        drawn = [self._module() for _ in range(self.method.modules)]
        self.modules = speciate(drawn, {}, distance, self.method.threshold, self.method.species)
        self.blueprints = [self._blueprint() for _ in range(self.method.blueprints)]

    @cached_property
    def usable(self) -> list[int]:
        """Numbers of the operations a module may hold."""
        names = [name for name, _ in self.space.operations]
        stems = self.space.stems
        found = [k for k, name in enumerate(names) if name != IDENTITY and OPERATIONS[name].stem in stems]
        if not found:
            raise ValueError(f"Expected a space with operations behind its stems {stems}. Got {names}.")
        return found

    def generation(self, lab: Lab) -> None:
        """Networks asked, blame given, both populations renewed."""
        of_blueprints: list[list[float]] = [[] for _ in self.blueprints]
        of_modules: dict[tuple[int, int], list[float]] = {}
        for number, blueprint in enumerate(self.blueprints):
            for _ in range(self.method.assemblies):
                placed = self._placed(blueprint)
                if placed is None:
                    continue
                chosen = {species: self.modules[species][k] for species, k in placed.items()}
                error = lab.ask(assemble(self.space, blueprint, chosen), self.method.rung).error
                of_blueprints[number].append(error)
                for place in placed.items():
                    of_modules.setdefault(place, []).append(error)
        self._renew_modules({place: float(np.mean(errors)) for place, errors in of_modules.items()})
        self._renew_blueprints([float(np.mean(errors)) if errors else float("inf") for errors in of_blueprints])

    def _placed(self, blueprint: Blueprint) -> dict[int, int] | None:
        """One module of each species, by number, such that the network is within the cap; None if there is none."""
        for _ in range(50):
            placed = {species: int(self.rng.integers(len(self.modules[species]))) for species in blueprint.species}
            chosen = {species: self.modules[species][k] for species, k in placed.items()}
            if self.space.admits(assemble(self.space, blueprint, chosen)):
                return placed
        return None

    def _renew_modules(self, errors: Mapping[tuple[int, int], float]) -> None:
        """A module's error is the mean of the networks it was in; one that was in none counts as the median."""
        places = [(species, k) for species, members in self.modules.items() for k in range(len(members))]
        middle = float(np.median(list(errors.values()))) if errors else 0.0
        fitness = dict(zip(places, ranks([errors.get(place, middle) for place in places]), strict=True))
        by_species = {s: [fitness[s, k] for k in range(len(members))] for s, members in self.modules.items()}
        children: list[Module] = []
        for species, count in offspring(by_species, self.method.modules).items():
            order = np.argsort([-f for f in by_species[species]], kind="stable")
            ranked = [self.modules[species][k] for k in order]
            children += ranked[: min(count, 1)]
            parents = ranked[: (len(ranked) + 1) // 2]
            children += [self._child_module(parents) for _ in range(count - 1)]
        drawn = {s: members[self.rng.integers(len(members))] for s, members in self.modules.items()}
        self.modules = speciate(children, drawn, distance, self.method.threshold, self.method.species)

    def _renew_blueprints(self, errors: Sequence[float]) -> None:
        ranked = [self.blueprints[k] for k in np.argsort(errors, kind="stable")]
        parents = ranked[: (len(ranked) + 1) // 2]
        children = ranked[: max(1, len(ranked) // 5)]
        children += [self._child_blueprint(parents) for _ in range(len(ranked) - len(children))]
        self.blueprints = [self._repaired(blueprint) for blueprint in children]

    def _module(self) -> Module:
        length = int(self.rng.integers(1, self.method.module_length + 1))
        return tuple(self._operation() for _ in range(length))

    def _operation(self) -> int:
        return self.usable[self.rng.integers(len(self.usable))]

    def _blueprint(self) -> Blueprint:
        length = int(self.rng.integers(1, self.space.length + 1))
        rest = tuple(int(self.rng.integers(n)) for n in self.space.options[self.space.length :])
        return Blueprint(tuple(self._species() for _ in range(length)), rest)

    def _species(self) -> int:
        return int(self.rng.choice(list(self.modules)))

    def _child_module(self, parents: Sequence[Module]) -> Module:
        child = self._any(parents)
        if self.rng.random() < self.method.crossover:
            other = self._any(parents)
            cut = int(self.rng.integers(len(child) + 1))
            child = (child[:cut] + other[cut:])[: self.method.module_length] or other
        k = int(self.rng.integers(len(child)))
        kind = self.rng.random()
        if kind < 0.2 and len(child) < self.method.module_length:
            return (*child[:k], self._operation(), *child[k:])
        if kind < 0.4 and len(child) > 1:
            return child[:k] + child[k + 1 :]
        return (*child[:k], self._operation(), *child[k + 1 :])

    def _child_blueprint(self, parents: Sequence[Blueprint]) -> Blueprint:
        child = self._any(parents)
        if self.rng.random() < self.method.crossover:
            other = self._any(parents)
            cut = int(self.rng.integers(len(child.species) + 1))
            joined = (child.species[:cut] + other.species[cut:])[: self.space.length] or other.species
            rest = tuple(a if self.rng.random() < 0.5 else b for a, b in zip(child.rest, other.rest, strict=True))
            child = Blueprint(joined, rest)
        k = int(self.rng.integers(len(child.species)))
        kind = self.rng.random()
        genes = [g for g, n in enumerate(self.space.options[self.space.length :]) if n > 1]
        if kind < 0.25 and len(child.species) < self.space.length:
            return Blueprint((*child.species[:k], self._species(), *child.species[k:]), child.rest)
        if kind < 0.5 and len(child.species) > 1:
            return Blueprint(child.species[:k] + child.species[k + 1 :], child.rest)
        if kind < 0.75 and genes:
            gene = genes[self.rng.integers(len(genes))]
            value = int(self.rng.integers(self.space.options[self.space.length + gene]))
            return Blueprint(child.species, (*child.rest[:gene], value, *child.rest[gene + 1 :]))
        return Blueprint((*child.species[:k], self._species(), *child.species[k + 1 :]), child.rest)

    def _repaired(self, blueprint: Blueprint) -> Blueprint:
        """Places of species that died out point to others."""
        species = tuple(s if s in self.modules else self._species() for s in blueprint.species)
        return Blueprint(species, blueprint.rest)

    def _any(self, parents: Sequence[Parent]) -> Parent:
        return parents[int(self.rng.integers(len(parents)))]
