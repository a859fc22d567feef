import json
from dataclasses import replace

import numpy as np
import optuna
import pytest
import torch

from surrogates import Architecture, Block, ResponseCodec
from surrogates.families import FAMILIES, baseline, baseline_parameters, suggest
from surrogates.networks import OPERATIONS
from surrogates.networks.common import AreaPool, area_weights
from surrogates.runtime import seeded


def small(family, resolution=8, activation="silu"):
    genes = FAMILIES[family].choices
    modes = {"modes": 3} if "modes" in genes else {}
    return FAMILIES[family].make(width=4, depth=2, resolution=resolution, activation=activation, **modes)


def holding(operation, **rest):
    """A small network of one operation."""
    reach = max(OPERATIONS[operation].reaches, default=0)
    blocks = (Block(operation, 4), Block(operation, 6, reach))
    return Architecture(blocks, stem=OPERATIONS[operation].stem, resolution=6, **rest)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("shape", [(20, 24), (7, 5), (30, 9), (12,), (1, 2)])
def test_shapes(family, shape):
    network = small(family).build(shape, 5)
    assert network(torch.rand(3, *shape)).shape == (3, 5)
    assert small(family).n_parameters(shape, 5) == sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("shape", [(9, 7), (4, 40), (5,), (1, 2)])
def test_every_operation_takes_every_shape(operation, shape):
    assert holding(operation).build(shape, 3)(torch.rand(2, *shape)).shape == (2, 3)


def twice_differentiable(architecture):
    with seeded(0):
        network = architecture.build((5, 6), 2).to(torch.float64)
    design = torch.rand(2, 5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1), requires_grad=True)
    assert torch.autograd.gradcheck(network, design)
    assert torch.autograd.gradgradcheck(network, design)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("activation", ["silu", "norm-gelu"])
def test_differentiable_twice(operation, activation):
    twice_differentiable(holding(operation, activation=activation))


@pytest.mark.parametrize("padding", ["replicate", "circular"])
def test_differentiable_twice_whatever_is_beyond_the_edge(padding):
    twice_differentiable(holding("dilated", padding=padding, head="mean", coordinates=False))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_gradient_term_reaches_every_weight_of_the_trunk(operation):
    network = holding(operation).build((16, 16), 2)
    design = torch.rand(2, 16, 16, requires_grad=True)
    (gradient,) = torch.autograd.grad(network(design).sum(), design, create_graph=True)
    (gradient**2).sum().backward()
    for name, parameter in network.trunk.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_a_network_on_means_forgets_where_it_looked():
    """Convolutions without edges, coordinates or places are blind to shifts (on a periodic grid)."""
    architecture = Architecture((Block("residual", 4),), padding="circular", coordinates=False, head="mean")
    design = torch.rand(1, 8, 8, dtype=torch.float64)
    moved = design.roll((3, 2), (1, 2))
    network = architecture.build((8, 8), 2).double()
    torch.testing.assert_close(network(design), network(moved))
    for change in ({"coordinates": True}, {"head": "averages"}, {"padding": "zeros"}):
        seeing = replace(architecture, **change).build((8, 8), 2).double()
        assert not torch.allclose(seeing(design), seeing(moved), rtol=1e-7), change


@pytest.mark.parametrize(("n", "m"), [(100, 20), (100, 16), (80, 25), (7, 7), (3, 1)])
def test_area_pooling_keeps_the_mean_and_covers_every_pixel_alike(n, m):
    weights = area_weights(n, m)
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(m, dtype=torch.float64))
    torch.testing.assert_close(weights.sum(dim=0), torch.full((n,), m / n, dtype=torch.float64))


def test_pooled_gradients_are_the_least_squares_fit():
    pool = AreaPool((10, 9), (4, 3)).double()
    gradient = torch.rand(2, 10, 9, dtype=torch.float64)
    residual = gradient - pool.pull_back(pool.project(gradient))
    torch.testing.assert_close(pool(residual), torch.zeros(2, 4, 3, dtype=torch.float64), atol=1e-7, rtol=0)


def test_equal_networks_are_equal_values():
    one = Architecture((Block("residual", 8, 4), Block("identity", 12)))
    assert one == Architecture((Block("residual", 8),))
    assert hash(one) == hash(Architecture((Block("residual", 8),)))
    assert Block("spectral", 8) == Block("spectral", 8, 6) != Block("spectral", 8, 4)
    blind = Architecture((Block("dense", 8),), stem="pixels", padding="circular", coordinates=False, head="mean")
    assert blind == Architecture((Block("dense", 8),), stem="pixels")
    assert Architecture((Block("identity", 8), Block("identity", 4))).key == "identityx8-r20-silu"


