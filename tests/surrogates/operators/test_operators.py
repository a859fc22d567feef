import numpy as np
import pytest
import torch

from surrogates import Dataset, LevelData, TrainingConfig
from surrogates.encoding import Field
from surrogates.families import mlp
from surrogates.models import ModelEnsemble
from surrogates.networks.conditioning import ChannelAttention, FiLM
from surrogates.networks.coordinates import BranchAndTrunk, ModulatedField
from surrogates.operators import DeepONet, NeuralField, resampled
from surrogates.operators.models import axes_of, coordinates

NET = mlp(width=48, depth=2, resolution=8)
WAVELENGTHS = tuple(np.linspace(1.5, 1.6, 13))


def spectra(designs):
    """A resonance whose place and width are smooth in the design: ``t`` (ports x wavelengths) and a scalar."""
    x = designs.mean(axis=(1, 2)), designs[:, :4].mean(axis=(1, 2))
    centre, width = 1.55 + 0.06 * (x[0] - 0.5), 0.015 + 0.02 * x[1]
    line = 1 / (1 + 1j * (np.array(WAVELENGTHS) - centre[:, None]) / width[:, None])
    return {"t": np.stack([line, 1 - line], axis=1), "mean": x[0]}


def data(n, seed):
    rng = np.random.default_rng(seed)
    designs = np.clip(rng.random((n, 1, 1)) + 0.4 * (rng.random((n, 2, 1)) - 0.5), 0, 1).repeat(4, axis=1)
    designs = np.broadcast_to(designs, (n, 8, 8))
    return LevelData.values_only(designs, spectra(designs), np.arange(n) + 1000 * seed)


AXES = (("t", ((0.0, 1.0), WAVELENGTHS)),)
MODELS = {
    "deeponet": DeepONet(NET, AXES),
    "film": NeuralField(NET, AXES),
    "attention": NeuralField(NET, AXES, conditioning="attention"),
}


@pytest.mark.parametrize("name", ["deeponet", "film", pytest.param("attention", marks=pytest.mark.slow)])
def test_spectra_are_learnt(name, tmp_path):
    config = TrainingConfig(epochs=40, batch_size=16, learning_rate=4e-3)
    ensemble = ModelEnsemble(MODELS[name], 2, config)
    ensemble.fit(Dataset({0: data(80, 1)}), seed=0)
    score = ensemble.score(Dataset({0: data(60, 2)}))[0]
    assert score.r2 > 0.9
    design = torch.from_numpy(data(3, 3).designs.copy()).requires_grad_(True)
    prediction = ensemble.predict(design, 0)
    assert prediction.mean["t"].shape == (3, 2, 13)
    assert prediction.mean["t"].is_complex()
    assert prediction.mean["mean"].shape == (3,)
    (gradient,) = torch.autograd.grad(prediction.mean["t"].abs().sum(), design)
    assert gradient.abs().max() > 0
    ensemble.save(tmp_path / "one.safetensors")
    again = ModelEnsemble.load(tmp_path / "one.safetensors", MODELS[name])
    assert torch.equal(again.predict(design, 0).members, prediction.members)


@pytest.mark.parametrize("kind", ["deeponet", "film", "attention"])
def test_heads_answer_between_the_coordinates_they_were_trained_on(kind):
    torch.manual_seed(0)
    heads = {
        "deeponet": lambda: BranchAndTrunk(2, 1, 1, 16, 32, 2, 0.5),
        "film": lambda: ModulatedField(2, 1, 1, 32, 2, "film", 0.5),
        "attention": lambda: ModulatedField(2, 1, 1, 32, 2, "attention", 0.5),
    }
    head = heads[kind]()
    coarse, fine = torch.linspace(-1, 1, 9)[:, None], torch.linspace(-1, 1, 33)[:, None]
    code = torch.randn(64, 2)

    def truth(at):
        return code[:, :1] * torch.sin(2 * at[:, 0]) + code[:, 1:] * torch.cos(3 * at[:, 0])

    optimiser = torch.optim.Adam(head.parameters(), 5e-3)
    for _ in range(250):
        optimiser.zero_grad()
        (head(code, coarse)[..., 0] - truth(coarse)).square().mean().backward()
        optimiser.step()
    with torch.no_grad():
        error = (head(code, fine)[..., 0] - truth(fine)).square().mean().sqrt()
    assert error < 0.15 * truth(fine).std()


