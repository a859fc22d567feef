import numpy as np
import pytest
import torch

from surrogates.data import DataError, Dataset, LevelData
from surrogates.evaluation import late_rows
from surrogates.splitting import split
from surrogates.symmetry import Image, augment, augment_all


def mirrored(design):
    return design[:, ::-1]


def swapped(responses):
    return {name: value[:, ::-1] for name, value in responses.items()}


def device(designs):
    """Two ports on either side: a mirrored design has them swapped."""
    weight = torch.linspace(0, 1, designs.shape[2], dtype=torch.float64) ** 2
    left = torch.sin((designs * weight).sum(dim=(1, 2)))
    right = torch.sin((designs.flip(2) * weight).sum(dim=(1, 2)))
    return {"t": torch.stack([left, right], dim=1)}


def sampled(n=6):
    rng = np.random.default_rng(0)
    designs = torch.from_numpy(rng.random((n, 4, 5))).requires_grad_(True)
    cotangents = rng.normal(size=(n, 2))
    response = device(designs)
    total = (response["t"] * torch.from_numpy(cotangents)).sum()
    (gradient,) = torch.autograd.grad(total, designs)
    values = {"t": response["t"].detach().numpy()}
    x = designs.detach().numpy()
    return LevelData(x, values, np.arange(n) // 2, np.arange(n), {"t": cotangents}, gradient.numpy())


def test_images_are_what_the_solver_would_have_given():
    data = sampled()
    both = augment(data, [Image(mirrored, swapped)])
    assert len(both) == 12
    assert both.groups.tolist() == 2 * data.groups.tolist()
    designs = torch.from_numpy(both.designs.copy()).requires_grad_(True)
    response = device(designs)
    np.testing.assert_allclose(response["t"].detach().numpy(), both.responses["t"])
    total = (response["t"][both.gradient_rows.copy()] * torch.from_numpy(both.cotangents["t"].copy())).sum()
    (gradient,) = torch.autograd.grad(total, designs)
    np.testing.assert_allclose(gradient.numpy()[both.gradient_rows], both.gradients)


def test_a_split_never_parts_a_sample_from_its_image():
    data = augment_all(Dataset({0: sampled(12)}), [Image(mirrored, swapped)])
    train, held_out = split(data, 0.3, 0)
    assert not set(train.levels[0].groups) & set(held_out.levels[0].groups)
    assert len(train.levels[0]) + len(held_out.levels[0]) == 24


@pytest.mark.parametrize("image", [lambda x: 1 - x, lambda x: x[:2], lambda x: 0.5 * (x + x[::-1]), np.sort])
def test_images_that_change_pixels_are_refused(image):
    with pytest.raises(DataError, match="moves the pixels"):
        augment(sampled(), [image])


def test_a_bare_function_keeps_the_response():
    both = augment(sampled(), [lambda x: x[::-1]])
    np.testing.assert_array_equal(both.responses["t"][:6], both.responses["t"][6:])
    np.testing.assert_array_equal(both.designs[6:], both.designs[:6, ::-1])


def test_samples_without_gradients_have_images_too():
    data = sampled()
    plain = LevelData.values_only(data.designs, data.responses, data.groups)
    both = augment(plain, [Image(mirrored, swapped)])
    np.testing.assert_array_equal(both.designs[6:], data.designs[:, :, ::-1])
    np.testing.assert_array_equal(both.responses["t"][6:], data.responses["t"][:, ::-1])
    assert len(both.gradients) == 0


def test_late_samples_are_taken_before_and_images_after_the_split():
    steps, runs = np.arange(24) // 6, np.arange(24) % 6
    designs = np.random.default_rng(0).random((24, 4, 5))
    data = Dataset({0: LevelData.values_only(designs, {"step": steps[:, None]}, runs)})
    train, rest = (part.levels[0] for part in split(data, 0.3, 0))
    late = rest.take(late_rows(rest.groups, 0.5))
    assert sorted(set(late.responses["step"].ravel())) == [2, 3]
    both = augment(train, [mirrored])
    assert len(both) == 2 * len(train) and not set(both.groups) & set(late.groups)
    assert both.take(np.arange(len(train))).key == train.key
    # The other way round early designs are judged on, by their images.
    other = augment(rest, [mirrored])
    early = other.take(late_rows(other.groups, 0.5))
    assert sorted(set(early.responses["step"].ravel())) == [0, 1, 2, 3]
