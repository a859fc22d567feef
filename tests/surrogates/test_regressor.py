import numpy as np
import pytest
from sklearn.base import clone
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from surrogates import CorruptSurrogateError
from surrogates.families import mlp
from surrogates.regressor import Regressor


def table(n=120, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(3.0, 2.0, (n, 4))
    return x, np.sin(x[:, 0] / 2) + 0.3 * x[:, 1] - 0.05 * x[:, 2] ** 2


@pytest.mark.slow
def test_scikit_learns_own_checks():
    # One candidate that is quick; the checks are of conventions, not of accuracy.
    results = check_estimator(Regressor("gp"), on_fail=None, on_skip=None)
    failed = {one["check_name"]: str(one["exception"]) for one in results if one["status"] == "failed"}
    assert failed == {}
    assert sum(one["status"] == "passed" for one in results) > 35


def test_a_table_is_learnt_and_the_spread_covers():
    x, y = table(200)
    new, truth = table(200, seed=1)
    model = Regressor("gp").fit(x, y)
    assert model.score(new, truth) > 0.95
    mean, std = model.predict(new, return_std=True)
    assert mean.shape == std.shape == (200,)
    z = (mean - truth) / std
    assert 0.5 < np.sqrt(np.mean(z**2)) < 2.5


def test_it_works_in_scikit_learns_tools():
    x, y = table(60)
    model = clone(Regressor("gp", max_samples=500))
    assert model.get_params()["max_samples"] == 500
    assert cross_val_score(model, x, y, cv=2).min() > 0.5
    grid = GridSearchCV(make_pipeline(StandardScaler(), Regressor("gp")), {"regressor__held_out": [0.2, 0.4]}, cv=2)
    assert grid.fit(x, y).best_score_ > 0.5


def test_auto_says_what_it_picked_and_picks_the_least_error():
    x, y = table(60)
    model = Regressor(candidates=("gp", "mlp"), members=2, epochs=4, cv=2).fit(x, y, groups=np.arange(60) // 3)
    assert set(model.cv_errors_) == {"gp", "mlp"}
    # Four epochs teach a network little: the process is what wins here.
    assert model.chosen_ == model.architecture_ == "gp"
    assert model.cv_errors_["gp"] < model.cv_errors_["mlp"]
    no_process = Regressor(candidates=("gp", "mlp"), members=2, epochs=2, cv=2, max_samples=30).fit(x, y)
    assert no_process.chosen_ == "mlp"
    assert no_process.architecture_.startswith("dense")


@pytest.mark.parametrize("architecture", ["gp", "mlp", mlp(width=16, depth=2, resolution=6)])
def test_images_with_complex_outputs_survive_a_file(architecture, tmp_path):
    rng = np.random.default_rng(0)
    x = 5 * rng.random((50, 6, 7))
    y = np.stack([x.mean(axis=(1, 2)) + 1j * x[:, :3].mean(axis=(1, 2)), x[:, 0, 0] + 0j], axis=1)
    model = Regressor(architecture, members=2, epochs=3).fit(x, y)
    path = tmp_path / "model.safetensors"
    model.save(path)
    loaded = Regressor.load(path)
    for one, two in zip(model.predict(x, return_std=True), loaded.predict(x, return_std=True), strict=True):
        assert np.array_equal(one, two)
    assert loaded.get_params() == model.get_params()
    assert (loaded.chosen_, loaded.architecture_) == (model.chosen_, model.architecture_)
    assert loaded.predict(x).dtype == complex
    assert np.isfinite(loaded.score(x, y))
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    with pytest.raises(CorruptSurrogateError, match="one save"):
        Regressor.load(path)
    path.with_suffix(".json").write_text("{}")
    with pytest.raises(CorruptSurrogateError):
        Regressor.load(path)


def test_columns_that_mean_nothing_do_little_harm():
    x, y = table(80)
    new, truth = table(200, seed=1)
    rng = np.random.default_rng(2)
    more, new = np.hstack([x / 2, rng.normal(size=(80, 12))]), np.hstack([new / 2, rng.normal(size=(200, 12))])
    model = Regressor("gp").fit(more, y)
    one_length = GaussianProcessRegressor(RBF(4.0) + WhiteKernel(0.01, (1e-9, 1.0)), normalize_y=True).fit(more, y)
    assert model.score(new, truth) > max(0.85, one_length.score(new, truth))


def test_misuse(tmp_path):
    with pytest.raises(ValueError, match="safetensors"):
        Regressor("gp").fit(*table(20)).save(tmp_path / "a.json")
    x, y = table(30)
    with pytest.raises(ValueError, match="an architecture among"):
        Regressor("forest").fit(x, y)
    with pytest.raises(ValueError, match="cross-validate"):
        Regressor(cv=3).fit(x, y, groups=np.zeros(30))
    with pytest.raises(ValueError, match="5 samples"):
        Regressor("gp").fit(x[:3], y[:3])


def test_without_a_candidate_left_the_reason_is_given():
    x = np.random.default_rng(0).normal(size=(20, 2))
    with pytest.raises(ValueError, match="max_samples"):
        Regressor("auto", candidates=("gp",), max_samples=10).fit(x, x[:, 0])


def test_numbers_of_a_parameter_grid_are_saved(tmp_path):
    x = np.random.default_rng(0).normal(size=(12, 2))
    model = Regressor("mlp", epochs=np.int64(2), members=np.int64(2), held_out=np.float64(0.3)).fit(x, x[:, 0])
    model.save(tmp_path / "one.safetensors")
    np.testing.assert_array_equal(Regressor.load(tmp_path / "one.safetensors").predict(x), model.predict(x))
