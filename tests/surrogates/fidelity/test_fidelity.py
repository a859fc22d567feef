from dataclasses import replace

import numpy as np
import pytest
import torch

from surrogates import CorruptSurrogateError, DataError, Dataset, LevelData, Surrogate, TrainingConfig
from surrogates.encoding import ResponseCodec
from surrogates.families import mlp
from surrogates.fidelity import (
    CoarseInput,
    CoKriging,
    Composite,
    Discrepancy,
    LevelEmbedding,
    Solver,
    solver_from_arrays,
)
from surrogates.fields import CoordinateField, FieldData, FieldEnsemble, FieldTraining
from surrogates.models import ModelEnsemble, Setting
from surrogates.splitting import split
from surrogates.uncertainty import BayesianSurrogate
from tests.surrogates.toy import Toy, level_data, smooth_designs

NET = mlp(width=48, depth=2, resolution=8)
CONFIG = TrainingConfig(epochs=30, pretraining_epochs=20, batch_size=32, weight_decay=1e-2)
BIAS = 0.15


def level(toy, n, seed):
    designs = smooth_designs(np.random.default_rng(seed), n)
    values = {name: value.numpy() for name, value in toy(torch.from_numpy(designs)).items()}
    return LevelData.values_only(designs, values, np.arange(n) + 1000 * seed)


def coarse_toy(designs):
    """The biased response of 12 x 10 densities."""
    fine = designs.repeat_interleave(2, dim=1).repeat_interleave(2, dim=2)
    return Toy(BIAS)(fine)


def array_solver(count=None):
    def value(design):
        if count is not None:
            count.append(design.shape)
        return {name: part[0].numpy() for name, part in coarse_toy(torch.from_numpy(design)[None]).items()}

    def pullback(design, cotangents):
        x = torch.from_numpy(design)[None].requires_grad_(True)
        response = coarse_toy(x)
        total = sum((torch.from_numpy(v).conj() * response[n][0]).real.sum() for n, v in cotangents.items())
        return value(design), torch.autograd.grad(total, x)[0][0].numpy()

    return solver_from_arrays("coarse toy", value, pullback)


BOTH = Dataset({0: level(Toy(BIAS), 100, 1), 1: level(Toy(), 10, 2)})
FRESH = Dataset({1: level(Toy(), 200, 3)})
MODELS = {
    "composite": Composite(NET, mlp(width=24, depth=1, resolution=6), 16),
    "embedding": LevelEmbedding(NET),
    "discrepancy": Discrepancy(NET, Solver("biased toy", Toy(BIAS), smooth=True)),
    "coarse_input": CoarseInput(NET, array_solver(), (12, 10)),
}


@pytest.fixture(scope="module")
def high_only():
    """The best of three rates, so that it does not lose for its tuning."""
    errors = []
    for rate in (1e-3, 4e-3):
        config = TrainingConfig(epochs=120, batch_size=8, weight_decay=1e-2, learning_rate=rate)
        ensemble = ModelEnsemble(LevelEmbedding(NET), 2, config)
        ensemble.fit(Dataset({1: BOTH.levels[1]}), seed=0)
        errors.append(_error(ensemble))
    process = CoKriging()
    process.fit(Dataset({1: BOTH.levels[1]}), seed=0)
    return min(errors), _error(process)


def _error(surrogate):
    truth = FRESH.levels[1].tensors("responses")
    units = ResponseCodec.fit(FRESH.levels[1].responses)
    design = torch.from_numpy(FRESH.levels[1].designs.copy())
    with torch.no_grad():
        predicted = surrogate.predict(design, 1).mean
    return float((units.encode(predicted) - units.encode(truth)).square().mean().sqrt())


