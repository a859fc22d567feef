"""Methods with a model of their own: kernels, Gaussian process, proxies; what rungs are worth."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.stats import norm, spearmanr
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF

from surrogates import Architecture, Block
from surrogates.nas.cost import flops
from surrogates.nas.fidelity import admitted, from_pilot, from_table, spearman
from surrogates.nas.lab import Rung, Shapes, search_with
from surrogates.nas.methods import Flops, GaussianProcess, OnData, Parameters, ProxyRanking, RandomSearch
from surrogates.nas.methods.gaussian_process import expected_improvement, posterior, predicted
from surrogates.nas.methods.kernels import KERNELS, counts, distances, edit_distance, psd, subtrees, weisfeiler_lehman
from surrogates.nas.methods.proxies import UNTOLD, activation_codes, gradient_norm, jacobian_covariance, synflow
from surrogates.nas.table import TableLab
from surrogates.networks import Graph
from tests.surrogates.nas.problems import RUNGS, SMALL, live_lab, live_task, made_up_table, regret
from tests.surrogates.toy import SHAPE

A, B, C = Block("spectral", 12, 6), Block("residual", 12), Block("dilated", 12, 2)


def chain(*blocks: Block, **rest) -> Architecture:
    """A network of these blocks."""
    return Architecture(blocks, **rest)


def test_edit_distance_counts_edits():
    assert edit_distance(chain(A, B), chain(A, B)) == 0
    assert edit_distance(chain(A, B, C), chain(A, C)) == 1
    assert edit_distance(chain(A, B), chain(B, A)) == 2
    assert edit_distance(chain(A), chain(Block("spectral", 12, 8))) == 0.5
    assert edit_distance(chain(A), chain(Block("spectral", 8, 8))) == 1
    assert edit_distance(chain(A, B), chain(A, B, head="mean", activation="gelu")) == 1
    rng = np.random.default_rng(0)
    some = [made_up_table().architectures[k] for k in rng.integers(259, size=12)]
    for x in some:
        for y in some:
            assert edit_distance(x, y) == edit_distance(y, x)
            assert all(edit_distance(x, z) <= edit_distance(x, y) + edit_distance(y, z) for z in some)


def test_graphs_are_refused_where_blocks_are_compared():
    graphs = [Architecture(graph=Graph((2, 2), 2, ("tanh",), ((0, 4), (4, 5), (k, 6)))) for k in (1, 2)]
    compare = [edit_distance, lambda *pair: distances(pair)]
    compare += [lambda *pair, k=kernel: k(pair) for kernels in KERNELS.values() for kernel in kernels]
    for one in compare:
        for pair in (graphs, (chain(A), graphs[0])):
            with pytest.raises(ValueError, match="Expected networks of blocks"):
                one(*pair)


@pytest.mark.parametrize("name", KERNELS)
def test_kernels_are_positive_semidefinite(name):
    everything = made_up_table().architectures[::2]
    for kernel in KERNELS[name]:
        gram = kernel(everything)
        assert np.linalg.eigvalsh(gram)[0] > -1e-9
        np.testing.assert_allclose(np.diag(gram), 1)
        np.testing.assert_allclose(gram, gram.T)


def test_psd_is_the_nearest():
    matrix = np.array([[1.0, 2.0], [2.0, 1.0]])
    np.testing.assert_allclose(psd(matrix), [[1.5, 1.5], [1.5, 1.5]])


def test_subtrees_tell_apart_order_where_counts_do_not():
    one, other = chain(A, B, C), chain(A, C, B)
    assert counts(one) == counts(other) == subtrees(one, 0) == subtrees(other, 0)
    assert subtrees(one, 1) != subtrees(other, 1)
    heights = [weisfeiler_lehman(height)([one, other])[0, 1] for height in (0, 1, 2)]
    assert heights[0] == pytest.approx(1) and heights[0] > heights[1] > heights[2] > 0
    # The first block that differs is seen by what comes later, at most ``height`` blocks on.
    near, far = chain(A, A, B), chain(C, A, B)
    shared = subtrees(near, 1) & subtrees(far, 1)
    assert (1, (B.key, A.key)) in shared
    assert not any(level == 2 and B.key in label for level, label in _levels(subtrees(near, 2) & subtrees(far, 2)))


def _levels(features):
    return [f for f in features if isinstance(f, tuple) and isinstance(f[0], int) and isinstance(f[1], tuple)]


def test_the_posterior_is_scikit_learns():
    rng = np.random.default_rng(0)
    x, z = rng.normal(size=(12, 2)), rng.normal(size=(5, 2))
    y = np.sin(x).sum(axis=1)
    mean, std, likelihood = posterior(RBF(1.0)(np.concatenate([x, z])), y, 0.01)
    theirs = GaussianProcessRegressor(RBF(1.0), alpha=0.01 + 1e-8, optimizer=None).fit(x, y)
    wanted, spread = theirs.predict(z, return_std=True)
    np.testing.assert_allclose(mean, wanted)
    np.testing.assert_allclose(std, spread)
    assert likelihood == pytest.approx(theirs.log_marginal_likelihood_value_)


def test_expected_improvement_is_the_integral():
    x = np.linspace(-8, 8, 20001)
    for mean, std, best in ((0.0, 1.0, 0.3), (1.0, 0.5, -0.2)):
        y = mean + std * x
        wanted = np.trapezoid(np.maximum(best - y, 0) * norm.pdf(x), x)
        assert expected_improvement(np.array([mean]), np.array([std]), best)[0] == pytest.approx(wanted, rel=1e-5)


def test_the_process_learns_order_by_the_tree_kernel_only():
    everything = made_up_table().architectures
    rng = np.random.default_rng(0)
    worth: dict[tuple[str, str], float] = {}
    keys = [[block.operation for block in a.blocks] for a in everything]
    y = np.array([sum(worth.setdefault(pair, rng.normal()) for pair in pairwise(key)) for key in keys])
    rows = rng.permutation(len(everything))
    seen, asked = rows[:120], rows[120:]
    told = {}
    for name in ("wl", "counts"):
        mean, _ = predicted(KERNELS[name], [everything[k] for k in seen], y[seen], [everything[k] for k in asked])
        told[name] = spearmanr(mean, y[asked])[0]
    assert told["wl"] > told["counts"] + 0.1 and told["wl"] > 0.8


@pytest.mark.parametrize("kernel", ["wl", "edit"])
def test_gaussian_processes_beat_chance(kernel):
    tables = [made_up_table(seed=seed) for seed in range(2)]
    chance = np.mean([regret(RandomSearch(), table, 20, 10) for table in tables])
    method = GaussianProcess(kernel, random=20, mutants=20)
    assert np.mean([regret(method, table, 20, 4) for table in tables]) < 0.7 * chance


def test_diverged_networks_do_not_stop_the_process():
    table = made_up_table()
    table.error[::3] = np.inf
    found = search_with(GaussianProcess(networks=20), TableLab(table), 0)
    assert len(found.trials) == 20 and np.isfinite(found.error)


def test_a_ranking_is_named_after_its_proxy():
    task = live_task()
    proxies = (Parameters(), Flops(), OnData(gradient_norm, task), lambda a: 0.0)
    assert [ProxyRanking(p).name for p in proxies] == ["parameter count", "flops", "gradient norm", "proxy"]
    assert ProxyRanking(Flops(), name="mine").name == "mine"


def test_the_parameter_count_ranks_by_parameters():
    table = made_up_table()
    lab = TableLab(table)
    proxy = Parameters((24, 20), 7)
    search_with(ProxyRanking(proxy, networks=15, keep=5, rounds=1), lab, 0)
    sizes = [t.architecture.n_parameters((24, 20), 7) for t in lab.trials]
    assert len(sizes) == 5 and sizes == sorted(sizes, reverse=True)
    assert Flops((24, 20), 7)(lab.trials[0].architecture) == flops(lab.trials[0].architecture, (24, 20), 7)
    # A proxy that knows the error finds the best; one that knows its opposite does not.
    knowing = ProxyRanking(lambda a: -table.final[table.number[a]], 259, 1, 1)
    assert search_with(knowing, TableLab(table), 0).best == table.architectures[int(np.argmin(table.final))]


@pytest.mark.parametrize("proxy", [Parameters, Flops])
def test_counts_are_of_the_problem_at_hand(proxy, monkeypatch):
    table = made_up_table()
    shapes = Shapes((6, 33), 11)
    assert proxy().of(shapes) == proxy((6, 33), 11) and proxy(n_outputs=2).of(shapes) == proxy((6, 33), 2)
    asked: list[Shapes] = []

    def counted(self, architecture):
        asked.append(Shapes(self.design_shape, self.n_outputs))
        return 0.0

    monkeypatch.setattr(proxy, "__call__", counted)
    labs = [TableLab(replace(table, shapes=shapes)), TableLab(table), live_lab(rungs=RUNGS[:1])]
    for lab, wanted in zip(labs, (shapes, UNTOLD, Shapes(SHAPE, labs[2].task.codec.n_outputs)), strict=True):
        search_with(ProxyRanking(proxy(), networks=2, keep=1, rounds=1), lab, 0)
        assert set(asked) == {wanted}
        asked.clear()


def test_the_count_is_the_one_measured_on_the_trained_network():
    lab = live_lab(rungs=RUNGS[:1])
    trial = lab.ask(SMALL.everything()[0])
    assert Parameters().of(lab.shapes)(trial.architecture) == trial.measures["parameters"]
    assert Parameters().of(lab.shapes)(trial.architecture) != Parameters().of(UNTOLD)(trial.architecture)


@pytest.mark.parametrize("proxy", [Parameters(), Flops(), Parameters((24, 20))])
def test_counts_without_shapes_are_refused(proxy):
    with pytest.raises(ValueError, match=r"\.of\(lab\.shapes\)"):
        proxy(SMALL.everything()[0])


def test_proxies_of_the_built_network():
    task = live_task()
    for measure in (gradient_norm, synflow, jacobian_covariance, activation_codes):
        proxy = OnData(measure, task, samples=16)
        values = [proxy(a) for a in SMALL.everything()]
        assert [proxy(a) for a in SMALL.everything()[:2]] == values[:2]
        assert len({v for v in values if np.isfinite(v)}) >= 5


def test_synflow_of_a_linear_chain_is_the_paths_product():
    """R = 1^T |W2| |W1| x, so that sum theta dR/dtheta over each layer is R itself, biases aside."""

    class Chain(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = torch.nn.Linear(3, 4, bias=False), torch.nn.Linear(4, 2, bias=False)

        def from_pooled(self, x):
            return self.two(self.one(x.flatten(1)))

    chain = Chain()
    product = chain.two.weight.abs() @ chain.one.weight.abs()
    score = synflow(chain, torch.zeros(5, 1, 3), torch.zeros(5, 2))
    assert score == pytest.approx(np.log(2 * product.sum().item()), rel=1e-6)


def test_jacobians_that_are_alike_score_low():
    class Linear(torch.nn.Module):
        def from_pooled(self, x):
            return x.sum(dim=2)

    class Square(torch.nn.Module):
        def from_pooled(self, x):
            return (x**3).sum(dim=2)

    pooled = torch.rand(8, 4, 6, generator=torch.Generator().manual_seed(0))
    weighted = pooled * torch.linspace(0.5, 1.5, 6)
    assert jacobian_covariance(Square(), weighted, pooled) > jacobian_covariance(Linear(), weighted, pooled)


def test_rank_correlation_is_scipys():
    rng = np.random.default_rng(0)
    a, b = rng.integers(10, size=30).astype(float), rng.integers(10, size=30).astype(float)
    assert spearman(a, b) == pytest.approx(spearmanr(a, b)[0])
    assert spearman(np.ones(30), b) == 0
    assert spearman(np.array([1, 2, np.inf]), np.array([1.0, 2.0, 3.0])) == pytest.approx(1)


def test_a_rung_is_admitted_on_its_correlation_for_its_seconds():
    table = made_up_table(noise=0.02)
    reports = from_table(table, resamples=200)
    assert [r.rung for r in reports] == list(table.rungs)
    for report in reports:
        low, high = report.interval
        assert low <= report.correlation <= high and report.networks == 259
    assert reports[0].cpu_seconds * 9 == pytest.approx(reports[2].cpu_seconds)
    # The last rung does not predict another seed's perfectly.
    assert 0.8 < reports[2].correlation < 1
    assert admitted(reports) == table.rungs
    error = table.error.copy()
    error[:, 1] = np.random.default_rng(0).permutation(error[:, 1])
    blind = from_table(replace(table, error=error), resamples=200)
    assert admitted(blind) == (table.rungs[0], table.rungs[2])
    assert abs(blind[1].correlation) < 0.2
    # One that costs more than the last for no better a ranking is not wanted, however sure its ranking.
    seconds = table.cpu_seconds.copy()
    seconds[:, 0] = 2 * seconds.sum(axis=1)
    apart = (Rung(1, share=0.5), *table.rungs[1:])
    dear = from_table(replace(table, rungs=apart, cpu_seconds=seconds), resamples=200)
    assert dear[0].interval[0] > 0.3 and admitted(dear) == apart[1:]


def test_a_pilot_measures_what_the_table_does():
    table = made_up_table()
    lab = TableLab(table)
    some = [table.architectures[k] for k in np.random.default_rng(0).permutation(259)[:60]]
    pilot, whole = from_pilot(lab, some, resamples=200), from_table(table, resamples=200)
    for a, b in zip(pilot, whole, strict=True):
        assert a.interval[0] - 0.05 <= b.correlation <= a.interval[1] + 0.05
    assert lab.spent > 60
    with pytest.raises(ValueError, match="try more"):
        from_pilot(TableLab(table), some[:3])


@pytest.mark.parametrize("bad", ["parameters", Parameters])
def test_what_is_no_proxy_is_refused(bad):
    with pytest.raises(TypeError, match="Expected a proxy"):
        ProxyRanking(bad)
    with pytest.raises(ValueError, match="Expected rounds"):
        ProxyRanking(rounds=0)
