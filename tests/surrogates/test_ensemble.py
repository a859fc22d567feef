from dataclasses import replace

import numpy as np
import pytest
import torch

from surrogates import (
    Architecture,
    CorruptSurrogateError,
    Dataset,
    DeepEnsemble,
    LevelData,
    Surrogate,
    TrainingConfig,
    training,
)
from surrogates import ensemble as ensemble_module
from surrogates.calibration import Calibration, calibrate, cross_coverage, interval_figures
from surrogates.encoding import Field, ResponseCodec
from surrogates.families import mlp, resnet
from surrogates.persistence import save_fitted
from surrogates.prediction import Prediction
from surrogates.training import train
from tests.surrogates.toy import Toy, dataset, level_data

SMALL = mlp(width=64, depth=2, resolution=8)
CONFIG = TrainingConfig(epochs=40, pretraining_epochs=10, batch_size=16, weight_decay=1e-2)


@pytest.fixture(scope="module")
def fitted():
    ensemble = DeepEnsemble(SMALL, 4, CONFIG)
    return ensemble, ensemble.fit(dataset(runs=16, steps=8), seed=0)


def designs(n=3):
    return torch.from_numpy(dataset(runs=2, steps=2, seed=42).levels[0].designs[:n].copy())


def test_report_beats_the_baselines_and_names_the_cost(fitted):
    ensemble, report = fitted
    assert isinstance(ensemble, Surrogate)
    score = report.reference
    assert score.n_train + score.n_held_out == 128
    assert score.r2 > 0.5
    for baseline in score.baselines.values():
        assert score.value_error < baseline.value_error
        assert not score.gradient_cosine < baseline.gradient_cosine
    assert 0 < score.width_90 < 4
    assert score.member_scale == ensemble.fitted[0].calibration.member_scale > 0
    assert report.cpu_seconds > 0


def test_coverage_on_unseen_runs(fitted):
    ensemble, report = fitted
    unseen = ensemble.score(dataset(runs=12, steps=8, seed=77))[0]
    assert 0.8 <= unseen.coverage_90 <= 0.99
    assert 0.75 <= report.reference.coverage_90 <= 1.0
    assert unseen.baselines == {}


def test_prediction_is_close_to_the_truth_and_shaped_like_it(fitted):
    ensemble, _ = fitted
    design = designs()
    truth, prediction = Toy()(design), ensemble.predict(design, 0)
    low, high = prediction.interval()
    for name, value in truth.items():
        assert prediction.mean[name].shape == value.shape
        assert prediction.mean[name].is_complex() == value.is_complex()
        assert not prediction.std[name].is_complex()
        assert (high[name].real > low[name].real).all()
        members = ensemble.member_predictions(design, 0)[name]
        torch.testing.assert_close(members.mean(dim=0), prediction.mean[name])


def test_everything_is_differentiable_in_the_design(fitted):
    ensemble, _ = fitted
    design = designs().requires_grad_()
    prediction = ensemble.predict(design, 0)
    sample = prediction.sample(2, torch.Generator().manual_seed(0))["t"]
    for value in (prediction.mean["t"].abs().sum(), prediction.std["loss"].sum(), sample.abs().sum()):
        (gradient,) = torch.autograd.grad(value, design, retain_graph=True)
        assert gradient.shape == design.shape
        assert gradient.abs().max() > 0


def test_sample_covariance_is_the_std():
    rng = np.random.default_rng(0)
    codec = ResponseCodec((Field("t", (2,), True), Field("y", (3,), False)), rng.normal(size=7), rng.uniform(1, 3, 7))
    factor = rng.normal(size=(7, 7))
    members = torch.from_numpy(rng.normal(size=(4, 2, 7)))
    prediction = Prediction(members, codec, Calibration(0.7, factor @ factor.T / 7, 1.6))
    drawn = prediction.sample(40_000, torch.Generator().manual_seed(0))
    assert drawn["t"].shape == (40_000, 2, 2)
    for name, std in prediction.std.items():
        spread = (drawn[name] - drawn[name].mean(dim=0)).abs().square().mean(dim=0).sqrt()
        torch.testing.assert_close(spread, std, rtol=0.03, atol=0)
        error = (drawn[name].mean(dim=0) - prediction.mean[name]).abs()
        assert (error < 5 * std / 40_000**0.5).all()
    # Joint over the response: the residual's correlations are in the samples.
    y = drawn["y"][:, 0].numpy()
    scale = codec.scale[4:]
    expected = 0.49 * np.cov(members[:, 0, 4:].numpy().T) + prediction.calibration.residual[4:, 4:]
    expected *= scale[:, None] * scale
    np.testing.assert_allclose(np.cov(y.T), expected, rtol=0.05, atol=0.03 * np.diag(expected).max())