def test_film_starts_as_the_identity_and_attention_masks_lie_between_0_and_1():
    torch.manual_seed(0)
    x, condition = torch.rand(3, 5, 4, 4), torch.rand(3, 2)
    assert torch.equal(FiLM(2, 5)(x, condition), x)
    attention = ChannelAttention(2, 5, grid=True)
    for branch in attention.branches:
        torch.nn.init.dirac_(branch.weight, groups=branch.groups)
        torch.nn.init.zeros_(branch.bias)
    # Identity branches: x (1 + m1)(1 + m2) with masks in (0, 1), one a channel and sample.
    ratio = attention(x, condition) / x
    assert ((ratio > 1) & (ratio < 4)).all()
    torch.testing.assert_close(ratio, ratio[:, :, :1, :1].expand_as(ratio))
    assert not torch.allclose(ratio[0], ratio[1])


def test_coordinates_follow_the_order_of_flattened_entries():
    along = axes_of(Field("t", (2, 3), True), (("t", ((0.0, 1.0), (1.0, 2.0, 5.0))),))
    expected = [[-1, -1], [-1, -0.5], [-1, 1], [1, -1], [1, -0.5], [1, 1]]
    torch.testing.assert_close(coordinates(along, along), torch.tensor(expected))
    torch.testing.assert_close(coordinates(along, ((1.0,), (3.0,))), torch.tensor([[1.0, 0.0]]))
    with pytest.raises(ValueError, match="lengths"):
        axes_of(Field("t", (2,), True), (("t", ((0.0, 1.0, 2.0),)),))


def test_a_fitted_spectrum_is_asked_between_its_wavelengths():
    train, new = data(80, 1), data(40, 2)
    coarse = {"t": train.responses["t"][:, :, ::2], "mean": train.responses["mean"]}
    few = Dataset({0: LevelData.values_only(train.designs, coarse, train.groups)})
    model = DeepONet(NET, (("t", ((0.0, 1.0), WAVELENGTHS[::2])),), bandwidth=0.5)
    ensemble = ModelEnsemble(model, 2, TrainingConfig(epochs=40, batch_size=16))
    ensemble.fit(few, seed=0)
    design = torch.from_numpy(new.designs.copy())
    fine = resampled(ensemble, AXES)
    before, after = ensemble.predict(design, 0), fine.predict(design, 0)
    assert after.mean["t"].shape == (40, 2, 13)
    torch.testing.assert_close(after.mean["t"][:, :, ::2], before.mean["t"])
    torch.testing.assert_close(after.mean["mean"], before.mean["mean"])
    torch.testing.assert_close(after.std["t"][:, :, ::2], before.std["t"])
    error = (after.mean["t"] - new.tensors("responses")["t"]).abs().square().mean(dim=(0, 1)).sqrt()
    # No worse between the wavelengths than twice the error at them.
    assert error[1::2].max() < 2 * error[::2].max()
    assert error.max() < 0.2
    with pytest.raises(ValueError, match="as trained on"):
        resampled(ensemble, (("t", ((0.0, 1.0), (1.4, 1.5))),))
    with pytest.raises(ValueError, match="DeepONet"):
        resampled(fine, AXES)


def test_misuse():
    with pytest.raises(ValueError, match="conditioning"):
        NeuralField(NET, conditioning="wishes")
    with pytest.raises(ValueError, match="axes of quantities"):
        ModelEnsemble(DeepONet(NET, (("u", ((0.0,),)),)), 2).fit(Dataset({0: data(10, 1)}), seed=0)


def test_an_ensemble_that_was_not_fitted_is_not_resampled():
    with pytest.raises(ValueError, match="call fit first"):
        resampled(ModelEnsemble(MODELS["deeponet"]), AXES)
