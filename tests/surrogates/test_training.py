from dataclasses import replace

import numpy as np
import pytest
import torch

from surrogates import Dataset, LevelData, ResponseCodec, TrainingConfig, TrainingDiverged, split
from surrogates.baselines import MeanGradient, NearestNeighbour, score_baselines
from surrogates.batches import prepare
from surrogates.evaluation import step_figures
from surrogates.families import FAMILIES, mlp
from surrogates.states import load_state, state_key, with_output_units
from surrogates.training import Trained, train
from tests.surrogates.toy import Toy, dataset, level_data

SMALL = mlp(width=64, depth=2, resolution=8)
CONFIG = TrainingConfig(epochs=40, pretraining_epochs=40, batch_size=16, weight_decay=1e-2)


def fit(data, config=CONFIG, seed=0, architecture=SMALL, **options):
    train_data, held_out = split(data, 0.25, seed)
    codecs = {level: ResponseCodec.fit(part.responses) for level, part in train_data.levels.items()}
    return train(architecture, config, train_data, held_out, codecs, seed=seed, **options), codecs


def score(trained, codecs, data, architecture=SMALL):
    level = data.reference
    network = architecture.build(data.design_shape, codecs[level].n_outputs)
    load_state(network, trained.states[level])
    return prepare(network, codecs[level], data.levels[level], torch.device("cpu")).score(network)


def test_gradient_training_raises_the_cosine_on_unseen_runs():
    data, unseen = dataset(runs=12, steps=8), dataset(runs=5, steps=8, seed=99)
    cosine = {}
    for weight in (0.0, 1.0):
        trained, codecs = fit(data, replace(CONFIG, gradient_weight=weight))
        cosine[weight] = score(trained, codecs, unseen)[1]
    assert cosine[1.0] > cosine[0.0] + 0.1
    assert cosine[1.0] > 0.8


def test_low_fidelity_helps_where_reference_labels_are_few():
    few = level_data(Toy(), runs=3, steps=6, seed=1)
    low = level_data(Toy(bias=0.15), runs=16, steps=8, seed=5, first_group=100)
    unseen = Dataset({1: level_data(Toy(), runs=6, steps=8, seed=99)})
    alone, codecs = fit(Dataset({1: few}))
    value_alone, cosine_alone = score(alone, codecs, unseen)
    both, codecs = fit(Dataset({0: low, 1: few}))
    value_both, cosine_both = score(both, codecs, unseen)
    assert value_both < 0.9 * value_alone
    assert cosine_both > cosine_alone


def test_a_level_below_is_as_accurate_as_without_the_level_above():
    low = level_data(Toy(bias=0.15), runs=6, steps=4, seed=5)
    config = replace(CONFIG, epochs=3, pretraining_epochs=3)
    both, _ = fit(Dataset({0: low, 1: level_data(Toy(), runs=6, steps=4, seed=1)}), config)
    assert set(both.states) == {0, 1}
    assert state_key(both.states[0]) != state_key(both.states[1])
    assert {int(level) for level in both.curve[:, 0]} == {0, 1}
    skipped, _ = fit(
        Dataset({0: low, 1: level_data(Toy(), runs=6, steps=4, seed=1)}),
        config,
        init={0: both.states[0]},
        keep=frozenset({0}),
    )
    assert state_key(skipped.states[0]) == state_key(both.states[0])
    assert set(skipped.curve[:, 0]) == {1}


def test_levels_may_answer_different_quantities():
    low = level_data(Toy(bias=0.15), runs=4, steps=3, seed=5)
    proxy = replace(low, responses={"loss": low.responses["loss"]}, cotangents={})
    data = Dataset({0: proxy, 1: level_data(Toy(), runs=4, steps=3, seed=1)})
    trained, _ = fit(data, replace(CONFIG, epochs=2, pretraining_epochs=2))
    assert trained.states[0]["head.weight"].shape[0] == 1
    assert trained.states[1]["head.weight"].shape[0] == 7


@pytest.mark.parametrize("family", ["mlp", "resnet", "unet", "fno"])
def test_same_seed_same_weights_and_global_settings_untouched(family):
    data = dataset(runs=4, steps=3)
    modes = {"modes": 3} if "modes" in FAMILIES[family].choices else {}
    architecture = FAMILIES[family].make(width=4, depth=2, resolution=8, **modes)
    config = TrainingConfig(epochs=2)
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002 (the legacy generator is what must stay as it is)
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), torch.get_num_threads()  # noqa: NPY002
    one, _ = fit(data, config, architecture=architecture)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002
    assert torch.get_num_threads() == before[2]
    torch.rand(3)
    two, _ = fit(data, config, architecture=architecture)
    other, _ = fit(data, config, architecture=architecture, seed=1)
    assert state_key(one.states[0]) == state_key(two.states[0])
    assert np.array_equal(one.curve, two.curve)
    assert state_key(one.states[0]) != state_key(other.states[0])