@pytest.mark.parametrize("name", list(MODELS))
def test_low_fidelity_helps(name, high_only, tmp_path):
    ensemble = ModelEnsemble(MODELS[name], 2, CONFIG)
    report = ensemble.fit(BOTH, seed=0)
    assert isinstance(ensemble, Surrogate)
    assert _error(ensemble) < 0.8 * min(high_only)
    assert report.reference.baselines["mean"].value_error > 0
    ensemble.save(tmp_path / "model.safetensors")
    loaded = ModelEnsemble.load(tmp_path / "model.safetensors", MODELS[name])
    design = torch.from_numpy(FRESH.levels[1].designs[:2].copy()).requires_grad_(True)
    prediction = ensemble.predict(design, 1)
    assert torch.equal(loaded.predict(design, 1).members, prediction.members)
    (gradient,) = torch.autograd.grad(prediction.mean["loss"].sum(), design)
    assert gradient.abs().max() > 0
    with pytest.raises(ValueError, match="the model"):
        ModelEnsemble.load(tmp_path / "model.safetensors", LevelEmbedding(mlp(width=8)))


def test_a_file_of_no_model_is_refused(tmp_path):
    process = CoKriging(draws=2)
    process.fit(Dataset({1: BOTH.levels[1]}), seed=0)
    process.save(tmp_path / "process.safetensors")
    with pytest.raises(CorruptSurrogateError, match="model"):
        ModelEnsemble.load(tmp_path / "process.safetensors", MODELS["embedding"])


def test_cokriging_beats_the_process_of_the_reference_alone(high_only):
    process = CoKriging()
    report = process.fit(BOTH, seed=0)
    assert isinstance(process, Surrogate)
    assert _error(process) < 0.8 * min(high_only)
    assert report.levels[0].r2 > 0.3
    assert process.score(FRESH)[1].coverage_90 > 0.3


def test_cokriging_finds_the_ratio_of_two_levels():
    rng = np.random.default_rng(0)
    x = [rng.random((n, 3)) for n in (60, 12)]

    def low(x):
        return np.sin(4 * x[:, 0]) + x[:, 1] * x[:, 2]

    def high(x):
        return 2.5 * low(x) + 0.1 * x[:, 1]

    data = Dataset(
        {
            0: LevelData.values_only(x[0], {"y": low(x[0])}, np.arange(60)),
            1: LevelData.values_only(x[1], {"y": high(x[1])}, 100 + np.arange(12)),
        }
    )
    process = CoKriging(resolution=3)
    process.fit(data, seed=0)
    codecs = [process.fitted[k].codec for k in (0, 1)]
    ratio = process._state["ratio"][1].item() * codecs[1].scale[0] / codecs[0].scale[0]
    assert ratio == pytest.approx(2.5, rel=0.05)
    new = rng.random((50, 3))
    predicted = process.predict(torch.from_numpy(new), 1).mean["y"].detach().numpy()
    assert np.sqrt(np.mean((predicted - high(new)) ** 2)) < 0.1 * high(new).std()


@pytest.mark.parametrize("name", ["composite", "discrepancy"])
def test_gradients_are_learnt_from(name):
    high = level_data(Toy(), runs=8, steps=3, seed=1)
    low = level_data(Toy(BIAS), runs=12, steps=3, seed=4, first_group=50)
    cosines = []
    for weight in (0.0, 1.0):
        ensemble = ModelEnsemble(MODELS[name], 2, replace(CONFIG, epochs=15, gradient_weight=weight))
        ensemble.fit(Dataset({0: low, 1: high}), seed=0)
        fresh = Dataset({1: level_data(Toy(), runs=10, steps=3, seed=9)})
        cosines.append(ensemble.score(fresh)[1].gradient_cosine)
    assert cosines[1] > cosines[0]
    assert cosines[1] > 0.5


