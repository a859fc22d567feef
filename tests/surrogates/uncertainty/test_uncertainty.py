from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import binom
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel
from sklearn.linear_model import BayesianRidge

from surrogates import CorruptSurrogateError, Dataset, LevelData, Surrogate, TrainingConfig, gaussian
from surrogates.calibration import conformal, interval_figures
from surrogates.families import mlp, resnet
from surrogates.splitting import split
from surrogates.training import TrainingDiverged
from surrogates.uncertainty import BayesianSurrogate, CyclicalMCMC, DeepKernel, LastLayer
from surrogates.uncertainty.last_layer import evidence_maximum, weight_posterior, with_constant
from surrogates.uncertainty.mcmc import cyclical_step, hamiltonian_step
from tests.surrogates.toy import Toy, dataset, level_data, smooth_designs

SMALL = mlp(width=64, depth=2, resolution=8)
CONFIG = TrainingConfig(epochs=30, pretraining_epochs=8, batch_size=32, weight_decay=1e-2, monitor="value")
INFERENCES = {"last_layer": LastLayer(), "deep_kernel": DeepKernel(steps=5), "mcmc": CyclicalMCMC(epochs=40)}


def independent(n, seed):
    """Designs of one sample a group, so that held-out and fresh ones are exchangeable."""
    designs = smooth_designs(np.random.default_rng(seed), n)
    responses = {name: value.numpy() for name, value in Toy()(torch.from_numpy(designs)).items()}
    return Dataset({0: LevelData.values_only(designs, responses, np.arange(n) + 1000 * seed)})


@pytest.fixture(scope="module", params=list(INFERENCES))
def fitted(request):
    surrogate = BayesianSurrogate(SMALL, INFERENCES[request.param], CONFIG, held_out=0.4)
    return surrogate, surrogate.fit(independent(250, seed=1), seed=0)


def test_coverage_of_fresh_samples_is_within_binomial_limits(fitted):
    surrogate, report = fitted
    assert isinstance(surrogate, Surrogate)
    fresh = independent(300, seed=2)
    score = surrogate.score(fresh)[0]
    # 100 samples calibrate and 300 count; seven outputs of a sample are taken for one trial.
    low, high = binom.ppf([0.001, 0.999], 75, 0.9) / 75
    assert low <= score.coverage_90 <= high
    assert abs(report.reference.coverage_90 - 0.9) < 0.07
    assert 0 < report.reference.width_90 < 3
    assert score.r2 > 0.7


def test_spread_grows_away_from_the_data(fitted):
    surrogate, _ = fitted
    designs = torch.from_numpy(independent(40, seed=2).levels[0].designs.copy())
    # Contrasts beyond any density's: away from the samples along the directions they vary in.
    spread = [surrogate.predict(0.5 + c * (designs - 0.5), 0).members.std(dim=0).mean().item() for c in (1, 2, 4)]
    assert spread[0] < spread[1] < spread[2]
    assert spread[2] > 1.5 * spread[0]


def test_saved_and_loaded_it_says_the_same_and_is_differentiable(fitted, tmp_path):
    surrogate, _ = fitted
    surrogate.save(tmp_path / "one.safetensors")
    loaded = BayesianSurrogate.load(tmp_path / "one.safetensors")
    design = torch.from_numpy(smooth_designs(np.random.default_rng(3), 2)).requires_grad_(True)
    one, two = (s.predict(design, 0) for s in (surrogate, loaded))
    assert torch.equal(one.members, two.members)
    assert torch.equal(one.std["t"], two.std["t"])
    (gradient,) = torch.autograd.grad(one.std["loss"].sum() + one.mean["t"].abs().sum(), design)
    assert gradient.abs().max() > 0
    with pytest.raises(ValueError, match="fitted on"):
        surrogate.predict(design, 7)
    (tmp_path / "two.safetensors").write_bytes((tmp_path / "one.safetensors").read_bytes()[:-9])
    with pytest.raises(CorruptSurrogateError):
        BayesianSurrogate.load(tmp_path / "two.safetensors")


def test_levels_and_gradients():
    low = level_data(Toy(bias=0.15), runs=8, steps=4, seed=5, first_group=50)
    high = level_data(Toy(), runs=8, steps=3, seed=1)
    surrogate = BayesianSurrogate(SMALL, LastLayer(), CONFIG)
    report = surrogate.fit(Dataset({0: low, 1: high}), seed=0)
    assert set(report.levels) == {0, 1}
    assert report.reference.gradient_cosine > 0.3
    assert set(report.reference.baselines) == {"mean", "mean_gradient", "nearest"}


