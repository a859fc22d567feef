"""Freeze-thaw: curves of all networks as one Gaussian process, and what is begun and gone on with by it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import gamma, multivariate_normal

from surrogates.nas.lab import Rung, search_with
from surrogates.nas.methods import FreezeThaw, RandomSearch
from surrogates.nas.methods.freeze_thaw import likeliest
from surrogates.nas.methods.kernels import KERNELS, weisfeiler_lehman
from surrogates.nas.methods.learning_curves import PRECISION, CurvePrior, Curves
from surrogates.nas.table import TableLab
from tests.surrogates.nas.problems import made_up_table

ENDS, LENGTHS = (1, 3, 9), (3, 1, 9, 3, 1)
PRIOR = CurvePrior(alpha=1.5, beta=2.0, apart=0.5, amplitude=0.3, noise=0.02, luck=0.2)


def some_curves(lengths=LENGTHS, beyond=2):
    """Curves of networks at random places, and the kernel of those and some more."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(len(lengths) + beyond, 2))
    gram = np.exp(-((x[:, None] - x) ** 2).sum(axis=2) / 2)
    curves = [0.5 + 0.1 * rng.normal() + 0.4 * np.exp(-np.arange(1, k + 1) / 3) for k in lengths]
    return [curve + 0.01 * rng.normal(size=len(curve)) for curve in curves], gram


def dense(prior, lengths, gram, free_mean=True):
    """Covariance of all epochs seen, and then of the last epoch of every network; how many are seen."""
    seen = [(network, epoch) for network, length in enumerate(lengths) for epoch in range(1, length + 1)]
    network, epoch = np.array([*seen, *((k, ENDS[-1]) for k in range(len(gram)))]).T
    same = network[:, None] == network
    decay = (prior.beta / (epoch + prior.beta)) ** prior.alpha
    loading = 1 - prior.apart * decay
    covariance = np.outer(loading, loading) * (gram[np.ix_(network, network)] + prior.luck * same)
    covariance += same * prior.amplitude * (prior.beta / (epoch[:, None] + epoch + prior.beta)) ** prior.alpha
    if free_mean:
        covariance += 1 / PRECISION[0] + np.outer(decay, decay) / PRECISION[1]
    covariance += prior.noise * np.diag(np.arange(len(network)) < len(seen))
    return covariance, len(seen)


def conditional(covariance, n):
    """Weights of what is seen in the mean of the rest, and the rest's variance."""
    weights = np.linalg.solve(covariance[:n, :n], covariance[:n, n:]).T
    return weights, np.diag(covariance[n:, n:] - weights @ covariance[:n, n:])


def test_what_decays_is_a_mixture_of_exponentials():
    """Swersky et al., eq. 6: rates of a gamma density of shape alpha and rate beta."""
    rates = gamma(PRIOR.alpha, scale=1 / PRIOR.beta)
    for t, u in ((1.0, 1.0), (2.0, 7.0)):
        wanted = quad(lambda rate, t=t, u=u: np.exp(-rate * (t + u)) * rates.pdf(rate), 0, np.inf)[0]
        found = PRIOR.covariance(np.array([t]), np.array([u]))[0, 0]
        assert found == pytest.approx(PRIOR.amplitude * wanted, rel=1e-6)


def test_forecasts_and_likelihood_are_those_of_the_dense_process():
    curves, gram = some_curves()
    n, values = len(curves), np.concatenate(curves)
    covariance, seen = dense(PRIOR, LENGTHS, gram)
    weights, variance = conditional(covariance, seen)
    scale2 = values @ np.linalg.solve(covariance[:seen, :seen], values) / seen
    found = Curves(PRIOR, curves, gram[:n, :n], ENDS)
    told = [found.forecast(), found.forecast(gram[n:, :n])]
    np.testing.assert_allclose(np.concatenate([one.mean for one in told]), weights @ values, rtol=1e-7)
    np.testing.assert_allclose(np.concatenate([one.std for one in told]), np.sqrt(scale2 * variance), rtol=1e-6)
    wanted = multivariate_normal(np.zeros(seen), scale2 * covariance[:seen, :seen]).logpdf(values)
    assert found.log_likelihood == pytest.approx(wanted, rel=1e-7)


