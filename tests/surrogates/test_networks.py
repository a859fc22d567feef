import numpy as np
import optuna
import pytest
import torch

from surrogates import Architecture, ResponseCodec
from surrogates.networks import FAMILIES
from surrogates.networks.common import AreaPool, area_weights
from surrogates.runtime import seeded


def small(family):
    return Architecture(family, width=4, depth=2, modes=3, resolution=8)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("shape", [(20, 24), (7, 5), (30, 9), (12,), (1, 2)])
def test_shapes(family, shape):
    network = small(family).build(shape, 5)
    assert network(torch.rand(3, *shape)).shape == (3, 5)
    assert small(family).n_parameters(shape, 5) == sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("activation", ["silu", "gelu"])
def test_differentiable_twice(family, activation):
    with seeded(0):
        network = Architecture(family, width=4, depth=2, modes=3, resolution=5, activation=activation).build((7, 6), 2)
    network = network.to(torch.float64)
    design = torch.rand(2, 7, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1), requires_grad=True)
    assert torch.autograd.gradcheck(network, design)
    assert torch.autograd.gradgradcheck(network, design)


@pytest.mark.parametrize("family", FAMILIES)
def test_gradient_term_reaches_every_weight_of_the_trunk(family):
    network = small(family).build((16, 16), 2)
    design = torch.rand(2, 16, 16, requires_grad=True)
    (gradient,) = torch.autograd.grad(network(design).sum(), design, create_graph=True)
    (gradient**2).sum().backward()
    for name, parameter in network.trunk.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


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


def test_architecture_is_canonical_and_hashable():
    assert Architecture("mlp", modes=3) == Architecture("mlp", modes=9)
    assert len({Architecture("mlp", modes=3), Architecture("mlp", modes=9), Architecture("fno")}) == 2
    assert Architecture().key == "fno-w12-d3-m6-r20-silu"
    assert Architecture.from_json(Architecture("unet").to_json()) == Architecture("unet")


@pytest.mark.parametrize("bad", [{"family": "cnn"}, {"activation": "relu"}, {"modes": 0}, {"width": 0}])
def test_impossible_architectures_are_refused(bad):
    with pytest.raises(ValueError, match="Expected"):
        Architecture(**bad)


def test_designs_of_three_axes_are_refused():
    with pytest.raises(ValueError, match="one or two axes"):
        Architecture().build((4, 4, 4), 2)


@pytest.mark.parametrize("family", FAMILIES)
def test_parameters_are_what_optuna_suggests(family):
    baseline = Architecture.baseline(family)
    trial = optuna.trial.FixedTrial(baseline.parameters())
    assert Architecture.suggest(trial) == baseline


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