def test_last_layer_is_the_analytic_posterior():
    network = SMALL.build((24, 20), 7)
    surrogate = BayesianSurrogate(SMALL, LastLayer(draws=4000), TrainingConfig(epochs=1))
    data = dataset(runs=6, steps=5, gradients=False)
    surrogate.fit(data, seed=0)
    designs = torch.from_numpy(data.levels[0].designs[:5].copy())
    prediction = surrogate.predict(designs, 0)
    network, posterior = surrogate._ready[0]
    train_part = surrogate.fitted[0]
    with torch.no_grad():
        phi_new = with_constant(network.trunk(2 * network.pool(designs.float()) - 1).double()).numpy()
    # The draws' own mean and covariance against Bishop eqs. 3.53, 3.54, written out for each output.
    beta = 1 / posterior["noise"].diagonal().numpy()
    rows, _ = split(data, 0.2, 0)
    y = train_part.codec.encode(rows.levels[0].tensors("responses")).float().double()
    with torch.no_grad():
        pooled = network.pool(torch.from_numpy(rows.levels[0].designs.astype(np.float32)))
        phi = with_constant(network.trunk(2 * pooled - 1).double())
    alpha, found = evidence_maximum(phi, y)
    np.testing.assert_allclose(found.numpy(), beta, rtol=1e-6)
    phi, y = phi.numpy(), y.numpy()
    for k in range(7):
        precision = alpha[k].item() * np.eye(phi.shape[1]) + beta[k] * phi.T @ phi
        mean = phi_new @ np.linalg.solve(precision, beta[k] * phi.T @ y[:, k])
        covariance = phi_new @ np.linalg.solve(precision, phi_new.T)
        members = prediction.members[:, :, k].numpy()
        np.testing.assert_allclose(members.mean(axis=0), mean, atol=1e-5)
        scale = np.sqrt(np.diag(covariance))
        np.testing.assert_allclose(
            np.cov(members.T) / np.outer(scale, scale), covariance / np.outer(scale, scale), atol=0.12
        )