def test_payload_round_trip_through_npz(tmp_path):
    trained, _ = fit(dataset(runs=3, steps=2), replace(CONFIG, epochs=2))
    np.savez(tmp_path / "member.npz", **trained.to_payload())
    with np.load(tmp_path / "member.npz", allow_pickle=False) as file:
        again = Trained.from_payload(dict(file))
    assert state_key(again.states[0]) == state_key(trained.states[0])
    assert np.array_equal(again.curve, trained.curve)
    assert again.cpu_seconds == trained.cpu_seconds > 0


def test_report_stops_training():
    heard = []

    def report(epoch, value):
        heard.append((epoch, value))
        return epoch == 3

    trained, _ = fit(dataset(runs=3, steps=3), report=report)
    assert trained.stopped
    assert [epoch for epoch, _ in heard] == [1, 2, 3]
    assert [value for _, value in heard] == trained.curve[:, 1].tolist()


def test_patience_stops_and_the_best_epoch_is_kept():
    data = dataset(runs=4, steps=4)
    config = replace(CONFIG, epochs=200, patience=3, learning_rate=0.05, gradient_weight=0.0, monitor="value")
    trained, codecs = fit(data, config)
    assert len(trained.curve) < 200
    _, held_out = split(data, 0.25, 0)
    assert score(trained, codecs, held_out)[0] == pytest.approx(trained.curve[:, 2].min(), rel=1e-5)


def test_divergence_is_an_error():
    with pytest.raises(TrainingDiverged, match="finite"):
        fit(dataset(runs=3, steps=3), replace(CONFIG, learning_rate=1e30))


def test_values_alone_are_enough():
    trained, _ = fit(dataset(runs=4, steps=3, gradients=False), replace(CONFIG, epochs=5))
    assert np.isnan(trained.curve[:, 3]).all()
    assert np.array_equal(trained.curve[:, 1], trained.curve[:, 2])


def test_several_gradients_of_one_design_are_all_drawn():
    data = level_data(Toy(), runs=2, steps=2, seed=0)
    rows = np.array([2, 0, 2, 2])
    twice = replace(
        data,
        gradient_rows=rows,
        cotangents={"t": np.ones((4, 3), complex)},
        gradients=np.arange(4.0)[:, None, None] + data.gradients[rows],
    )
    codec = ResponseCodec.fit(data.responses)
    network = SMALL.build(data.design_shape, codec.n_outputs)
    tensors = prepare(network, codec, twice, torch.device("cpu"))
    rng = np.random.default_rng(0)
    drawn = {sample: set() for sample in range(4)}
    for _ in range(50):
        found, has = tensors.draw_rows(np.arange(4), rng)
        assert has.tolist() == [True, False, True, False]
        for sample in (0, 2):
            drawn[sample].add(int(found[sample]))
            assert tensors.rows[found[sample]] == sample
    assert [len(drawn[sample]) for sample in (0, 2)] == [1, 3]


def test_a_quantity_constant_to_rounding_is_not_standardised_by_its_noise():
    rng = np.random.default_rng(0)
    noise = 1e-16 * rng.integers(-2, 3, (40, 2))
    for value in (0.9 + noise, 0.9j + noise, np.stack([0.9 + noise[:, 0], noise[:, 1]], axis=1), 0 * noise):
        assert (ResponseCodec.fit({"y": value}).scale == 1).all()
    assert (ResponseCodec.fit({"y": 1e-6 * rng.normal(size=(40, 2)) + 0.9}).scale < 1e-5).all()


def test_new_output_units_leave_the_function_alone():
    first, second = dataset(runs=3, steps=3), dataset(runs=3, steps=3, seed=7)
    old, new = (ResponseCodec.fit(data.levels[0].responses) for data in (first, second))
    network = SMALL.build(first.design_shape, old.n_outputs)
    state = {name: array.detach().numpy() for name, array in network.state_dict().items()}
    design = torch.from_numpy(first.levels[0].designs.copy()).float()
    before = old.decode(network(design))
    load_state(network, with_output_units(state, old, new))
    torch.testing.assert_close(new.decode(network(design)), before)


def test_baselines_are_exact_where_they_should_be():
    rng = np.random.default_rng(0)
    jacobian, x, v = rng.normal(size=(3, 7)), rng.normal(size=(40, 7)), rng.normal(size=(40, 3))
    y, g, rows = x @ jacobian.T + 1, v @ jacobian, np.arange(40)
    linear = MeanGradient(x, y, v, g, rows)
    np.testing.assert_allclose(linear.values(x), y, atol=0.05)
    np.testing.assert_allclose(linear.gradients(x, v), g, atol=0.05)
    nearest = NearestNeighbour(x, y, v, g, rows)
    np.testing.assert_array_equal(nearest.values(x + 1e-3), y)
    np.testing.assert_array_equal(nearest.gradients(x + 1e-3, v), g)


