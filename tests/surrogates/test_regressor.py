import numpy as np
import pytest
from sklearn.base import clone
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import RandomForestRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeRegressor
from sklearn.utils.estimator_checks import check_estimator

from surrogates import Architecture, CorruptSurrogateError
from surrogates.families import mlp
from surrogates.networks import Graph
from surrogates.regressor import CANDIDATES, Regressor


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


class Told:
    """An estimator of no library, that knows the answer."""

    def __init__(self, off=0.0):
        self.off = off

    def fit(self, X, y):
        assert not hasattr(self, "seen"), "a fresh copy is fitted"
        assert X.ndim == 2
        self.seen, self.dtype = len(X), y.dtype
        return self

    def predict(self, X):
        return truth(X) + self.off


class Silent(Told):
    def predict(self, X):
        return np.full(len(X), np.nan)


class Short(Told):
    def predict(self, X):
        return np.zeros((len(X), 3))


def truth(x):
    return np.sin(x[:, 0] / 2) + 0.3 * x[:, 1] - 0.05 * x[:, 2] ** 2


def test_auto_picks_a_candidate_of_yours_where_it_is_best(tmp_path):
    x, y = table(60)
    mine = {"told": Told(0.01), "trees": lambda: DecisionTreeRegressor(max_depth=1), "class": DummyRegressor}
    model = Regressor(candidates=("gp", *mine.items())).fit(x, y, groups=np.arange(60) // 3)
    assert set(model.cv_errors_) == {"gp", *mine}
    assert model.chosen_ == model.architecture_ == "told"
    assert model.cv_errors_["told"] == pytest.approx(0.01 / y.std())
    assert model.cv_errors_["gp"] < model.cv_errors_["trees"] < model.cv_errors_["class"]
    # Refitted on everything; the one handed in is as it was.
    assert model.surrogate_.estimator.seen == 60 and not hasattr(mine["told"], "seen")
    mean, std = model.predict(x, return_std=True)
    np.testing.assert_allclose(mean, y + 0.01)
    np.testing.assert_allclose(std, 0.01)
    assert model.score(x, y) > 0.99 and model.report_ is None
    with pytest.raises(ValueError, match="Told of candidate 'told'"):
        model.save(tmp_path / "told.safetensors")
    assert clone(model).fit(x, y).chosen_ == "told"


def test_auto_picks_its_own_where_yours_is_worse(tmp_path):
    x, y = table(60)
    mine = {"mean": DummyRegressor(), "tree": DecisionTreeRegressor(max_depth=1)}
    model = Regressor(candidates=mine, max_samples=500, epochs=2, members=2, cv=2, learning_rates=()).fit(x, y)
    assert set(model.cv_errors_) == {*CANDIDATES, *mine}
    assert model.chosen_ == model.architecture_ == "gp"
    assert model.report_.reference.value_error < 1
    model.save(tmp_path / "own.safetensors")
    loaded = Regressor.load(tmp_path / "own.safetensors")
    np.testing.assert_array_equal(loaded.predict(x), model.predict(x))
    assert loaded.candidates == CANDIDATES and loaded.cv_errors_ == model.cv_errors_


def test_images_with_complex_outputs_reach_an_estimator_as_tables():
    rng = np.random.default_rng(0)
    x = 5 * rng.random((40, 4, 5))
    y = np.stack([x.mean(axis=(1, 2)) + 1j * x[:, 0, 0], 2 * x[:, 1, 2] + 0j], axis=1)[:, :, None]
    model = Regressor(candidates=("gp", ("linear", LinearRegression()))).fit(x, y)
    assert model.chosen_ == "linear"
    mean, std = model.predict(x, return_std=True)
    assert mean.shape == std.shape == (40, 2, 1)
    np.testing.assert_allclose(mean, y, atol=1e-9)
    assert std.dtype == float and std.max() < 1e-9


def test_an_architecture_is_a_candidate_and_auto_tunes_learning_rates(tmp_path):
    x, y = table(60)
    pairs = (("wide", mlp(width=24, depth=2, resolution=4)), ("mean", DummyRegressor()))
    rates = (1e-6, 1e-2)
    model = Regressor(candidates=pairs, learning_rates=rates, members=2, epochs=15, cv=2).fit(x, y)
    assert model.chosen_ == "wide" and model.architecture_.startswith("densex24")
    # At the lower rate nothing is learnt.
    assert model.learning_rates_ == {"wide": 1e-2}
    assert model.surrogate_.config.learning_rate == 1e-2
    slow = Regressor(candidates=pairs, learning_rates=rates[:1], members=2, epochs=15, cv=2).fit(x, y)
    assert slow.learning_rates_ == {"wide": 1e-6}
    assert model.cv_errors_["wide"] < 0.8 * slow.cv_errors_["wide"]
    model.save(tmp_path / "wide.safetensors")
    loaded = Regressor.load(tmp_path / "wide.safetensors")
    assert loaded.learning_rates_ == model.learning_rates_ and loaded.learning_rates == rates


def test_a_network_that_diverges_is_not_picked():
    x, y = table(40)
    model = Regressor(candidates=("mlp", ("mean", DummyRegressor())), learning_rates=(1e30,), epochs=3, cv=2)
    model.fit(x, y)
    assert model.cv_errors_["mlp"] == np.inf and model.chosen_ == "mean"
    with pytest.raises(ValueError, match="trains to a finite error"):
        Regressor(candidates=("mlp",), learning_rates=(1e30,), epochs=3, cv=2).fit(x, y)


@pytest.mark.parametrize(
    ("candidates", "error", "match"),
    [
        ({"bad": 3}, TypeError, "candidate 'bad' to be an estimator"),
        ({"bad": StandardScaler()}, TypeError, "candidate 'bad' to be an estimator"),
        ((("bad", StandardScaler),), TypeError, "candidate 'bad' to be an estimator"),
        (("gp", "forest"), ValueError, "an architecture among"),
        (("gp", ("gp", DummyRegressor())), ValueError, "name once"),
        ((("bad", Silent()),), ValueError, "candidate 'bad' to predict"),
        ((("bad", Short()),), ValueError, "candidate 'bad' to predict"),
    ],
)
def test_a_bad_candidate_is_named(candidates, error, match):
    x, y = table(20)
    with pytest.raises(error, match=match):
        Regressor(candidates=candidates, cv=2, epochs=1).fit(x, y)


def difference(n, seed):
    """60 columns, of which the first two count, with opposite signs: their average says nothing."""
    x = np.random.default_rng(seed).normal(size=(n, 60))
    return x, x[:, 0] - x[:, 1]


@pytest.mark.parametrize("way", ["itself", "in a pair", "among the names"])
def test_an_architecture_sees_every_column_of_a_table(way):
    network = mlp(width=32, depth=2)
    assert network.resolution == 20
    asked = {
        "itself": {"architecture": network},
        "in a pair": {"candidates": [("net", network)]},
        "among the names": {"candidates": [network]},
    }[way]
    model = Regressor(**asked, members=2, epochs=15, cv=2, learning_rates=()).fit(*difference(200, 0))
    assert model.score(*difference(200, 1)) > 0.9
    assert model.architecture_ == mlp(width=32, depth=2, resolution=60).key
    assert model.chosen_ == ("net" if way == "in a pair" else network.key)


def test_a_resolution_is_raised_for_tables_and_left_alone_for_images():
    x, y = table(20)
    fine = Regressor(mlp(width=8, depth=2, resolution=9), members=2, epochs=1).fit(x, y)
    assert fine.surrogate_.architecture.resolution == 9
    images = Regressor(mlp(width=8, depth=2, resolution=3), members=2, epochs=1).fit(x.reshape(20, 2, 2), y)
    assert images.surrogate_.architecture.resolution == 3


def test_a_graph_that_averages_columns_is_refused():
    x, y = table(20)
    narrow, wide = (Architecture(graph=Graph((1, n), 1, (), tuple((k, n) for k in range(n)))) for n in (2, 4))
    with pytest.raises(ValueError, match=r"each of 4 columns. Got cells \(1, 2\)"):
        Regressor(narrow, members=2, epochs=1).fit(x, y)
    assert Regressor(wide, members=2, epochs=1).fit(x, y).architecture_ == wide.key


def test_dots_in_names_keep_models_apart(tmp_path):
    x, y = table(20)
    names = ("run_0.5", "run_0.8", "run", "other.safetensors")
    models = {name: Regressor("gp", held_out=0.2 + 0.1 * k).fit(x, y) for k, name in enumerate(names)}
    for name, model in models.items():
        model.save(tmp_path / name)
    for name, model in models.items():
        loaded = Regressor.load(tmp_path / name)
        assert loaded.held_out == model.held_out
        np.testing.assert_array_equal(loaded.predict(x), model.predict(x))
    written = {path.name for path in tmp_path.iterdir()}
    assert written == {*names, "run_0.5.json", "run_0.8.json", "run.json", "other.json"}


@pytest.mark.parametrize("kind", [np.random.RandomState, np.random.default_rng])
def test_a_random_state_gives_a_seed_a_fit(kind, tmp_path):
    x, y = table(20)
    model = Regressor("mlp", members=2, epochs=1, random_state=kind(3)).fit(x, y)
    first, seed = model.predict(x), model.seed_
    assert not np.array_equal(model.fit(x, y).predict(x), first)
    for again in (kind(3), seed):
        other = Regressor("mlp", members=2, epochs=1, random_state=again).fit(x, y)
        np.testing.assert_array_equal(other.predict(x), first)
    # What is saved is the seed of the fit.
    model.save(tmp_path / "model")
    loaded = Regressor.load(tmp_path / "model")
    assert loaded.random_state == loaded.seed_ == model.seed_ != seed
    assert clone(model).fit(x, y).seed_ >= 0


def test_without_a_random_state_each_fit_is_another(tmp_path):
    x, y = table(20)
    candidates = ("gp", "mlp")
    model = Regressor(candidates=candidates, members=2, epochs=1, cv=2, learning_rates=(), random_state=None)
    assert model.fit(x, y).seed_ != model.fit(x, y).seed_
    again = Regressor(candidates=candidates, members=2, epochs=1, cv=2, learning_rates=(), random_state=model.seed_)
    np.testing.assert_array_equal(again.fit(x, y).predict(x), model.predict(x))
    model.save(tmp_path / "model")
    loaded = Regressor.load(tmp_path / "model")
    assert loaded.random_state is None and loaded.seed_ == model.seed_


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"random_state": -1}, ValueError, "random_state as an integer of at least 0.* Got -1"),
        ({"random_state": "now"}, TypeError, "random_state as an integer of at least 0.* Got 'now'"),
        ({"architecture": 3}, TypeError, "an architecture among auto, gp, .* Got 3"),
        ({"architecture": DummyRegressor()}, TypeError, "an architecture among .* among the candidates"),
        ({"candidates": "gp"}, TypeError, "as a sequence or a mapping. Got 'gp'"),
        ({"candidates": None}, TypeError, "as a sequence or a mapping. Got None"),
        ({"candidates": Architecture()}, TypeError, "as a sequence or a mapping. Got Architecture"),
        ({"candidates": RandomForestRegressor()}, TypeError, "as a sequence or a mapping. Got RandomForest"),
        ({"candidates": [RandomForestRegressor()]}, TypeError, "pair of a name and a candidate. Got RandomForest"),
        ({"candidates": [("a", "gp", "mlp")]}, TypeError, "pair of a name and a candidate. Got"),
        ({"candidates": [Architecture(), Architecture()]}, ValueError, "name once"),
    ],
)
def test_bad_parameters_are_named(options, error, match):
    with pytest.raises(error, match=match):
        Regressor(**options).fit(*table(20))
