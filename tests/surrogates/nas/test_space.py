"""One genotype, many readers."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import optuna
import pytest

from surrogates import Architecture, Block
from surrogates.families import mlp, unet
from surrogates.nas import space as space_module
from surrogates.nas.cost import cost, flops, known_latency_ms
from surrogates.nas.methods.fresh import fresh
from surrogates.nas.space import ArchitectureSpace, Cap

WIDE = ArchitectureSpace(
    length=3,
    operations=(("spectral", 4), ("spectral", 8), ("dilated", 2), ("dense", 0), ("identity", 0)),
    widths=(4, 8),
    stems=("grid", "pixels"),
    activations=("silu", "tanh"),
    gradient_weights=(None, 0.1),
    one_width=False,
)


def test_codes_and_networks_are_inverse():
    for architecture in WIDE.everything():
        assert WIDE.decode(WIDE.encode(architecture)) == architecture
        assert architecture in WIDE


@pytest.mark.parametrize(
    "genes",
    [
        {"heads": ("mean",), "paddings": ("circular",), "coordinates": (False,)},
        {"operations": (("dense", 0), ("spectral", 6))},
    ],
)
def test_two_stems_are_encoded_whatever_the_other_genes(genes):
    given = {"operations": (("dense", 0), ("spectral", 6), ("identity", 0)), "stems": ("grid", "pixels"), **genes}
    space = ArchitectureSpace(length=2, **given)
    everything = space.everything()
    assert {architecture.stem for architecture in everything} == {"grid", "pixels"}
    assert all(space.decode(space.encode(architecture)) == architecture for architecture in everything)


def test_different_networks_have_different_keys():
    everything = WIDE.everything()
    assert len({architecture.key for architecture in everything}) == len(everything)
    assert mlp(depth=1).key != Architecture((Block("identity", 128),)).key


def test_depths_that_no_family_has_are_refused():
    for make, depth in ((mlp, 0), (unet, 1)):
        with pytest.raises(ValueError, match="depth of at least"):
            make(depth=depth)


def test_networks_of_other_spaces_are_refused():
    for other in (
        Architecture((Block("residual", 4),)),
        Architecture((Block("spectral", 4, 6),)),
        Architecture((Block("spectral", 4, 4),) * 4),
        Architecture((Block("spectral", 4, 4),), head="mean"),
    ):
        assert other not in WIDE
        with pytest.raises(ValueError, match="of this space"):
            WIDE.encode(other)


def test_samples_mutants_and_children_are_in_the_space():
    rng = np.random.default_rng(0)
    for _ in range(100):
        a, b = WIDE.sample(rng), WIDE.sample(rng)
        mutant = WIDE.mutate(a, rng)
        assert mutant in WIDE and mutant != a
        assert WIDE.crossover(a, b, rng) in WIDE
        assert WIDE.crossover(a, a, rng) == a


def test_neighbours_are_mutual_where_codes_are_unique():
    space = ArchitectureSpace(length=2, operations=(("spectral", 6), ("residual", 0)), widths=(4, 8))
    everything = space.everything()
    assert len(everything) == space.size == 8
    for a in everything:
        near = space.neighbours(a)
        assert len(near) == 3 == len(set(near))
        assert all(a in space.neighbours(b) for b in near)


def test_the_cap_is_part_of_the_space():
    space = ArchitectureSpace(length=1, widths=(8, 16))
    sizes = {a: a.n_parameters((20, 20), 3) for a in space.everything()}
    cap = Cap((20, 20), 3, int(np.median(list(sizes.values()))))
    capped = space.capped(cap)
    assert set(capped.everything()) == {a for a, n in sizes.items() if n <= cap.parameters}
    rng = np.random.default_rng(0)
    for _ in range(20):
        a = capped.sample(rng)
        assert sizes[a] <= cap.parameters
        assert all(sizes[b] <= cap.parameters for b in capped.neighbours(a))
    with pytest.raises(RuntimeError, match="raise the cap"):
        space.capped(Cap((20, 20), 3, 1)).sample(rng)


def test_the_cap_may_be_on_flops_or_on_both():
    space = ArchitectureSpace(length=1, widths=(8, 16))
    everything = space.everything()
    products = {a: flops(a, (20, 20), 3) for a in everything}
    sizes = {a: a.n_parameters((20, 20), 3) for a in everything}
    most, largest = int(np.median(list(products.values()))), int(np.median(list(sizes.values())))
    cheap = space.capped(Cap((20, 20), 3, flops=most))
    assert set(cheap.everything()) == {a for a in everything if products[a] <= most}
    both = space.capped(Cap((20, 20), 3, largest, most))
    assert set(both.everything()) == {a for a in everything if products[a] <= most and sizes[a] <= largest}
    assert len(both.everything()) < len(cheap.everything()) < len(everything)
    with pytest.raises(ValueError, match="leave the cap out"):
        Cap((20, 20), 3)


def test_optuna_suggests_what_parameters_say():
    rng = np.random.default_rng(1)
    for _ in range(20):
        architecture = WIDE.sample(rng)
        parameters = WIDE.parameters(architecture)
        assert set(parameters) == set(WIDE.distributions())
        assert WIDE.suggest(optuna.trial.FixedTrial(parameters)) == architecture


def test_features_tell_networks_apart():
    everything = WIDE.everything()
    features = np.stack([WIDE.features(a) for a in everything])
    assert len(np.unique(features, axis=0)) == len(everything)


@pytest.mark.parametrize("bad", [{"length": 0}, {"widths": ()}, {"operations": (("pool", 0),)}, {"widths": (4, 4)}])
def test_impossible_spaces_are_refused(bad):
    with pytest.raises(ValueError, match="Expected"):
        ArchitectureSpace(**bad)


def test_flops_of_a_dense_network_are_those_of_its_matrices():
    architecture = Architecture((Block("dense", 32),), stem="pixels", resolution=20)
    by_hand = 2 * (400 * 32 + 32 * 32 + 32 * 3) + 2 * (20 * 40 * 40 + 20 * 40 * 20)
    assert flops(architecture, (40, 40), 3) == by_hand
    found = cost(architecture, (40, 40), 3)
    assert found.parameters == 400 * 32 + 32 + 32 * 32 + 32 + 32 * 3 + 3
    assert found.latency_ms > 0


def test_flops_of_a_fourier_layer_count_complex_products_as_eight():
    n, c, k = 20, 4, 3
    rows, columns = 2 * k - 1, k
    transforms = 8 * c * (rows * n * n + rows * n * columns + n * rows * columns + n * columns * n)
    mixing = 8 * rows * columns * c * c
    rest = 2 * (9 * 3 * c + c * c) * n * n + 2 * c * (8 * n * n + 8 * n * 8) + 2 * (64 * c * 4 * c + 4 * c * 3)
    pooling = 2 * 2 * n**3
    architecture = Architecture((Block("spectral", c, k),), resolution=n)
    assert flops(architecture, (n, n), 3) == transforms + mixing + rest + pooling


def test_a_network_is_found_again_in_another_process():
    """Where strings hash to other numbers."""
    head = "import pickle, sys; from surrogates import Architecture; one = Architecture(); "
    sender = head + "hash(one); sys.stdout.buffer.write(pickle.dumps(one))"
    receiver = head + "assert pickle.load(sys.stdin.buffer) in {one}"
    sent = b""
    for code, seed in ((sender, "1"), (receiver, "2")):
        environment = os.environ | {"PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, "-c", code], input=sent, capture_output=True, env=environment, check=True
        )
        sent = done.stdout


def test_of_a_small_space_the_cap_may_leave_next_to_nothing():
    space, rng = ArchitectureSpace(length=3), np.random.default_rng(0)
    least = sorted(space.everything(), key=lambda one: one.n_parameters((10, 10), 2))[:2]
    capped = space.capped(Cap((10, 10), 2, parameters=least[1].n_parameters((10, 10), 2)))
    assert {capped.sample(rng) for _ in range(20)} == set(least)
    assert fresh(capped, rng, {least[0]}) == least[1]
    assert fresh(capped, rng, set(least)) is None


def test_keys_tell_weights_apart_that_are_almost_equal():
    weights = (0.1, 0.1234567, 0.1234568)
    keys = {Architecture(gradient_weight=weight).key for weight in weights}
    assert len(keys) == 3 and any(key.endswith("-g0.1") for key in keys)


def test_the_cap_may_be_on_latency(monkeypatch):
    space = ArchitectureSpace(length=1, widths=(4, 16))
    monkeypatch.setattr(space_module, "known_latency_ms", lambda one, shape, outputs: float(one.blocks[0].width))
    slow = [one for one in space.everything() if one.blocks[0].width == 16]
    capped = space.capped(Cap((8, 8), 2, latency_ms=4.0))
    assert slow and {*space.everything()} - {*slow} == {*capped.everything()}
    assert not capped.admits(slow[0])
    assert 0 < known_latency_ms(slow[0], (8, 8), 2) == known_latency_ms(slow[0], (8, 8), 2)
    with pytest.raises(ValueError, match="latency_ms to cap"):
        Cap((8, 8), 2)
