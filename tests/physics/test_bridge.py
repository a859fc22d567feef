"""The simulator as a torch function."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from physics.bridge import as_torch
from physics.devices import waveguide_bend

BEND = waveguide_bend((1.53, 1.57), design_um=1.0, pixel_um=0.1, cells_um=(0.04,))


def test_values_are_those_of_the_simulator():
    design = np.random.default_rng(0).random(BEND.design_shape)
    tensors = as_torch(BEND, 0)(torch.from_numpy(design))
    for name, value in BEND.simulate(design, 0).items():
        assert np.array_equal(tensors[name].numpy(), value)


def test_gradcheck():
    design = torch.from_numpy(np.random.default_rng(1).uniform(0.2, 0.8, BEND.design_shape)).requires_grad_()
    function = as_torch(BEND, 0)

    def loss(density):
        response = function(density)
        return response["s"], response["transmission"], response["reflection"]

    assert torch.autograd.gradcheck(loss, (design,), eps=1e-5, atol=1e-6, rtol=1e-4, fast_mode=True)


def test_backward_through_a_chain_in_single_precision():
    theta = torch.zeros(BEND.design_shape, dtype=torch.float32, requires_grad=True)
    response = as_torch(BEND, 0)(torch.sigmoid(theta))
    (response["s"][1].abs() ** 2).sum().backward()
    _, expected = BEND.vjp(np.full(BEND.design_shape, 0.5), 0, {"transmission": np.ones((1, 2))})
    assert theta.grad.dtype == torch.float32
    assert_allclose(theta.grad.numpy(), expected * 0.25, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_densities_may_exceed_one_by_their_own_rounding(dtype):
    function, eps = as_torch(BEND, 0), torch.finfo(dtype).eps
    solid = torch.ones(BEND.design_shape, dtype=dtype)
    expected = BEND.simulate(np.ones(BEND.design_shape), 0)["s"]
    assert np.array_equal(function(solid * (1 + eps))["s"].numpy(), expected)
    with pytest.raises(ValueError, match=r"in \[0, 1\]"):
        function(solid * (1 + max(1e-6, 16 * eps)))


def test_complex_densities_are_refused():
    with pytest.raises(ValueError, match="real density"):
        as_torch(BEND, 0)(torch.zeros(BEND.design_shape, dtype=torch.complex128))


def test_unknown_level():
    with pytest.raises(ValueError, match="level among"):
        as_torch(BEND, 3)