def test_baselines_without_gradients():
    data = dataset(runs=4, steps=3, gradients=False)
    train_data, held_out = (side.levels[0] for side in split(data, 0.25, 0))
    scores = score_baselines(train_data, held_out, ResponseCodec.fit(train_data.responses))
    assert set(scores) == {"mean", "mean_gradient", "nearest"}
    assert all(np.isfinite(one.value_error) and np.isnan(one.gradient_cosine) for one in scores.values())


def test_a_negative_rate_of_transfer_is_refused():
    with pytest.raises(ValueError, match="transfer_rate"):
        TrainingConfig(transfer_rate=-0.1)


def test_values_of_another_shape_or_kind_are_refused():
    codec = ResponseCodec.fit({"y": np.random.default_rng(0).random((5, 3))})
    with pytest.raises(ValueError, match="Expected 'y'"):
        codec.encode({"y": torch.rand(2, 1)})
    with pytest.raises(ValueError, match="real"):
        codec.encode({"y": torch.rand(2, 3, dtype=torch.complex64)})


def test_real_values_of_a_complex_quantity_are_taken():
    codec = ResponseCodec.fit({"y": np.random.default_rng(0).random((5, 3)) * (1 + 1j)})
    y = torch.rand(2, 3, dtype=torch.float64)
    torch.testing.assert_close(codec.encode({"y": y}), codec.encode({"y": y.to(torch.complex128)}))


def test_improvements_are_those_of_the_runs_own_steps():
    data = level_data(Toy(), runs=3, steps=4, seed=0)
    codec = ResponseCodec.fit(data.responses)
    tensors = prepare(SMALL.build(data.design_shape, codec.n_outputs), codec, data, torch.device("cpu"))
    found = tensors.improvements(tensors.outputs.numpy())
    # Samples are step by step, three runs each.
    objective = np.abs(data.responses["t"][:, 0]) ** 2 - np.abs(data.responses["t"][:, 1]) ** 2
    true = (objective.reshape(4, 3)[1:] - objective.reshape(4, 3)[:-1]).ravel()
    np.testing.assert_allclose(np.sort(found), np.sort(true), rtol=1e-4, atol=1e-6)
    assert (found > 0).mean() > 0.8


def test_improvements_are_those_of_power_however_phases_turn():
    rng = np.random.default_rng(0)
    runs, length = 6, 5
    power = np.sort(rng.random((runs, length)), axis=1).ravel()
    t = (np.sqrt(power) * np.exp(2j * np.pi * rng.random(len(power))))[:, None]
    # Two objectives a design, power and a tenth of it, negative. The second run's last has none: no step leads there.
    rows = np.repeat(np.arange(len(t)), 2)
    kept = np.flatnonzero(rows != 2 * length - 1)
    cotangents = (np.tile([2.0, -0.2], len(t))[:, None] * t[rows])[kept]
    gradients = rng.normal(size=(len(kept), 6, 6))
    designs, groups = rng.random((len(t), 6, 6)), np.repeat(np.arange(runs), length)
    data = LevelData(designs, {"t": t}, groups, rows[kept], {"t": cotangents}, gradients)
    codec = ResponseCodec.fit(data.responses)
    tensors = prepare(SMALL.build(data.design_shape, codec.n_outputs), codec, data, torch.device("cpu"))
    gained = np.diff(power.reshape(runs, length), axis=1).ravel()
    gained = np.delete(gained, 2 * (length - 1) - 1)
    found = tensors.improvements(tensors.outputs.numpy())
    np.testing.assert_allclose(found, np.stack([gained, -gained / 10], axis=1).ravel(), rtol=1e-4, atol=1e-5)


def test_figures_of_steps_where_they_are_known():
    actual = np.array([1.0, 2.0, 3.0])
    assert step_figures(actual, actual) == {"step_error": 0.0, "actual_over_predicted": 1.0}
    assert step_figures(2 * actual, actual) == pytest.approx({"step_error": 1.0, "actual_over_predicted": 0.5})
    nothing = step_figures(0 * actual, actual)
    assert nothing["step_error"] == 1 and np.isnan(nothing["actual_over_predicted"])
    assert np.isnan(list(step_figures(actual[:0], actual[:0]).values())).all()


@pytest.mark.parametrize("name", ["learning_rate", "weight_decay", "gradient_weight", "transfer_rate"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0])
def test_rates_and_weights_are_finite(name, value):
    with pytest.raises(ValueError, match=f"a finite {name.replace('learning_', 'learning ')} .*Got {value}"):
        TrainingConfig(**{name: value})


@pytest.mark.parametrize("changes", [{"learning_rate": 0.0}, {"epochs": float("nan")}, {"patience": float("nan")}])
def test_numbers_that_train_nothing_are_refused(changes):
    with pytest.raises(ValueError, match=r"Expected .* Got"):
        TrainingConfig(**changes)