def test_evidence_maximum_agrees_with_scikit_learn():
    rng = np.random.default_rng(0)
    phi = rng.normal(size=(60, 12))
    y = phi @ rng.normal(size=(12, 2)) + 0.3 * rng.normal(size=(60, 2))
    alpha, beta = evidence_maximum(torch.from_numpy(phi), torch.from_numpy(y), iterations=2000)
    mean, covariance = weight_posterior(torch.from_numpy(phi), torch.from_numpy(y), alpha, beta)
    for k in range(2):
        ridge = BayesianRidge(
            fit_intercept=False, max_iter=3000, tol=1e-10, alpha_1=0, alpha_2=0, lambda_1=0, lambda_2=0
        )
        ridge.fit(phi, y[:, k])
        assert alpha[k].item() == pytest.approx(ridge.lambda_, rel=1e-3)
        assert beta[k].item() == pytest.approx(ridge.alpha_, rel=1e-3)
        np.testing.assert_allclose(mean[:, k].numpy(), ridge.coef_, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(covariance[k].numpy(), ridge.sigma_, rtol=1e-2, atol=1e-7)


def test_draws_of_the_process_agree_with_scikit_learn():
    rng = np.random.default_rng(0)
    x, new = rng.random((20, 2)), rng.random((6, 2))
    y = np.sin(3 * x[:, :1] + x[:, 1:])
    hyper = {
        "log_length": torch.tensor([np.log(0.6)]),
        "log_variance": torch.tensor([np.log(1.3)]),
        "log_noise": torch.tensor([np.log(0.02)]),
        "ratio": torch.ones(1, dtype=torch.float64),
    }
    reference = GaussianProcessRegressor(ConstantKernel(1.3) * RBF(0.6), alpha=0.02 + 1.3e-6, optimizer=None).fit(
        x, y[:, 0]
    )
    levels = torch.zeros(20, dtype=torch.long)
    loss = gaussian.negative_log_likelihood(torch.from_numpy(x), levels, torch.from_numpy(y), hyper)
    assert -20 * loss.item() == pytest.approx(reference.log_marginal_likelihood_value_, rel=1e-6)
    state = gaussian.draw(torch.from_numpy(x), levels, torch.from_numpy(y), hyper, 4000, seed=0)
    drawn = gaussian.evaluate(state, torch.from_numpy(new), 0)[:, :, 0].numpy()
    mean, covariance = reference.predict(new, return_cov=True)
    np.testing.assert_allclose(drawn.mean(axis=0), mean, atol=1e-8)
    np.testing.assert_allclose(np.cov(drawn.T), covariance, atol=0.1 * covariance.diagonal().max())


@pytest.mark.parametrize("friction", [0.2, 1.0])
def test_dynamics_sample_a_gaussian(friction):
    torch.manual_seed(0)
    precision = torch.tensor([[2.0, 0.6], [0.6, 1.0]])
    weights = torch.zeros(2000, 2, requires_grad=True)
    momenta = [torch.zeros_like(weights)]
    for _ in range(600):
        # Unbiased noise on the gradient, as of batches.
        tilt = 0.1 * torch.randn(2000, 2)

        def energy(tilt=tilt):
            return (weights @ precision * weights).sum() / 2 + (tilt * weights).sum()

        hamiltonian_step([weights], momenta, energy, 0.01, friction, 1.0)
    covariance = np.cov(weights.detach().numpy().T)
    np.testing.assert_allclose(covariance, torch.linalg.inv(precision).numpy(), atol=0.08)


def test_step_sizes_restart():
    sizes = [cyclical_step(step, 40, 4, 0.1)[0] for step in range(40)]
    assert sizes[::10] == [0.1] * 4
    assert all(np.diff(sizes[:10]) < 0)


def test_conformal_interval_covers_whatever_the_spread_and_scales_with_it():
    rng = np.random.default_rng(0)
    n, k = 40, 3
    counted = []
    for _ in range(150):
        size = np.exp(rng.normal(0, 1, (2 * n, 1)))
        true = size * rng.standard_t(3, (2 * n, k))
        members = 0.2 * size * rng.normal(size=(20, 2 * n, k))
        calibration = conformal(members[:, :n], true[:n])
        counted.append(interval_figures(calibration, members[:, n:], true[n:])[0])
        wider = 2 * members - members.mean(axis=0)
        doubled = conformal(wider[:, :n], true[:n], np.zeros((k, k)))
        reach = calibration.quantile * calibration.std(members)
        np.testing.assert_allclose(doubled.quantile * doubled.std(wider), reach, rtol=1e-6)
    # The guarantee is on the expectation, and tight to one in n + 1.
    assert 0.9 - 0.015 <= np.mean(counted) <= 0.9 + 1 / (n + 1) + 0.015


@pytest.mark.parametrize("make", [lambda: LastLayer(3), lambda: DeepKernel(1), lambda: CyclicalMCMC(2, 3)])
def test_misuse(make):
    with pytest.raises(ValueError, match="Expected"):
        make()


def test_a_cycle_without_room_for_its_draws_is_refused():
    surrogate = BayesianSurrogate(SMALL, CyclicalMCMC(draws=2, cycles=1, epochs=1), TrainingConfig(epochs=1))
    with pytest.raises(ValueError, match="raise epochs"):
        surrogate.fit(dataset(runs=4, steps=2), seed=0)
    with pytest.raises(ValueError, match="batch_size"):
        CyclicalMCMC(batch_size=0)


@pytest.mark.parametrize("inference", [CyclicalMCMC(draws=4, learning_rate=10.0), DeepKernel(learning_rate=1e30)])
def test_an_inference_that_diverges_is_named(inference):
    surrogate = BayesianSurrogate(resnet(4, 1, 8), inference, TrainingConfig(epochs=1))
    with pytest.raises(TrainingDiverged, match="learning rate"):
        surrogate.fit(dataset(runs=3, steps=1), seed=0)
    assert not surrogate.fitted


def test_weights_whose_answers_overflow_are_a_divergence():
    class Huge(LastLayer):
        def infer(self, network, data, seed):
            posterior = super().infer(network, data, seed)
            return {**posterior, "weights": torch.full_like(posterior["weights"], 1e308)}

    surrogate = BayesianSurrogate(SMALL, Huge(), TrainingConfig(epochs=1))
    with pytest.raises(TrainingDiverged, match="last_layer at level 0"):
        surrogate.fit(dataset(runs=3, steps=2, gradients=False), seed=0)


@pytest.mark.parametrize(
    "bad",
    [
        *({name: value} for name in ("learning_rate", "prior_std") for value in (-0.01, 0.0, np.nan, np.inf)),
        {"gradient_weight": -1.0},
        {"gradient_weight": np.nan},
        {"friction": np.nan},
    ],
)
def test_numbers_that_no_chain_can_run_with_are_refused(bad):
    with pytest.raises(ValueError, match=f"Expected .*{next(iter(bad))}"):
        CyclicalMCMC(**bad)
    if "learning_rate" in bad:
        with pytest.raises(ValueError, match="Expected a learning_rate"):
            DeepKernel(**bad)


def test_the_architecture_weighs_the_gradients_of_network_and_chain():
    data, design = dataset(runs=4, steps=3), torch.from_numpy(smooth_designs(np.random.default_rng(3), 2))
    quick, chain = TrainingConfig(epochs=2), CyclicalMCMC(draws=2, cycles=1, epochs=10)
    asked = []

    def answer(own, weight):
        architecture = replace(SMALL, gradient_weight=own)
        inference, config = (replace(one, gradient_weight=weight) for one in (chain, quick))
        surrogate = BayesianSurrogate(architecture, inference, config)
        surrogate.fit(data, seed=0, memo=lambda kind, inputs, compute: asked.append(inputs["inference"]) or compute())
        return surrogate.predict(design, 0).members

    given = answer(10.0, 1.0)
    assert torch.equal(given, answer(None, 10.0))
    assert not torch.equal(given, answer(None, 1.0))
    assert asked[0] == asked[1] != asked[2]