@pytest.mark.parametrize("name", ["composite", "embedding", "discrepancy"])
def test_the_architecture_weighs_the_gradients(name):
    high = level_data(Toy(), runs=5, steps=2, seed=1)
    data = Dataset({0: level_data(Toy(BIAS), runs=5, steps=2, seed=4, first_group=50), 1: high})
    field = "low" if name == "composite" else "architecture"
    design, asked = torch.from_numpy(high.designs[:3].copy()), []

    def answer(own, weight):
        part = replace(getattr(MODELS[name], field), gradient_weight=own)
        config = replace(CONFIG, epochs=2, pretraining_epochs=1, gradient_weight=weight)
        ensemble = ModelEnsemble(replace(MODELS[name], **{field: part}), 2, config)
        ensemble.fit(data, seed=0, memo=lambda kind, inputs, compute: asked.append(inputs["config"]) or compute())
        return ensemble.predict(design, 1).members

    given = answer(10.0, 1.0)
    assert torch.equal(given, answer(None, 10.0))
    assert not torch.equal(given, answer(None, 1.0))
    assert torch.equal(answer(0.0, 1.0), answer(None, 0.0))
    assert [config["gradient_weight"] for config in asked[::2]] == [10.0, 10.0, 1.0, 0.0, 0.0]


def test_one_training_has_one_weight_of_gradients():
    low, correction = (replace(NET, gradient_weight=weight) for weight in (0.0, 2.0))
    with pytest.raises(ValueError, match=r"Expected one gradient_weight.*\[0.0, 2.0\]"):
        ModelEnsemble(Composite(low, correction), 2, CONFIG).fit(BOTH, seed=0)


@pytest.mark.parametrize("kind", ["model", "process", "posterior", "field"])
def test_results_replay_from_a_memo(kind):
    stored, computed = {}, []

    def memo(name, inputs, compute):
        key = name + repr(sorted(inputs.items()))
        if key not in stored:
            computed.append(name)
            stored[key] = compute()
        return stored[key]

    quick = replace(CONFIG, epochs=1, pretraining_epochs=1)
    make = {
        "model": lambda: ModelEnsemble(MODELS["discrepancy"], 2, quick),
        "process": CoKriging,
        "posterior": lambda: BayesianSurrogate(NET, config=quick),
        "field": lambda: FieldEnsemble(CoordinateField(NET), 2, FieldTraining(epochs=1)),
    }[kind]
    high = BOTH.levels[1]
    fields = FieldData(high.designs, high.designs + 1j * high.designs, high.groups)
    design, answers = torch.from_numpy(high.designs[:2].copy()), []
    for _ in range(2):
        surrogate = make()
        surrogate.fit(fields if kind == "field" else BOTH, seed=0, memo=memo)
        answers.append(surrogate.predict(design).members if kind == "field" else surrogate.predict(design, 1).members)
    assert torch.equal(*answers)
    assert len(computed) == (2 if kind in ("model", "field") else 1)
    make().fit(fields if kind == "field" else BOTH, seed=1, memo=memo)
    assert len(computed) == 2 * (2 if kind in ("model", "field") else 1)


def test_a_solver_of_arrays_has_the_gradient_of_the_solver():
    asked = []
    solver = array_solver(asked)
    design = torch.rand(3, 12, 10, dtype=torch.float64, requires_grad=True)
    gradients = []
    for function in (solver.responses, coarse_toy):
        response = function(design)
        loss = (response["t"].abs() ** 2).sum() + (response["t"].real * response["loss"]).sum()
        gradients.append(torch.autograd.grad(loss, design)[0])
    torch.testing.assert_close(*gradients)
    with torch.no_grad():
        n = len(asked)
        solver.responses(design)
    assert len(asked) == n  # remembered
    with pytest.raises(ValueError, match="one design"):
        solver.responses(design[:0])


def test_untrained_composite_copies_the_level_below():
    setting = Setting((24, 20), {k: ResponseCodec.fit(d.responses) for k, d in BOTH.levels.items()})
    network = MODELS["composite"].build(setting)
    design = torch.rand(2, 24, 20)
    torch.testing.assert_close(network(design, 0), network(design, 1))