def test_what_the_next_rung_will_tell_is_what_the_dense_process_then_knows_more():
    curves, gram = some_curves()
    n = len(curves)
    found = Curves(PRIOR, curves, gram[:n, :n], ENDS)
    told = [found.forecast(), found.forecast(gram[n:, :n])]
    np.testing.assert_array_equal(np.concatenate([one.epochs for one in told]), [6, 2, 0, 6, 2, 1, 1])
    now = conditional(*dense(PRIOR, LENGTHS, gram, free_mean=False))[1]
    after = np.concatenate([one.epochs for one in told]) + np.array([*LENGTHS, 0, 0])
    for network in range(n + 2):
        lengths = [*LENGTHS, 0, 0]
        lengths[network] = int(after[network])
        then = conditional(*dense(PRIOR, lengths, gram, free_mean=False))[1]
        one = np.concatenate([one.told for one in told])[network]
        assert one**2 == pytest.approx(found.scale2 * (now - then)[network], rel=1e-6, abs=1e-12)


def test_forecasts_do_not_depend_on_order_or_on_what_was_asked_before():
    curves, gram = some_curves()
    n = len(curves)
    found = Curves(PRIOR, curves, gram[:n, :n], ENDS)
    first = found.forecast()
    Curves(replace(PRIOR, alpha=4.0), curves[:2], gram[:2, :2], ENDS).forecast()
    found.forecast(gram[n:, :n])
    np.testing.assert_array_equal(found.forecast().mean, first.mean)
    back = Curves(PRIOR, curves[::-1], gram[:n, :n][::-1, ::-1], ENDS).forecast()
    np.testing.assert_allclose(back.mean[::-1], first.mean, rtol=1e-9)
    np.testing.assert_allclose(back.told[::-1], first.told, atol=1e-9)


@pytest.mark.parametrize("shape", [lambda t: t**-0.7, lambda t: np.exp(-t / 5)])
def test_curves_are_continued(shape):
    """By what others, further on, tell of how curves fall: better than by where each is."""
    table, rng = made_up_table(), np.random.default_rng(0)
    networks = [table.architectures[k] for k in rng.permutation(259)[:30]]
    floors = 0.3 + 0.05 * rng.normal(size=30)
    whole = [floor + (0.8 - floor) * shape(np.arange(1.0, 28)) for floor in floors]
    curves = [curve[: (3, 9, 27)[k % 3]] for k, curve in enumerate(whole)]
    kernel, prior = likeliest(curves, networks, KERNELS["wl"], (3, 9, 27))
    told = Curves(prior, curves, kernel(networks), (3, 9, 27)).forecast()
    ends = np.array([curve[-1] for curve in whole])
    for length in (3, 9):
        rows = np.array([len(curve) == length for curve in curves])
        left = np.array([curve[-1] for curve in curves])[rows] - ends[rows]
        assert np.mean(np.abs(told.mean - ends)[rows]) < 0.3 * left.mean()
    stds = [told.std[np.array([len(curve) == length for curve in curves])].mean() for length in (3, 9, 27)]
    assert stds[0] > stds[1] > stds[2]


def test_networks_like_good_ones_are_expected_to_be_good():
    table = made_up_table(noise=0.0)
    rows = np.random.default_rng(0).permutation(len(table.architectures))
    seen, asked = rows[:60], rows[60:]
    networks = [table.architectures[k] for k in rows]
    curves = [table.curves[k, :1, 0] if k % 3 else table.curves[k, :, 0] for k in seen]
    gram = weisfeiler_lehman(1)(networks)
    prior = likeliest(curves, networks[:60], KERNELS["wl"], ENDS)[1]
    told = Curves(prior, curves, gram[:60, :60], ENDS).forecast(gram[60:, :60])
    assert np.corrcoef(told.mean, table.final[asked])[0, 1] > 0.5