@pytest.mark.parametrize("family", FAMILIES)
def test_architectures_survive_json(family):
    architecture = replace(baseline(family), gradient_weight=0.3)
    assert Architecture.from_json(json.loads(json.dumps(architecture.to_json()))) == architecture


def test_keys_tell_architectures_apart():
    one = Architecture()
    others = [
        replace(one, **change)
        for change in (
            {"resolution": 8},
            {"activation": "tanh"},
            {"padding": "circular"},
            {"coordinates": False},
            {"head": "mean"},
            {"gradient_weight": 0.0},
            {"blocks": one.blocks[:1]},
        )
    ]
    assert len({a.key for a in [one, *others]}) == 8
    assert one.key == "spectral6x12-spectral6x12-r20-silu"


@pytest.mark.parametrize(
    "bad",
    [
        {"blocks": ()},
        {"blocks": (Block("dense", 4),)},
        {"blocks": (Block("spectral", 4),), "stem": "pixels"},
        {"activation": "relu"},
        {"padding": "reflect"},
        {"head": "max"},
        {"resolution": 0},
        {"gradient_weight": -1.0},
    ],
)
def test_impossible_architectures_are_refused(bad):
    with pytest.raises(ValueError, match="Expected"):
        Architecture(**bad)


@pytest.mark.parametrize("bad", [("pooling", 4), ("residual", 0), ("spectral", 4, -1)])
def test_impossible_blocks_are_refused(bad):
    with pytest.raises(ValueError, match="Expected"):
        Block(*bad)


def test_designs_of_three_axes_are_refused():
    with pytest.raises(ValueError, match="one or two axes"):
        Architecture().build((4, 4, 4), 2)


@pytest.mark.parametrize("family", FAMILIES)
def test_baselines_are_what_optuna_suggests(family):
    trial = optuna.trial.FixedTrial(baseline_parameters(family))
    assert suggest(trial) == baseline(family)


def responses(n=30, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "t": rng.normal(2, 3, (n, 2, 3)) + 1j * rng.normal(-1, 3, (n, 2, 3)),
        "loss": rng.normal(5, 0.1, (n, 4)),
        "flat": np.full((n, 2), 7.0),
    }


def test_codec_round_trip_and_standardisation():
    values = responses()
    codec = ResponseCodec.fit(values)
    tensors = {name: torch.from_numpy(value) for name, value in values.items()}
    vector = codec.encode(tensors)
    assert vector.shape == (30, codec.n_outputs) == (30, 12 + 4 + 2)
    torch.testing.assert_close(codec.decode(vector), tensors)
    torch.testing.assert_close(vector.mean(dim=0), torch.zeros(18, dtype=torch.float64))
    again = ResponseCodec.from_json(codec.to_json(), codec.mean, codec.scale)
    assert again.fields == codec.fields
    stacked = codec.decode(vector.reshape(5, 6, -1))
    assert stacked["t"].shape == (5, 6, 2, 3)


def test_codec_is_differentiable_both_ways():
    codec = ResponseCodec.fit(responses())
    values = {name: torch.from_numpy(value[:2]).requires_grad_() for name, value in responses(seed=1).items()}
    assert torch.autograd.gradcheck(
        lambda t, loss, flat: codec.encode({"t": t, "loss": loss, "flat": flat}),
        (values["t"], values["loss"], values["flat"]),
    )
    vector = torch.rand(2, codec.n_outputs, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda z: tuple(codec.decode(z).values()), vector)


def test_cotangents_follow_the_chain_rule_of_autograd():
    codec = ResponseCodec.fit(responses())
    rng = np.random.default_rng(3)
    cotangents = {
        "t": torch.from_numpy(rng.normal(size=(2, 2, 3)) + 1j * rng.normal(size=(2, 2, 3))),
        "loss": torch.from_numpy(rng.normal(size=(2, 4))),
        "flat": torch.zeros(2, 2, dtype=torch.float64),
    }
    vector = torch.rand(2, codec.n_outputs, dtype=torch.float64, requires_grad=True)
    decoded = codec.decode(vector)
    (expected,) = torch.autograd.grad(list(decoded.values()), vector, [cotangents[name] for name in decoded])
    torch.testing.assert_close(codec.pull_back(cotangents), expected)
    with pytest.raises(KeyError, match="Expected quantities"):
        codec.pull_back({"t": cotangents["t"]})
