"""NEAT: grown structure, aligned crossover, species that protect what is new; CoDeepNEAT's two populations."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from surrogates import Architecture, Dataset, LevelData, TrainingConfig
from surrogates.nas.cache import TrialCache
from surrogates.nas.choice import by_method
from surrogates.nas.lab import BudgetSpent, Rung, search_with
from surrogates.nas.live import LiveLab, Task
from surrogates.nas.methods import evolve, neat, neat_evolution
from surrogates.nas.methods.codeepneat import Blueprint, CoDeepNeat, CoEvolution, assemble, distance
from surrogates.nas.methods.neat import Neat, grown
from surrogates.nas.methods.neat_evolution import Growth, mutated, next_generation
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


def outputs(genome, x):
    return genome.network((1, genome.n_inputs))(x).detach()


def loss(network):
    return ((network(INPUTS) - XOR) ** 2).mean()


@pytest.mark.parametrize("seed", [1, 3])
def test_xor_is_solved_by_hidden_nodes_grown_from_none(seed):
    method = Growth(population=16, generations=25, goal=0.01)
    found = evolve(method, 2, 1, loss, lambda network: float(loss(network).detach()), np.random.default_rng(seed))
    # A linear network is at 0.25 at best.
    assert found.errors[0] == pytest.approx(0.25, abs=0.01) and found.error < 0.01
    assert len(found.genome.hidden) >= 1
    predicted = outputs(found.genome, INPUTS)
    assert ((predicted > 0.5) == (XOR > 0.5)).all()


def test_weights_trained_are_inherited():
    method = Growth(
        population=4, generations=3, steps=20, jitter=0.0, new_node=0.0, new_connection=0.0, learning_rate=0.01
    )
    linear = INPUTS @ torch.tensor([[2.0], [-1.0]]) + 0.5

    def far(network):
        return ((network(INPUTS) - linear) ** 2).mean()

    found = evolve(method, 2, 1, far, lambda network: float(far(network).detach()), np.random.default_rng(0))
    assert found.errors[0] > found.errors[1] > found.errors[2]


def test_the_same_change_has_the_same_innovation_number():
    innovations, rng = Innovations(), np.random.default_rng(0)
    start = Genome.minimal((1, 1), 1, innovations, rng)
    one, two = (add_node(start, innovations, np.random.default_rng(s)) for s in (1, 2))
    assert one.connections.keys() == two.connections.keys() and one.hidden.keys() == two.hidden.keys()
    other = add_node(one, innovations, rng)
    assert len(set(other.connections) - set(two.connections)) == 3


def test_crossover_aligns_parents_by_innovation():
    innovations, rng = Innovations(), np.random.default_rng(0)
    start = Genome.minimal((1, 2), 1, innovations, rng)
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
        assert torch.isfinite(outputs(child, INPUTS)).all()
    mixed = Counter(
        crossover(one, two, np.random.default_rng(s)).connections[0].weight == one.connections[0].weight
        for s in range(60)
    )
    assert 15 < mixed[True] < 45


def test_a_split_connection_and_what_grows_stays_without_rings():
    innovations, rng = Innovations(), np.random.default_rng(0)
    genome = Genome.minimal((1, 3), 2, innovations, rng)
    for _ in range(12):
        genome = add_connection(add_node(genome, innovations, rng), innovations, rng)
        place = {node: k for k, node in enumerate(genome.order)}
        assert all(place.get(c.source, -1) < place[c.target] for c in genome.connections.values())
    assert len(genome.hidden) > 5 and sum(not c.enabled for c in genome.connections.values()) == len(genome.hidden)
    ring = {0: Connection(3, 4, 1.0), 1: Connection(4, 3, 1.0)}
    with pytest.raises(ValueError, match="without rings"):
        _ = Genome((1, 1), 1, {3: "tanh", 4: "tanh"}, ring).order


def test_distance_counts_excess_disjoint_and_weights():
    innovations, rng = Innovations(), np.random.default_rng(0)
    start = Genome.minimal((1, 2), 1, innovations, rng)
    moved = start.with_weights({n: c.weight + 0.5 for n, c in start.connections.items()})
    assert Compatibility(weights=0.4)(start, moved) == pytest.approx(0.2)
    grown = add_node(start, innovations, rng)
    assert Compatibility(excess=2.0, weights=0.0)(start, grown) == pytest.approx(2.0 * 3 / 6)
    later = Genome((1, 2), 1, grown.hidden, {n: c for n, c in grown.connections.items() if n not in (0, 3)})
    assert Compatibility(1.0, 10.0, 0.0)(start, later) == pytest.approx((2 + 10 * 1) / 4)


def test_species_protect_a_new_structure():
    # Nineteen alike, and one with a new node that is the worst as yet.
    innovations, rng = Innovations(), np.random.default_rng(0)
    start = Genome.minimal((1, 2), 1, innovations, rng)
    old = [perturb(start, 0.01, rng) for _ in range(19)]
    new = add_node(start, innovations, rng)
    fitness = dict(zip(map(id, [*old, new]), ranks([0.2] * 19 + [0.3]), strict=True))
    method = Growth(population=20, new_node=0.0, new_connection=0.0, new_activation=0.0)

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


def halves(n, seed, first_group):
    """The product of what two halves of a design are above a half: no linear network has it."""
    rng = np.random.default_rng(seed)
    designs = np.repeat(rng.random((n, 1, 2)), 3, axis=2) + 0.05 * rng.normal(size=(n, 4, 6))
    designs = np.clip(designs, 0, 1)
    left, right = designs[:, :, :3].mean(axis=(1, 2)) - 0.5, designs[:, :, 3:].mean(axis=(1, 2)) - 0.5
    groups = np.arange(first_group, first_group + n)
    return LevelData.values_only(designs, {"y": (left * right)[:, None]}, groups)


def test_a_search_finds_a_graph_that_beats_the_one_without_hidden_nodes():
    train = Dataset({0: halves(96, 0, 0)})
    task = Task(train, halves(32, 1, 1000), TrainingConfig(batch_size=16), (Rung(40),))
    method = Neat(population=8, generations=6, steps=40, new_node=0.5, new_connection=0.5, cells=(1, 2), finalists=2)
    found = search_with(method, LiveLab(SMALL, task), 0)
    minimal = found.trials[0]
    assert not minimal.architecture.graph.hidden and minimal.error > 0.7
    assert found.best.graph.hidden and found.error < 0.75 * minimal.error
    assert found.learning_rate in method.learning_rates and found.method == "neat"
    assert {trial.rung for trial in found.trials} == {0} and 2 <= len(found.trials) <= 3
    designs = torch.rand(2, 4, 6, requires_grad=True)
    network = found.best.build((4, 6), 1)
    (gradient,) = torch.autograd.grad(network(designs).sum(), designs)
    assert network(designs).shape == (2, 1) and gradient.abs().max() > 0


GROWING = Neat(population=4, generations=3, steps=3, new_node=0.6, new_connection=0.6, cells=(2, 2), learning_rates=())


def grown_on(lab, method=GROWING):
    return grown(method, lab, np.random.default_rng(0))


def test_a_strategy_may_choose_by_it(task):
    choice = by_method(replace(GROWING, generations=1, finalists=1), rungs=(Rung(1),), members=2)
    result = choice.choose(task.train, seed=0)
    assert result.architecture.graph is not None
    assert choice.ensemble(result).architecture == result.architecture


def test_the_budget_leaves_room_for_the_finalists(task, monkeypatch):
    ticking(monkeypatch)  # 1 s a generation, 1 s to breed it, 1 s a rung
    lab = LiveLab(SMALL, task)
    whole = grown_on(lab)
    assert whole.spent == (5.0, 7.0, 9.0) and len(whole.evolved.errors) == 3
    assert {trial.architecture for trial in lab.trials} >= set(whole.finalists) and len(whole.finalists) == 3
    assert [trial.rung for trial in lab.trials] == [2] * len(lab.trials)
    # Trained: 3; kept back: 9; a second generation is begun where twice the 2 of the first are left besides.
    for budget, generations in ((12.5, 1), (18.0, 1), (18.5, 2)):
        lab = LiveLab(SMALL, task, budget)
        partly = grown_on(lab)
        assert partly.evolved.errors == whole.evolved.errors[:generations]
        assert len(lab.trials) >= 1 and lab.spent < budget + 3.0
        assert {trial.architecture for trial in lab.trials} >= set(partly.finalists)
    for budget in (1.0, 11.5):
        lab = LiveLab(SMALL, task, budget)
        found = search_with(GROWING, lab, 0)
        assert len(found.trials) == 1 and not found.best.graph.hidden
    lab.spent = budget
    with pytest.raises(BudgetSpent):
        grown_on(lab)
    with pytest.raises(TypeError, match="LiveLab"):
        grown_on(TableLab(made_up_table()))


def test_what_is_in_the_cache_is_not_trained_again_and_charged_alike(task, monkeypatch, tmp_path):
    lab = LiveLab(SMALL, task, cache=TrialCache(tmp_path))
    first = grown_on(lab)
    trained = []

    def improved(*given):
        trained.append(given[0])
        return neat_evolution.improved(*given)

    monkeypatch.setattr(neat, "improved", improved)
    again = LiveLab(SMALL, task, cache=TrialCache(tmp_path))
    second = grown_on(again)
    assert not trained and second.evolved.errors == first.evolved.errors and second.finalists == first.finalists
    assert [trial.error for trial in again.trials] == [trial.error for trial in lab.trials]
    assert again.spent > 0.5 * lab.spent
    for other in (replace(task, config=replace(task.config, gradient_weight=0.2)), task):
        method = GROWING if other is not task else replace(GROWING, steps=4)
        grown_on(LiveLab(SMALL, other, cache=TrialCache(tmp_path)), method)
        assert len(trained) == 12
        trained.clear()


def test_the_cap_holds_for_what_grows(task):
    growing = replace(GROWING, generations=5, steps=0, price=-1.0)

    def asked(**cap):
        capped = ArchitectureSpace(cap=Cap((24, 20), 7, **cap)) if cap else ArchitectureSpace()
        lab = LiveLab(capped, replace(task, rungs=(Rung(1),)))
        found = grown_on(lab, growing)
        graphs = [Architecture(graph=genome.graph) for genome, _ in found.evolved.leaders]
        assert {trial.architecture for trial in lab.trials} <= {*graphs, lab.trials[0].architecture}
        return graphs

    def largest(graphs):
        return max(graph.n_parameters((24, 20), 7) for graph in graphs)

    # 35 parameters are there from the first.
    assert largest(asked()) > 37 and 35 <= largest(asked(parameters=37)) <= 37
    around = 2 * (2 * 24 * 20 + 2 * 20 * 2)
    cap = Cap((24, 20), 7, flops=around + 2 * 36)
    assert all(cap.admits(graph) for graph in asked(flops=cap.flops))
    for too_small in ({"parameters": 34}, {"flops": around + 2 * 27}):
        with pytest.raises(ValueError, match="without hidden nodes within the cap"):
            asked(**too_small)


def test_cells_follow_the_design_and_the_cap(task):
    def cells(space=SMALL, **given):
        lab = LiveLab(space, replace(task, rungs=(Rung(1),)))
        grown(replace(GROWING, generations=1, steps=0, **given), lab, np.random.default_rng(0))
        return lab.trials[0].architecture.graph.cells

    assert cells(cells=None) == (4, 3) and cells(cells=(1, 5)) == (1, 5)
    assert cells(ArchitectureSpace(cap=Cap((24, 20), 7, parameters=60)), cells=None) == (3, 2)
    for bad in ((30, 3), (3, 24), (9, 9)):
        with pytest.raises(ValueError, match="cells within"):
            cells(cells=bad)
    with pytest.raises(ValueError, match="cell each way"):
        Neat(cells=(0, 2))


def test_changes_beyond_what_is_admitted_are_left_out():
    innovations, rng = Innovations(), np.random.default_rng(0)
    growth = Growth(new_node=1.0, new_connection=1.0)
    genome = Genome.minimal((1, 2), 1, innovations, rng)
    for _ in range(10):
        genome = mutated(genome, growth, innovations, rng, lambda larger: larger.n_enabled <= 8)
        assert genome.n_enabled <= 8
    assert genome.n_enabled >= 7 and genome.hidden


def grown_by_chance(seed, changes=8):
    innovations, rng = Innovations(), np.random.default_rng(seed)
    genome = Genome.minimal((2, 2), 2, innovations, rng)
    for _ in range(changes):
        genome = add_connection(add_node(genome, innovations, rng), innovations, rng)
    return perturb(genome, 0.5, rng)


@pytest.mark.parametrize("seed", range(4))
def test_a_graphs_network_computes_what_the_genome_says(seed):
    genome = grown_by_chance(seed)
    rng = np.random.default_rng(0)
    design = rng.random((4, 6))
    acts = {
        "tanh": np.tanh, "sine": np.sin, "gauss": lambda u: np.exp(-(u**2)), "silu": lambda u: u / (1 + np.exp(-u)),
        "sigmoid": lambda u: 1 / (1 + np.exp(-u)),
    }  # fmt: skip
    pixels = 2 * design.reshape(2, 2, 2, 3).mean(axis=(1, 3)).ravel() - 1
    value = {**dict(enumerate(pixels)), 4: 1.0}
    for node in genome.order:
        reads = [c for c in genome.connections.values() if c.enabled and c.target == node]
        total = sum(c.weight * value[c.source] for c in reads)
        value[node] = acts[genome.hidden[node]](total) if node in genome.hidden else total
    network = genome.network((4, 6))
    found = network(torch.tensor(design[None], dtype=torch.float32))[0]
    np.testing.assert_allclose(found.tolist(), [value[node] for node in genome.outputs], rtol=2e-4, atol=1e-5)
    architecture = Architecture(graph=genome.graph)
    assert architecture.n_parameters((4, 6), 2) == genome.n_enabled
    built = architecture.build((4, 6), 2)
    built.load_state_dict(network.state_dict())
    assert torch.equal(built(torch.tensor(design[None], dtype=torch.float32))[0], found)
    same = genome.with_weights_of(network)
    for number, connection in genome.connections.items():
        assert same.connections[number].weight == pytest.approx(connection.weight, rel=1e-6)


def test_the_same_graph_by_other_histories_is_the_same_value():
    # Input 0 and input 1 are split one after the other, in either order, by searches that number for themselves.
    def grown_in(order):
        innovations, rng = Innovations(), np.random.default_rng(0)
        genome = Genome.minimal((1, 2), 1, innovations, rng)
        for k in order:
            only = {n: c for n, c in genome.connections.items() if (c.source, c.target) == (k, 3)}
            grown = add_node(replace(genome, connections=only), innovations, rng)
            hidden = {**genome.hidden, **dict.fromkeys(set(grown.hidden) - set(genome.hidden), ("tanh", "sine")[k])}
            genome = replace(grown, connections={**genome.connections, **grown.connections}, hidden=hidden)
        return genome

    one, two = grown_in((0, 1)), grown_in((1, 0))
    assert one.hidden != two.hidden and one.graph == two.graph
    assert one.graph == perturb(two, 1.0, np.random.default_rng(1)).graph
    assert one.graph != grown_in((0,)).graph


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


@pytest.mark.parametrize(
    "bad",
    [
        *({name: 0} for name in ("modules", "blueprints", "module_length", "species", "assemblies", "generations")),
        {"threshold": -1.0},
        {"crossover": 1.5},
    ],
)
def test_numbers_that_leave_no_two_populations_are_refused(bad):
    with pytest.raises(ValueError, match=f"Expected .*{next(iter(bad))}"):
        CoDeepNeat(**bad)


def test_codeepneat_names_a_rung_that_the_lab_has_not():
    with pytest.raises(ValueError, match="Expected one of 3 rungs"):
        CoDeepNeat(rung=9)(TableLab(made_up_table()), np.random.default_rng(0))
