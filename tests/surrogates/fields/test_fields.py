from dataclasses import replace

import numpy as np
import pytest
import torch

from surrogates.data import DataError
from surrogates.families import fno, mlp, resnet
from surrogates.fields import CoordinateField, FieldData, FieldEnsemble, FieldTraining, GridField, Refiner, helmholtz
from surrogates.fields.residuals import mean_square
from tests.surrogates.fields.toy import SHAPE, SOURCE, SPACING, solved

GRID = fno(width=8, depth=2, modes=4)
CONV = resnet(width=8, depth=2)
CODE = mlp(width=48, depth=2, resolution=12)
TRAINING = FieldTraining(epochs=20, batch_size=8, learning_rate=8e-3)
TRAIN, FRESH = solved(80, 1), solved(60, 2)
MODELS = {
    "fno-film": GridField(GRID),
    "resnet-attention": GridField(CONV, "attention"),
    "deeponet": CoordinateField(CODE),
    "neural-field": CoordinateField(CODE, "film", width=48, depth=2),
    "refiner": Refiner(GridField(CONV), steps=2, samples=3),
}

QUICK = ("fno-film", "deeponet", "refiner")


def equation():
    def permittivity(designs, conditions):
        return 0.5 * designs + (1 + 0.4j)

    return helmholtz(permittivity, lambda c: c[:, 0], torch.from_numpy(SOURCE), SPACING)


@pytest.mark.parametrize(
    "name", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in MODELS if name not in QUICK)]
)
def test_fields_are_learnt(name, tmp_path):
    # One refiner trains as long as two networks: a third of its steps are on the field, the rest on noise.
    members, epochs = (1, 50) if name == "refiner" else (2, 20)
    ensemble = FieldEnsemble(MODELS[name], members, replace(TRAINING, epochs=epochs), held_out=0.25)
    report = ensemble.fit(TRAIN, seed=0)
    score = ensemble.score(FRESH)
    mean = TRAIN.fields.mean(axis=0)
    trivial = np.mean([np.linalg.norm(mean - one) / np.linalg.norm(one) for one in FRESH.fields])
    assert score.relative_error < (0.9 if name == "refiner" else 0.75) * trivial
    assert 0.8 <= score.coverage_90 <= 0.97
    assert report.n_train + report.n_held_out == 80
    assert 0 < report.radius_90 < 2
    designs, conditions, _ = FRESH.tensors()
    design, condition = designs[:2].requires_grad_(True), conditions[:2].requires_grad_(True)
    prediction = ensemble.predict(design, condition)
    assert prediction.mean.shape == (2, *SHAPE)
    assert prediction.mean.is_complex()
    gradients = torch.autograd.grad(prediction.mean.abs().sum() + prediction.radius().sum(), (design, condition))
    assert all(one.abs().max() > 0 for one in gradients)
    assert torch.equal(prediction.mean, ensemble.predict(design, condition).mean)
    ensemble.save(tmp_path / "field.safetensors")
    loaded = FieldEnsemble.load(tmp_path / "field.safetensors", MODELS[name]).predict(design, condition)
    assert torch.equal(loaded.mean, prediction.mean)
    assert torch.equal(loaded.radius(), prediction.radius())
    # The spread, of seeds or of refinements, is larger where the error is.
    assert prediction.members.std(dim=0).min() > 0
    assert score.error_spread_correlation > 0


def test_helmholtz_residual_vanishes_at_solutions_only():
    designs, conditions, fields = FRESH.tensors()
    missed = equation()(designs.double(), conditions.double(), torch.from_numpy(FRESH.fields.copy()))
    scale = torch.from_numpy(FRESH.fields.copy()).abs().mean()
    assert missed.abs().max() < 1e-5 * scale
    assert equation()(designs, conditions, 1.1 * fields).abs().max() > 0.05 * scale


def test_the_equation_helps_where_fields_are_few():
    few, unsolved = solved(12, 3), solved(60, 4)
    errors = {}
    for weight in (0.0, 0.1):
        config = FieldTraining(epochs=60, batch_size=12, learning_rate=5e-3, residual_weight=weight)
        ensemble = FieldEnsemble(MODELS["fno-film"], 1, config)
        ensemble.fit(few, seed=0, residual=equation(), unsolved=unsolved)
        designs, conditions, _ = FRESH.tensors()
        field = ensemble.predict(designs, conditions).mean
        errors[weight] = (
            float(mean_square(equation()(designs, conditions, field))),
            ensemble.score(FRESH).relative_error,
        )
    assert errors[0.1][0] < 0.5 * errors[0.0][0]
    assert errors[0.1][1] < errors[0.0][1]


def test_misuse():
    with pytest.raises(DataError, match="n x h x w"):
        FieldData(TRAIN.designs, TRAIN.fields[0], TRAIN.groups)
    with pytest.raises(DataError, match="finite"):
        FieldData(TRAIN.designs, np.full_like(TRAIN.fields, np.nan), TRAIN.groups)
    with pytest.raises(ValueError, match="stem"):
        GridField(CODE)
    with pytest.raises(ValueError, match="call fit first"):
        FieldEnsemble(MODELS["deeponet"]).predict(torch.rand(1, *SHAPE))
    with pytest.raises(ValueError, match="call fit first"):
        FieldEnsemble(MODELS["deeponet"]).save("nowhere")
    with pytest.raises(ValueError, match="residual"):
        FieldEnsemble(MODELS["deeponet"], 1, FieldTraining(epochs=1, residual_weight=1.0)).fit(TRAIN, seed=0)
    with pytest.raises(ValueError, match="smallest_noise"):
        Refiner(GridField(GRID), smallest_noise=2.0)


def test_a_fit_that_fails_leaves_the_one_before():
    ensemble = FieldEnsemble(MODELS["deeponet"], 2, FieldTraining(epochs=1))
    few = solved(12, 3)
    ensemble.fit(few, seed=0)
    designs, conditions, _ = few.tensors()
    before = ensemble.predict(designs, conditions)
    calls = []

    def memo(kind, inputs, compute):
        calls.append(kind)
        if len(calls) == 2:
            raise FloatingPointError("diverged")
        return compute()

    with pytest.raises(FloatingPointError):
        ensemble.fit(FieldData(few.designs, 3 * few.fields, few.groups, few.conditions), seed=1, memo=memo)
    after = ensemble.predict(designs, conditions)
    assert torch.equal(after.members, before.members)


def test_unsolved_designs_of_another_shape_are_refused():
    few = solved(12, 3)
    ensemble = FieldEnsemble(MODELS["deeponet"], 1, FieldTraining(epochs=1, residual_weight=0.1))
    other = FieldData(few.designs[:, :6], few.fields, few.groups, few.conditions)
    with pytest.raises(ValueError, match="unsolved"):
        ensemble.fit(few, seed=0, residual=equation(), unsolved=other)


def test_fields_of_another_shape_are_not_scored():
    few = TRAIN.take(np.arange(12))
    ensemble = FieldEnsemble(MODELS["deeponet"], 1, replace(TRAINING, epochs=1))
    with pytest.raises(ValueError, match="fitted ensemble"):
        ensemble.score(few)
    ensemble.fit(few, seed=0)
    for fields in (few.fields[:, :-1], few.fields[:, :1]):
        other = FieldData(few.designs, fields, few.groups, few.conditions)
        with pytest.raises(ValueError, match=r"fields of shape n x \(12, 10\). Got \(12, 1?1, 10\)"):
            ensemble.score(other)