def test_a_flat_curve_above_the_incumbent_stays_frozen():
    ends = (3, 9, 27)
    table = made_up_table(rungs=tuple(Rung(end) for end in ends), noise=0.0)
    epochs = np.arange(1, 28)
    flat = np.arange(len(table.architectures)) % 2 == 0
    finals = np.linspace(0.2, 0.45, len(flat))
    # Even ones are better at first, and flat; odd ones fall past them.
    curves = np.where(flat[:, None], 0.5 + 0.1 * np.exp(-2.0 * epochs), finals[:, None] + 1.2 / epochs)
    table.curves[:] = curves[:, :, None]
    for k, end in enumerate(ends):
        table.error[:, k] = curves[:, end - 1, None]
    assert table.error[flat, 0].max() < np.quantile(table.error[~flat, 0], 0.1)
    found = search_with(FreezeThaw(networks=40), TableLab(table, 100 * table.cpu_seconds[:, 0].mean()), 0)
    flats = set(np.array(table.architectures, dtype=object)[flat])
    begun, thawed, finished = (
        np.array([t.architecture in flats for t in found.trials if t.rung == rung]) for rung in range(3)
    )
    assert begun.mean() > 0.3 and len(thawed) >= 8 and found.best not in flats
    # At 3 epochs flat ones are the best of all.
    assert thawed.mean() < 0.3 and finished.sum() == 0 and len(finished) >= 4


def found_by(method, networks: float, seeds: int):
    """Searches on tables of their own, at the cost of so many whole trainings; finals in units of the table's."""
    searches, finals = [], []
    for seed in range(seeds):
        table = made_up_table(seed=seed)
        found = search_with(method, TableLab(table, networks * table.cpu_seconds.sum(axis=1).mean(), shift=seed), seed)
        searches.append((table, found))
        least, middle = table.final.min(), np.median(table.final)
        finals.append((table.final[table.number[found.best]] - least) / (middle - least))
    return searches, np.array(finals)


def test_freeze_thaw_beats_chance_seed_by_seed_and_begins_better_networks():
    searches, own = found_by(FreezeThaw(), 12, 8)
    _, chance = found_by(RandomSearch(), 12, 8)
    gains = chance - own
    assert gains.mean() > 0.15 and gains.mean() > 2 * gains.std(ddof=1) / 8**0.5
    better = []
    for table, found in searches:
        begun = [table.final[table.number[t.architecture]] for t in found.trials if t.rung == 0]
        better.append((np.median(table.final) - np.mean(begun[10:30])) / table.final.std())
    assert np.mean(better) > 0.5 and np.min(better) > 0


def test_it_ends_when_everything_allowed_is_trained_and_does_the_same_again():
    table = made_up_table()
    searches = [search_with(FreezeThaw(networks=12), TableLab(table), 0) for _ in range(2)]
    for rung in range(3):
        assert sum(t.rung == rung for t in searches[0].trials) == 12
    asked = [[(t.architecture, t.rung) for t in found.trials] for found in searches]
    assert asked[0] == asked[1]


def test_diverged_networks_are_not_gone_on_with():
    table = made_up_table()
    table.error[::3] = np.inf
    table.curves[::3] = np.nan
    found = search_with(FreezeThaw(networks=20), TableLab(table), 0)
    diverged = [t.rung for t in found.trials if not np.isfinite(t.error)]
    assert diverged and set(diverged) == {0} and np.isfinite(found.error)
    table.error[:] = np.inf
    table.curves[:] = np.nan
    lab = TableLab(table)
    FreezeThaw(networks=15)(lab, np.random.default_rng(0))
    assert len(lab.trials) == 15


def test_curves_do_not_go_on_across_other_samples():
    table = made_up_table()
    lab = TableLab(replace(table, rungs=(Rung(1, share=0.5), *table.rungs[1:])))
    with pytest.raises(ValueError, match="rising epochs alone"):
        search_with(FreezeThaw(), lab, 0)


@pytest.mark.parametrize("wrong", [{"kernel": "none"}, {"initial": 0}, {"mutants": -1}])
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ValueError, match=r"Expected .* Got"):
        FreezeThaw(**wrong)


def test_curves_are_needed():
    table = made_up_table()
    lab = TableLab(replace(table, curves=table.curves[:, :0]))
    with pytest.raises(ValueError, match="error after each epoch"):
        search_with(FreezeThaw(), lab, 0)
