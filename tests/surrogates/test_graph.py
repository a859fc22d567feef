"""Graphs as architectures: one value for all numberings, their networks, what they cost."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from surrogates import Architecture, Block, Dataset, DeepEnsemble, TrainingConfig
from surrogates.nas.cost import cost
from surrogates.nas.description import described
from surrogates.nas.space import ArchitectureSpace, Cap
from surrogates.networks import Graph
from surrogates.networks.graph import NODE_ACTIVATIONS
from surrogates.networks.wired import graph_weights, set_graph_weights
from tests.surrogates.nas.problems import live_task
from tests.surrogates.toy import Toy, level_data

# Cells 0 to 3, hidden 4 to 6, outputs 7 and 8; cell 0 skips to an output, 6 is two deep.
SKIPS = Graph(
    (2, 2),
    2,
    ("tanh", "gauss", "sine"),
    ((0, 4), (1, 4), (2, 5), (4, 6), (5, 6), (3, 6), (6, 7), (0, 7), (5, 8)),
)


def random_graph(seed):
    rng = np.random.default_rng(seed)
    names = [list(NODE_ACTIVATIONS)[k] for k in rng.integers(2, size=9)]
    wires = {(int(rng.integers(4 + k)), 4 + k) for k in range(9) for _ in range(2)}
    return names, wires | {(int(rng.integers(13)), 13 + k) for k in range(2) for _ in range(5)}, 2


def parallel_chains():
    """Four alike, and two that cross: symmetries that no node's surroundings tell apart."""
    wires = {(0, 4 + k) for k in range(6)} | {(4 + k, 10 + k) for k in range(6)} | {(10 + k, 16) for k in range(6)}
    return ["tanh"] * 12, wires | {(4, 11), (5, 10)}, 1


@pytest.mark.parametrize("given", [*map(random_graph, range(12)), parallel_chains()])
def test_all_numberings_of_a_graph_are_one_value(given):
    names, wires, outputs = given
    rng = np.random.default_rng(0)
    one = Graph((2, 2), outputs, tuple(names), tuple(wires))
    for _ in range(3):
        place = rng.permutation(len(names))
        number = {4 + k: 4 + int(place[k]) for k in range(len(names))}
        moved = [(number.get(a, a), number.get(b, b)) for a, b in wires]
        shuffled = tuple(moved[k] for k in rng.permutation(len(moved)))
        other = Graph((2, 2), outputs, tuple(names[k] for k in np.argsort(place)), shuffled)
        assert other == one and hash(other) == hash(one) and other.key == one.key
    assert Graph((2, 2), outputs, one.hidden, one.connections) == one


def test_graphs_that_differ_are_told_apart():
    six = parallel_chains()
    straight = (six[0], six[1] - {(4, 11), (5, 10)} | {(4, 10), (5, 11)}, 1)
    graphs = [Graph((2, 2), outputs, tuple(names), tuple(wires)) for names, wires, outputs in (six, straight)]
    graphs += [
        SKIPS,
        replace(SKIPS, cells=(4, 1)),
        replace(SKIPS, hidden=("tanh", "gauss", "silu")),
        replace(SKIPS, connections=(*SKIPS.connections[:-1], (SKIPS.connections[-1][0] - 1, 8))),
    ]
    assert len(set(graphs)) == len({graph.key for graph in graphs}) == 6


def test_nodes_without_effect_are_dropped():
    dead = Graph(
        (2, 2), 2, (*SKIPS.hidden, "silu"), (*((a, b + (b > 6)) for a, b in SKIPS.connections), (4, 7))
    )  # fmt: skip
    assert dead == SKIPS and len(dead.hidden) == 3


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"cells": [0, 2]}, "rows and columns"),
        ({"cells": [2]}, "rows and columns"),
        ({"outputs": True}, "rows and columns"),
        ({"hidden": ["relu", "tanh", "tanh"]}, "activations among"),
        ({"hidden": ["tanh"]}, "connections from"),
        ({"connections": [[0, 1]]}, "connections from"),
        ({"connections": [[7, 8]]}, "connections from"),
        ({"connections": [[0, 7, 1]]}, "connections from"),
        ({"connections": [[0.0, 7]]}, "connections from"),
        ({"connections": [[4, 5], [5, 4], [4, 6], [6, 7]]}, "without rings"),
        ({"connections": [[0, 4], [4, 7]]}, "read something"),
        ({"connections": [[0, 7], [0, 7]]}, "each connection once"),
        ({"hidden": [], "connections": []}, "leads to an output"),
        ({"connections": [3]}, "lists"),
        ({"hidden": "tanh"}, "lists"),
        ({"weights": []}, "a graph's"),
    ],
)
def test_json_that_is_no_graph_is_refused(change, what):
    told = Architecture(graph=SKIPS).to_json()
    told["graph"] = {**told["graph"], **change}
    with pytest.raises(ValueError, match=what):
        Architecture.from_json(told)


def test_a_graph_as_an_architecture():
    one = Architecture(graph=SKIPS)
    assert one == Architecture((Block("residual", 8),), resolution=12, activation="gelu", head="mean", graph=SKIPS)
    assert one.family == "graph" and one.key == SKIPS.key and one.key.startswith("graph2x2-o2-h3-c9-")
    weighted = replace(one, gradient_weight=0.3)
    assert weighted != one and weighted.key == f"{SKIPS.key}-g0.3"
    for each in (one, weighted):
        again = Architecture.from_json(json.loads(json.dumps(each.to_json())))
        assert again == each and hash(again) == hash(each) and described(again) == described(each)
    space = ArchitectureSpace()
    assert one not in space
    with pytest.raises(ValueError, match="of this space"):
        space.encode(one)


