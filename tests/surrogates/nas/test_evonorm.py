"""Layers as expressions: their text, EvoNorm's own, the rejection of hopeless ones, the evolution."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from surrogates import Architecture, Block
from surrogates.nas.lab import BudgetSpent, Rung
from surrogates.nas.live import LiveLab
from surrogates.nas.methods.evonorm import EvoNorm, evolve_layers, gradient_growth, pareto
from surrogates.nas.methods.expressions import LayerSpace, affine
from surrogates.nas.space import Cap
from surrogates.nas.table import TableLab
from surrogates.networks.activations import Activation
from surrogates.networks.expressions import (
    BINARY,
    EVONORM_S0,
    STATISTICS,
    UNARY,
    Expression,
    ExpressionLayer,
    groups,
    parse,
)
from tests.surrogates.nas.problems import SMALL, live_lab, live_task, made_up_table, ticking

ANCHORS = (
    Architecture((Block("spectral", 4, 3),), resolution=6),
    Architecture((Block("residual", 4),), resolution=6),
)
TASK = live_task(gradients=False)


def test_text_is_canonical_and_comes_back():
    for text in ("mul(x, sigmoid(mul(v1, x)))", EVONORM_S0, "div(std_layer(x), x)"):
        assert str(parse(text)) == text
    assert str(parse(" mul( sigmoid(mul(x,v1)),x )")) == "mul(x, sigmoid(mul(v1, x)))"
    assert str(parse("div(x, v0)")) != str(parse("div(v0, x)"))


@pytest.mark.parametrize(
    "text",
    ["", "y", "v0", "mul(x)", "mul(x, x", "mul(x, x))", "mul(x; x)", "sigmoid", "relu(x)", "x.y", "__import__(x)"],
)
def test_what_is_no_expression_is_refused(text):
    with pytest.raises(ValueError, match="Expected"):
        parse(text)
    with pytest.raises(ValueError, match="Expected"):
        Architecture(ANCHORS[0].blocks, activation=text)


def test_deep_nesting_is_refused():
    with pytest.raises(ValueError, match="Expected"):
        parse("tanh(" * 5000 + "x" + ")" * 5000)


def test_another_spelling_of_the_same_layer_is_refused_with_the_right_one():
    with pytest.raises(ValueError, match=r"mul\(x, sigmoid\(x\)\)"):
        Architecture(ANCHORS[0].blocks, activation="mul(sigmoid(x), x)")


@pytest.mark.parametrize("shape", [(2, 8, 5, 3), (3, 8)])
def test_evonorm_s0_is_its_formula(shape):
    torch.manual_seed(0)
    x = torch.randn(shape)
    layer = ExpressionLayer(parse(EVONORM_S0), 8)
    v1, gamma, beta = (torch.randn(8) for _ in range(3))
    layer.load_state_dict({"learned.v1": v1, "learned.gamma": gamma, "learned.beta": beta})
    assert groups(8) == 2
    each = x.reshape(shape[0], 2, -1)
    std = (each.var(dim=2, unbiased=False) + 1e-5).sqrt().repeat_interleave(4, dim=1)
    channel = (1, 8) + (1,) * (len(shape) - 2)
    std = std.reshape(shape[0], *channel[1:])
    v1, gamma, beta = (value.reshape(channel) for value in (v1, gamma, beta))
    torch.testing.assert_close(layer(x), x * torch.sigmoid(v1 * x) / std * gamma + beta)


@pytest.mark.parametrize("text", ["mul(x, sigmoid(x))", "tanh(x)"])
def test_known_activations_are_expressions(text):
    x = torch.linspace(-3, 3, 24).reshape(2, 4, 3, 1)
    name = {"mul(x, sigmoid(x))": "silu", "tanh(x)": "tanh"}[text]
    torch.testing.assert_close(Activation(text, 4)(x), Activation(name, 4)(x))


@pytest.mark.parametrize("name", [*UNARY, *BINARY, *STATISTICS])
def test_every_primitive_is_smooth(name):
    x = Expression("x")
    inner = Expression("mul", (Expression("v0"), Expression("tanh", (x,))))
    layer = ExpressionLayer(Expression(name, (inner,) if name not in BINARY else (x, inner)), 8).double()
    torch.manual_seed(0)
    point = torch.randn(1, 8, 2, 1, dtype=torch.float64, requires_grad=True)
    assert gradcheck(layer, point) and gradgradcheck(layer, point)


def test_networks_of_every_operation_take_a_layer():
    blocks = tuple(
        Block(name, 4) for name in ("spectral", "factorised", "residual", "dilated", "u_levels", "attention")
    )
    network = Architecture(blocks, resolution=6, activation=EVONORM_S0)
    assert EVONORM_S0 in network.key and Architecture.from_json(network.to_json()) == network
    assert torch.isfinite(network.build((24, 20), 3)(torch.rand(2, 24, 20))).all()
    dense = Architecture((Block("dense", 8),), stem="pixels", activation=EVONORM_S0)
    assert torch.isfinite(dense.build((24, 20), 3)(torch.rand(2, 24, 20))).all()


def test_draws_and_mutants_are_within_the_limits():
    space, rng = LayerSpace(max_size=10), np.random.default_rng(0)
    layer, seen = space.sample(rng), set()
    for _ in range(200):
        mutant = space.mutate(layer, rng)
        assert mutant != layer and 1 < mutant.size <= 10 and "x" in mutant.names
        assert parse(str(affine(mutant))) == affine(mutant)
        layer = mutant
        seen.add(layer)
    assert len(seen) > 150
    with pytest.raises(ValueError, match="primitives"):
        LayerSpace(primitives=("x",))


def test_unstable_layers_are_told_by_their_gradients():

    def growth(text):
        return max(gradient_growth(replace(anchor, activation=text), TASK) for anchor in ANCHORS)

    limit = EvoNorm().growth_limit
    assert growth("silu") < limit and growth(EVONORM_S0) < growth("silu")
    assert growth("mul(x, square(x))") > limit and growth("exp(square(x))") > limit


def test_hopeless_layers_cost_little():
    drawn = iter(["exp(square(x))", "mean_layer(x)", "mul(x, sigmoid(x))", "mul(x, sigmoid(x))"])

    class Only(LayerSpace):
        def sample(self, rng):
            return parse(next(drawn))

    lab = live_lab(gradients=False, rungs=(Rung(5), Rung(7)))
    method = EvoNorm(Only(), ANCHORS, population=2, rounds=0, finalists=1, slack=1.05)
    found = evolve_layers(method, lab, np.random.default_rng(0))
    swish, unstable, blind = (parse(text) for text in ("mul(x, sigmoid(x))", "exp(square(x))", "mean_layer(x)"))
    assert set(found.judged) == {swish} and found.best == swish
    assert found.rejected == {unstable: "stability", blind: "quality"}
    # The unstable one was never trained, the bad one no further than the first rung.
    tried = {(trial.architecture.activation, trial.rung) for trial in lab.trials}
    assert (str(affine(blind)), 0) in tried and (str(affine(blind)), 1) not in tried
    assert not any(activation == str(affine(unstable)) for activation, _ in tried)


def test_the_front_is_over_all_networks():
    a, b, c, d = (Expression(name, (Expression("x"),)) for name in ("tanh", "neg", "exp", "square"))
    judged = {a: (0.1, 0.9), b: (0.9, 0.1), c: (0.5, 0.5), d: (0.6, 0.5)}
    assert pareto([a, b, c, d], judged) == [a, b, c]


@dataclass(eq=False)
class MadeUp(LiveLab):
    """Errors by how few of the names of EvoNorm-S0 are in a layer, some weighing more in one network than another."""

    def ask(self, architecture, rung=-1, seed=0):
        number = ANCHORS.index(replace(architecture, activation="silu"))
        if architecture.activation == "silu":
            return type("Trial", (), {"error": 10.0})
        names = [part for part in re.findall(r"[a-z_0-9]+", architecture.activation) if part not in ("beta", "gamma")]
        missing = {"sigmoid": 1 + number, "v1": 1, "rstd_group": 2 - number} | {"square": 1}
        return type("Trial", (), {"error": sum(w for n, w in missing.items() if n not in names) + 0.05 * len(names)})


def test_tournaments_find_better_layers_than_drawing_as_many():
    def best(population, rounds, seed):
        method = EvoNorm(LayerSpace(), ANCHORS, population=population, rounds=rounds, growth_limit=float("inf"))
        found = evolve_layers(method, MadeUp(SMALL, TASK), np.random.default_rng(seed))
        return min(np.mean(errors) for errors in found.judged.values())

    evolved, drawn = (np.mean([best(*how, seed) for seed in range(8)]) for how in ((16, 184), (200, 0)))
    assert evolved < drawn - 0.1


def test_evolution_judges_in_several_networks_and_trains_the_best_to_the_end():
    lab = live_lab(gradients=False)
    method = EvoNorm(anchors=ANCHORS, population=2, tournament=2, rounds=3, finalists=1)
    found = evolve_layers(method, lab, np.random.default_rng(0))
    assert all(len(errors) == 2 for errors in found.judged.values()) and len(found.judged) >= 2
    activations = {trial.architecture.activation for trial in lab.trials if trial.rung == 2}
    assert activations == {str(affine(found.best))}
    with pytest.raises(TypeError, match="LiveLab"):
        evolve_layers(method, TableLab(made_up_table()), np.random.default_rng(0))


def test_layers_and_networks_beyond_the_cap_are_left_out():
    lab = live_lab(gradients=False, rungs=(Rung(1), Rung(2)))
    shape, n_outputs = lab.shapes.design_shape, lab.shapes.n_outputs
    residual = ANCHORS[1]
    swish, learned = parse("mul(x, sigmoid(x))"), parse("mul(v0, sigmoid(mul(v1, x)))")
    with_swish = replace(residual, activation=str(affine(swish)))
    most = with_swish.n_parameters(shape, n_outputs)
    assert ANCHORS[0].n_parameters(shape, n_outputs) > most > residual.n_parameters(shape, n_outputs)
    lab.space = SMALL.capped(Cap(shape, n_outputs, most))
    drawn = iter([learned, swish])

    class Only(LayerSpace):
        def sample(self, rng):
            return next(drawn)

    method = EvoNorm(Only(), ANCHORS, population=1, rounds=0, slack=100.0)
    found = evolve_layers(method, lab, np.random.default_rng(0))
    assert found.rejected == {learned: "cap"} and list(found.judged) == [swish] and len(found.judged[swish]) == 1
    assert {trial.architecture for trial in lab.trials} == {residual, with_swish}
    lab.space = SMALL.capped(Cap(shape, n_outputs, 10))
    with pytest.raises(ValueError, match="within the cap"):
        evolve_layers(method, lab, np.random.default_rng(0))


def test_a_spent_budget_ends_the_evolution_with_what_it_found(monkeypatch):
    ticking(monkeypatch)  # 1 s a rung
    layers = [parse(text) for text in ("mul(x, sigmoid(x))", "tanh(x)")]
    drawn = iter(layers)

    class Only(LayerSpace):
        def sample(self, rng):
            return next(drawn)

    def found(budget):
        nonlocal drawn
        drawn = iter(layers)
        lab = live_lab(budget=budget, gradients=False, rungs=(Rung(2), Rung(4)))
        method = EvoNorm(Only(), ANCHORS, population=2, rounds=0, finalists=2, slack=100.0, growth_limit=float("inf"))
        result = evolve_layers(method, lab, np.random.default_rng(0))
        assert lab.spent <= budget + 1
        return result

    whole = found(float("inf"))
    assert set(whole.finals) == set(whole.judged) == set(layers)
    assert whole.best == min(whole.finals, key=whole.finals.get)
    # Two networks as they are, then two trainings for each layer at either rung.
    one = found(4.5)
    assert len(one.judged) == 1 and not one.finals and {one.best} == set(one.judged)
    ranked = sorted(layers, key=lambda layer: np.mean(whole.judged[layer]))
    for budget in (6.5, 7.0):
        both = found(budget)
        assert both.judged == whole.judged and not both.finals and both.best == ranked[0]
    assert found(7.5).finals == {ranked[0]: whole.finals[ranked[0]]}
    for budget in (0.0, 1.5, 2.5):
        with pytest.raises(BudgetSpent):
            found(budget)


@pytest.mark.parametrize(
    "bad",
    [
        {"n_anchors": 0},
        {"population": 0},
        {"tournament": 0},
        {"rounds": -1},
        {"finalists": -1},
        {"slack": 0.0},
        {"growth_limit": float("nan")},
    ],
)
def test_numbers_that_leave_nothing_to_evolve_are_refused(bad):
    with pytest.raises(ValueError, match=f"Expected .*{next(iter(bad))}"):
        EvoNorm(**bad)
    assert EvoNorm(anchors=ANCHORS, n_anchors=0).anchors == ANCHORS  # of no meaning then
