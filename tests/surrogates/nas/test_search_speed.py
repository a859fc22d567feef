"""What makes searches quick gives what is slow and plain."""

from __future__ import annotations

import numpy as np
import optuna
import torch

from surrogates.architecture import Architecture, Block
from surrogates.nas.cost import _run, flops, parameters
from surrogates.nas.methods.bananas import _differentiate, _forward
from surrogates.nas.methods.kernels import distances, edit_distance, feature_table, paths
from surrogates.nas.space import ArchitectureSpace

WIDE = ArchitectureSpace(
    widths=(4, 6, 8), one_width=False, stems=("grid", "pixels"), resolutions=(8, 12), heads=("averages", "mean"),
    operations=(("spectral", 3), ("residual", 0), ("attention", 2), ("u_levels", 1), ("dense", 0), ("identity", 0)),
)  # fmt: skip


def drawn(count: int) -> list[Architecture]:
    """Some networks of all kinds."""
    rng = np.random.default_rng(0)
    return [WIDE.sample(rng) for _ in range(count)]


def test_costs_added_up_are_those_of_the_whole_network():
    some = drawn(25)
    assert {len(one.blocks) for one in some} >= {1, 2, 3} and {one.stem for one in some} == {"grid", "pixels"}
    for one in some:
        assert flops(one, (16, 12), 3) == _run(one, (16, 12), 3)
        assert parameters(one, (16, 12), 3) == one.n_parameters((16, 12), 3)


def test_distances_all_at_once_are_those_of_each_pair():
    some = (*drawn(40), Architecture((Block("identity", 4),)))
    np.testing.assert_array_equal(distances(some), [[edit_distance(a, b) for b in some] for a in some])


def test_a_table_of_features_holds_their_counts():
    some = drawn(10)
    table, numbers = feature_table(paths, some)
    assert len(numbers) == len(set().union(*(paths(one) for one in some)))
    overlap = [[sum(paths(a)[f] * paths(b)[f] for f in paths(a)) for b in some] for a in some]
    np.testing.assert_array_equal(table @ table.T, overlap)


def test_what_a_space_remembers_is_not_changed_by_who_asks():
    here = WIDE.sample(np.random.default_rng(1))
    near = WIDE.neighbours(here)
    WIDE.neighbours(here).clear()
    WIDE.everything().clear()
    assert WIDE.neighbours(here) == near and WIDE.everything()
    parameters_of = WIDE.parameters(here)
    assert WIDE.from_parameters(parameters_of) == here == WIDE.suggest(optuna.trial.FixedTrial(parameters_of))


def test_gradient_of_the_ensemble_is_that_of_automatic_differentiation():
    torch.manual_seed(0)
    shapes = [(3, 6, 20), (3, 1, 20), (3, 20, 20), (3, 1, 20), (3, 20, 1), (3, 1, 1)]
    parts = [torch.randn(shape, dtype=torch.float64) for shape in shapes]
    x, truth = torch.randn(11, 6, dtype=torch.float64), torch.rand(11, dtype=torch.float64) + 0.5
    slopes = [torch.zeros_like(part) for part in parts]
    _differentiate(parts, slopes, x, truth)
    leaves = [part.clone().requires_grad_(True) for part in parts]
    hidden = x.expand(3, *x.shape)
    for weight, bias in ((leaves[0], leaves[1]), (leaves[2], leaves[3])):
        hidden = torch.relu(hidden @ weight + bias)
    predicted = (hidden @ leaves[4] + leaves[5]).squeeze(2)
    torch.testing.assert_close(_forward(parts, x)[-1].squeeze(2), predicted.detach())
    wanted = torch.autograd.grad((predicted / truth - 1).abs().mean(dim=1).sum(), leaves)
    for slope, own in zip(slopes, wanted, strict=True):
        torch.testing.assert_close(slope, own)
