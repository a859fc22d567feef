import numpy as np
import torch
from scipy.sparse.linalg import spsolve

from surrogates.fields import corrected_objective, corrected_response
from tests.surrogates.fields.toy import SHAPE, SOURCE, matrix, smooth

RNG = np.random.default_rng(0)
DENSITY = smooth(RNG, 1)[0]
A = matrix(DENSITY, 6.0)
B = SOURCE.ravel()
U = spsolve(A, B)
PORT = np.zeros(SHAPE, complex)
PORT[9, 2:8] = np.exp(1j * np.arange(6))
PORT = PORT.ravel()


def matvec(fields):
    return torch.from_numpy(np.stack([A @ one for one in fields.numpy()]))


def wrong(exact, size, seed):
    """The exact vector with an error of that size: smooth noise, the same but for the size."""
    rng = np.random.default_rng(seed)
    error = rng.normal(size=(1, len(exact))) + 1j * rng.normal(size=(1, len(exact)))
    return torch.from_numpy(exact + size * np.abs(exact).mean() * error)


def rates(errors):
    return np.diff(np.log(errors)) / np.log(0.5)


def test_an_amplitude_is_exact_with_the_exact_adjoint_and_second_order_with_another():
    adjoint = spsolve(A.T.tocsc(), PORT)
    exact = PORT @ U
    plain, corrected, exact_adjoint = [], [], []
    for size in 0.5 ** np.arange(1, 7):
        field = wrong(U, size, 1)
        value = field @ torch.from_numpy(PORT)
        one = corrected_response(value, field, wrong(adjoint, size, 2), matvec, torch.from_numpy(B))
        two = corrected_response(value, field, torch.from_numpy(adjoint), matvec, torch.from_numpy(B))
        plain.append(abs(value[0].item() - exact))
        corrected.append(abs(one.value[0].item() - exact))
        exact_adjoint.append(abs(two.value[0].item() - exact))
    np.testing.assert_allclose(rates(plain), 1.0, atol=0.02)
    np.testing.assert_allclose(rates(corrected), 2.0, atol=0.02)
    assert max(exact_adjoint) < 1e-10 * abs(exact)


def test_a_power_is_second_order():
    exact = abs(PORT @ U) ** 2
    plain, corrected = [], []
    for size in 0.5 ** np.arange(6, 12):
        field = wrong(U, size, 1)
        free = field.clone().requires_grad_(True)
        value = (free @ torch.from_numpy(PORT)).abs() ** 2
        (slope,) = torch.autograd.grad(value.sum(), free)
        adjoint = spsolve(A.conj().T.tocsc(), slope[0].numpy())
        one = corrected_objective(value.detach(), field, wrong(adjoint, size, 2), matvec, torch.from_numpy(B))
        plain.append(abs(value.item() - exact))
        corrected.append(abs(one.value.item() - exact))
    np.testing.assert_allclose(rates(plain), 1.0, atol=0.15)
    np.testing.assert_allclose(rates(corrected)[2:], 2.0, atol=0.15)
    assert corrected[-1] < 0.1 * plain[-1]


def test_the_correction_indicates_which_fields_are_wrong_for_one_product_each():
    products = []

    def counted(fields):
        products.append(len(fields))
        return matvec(fields)

    sizes = np.random.default_rng(3).uniform(0.01, 0.5, 40)
    fields = torch.cat([wrong(U, size, 10 + k) for k, size in enumerate(sizes)])
    adjoint = wrong(spsolve(A.T.tocsc(), PORT), 0.1, 2)
    value = fields @ torch.from_numpy(PORT)
    one = corrected_response(value, fields, adjoint, counted, torch.from_numpy(B))
    true = (torch.tensor(PORT @ U) - value).abs().numpy()
    assert np.corrcoef(np.log(true), np.log(one.correction.abs().numpy()))[0, 1] > 0.7
    assert products == [40]
