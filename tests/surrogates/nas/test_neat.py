"""NEAT: grown structure, aligned crossover, species that protect what is new; CoDeepNEAT's two populations."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from surrogates import Dataset, TrainingConfig
from surrogates.nas.cache import TrialCache
from surrogates.nas.lab import BudgetSpent, search_with
from surrogates.nas.live import LiveLab, Task
from surrogates.nas.methods import neat, neat_evolution
from surrogates.nas.methods.codeepneat import Blueprint, CoDeepNeat, CoEvolution, assemble, distance
from surrogates.nas.methods.neat import Neat, NeatNetwork, evolve, grown, neat_surrogate
from surrogates.nas.methods.neat_evolution import mutated, next_generation
from surrogates.nas.methods.neat_genome import (
    Compatibility,
    Connection,
    Genome,
    Innovations,
    add_connection,
    add_node,
    crossover,
    perturb,
)
from surrogates.nas.methods.species import offspring, ranks, speciate
from surrogates.nas.space import ArchitectureSpace, Cap
from surrogates.nas.table import TableLab
from tests.surrogates.nas.problems import RUNGS, SMALL, made_up_table, ticking
from tests.surrogates.toy import Toy, level_data

INPUTS = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
XOR = torch.tensor([[0.0], [1.0], [1.0], [0.0]])


def loss(network):
    return ((network(INPUTS) - XOR) ** 2).mean()


@pytest.mark.parametrize("seed", [1, 3])
def test_xor_is_solved_by_hidden_nodes_grown_from_none(seed):
    method = Neat(population=16, generations=25, goal=0.01)
    found = evolve(method, 2, 1, loss, lambda network: float(loss(network).detach()), np.random.default_rng(seed))
    # A linear network is at 0.25 at best.
    assert found.errors[0] == pytest.approx(0.25, abs=0.01) and found.error < 0.01
    assert len(found.genome.hidden) >= 1
    predicted = NeatNetwork(found.genome)(INPUTS).detach()
    assert ((predicted > 0.5) == (XOR > 0.5)).all()


def test_weights_trained_are_inherited():
    method = Neat(
        population=4, generations=3, steps=20, jitter=0.0, new_node=0.0, new_connection=0.0, learning_rate=0.01
    )
    linear = INPUTS @ torch.tensor([[2.0], [-1.0]]) + 0.5

    def far(network):
        return ((network(INPUTS) - linear) ** 2).mean()

    found = evolve(method, 2, 1, far, lambda network: float(far(network).detach()), np.random.default_rng(0))
    assert found.errors[0] > found.errors[1] > found.errors[2]


def test_the_same_change_has_the_same_innovation_number():
    innovations, rng = Innovations(), np.random.default_rng(0)
    start = Genome.minimal(1, 1, innovations, rng)
    one, two = (add_node(start, innovations, np.random.default_rng(s)) for s in (1, 2))
    assert one.connections.keys() == two.connections.keys() and one.hidden.keys() == two.hidden.keys()
    other = add_node(one, innovations, rng)
    assert len(set(other.connections) - set(two.connections)) == 3


def test_crossover_aligns_parents_by_innovation():
    innovations, rng = Innovations(), np.random.default_rng(0)
    start = Genome.minimal(2, 1, innovations, rng)
    one = add_node(perturb(start, 1.0, rng), innovations, rng)
    two = add_connection(
        add_node(add_node(perturb(start, 1.0, rng), innovations, rng), innovations, rng), innovations, rng
    )
    for fitter, other in ((one, two), (two, one)):
        child = crossover(fitter, other, rng)
        assert child.connections.keys() == fitter.connections.keys() and child.hidden.keys() == fitter.hidden.keys()
        for number, gene in child.connections.items():
            own = fitter.connections[number]
            twins = {own.weight} | ({other.connections[number].weight} if number in other.connections else set())
            assert (gene.source, gene.target) == (own.source, own.target) and gene.weight in twins
        assert torch.isfinite(NeatNetwork(child)(INPUTS)).all()
    mixed = Counter(
        crossover(one, two, np.random.default_rng(s)).connections[0].weight == one.connections[0].weight
        for s in range(60)
    )
    assert 15 < mixed[True] < 45


def test_a_split_connection_and_what_grows_stays_without_rings():
    innovations, rng = Innovations(), np.random.default_rng(0)
    genome = Genome.minimal(3, 2, innovations, rng)
    for _ in range(12):
        genome = add_connection(add_node(genome, innovations, rng), innovations, rng)
        place = {node: k for k, node in enumerate(genome.order)}
        assert all(place.get(c.source, -1) < place[c.target] for c in genome.connections.values())
    assert len(genome.hidden) > 5 and sum(not c.enabled for c in genome.connections.values()) == len(genome.hidden)
    ring = {0: Connection(3, 4, 1.0), 1: Connection(4, 3, 1.0)}
    with pytest.raises(ValueError, match="without rings"):
        _ = Genome(1, 1, {3: "tanh", 4: "tanh"}, ring).order


def test_distance_counts_excess_disjoint_and_weights():
    innovations, rng = Innovations(), np.random.default_rng(0)
    start = Genome.minimal(2, 1, innovations, rng)
    moved = start.with_weights({n: c.weight + 0.5 for n, c in start.connections.items()})
    assert Compatibility(weights=0.4)(start, moved) == pytest.approx(0.2)
    grown = add_node(start, innovations, rng)
    assert Compatibility(excess=2.0, weights=0.0)(start, grown) == pytest.approx(2.0 * 3 / 6)
    later = Genome(2, 1, grown.hidden, {n: c for n, c in grown.connections.items() if n not in (0, 3)})
    assert Compatibility(1.0, 10.0, 0.0)(start, later) == pytest.approx((2 + 10 * 1) / 4)


def test_species_protect_a_new_structure():
    # Nineteen alike, and one with a new node that is the worst as yet.
    innovations, rng = Innovations(), np.random.default_rng(0)
    start = Genome.minimal(2, 1, innovations, rng)
    old = [perturb(start, 0.01, rng) for _ in range(19)]
    new = add_node(start, innovations, rng)
    fitness = dict(zip(map(id, [*old, new]), ranks([0.2] * 19 + [0.3]), strict=True))
    method = Neat(population=20, new_node=0.0, new_connection=0.0, new_activation=0.0)

    def with_hidden(threshold):
        species = speciate([*old, new], {}, method.compatibility, threshold)
        ranked = {s: [(g, float(fitness[id(g)])) for g in members] for s, members in species.items()}
        return sum(bool(child.hidden) for child in next_generation(method, ranked, innovations, rng))

    assert fitness[id(new)] < fitness[id(old[0])] == 1.0
    assert with_hidden(threshold=100.0) == 0
    assert with_hidden(threshold=0.3) >= 1


def test_species_share_their_fitness():
    counts = offspring({0: [1.0] * 18, 1: [1.0, 1.0]}, 20)
    assert counts == {0: 10, 1: 10}
    assert offspring({0: [3.0], 1: [1.0]}, 8) == {0: 6, 1: 2}
    assert sum(offspring({k: [k + 0.5] for k in range(7)}, 10).values()) == 10


@pytest.fixture(scope="module")
def task():
    train = Dataset({0: level_data(Toy(), runs=15, steps=6, seed=1, gradients=True)})
    held_out = level_data(Toy(), runs=3, steps=6, seed=2, gradients=True, first_group=100)
    return Task(train, held_out, TrainingConfig(gradient_weight=0.1), RUNGS)


def test_a_grown_surrogate_learns_a_response(task):
    method = Neat(population=6, generations=4, steps=15)
    found = neat_surrogate(method, task, (3, 3), np.random.default_rng(2))
    # 1 is what a network that knows nothing of the design has.
    assert found.evolved.errors[-1] < 0.95 * found.evolved.errors[0] and found.error < 0.9
    designs = torch.rand(2, 24, 20, requires_grad=True)
    (gradient,) = torch.autograd.grad(found.network(designs).sum(), designs)
    assert found.network(designs).shape == (2, 7) and gradient.abs().max() > 0
    with pytest.raises(ValueError, match="cells"):
        neat_surrogate(method, task, (30, 3), np.random.default_rng(0))


GROWING = Neat(population=4, generations=3, steps=3, new_node=0.6, new_connection=0.6)


def grown_on(lab, method=GROWING):
    return grown(method, lab, (2, 2), np.random.default_rng(0))


def test_the_budget_ends_the_growth_with_the_best_until_then(task, monkeypatch):
    ticking(monkeypatch)  # 1 s a generation, and 1 s to breed it
    whole = grown_on(LiveLab(SMALL, task))
    assert whole.spent == (2.0, 4.0, 6.0) and whole.cpu_seconds == 6.0 and len(whole.evolved.errors) == 3
    lab = LiveLab(SMALL, task, budget_cpu_seconds=3.5)
    partly = grown_on(lab)
    assert partly.evolved.errors == whole.evolved.errors[:2] and partly.spent == (2.0, 4.0)
    assert partly.evolved.error == min(partly.evolved.errors) and np.isfinite(partly.error)
    assert lab.spent == partly.cpu_seconds == 4.0 and not lab.trials
    for spent in (4.0, 10.0):
        lab.spent = spent
        with pytest.raises(BudgetSpent):
            grown_on(lab)
    with pytest.raises(TypeError, match="LiveLab"):
        grown_on(TableLab(made_up_table()))


def test_generations_in_the_cache_are_not_trained_again_and_charged_alike(task, monkeypatch, tmp_path):
    first = grown_on(LiveLab(SMALL, task, cache=TrialCache(tmp_path)))
    trained = []

    def improved(*given):
        trained.append(given[0])
        return neat_evolution.improved(*given)

    monkeypatch.setattr(neat, "improved", improved)
    for budget, generations in ((float("inf"), 3), (0.9 * first.spent[0], 1)):
        again = grown_on(LiveLab(SMALL, task, budget, TrialCache(tmp_path)))
        assert not trained and again.evolved.errors == first.evolved.errors[:generations]
        assert again.cpu_seconds > 0.5 * first.spent[generations - 1]
    whole = grown_on(LiveLab(SMALL, task, cache=TrialCache(tmp_path)))
    designs = torch.rand(2, 24, 20)
    assert torch.equal(whole.network(designs), first.network(designs)) and whole.error == first.error
    for other in (replace(task, config=replace(task.config, gradient_weight=0.2)), task):
        method = GROWING if other is not task else replace(GROWING, steps=4)
        grown_on(LiveLab(SMALL, other, cache=TrialCache(tmp_path)), method)
        assert len(trained) == 12
        trained.clear()


def test_the_cap_holds_for_what_grows(task):
    def largest(**cap):
        capped = ArchitectureSpace(cap=Cap((24, 20), 7, **cap)) if cap else ArchitectureSpace()
        genome = grown_on(LiveLab(capped, task), replace(GROWING, generations=5, steps=1, price=-1.0)).evolved.genome
        return sum(p.numel() for p in NeatNetwork(genome).parameters())

    # 35 connections are there from the first.
    assert largest() > 37 and 35 <= largest(parameters=37) <= 37
    around = 2 * (2 * 24 * 20 + 2 * 20 * 2) + 2 * 7 * 7
    assert 35 <= largest(flops=around + 2 * 36) <= 36
    for cap in ({"parameters": 34}, {"flops": around + 2 * 34}):
        with pytest.raises(ValueError, match="34 connections"):
            largest(**cap)


def test_changes_beyond_the_connections_allowed_are_left_out():
    innovations, rng = Innovations(), np.random.default_rng(0)
    method = Neat(new_node=1.0, new_connection=1.0, max_connections=8)
    genome = Genome.minimal(2, 1, innovations, rng)
    for _ in range(10):
        genome = mutated(genome, method, innovations, rng)
        assert genome.n_enabled <= 8
    assert genome.n_enabled >= 7 and genome.hidden


@pytest.mark.parametrize("bad", [{"population": 0}, {"generations": 0}, {"steps": -1}, {"learning_rate": 0.0}])
def test_numbers_that_leave_no_evolution_are_refused(bad):
    with pytest.raises(ValueError, match="at least 1"):
        Neat(**bad)


def test_a_module_comes_back_in_every_place_of_its_species():
    space = ArchitectureSpace(length=4, widths=(8, 12))
    rest = (1,) + (0,) * (len(space.options) - 5)
    made = assemble(space, Blueprint((7, 3, 7), rest), {7: (2,), 3: (0, 1)})
    assert [block.operation for block in made.blocks] == ["residual", "spectral", "factorised", "residual"]
    assert made.blocks[0].width == 12
    assert distance((1, 2), (1,)) == 0.5 and distance((1,), (2,)) == 1.0 and distance((1, 2), (1, 2)) == 0.0


def test_an_error_counts_for_every_module_in_the_network():
    # Networks with operation 0 are bad, all others good: the modules that hold it get rarer.
    space = made_up_table().space

    def holding(judge):
        class Judge:
            def ask(self, architecture, rung):
                return type("Trial", (), {"error": judge(architecture)})

        shares = []
        for seed in range(6):
            evolution = CoEvolution(CoDeepNeat(modules=20, assemblies=2), space, np.random.default_rng(seed))
            for _ in range(12):
                evolution.generation(Judge())
                members = [module for species in evolution.modules.values() for module in species]
                assert len(members) == 20
                shares.append(np.mean([0 in module for module in members]))
        return np.mean(shares)

    def bad(architecture):
        return float(any(block.operation == "spectral" for block in architecture.blocks))

    assert holding(bad) < 0.75 * holding(lambda architecture: 1.0)


def test_coevolution_finds_better_networks_than_chance():
    class Chance:
        name = "chance"

        def __call__(self, lab, rng):
            while True:
                lab.ask(lab.space.sample(rng))

    errors = {"codeepneat": [], "chance": []}
    for number in range(3):
        table = made_up_table(seed=number)
        budget = 60 * float(table.cpu_seconds.sum(axis=1).mean())
        for method in (CoDeepNeat(), Chance()):
            errors[method.name] += [search_with(method, TableLab(table, budget), s).error for s in range(12)]
    assert np.mean(errors["codeepneat"]) < np.mean(errors["chance"]) - 0.02


def test_coevolution_keeps_to_the_cap():
    space = ArchitectureSpace(length=2, widths=(4, 8), resolutions=(6,), cap=Cap((24, 20), 3, 6000))
    evolution = CoEvolution(CoDeepNeat(), space, np.random.default_rng(0))
    asked = []

    class Asks:
        def ask(self, architecture, rung):
            asked.append(architecture)
            return type("Trial", (), {"error": 1.0})

    evolution.generation(Asks())
    assert asked and all(space.admits(architecture) for architecture in asked)