def test_sampling_with_a_generator_leaves_the_global_one_alone(fitted):
    ensemble, _ = fitted
    state = torch.get_rng_state()
    prediction = ensemble.predict(designs(), 0)
    one = prediction.sample(3, torch.Generator().manual_seed(1))["t"]
    two = prediction.sample(3, torch.Generator().manual_seed(1))["t"]
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(one, two)


@pytest.mark.parametrize("informative", [True, False])
def test_calibration_covers_whether_members_know_their_error_or_not(informative):
    rng = np.random.default_rng(0)
    n, k = 400, 5
    size = np.exp(rng.normal(0, 0.7, (n, k)))
    true = rng.normal(size=(n, k))
    spread = 0.1 * size if informative else np.full((n, k), 0.1)
    noise = rng.normal(size=(8, n, k)) * spread
    members = true + size * rng.normal(size=(n, k)) + noise
    half = np.arange(n) < n // 2
    calibration = calibrate(members[:, half], true[half])
    coverage, width = interval_figures(calibration, members[:, ~half], true[~half])
    assert abs(coverage - 0.9) < 0.04
    assert abs(cross_coverage(members, true, np.arange(n) // 10)[0] - 0.9) < 0.03
    constant = calibrate(np.broadcast_to(members.mean(axis=0), members.shape) + 1e-9 * noise, true)
    if informative:
        assert calibration.member_scale > 1
        assert width < 1.02 * interval_figures(constant, members, true)[1]


def test_the_spread_depends_on_the_design_even_where_the_members_know_nothing():
    rng = np.random.default_rng(0)
    for _ in range(20):
        members = 0.1 * rng.normal(size=(4, 30, 5)) * np.exp(rng.normal(size=(30, 1)))
        calibration = calibrate(members, rng.normal(size=(30, 5)))
        std = calibration.std(members)
        assert calibration.member_scale > 0
        assert (std.max(axis=0) > 1.01 * std.min(axis=0)).all()
    alike = calibrate(np.broadcast_to(rng.normal(size=(30, 5)), (4, 30, 5)), rng.normal(size=(30, 5)))
    assert alike.member_scale < 1e3


def test_coverage_of_a_single_sample_is_unknown():
    members = np.zeros((2, 1, 3))
    assert np.isnan(cross_coverage(members, np.ones((1, 3)), np.zeros(1))).all()


def test_save_and_load_predict_the_same(fitted, tmp_path):
    ensemble, _ = fitted
    path = tmp_path / "surrogate.safetensors"
    ensemble.save(path)
    loaded = DeepEnsemble.load(path)
    assert (loaded.architecture, loaded.config, loaded.members) == (SMALL, CONFIG, 4)
    assert loaded.sides == ensemble.sides
    assert set(loaded.sides.values()) == {False, True}
    one, two = (e.predict(designs(), 0) for e in (ensemble, loaded))
    for name in one.mean:
        assert torch.equal(one.mean[name], two.mean[name])
        assert torch.equal(one.std[name], two.std[name])
    assert [p.name for p in tmp_path.iterdir()] == ["surrogate.safetensors"]


@pytest.mark.parametrize("damage", ["truncate", "text", "weights", "digit", "key", "empty"])
def test_damaged_file(fitted, tmp_path, damage):
    path = tmp_path / "surrogate.safetensors"
    fitted[0].save(path)
    content = bytearray(path.read_bytes())
    if damage == "truncate":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "text":
        path.write_text("{}" * 40)
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "digit":
        digit = content.index(b'quantile\\": ') + len(b'quantile\\": ')
        content[digit] ^= 1
        path.write_bytes(content)
    elif damage == "key":
        path.write_bytes(content.replace(b"architecture", b"architecturX"))
    else:
        content[-100] ^= 1
        path.write_bytes(content)
    with pytest.raises(CorruptSurrogateError, match="Expected"):
        DeepEnsemble.load(path)


def test_misuse_is_explained(fitted):
    ensemble, _ = fitted
    with pytest.raises(ValueError, match="call fit first"):
        DeepEnsemble(SMALL).predict(designs(), 0)
    with pytest.raises(ValueError, match="fitted on"):
        ensemble.predict(designs(), 3)
    with pytest.raises(ValueError, match="b x"):
        ensemble.predict(torch.rand(2, 5, 5), 0)
    with pytest.raises(ValueError, match="at least 2 members"):
        DeepEnsemble(SMALL, 1)
    with pytest.raises(ValueError, match="call fit first"):
        DeepEnsemble(SMALL).save("nowhere")


def test_a_file_with_another_header_is_refused(tmp_path):
    path = tmp_path / "surrogate.safetensors"
    save_fitted(path, {"architecture": {"family": "mlp", "colour": 3}}, {})
    with pytest.raises(CorruptSurrogateError, match="header"):
        DeepEnsemble.load(path)


class DictMemo:
    def __init__(self):
        self.stored, self.computed = {}, []

    def __call__(self, kind, inputs, compute):
        key = (kind, repr(sorted(inputs.items())))
        if key not in self.stored:
            self.stored[key] = compute()
            self.computed.append(inputs)
        return self.stored[key]


def test_members_replay_from_the_memo():
    data, memo, config = dataset(runs=4, steps=3), DictMemo(), TrainingConfig(epochs=2)
    first = DeepEnsemble(SMALL, 3, config)
    report = first.fit(data, seed=0, memo=memo)
    assert [inputs["member"] for inputs in memo.computed] == [0, 1, 2]
    again = DeepEnsemble(SMALL, 3, config)
    repeated = again.fit(data, seed=0, memo=memo)
    assert len(memo.computed) == 3
    assert repeated.cpu_seconds > 0.5 * report.cpu_seconds
    assert torch.equal(first.predict(designs(), 0).mean["t"], again.predict(designs(), 0).mean["t"])
    for changed in (
        lambda: DeepEnsemble(SMALL, 2, config).fit(data, seed=1, memo=memo),
        lambda: DeepEnsemble(SMALL, 2, replace(config, epochs=3)).fit(data, seed=0, memo=memo),
        lambda: DeepEnsemble(SMALL, 2, config).fit(data, seed=0, memo=memo, init=first),
        lambda: DeepEnsemble(SMALL, 2, config).fit(dataset(runs=4, steps=4), seed=0, memo=memo),
    ):
        before = len(memo.computed)
        changed()
        assert len(memo.computed) == before + 2


def test_members_are_stored_under_what_trained_them(monkeypatch):
    data, memo, config = dataset(runs=4, steps=2), DictMemo(), TrainingConfig(epochs=1)
    DeepEnsemble(SMALL, 2, config).fit(data, seed=0, memo=memo)
    made_by = memo.computed[0]["made_by"]
    assert made_by["torch"] == torch.__version__
    assert made_by["device"] in ("cpu", "cuda")
    monkeypatch.setattr(training, "TRAINING_VERSION", training.TRAINING_VERSION + 1)
    DeepEnsemble(SMALL, 2, config).fit(data, seed=0, memo=memo)
    assert len(memo.computed) == 4


def test_warm_starts_never_hold_out_what_they_were_trained_on(monkeypatch, tmp_path):
    trained, held_out = set(), set()

    def noted(architecture, config, train_data, held_out_data, *args, **options):
        groups = [{int(g) for part in d.levels.values() for g in part.groups} for d in (train_data, held_out_data)]
        trained.update(groups[0])
        held_out.update(groups[1])
        return train(architecture, config, train_data, held_out_data, *args, **options)

    monkeypatch.setattr(ensemble_module, "train", noted)
    data, before = Dataset({0: level_data(Toy(), runs=10, steps=2, seed=1)}), None
    for seed in range(4):
        ensemble = DeepEnsemble(SMALL, 2, TrainingConfig(epochs=1))
        ensemble.fit(data, seed=seed, init=before)
        ensemble.save(tmp_path / "surrogate.safetensors")
        before = DeepEnsemble.load(tmp_path / "surrogate.safetensors")
        data = data.append(0, level_data(Toy(), runs=5, steps=2, seed=10 + seed, first_group=10 + 5 * seed))
    assert len(held_out) >= 4
    assert not trained & held_out


def test_a_kept_level_keeps_its_figures():
    low = level_data(Toy(bias=0.15), runs=10, steps=3, seed=5, first_group=50)
    high = level_data(Toy(), runs=6, steps=3, seed=1)
    more = high.concat(level_data(Toy(), runs=6, steps=3, seed=2, first_group=20))
    config = TrainingConfig(epochs=5, pretraining_epochs=20)
    first, second = DeepEnsemble(SMALL, 2, config), DeepEnsemble(SMALL, 2, config)
    before = first.fit(Dataset({0: low, 1: high}), seed=0).levels[0]
    after = second.fit(Dataset({0: low, 1: more}), seed=1, init=first).levels[0]
    assert replace(after, baselines={}) == replace(before, baselines={})
    assert second.fitted[0].codec is first.fitted[0].codec
    assert second.fitted[0].calibration is first.fitted[0].calibration
    with pytest.raises(ValueError, match="hold out"):
        DeepEnsemble(SMALL, 2, config, held_out=0.4).fit(Dataset({1: more}), seed=0, init=first)


def test_real_cotangents_of_a_complex_response():
    data = dataset(runs=4, steps=2).levels[0]
    real, embedded = (
        Dataset({0: replace(data, cotangents={"t": data.cotangents["t"].real.astype(dtype)})})
        for dtype in (float, complex)
    )
    reports = [DeepEnsemble(SMALL, 2, TrainingConfig(epochs=2)).fit(one, seed=0) for one in (real, embedded)]
    one, two = (replace(report.reference, baselines={}) for report in reports)
    assert one == two
    assert np.isfinite(one.gradient_cosine)


def test_warm_start_goes_on_from_where_it_was():
    low = level_data(Toy(bias=0.15), runs=8, steps=4, seed=5, first_group=50)
    high = level_data(Toy(), runs=8, steps=4, seed=1)
    more = high.concat(level_data(Toy(), runs=4, steps=4, seed=2, first_group=20))
    first = DeepEnsemble(SMALL, 2, CONFIG)
    first.fit(Dataset({0: low, 1: high}), seed=0)
    quick = replace(CONFIG, epochs=3)
    cold, warm = DeepEnsemble(SMALL, 2, quick), DeepEnsemble(SMALL, 2, quick)
    unseen = Dataset({1: level_data(Toy(), runs=6, steps=6, seed=9)})
    cold.fit(Dataset({1: more}), seed=0)
    warm.fit(Dataset({0: low, 1: more}), seed=0, init=first)
    assert warm.score(unseen)[1].value_error < 0.9 * cold.score(unseen)[1].value_error
    before, after = (e.predict(designs(), 0).mean["t"] for e in (first, warm))
    torch.testing.assert_close(before, after)
    with pytest.raises(ValueError, match="init"):
        DeepEnsemble(Architecture(), 2, quick).fit(Dataset({1: more}), seed=0, init=first)


def test_chains_and_values_only():
    rng = np.random.default_rng(0)
    x = rng.random((40, 30))
    level = LevelData.values_only(x, {"y": x[:, :10].mean(axis=1)}, np.arange(40) // 4)
    ensemble = DeepEnsemble(resnet(width=4, depth=1, resolution=15), 2, TrainingConfig(epochs=3))
    report = ensemble.fit(Dataset({0: level}), seed=0)
    assert np.isnan(report.reference.gradient_cosine)
    assert ensemble.predict(torch.from_numpy(x[:2]), 0).mean["y"].shape == (2,)


def test_samples_of_another_shape_are_not_scored(fitted):
    rng = np.random.default_rng(0)
    x = rng.random((4, 20, 24))
    other = LevelData.values_only(x, {"t": x[:, 0, :3] + 0j, "loss": x[:, 0, :1]}, np.arange(4))
    with pytest.raises(ValueError, match="b x"):
        fitted[0].score(Dataset({0: other}))


def test_what_is_none_of_its_arguments_is_named(fitted):
    ensemble, _ = fitted
    samples = level_data(Toy(), runs=4, steps=2, seed=0)
    with pytest.raises(TypeError, match=r"an Architecture\. Got 'mlp'; take"):
        DeepEnsemble("mlp")
    for init in (None, ensemble):
        with pytest.raises(TypeError, match=r"a Dataset. Got LevelData; .*Dataset\({0: samples}\)"):
            DeepEnsemble(SMALL, 4, CONFIG).fit(samples, seed=0, init=init)
    for seed, error in ((-1, ValueError), (None, TypeError), (0.5, TypeError)):
        with pytest.raises(error, match=f"a seed as an integer of at least 0. Got {seed}"):
            DeepEnsemble(SMALL).fit(Dataset({0: samples}), seed=seed)
    for given in (samples.designs, samples.designs.tolist()):
        for predict in (ensemble.predict, ensemble.member_predictions):
            with pytest.raises(TypeError, match=f"Got {type(given).__name__}; pass torch.as_tensor"):
                predict(given, 0)
    assert ensemble.predict(torch.as_tensor(np.array(samples.designs)), 0).mean["loss"].shape == (8, 1)