def test_what_a_graph_costs():
    one, shape = Architecture(graph=SKIPS), (24, 20)
    assert one.pooled_shape(shape) == (2, 2) and one.n_parameters(shape, 2) == 9 + 5
    found = cost(one, shape, 2)
    around = 2 * (2 * 24 * 20 + 2 * 20 * 2)
    # By depth 3 cells x 2 nodes, then 3 x 1; two outputs of seven features.
    assert found.parameters == 14 and found.flops == around + 2 * (3 * 2 + 3 + 2 * 7) and found.latency_ms > 0
    assert ArchitectureSpace(cap=Cap(shape, 2, parameters=14)).admits(one)
    assert not ArchitectureSpace(cap=Cap(shape, 2, parameters=13)).admits(one)
    assert one.n_parameters(shape, 5) == 6 + 3 + 5 * 8  # read by a head of its own
    with pytest.raises(ValueError, match="at least"):
        one.build((1, 20), 2)


def test_a_graphs_network_by_hand():
    network = Architecture(graph=SKIPS).build((4, 6), 2)
    rng = np.random.default_rng(0)
    values = rng.normal(size=14)
    set_graph_weights(network, values.tolist())
    np.testing.assert_allclose(graph_weights(network), values, rtol=1e-6)
    weight = dict(zip(SKIPS.connections, values, strict=False))
    bias = dict(zip(range(4, 9), values[9:], strict=True))
    acts = {"tanh": np.tanh, "gauss": lambda u: np.exp(-(u**2)), "sine": np.sin, None: lambda u: u}
    design = rng.random((4, 6))
    node = dict(enumerate(2 * design.reshape(2, 2, 2, 3).mean(axis=(1, 3)).ravel() - 1))
    for number, name in zip(range(4, 9), (*SKIPS.hidden, None, None), strict=True):
        node[number] = acts[name](bias[number] + sum(w * node[a] for (a, b), w in weight.items() if b == number))
    x = torch.tensor(design[None], dtype=torch.float32, requires_grad=True)
    np.testing.assert_allclose(network(x)[0].tolist(), [node[7], node[8]], rtol=1e-5)
    (first,) = torch.autograd.grad(network(x)[0, 0], x, create_graph=True)
    first.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in network.trunk.parameters())
    assert x.grad.abs().max() > 0
    with pytest.raises(TypeError, match="network of a graph"):
        graph_weights(Architecture().build((4, 6), 2))


def test_an_ensemble_of_a_graph_goes_on_and_survives_saving(tmp_path):
    data = level_data(Toy(), runs=4, steps=4, seed=1)
    graph = Graph((2, 2), 7, ("tanh",), tuple((k, 4) for k in range(4)) + tuple((n, 5 + n) for n in range(5)))
    ensemble = DeepEnsemble(Architecture(graph=graph), 2, TrainingConfig(epochs=2, gradient_weight=0.1))
    ensemble.fit(Dataset({0: data}), seed=0)
    ensemble.save(tmp_path / "surrogate.safetensors")
    loaded = DeepEnsemble.load(tmp_path / "surrogate.safetensors")
    assert loaded.architecture == ensemble.architecture
    design = torch.rand(2, 24, 20)
    assert torch.equal(loaded.member_predictions(design, 0)["t"], ensemble.member_predictions(design, 0)["t"])
    more = DeepEnsemble(Architecture(graph=graph), 2, ensemble.config)
    more.fit(Dataset({0: data}), seed=1, init=ensemble)
    assert torch.isfinite(more.member_predictions(design, 0)["loss"]).all()


@pytest.mark.parametrize(
    ("architecture", "key", "digest"),
    [
        (
            Architecture(),
            "spectral6x12-spectral6x12-r20-silu",
            "c3241ef18b65dc3aa54998297269e234b1e96510c3a899570899d9400061c95d",
        ),
        (
            Architecture(
                (Block("dense", 32), Block("dense", 16)),
                stem="pixels",
                resolution=12,
                activation="norm-silu",
                gradient_weight=0.3,
            ),
            "densex32-densex16-r12-norm-silu-g0.3",
            "73cd31a09c8209354fe859de8ebc8374c26ee6598c5ba7457baa6a1fbfb7d2dc",
        ),
        (
            Architecture((Block("residual", 8), Block("attention", 12, 4)), padding="circular", coordinates=False,
                         head="mean"),
            "residualx8-attention4x12-r20-silu-circular-blind-mean",
            "f3ffd1b6f800149ac13901b099e87f94b1a8c7b460bec4bb10012a509819a141",
        ),
    ],
)  # fmt: skip
def test_keys_and_hashes_of_blocks_stay_as_they_are(architecture, key, digest):
    # Trainings are kept under these.
    told = architecture.to_json()
    assert architecture.key == key
    assert hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest() == digest
    assert "graph" not in told and described(architecture) == told


def test_a_graphs_training_has_a_key_of_its_own():
    task = live_task()
    graphs = [Architecture(graph=SKIPS), Architecture(graph=replace(SKIPS, cells=(4, 1)))]
    alike = replace(graphs[0], graph=None)
    assert len({task.key(one, 0, 0) for one in (*graphs, alike)}) == 3