def test_misuse():
    with pytest.raises(ValueError, match="members"):
        ModelEnsemble(MODELS["embedding"], 1)
    with pytest.raises(ValueError, match="call fit first"):
        ModelEnsemble(MODELS["embedding"]).predict(torch.rand(1, 24, 20), 0)
    with pytest.raises(DataError, match="max_samples"):
        CoKriging(max_samples=20).fit(BOTH, seed=0)
    with pytest.raises(ValueError, match="even"):
        CoKriging(draws=3)


def test_a_solver_of_arrays_takes_conjugated_cotangents():
    design = torch.rand(2, 12, 10, dtype=torch.float64, requires_grad=True)
    weights = torch.tensor([1 + 2j, 0.5j, 1.0], dtype=torch.complex128)
    gradients = []
    for function in (array_solver().responses, coarse_toy):
        loss = (function(design)["t"].conj() * weights).real.sum() + function(design)["t"].conj().imag.sum()
        gradients.append(torch.autograd.grad(loss, design)[0])
    torch.testing.assert_close(*gradients)


def test_a_gradient_that_is_not_the_designs_is_refused():
    def pullback(design, cotangents):
        return {}, np.ones(10)

    solver = solver_from_arrays("flat", lambda design: {"y": np.array(design.sum())}, pullback)
    design = torch.rand(1, 12, 10, dtype=torch.float64, requires_grad=True)
    with pytest.raises(ValueError, match="shape"):
        solver.responses(design)["y"].sum().backward()


def test_a_chain_of_corrections_corrects_what_each_level_answers():
    codec = ResponseCodec.fit(BOTH.levels[0].responses)
    network = MODELS["composite"].build(Setting((24, 20), dict.fromkeys(range(3), codec)))
    torch.manual_seed(0)
    with torch.no_grad():
        for step in network.steps:
            for parameter in (step.code.scale, step.code.shift, step.out.weight):
                parameter.normal_()
    seen = []
    network.steps[1].register_forward_pre_hook(lambda module, inputs: seen.append(inputs[2]))
    design = torch.rand(2, 24, 20)
    network(design, 2)
    torch.testing.assert_close(seen[0], network(design, 1))


def test_weights_of_corrections_that_depend_on_the_level_asked_are_refused():
    codec = ResponseCodec.fit(BOTH.levels[0].responses)
    network = MODELS["composite"].build(Setting((24, 20), dict.fromkeys(range(3), codec)))
    state = network.state_dict()
    network.load_state_dict(state)
    state["steps.0.code.scale"][2] = 1.0
    with pytest.raises(ValueError, match="fit again"):
        network.load_state_dict(state)


def test_levels_that_were_not_fitted_are_named():
    process = CoKriging()
    process.fit(Dataset({1: BOTH.levels[1]}), seed=0)
    with pytest.raises(ValueError, match="fitted on"):
        process.score(BOTH)
    with pytest.raises(ValueError, match="call fit first"):
        ModelEnsemble(MODELS["embedding"]).score(BOTH)


def test_the_key_of_a_process_is_that_of_all_its_samples():
    keys = []
    for seed in (2, 5):
        held = level(Toy(), 10, 2)
        _, held_out = split(Dataset({1: held}), 0.2, 0)
        rows = np.isin(held.groups, held_out.levels[1].groups)
        other = {n: np.where(rows.reshape(-1, *[1] * (v.ndim - 1)), v * seed, v) for n, v in held.responses.items()}
        process = CoKriging()
        process.fit(Dataset({1: replace(held, responses=other)}), seed=0)
        keys.append(process.fitted[1].data_key)
    assert keys[0] != keys[1]


def test_a_solver_that_answers_in_another_shape_is_refused():
    one = Solver("short", lambda designs: {"t": Toy()(designs)["t"][:, :1], "loss": Toy()(designs)["loss"]})
    with pytest.raises(ValueError, match="Expected 't'"):
        ModelEnsemble(Discrepancy(NET, one), 2, replace(CONFIG, epochs=1)).fit(BOTH, seed=0)
