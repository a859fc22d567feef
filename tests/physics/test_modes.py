"""Guided modes of the grid against analytic slabs: both polarisations, with and without loss."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import root

from physics.fdfd.modes import analytic_slab_index, guided_mode, slab_mode
from tests.physics.guides import layer

OMEGA = 2 * np.pi / 1.55
CORE, CLADDING, WIDTH = 12.1, 2.1, 0.5
POLARIZATIONS = ["Ez", "Hz"]


def index(polarization, cells, number, core=CORE, cladding=CLADDING, span_um=3.0, width_um=WIDTH):
    mode = guided_mode(*layer(polarization, cells, span_um, OMEGA, width_um, core, cladding), number)
    return mode.phase / (OMEGA * span_um / cells)


def complex_slab_index(polarization, core, cladding, guess, width_um=WIDTH):
    """The even mode of a symmetric slab of complex permittivity: kappa tan(kappa width / 2) = ratio gamma."""
    ratio = 1.0 if polarization == "Ez" else core / cladding

    def mismatch(parts):
        n = complex(*parts)
        kappa, gamma = OMEGA * np.sqrt(core - n**2 + 0j), OMEGA * np.sqrt(n**2 - cladding + 0j)
        value = kappa * np.sin(kappa * width_um / 2) - ratio * gamma * np.cos(kappa * width_um / 2)
        return [value.real, value.imag]

    found = root(mismatch, [np.real(guess), np.imag(guess)], tol=1e-12)
    assert found.success
    return complex(*found.x)


def rates(errors):
    return np.log2(np.array(errors[:-1]) / errors[1:])


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("polarization", POLARIZATIONS)
def test_index_converges_to_the_analytic_one_with_second_order(polarization, number):
    exact = analytic_slab_index(WIDTH, CORE, CLADDING, 1.55, number, polarization)
    errors = [abs(index(polarization, cells, number, span_um=3.2) - exact) for cells in (128, 256, 512)]
    assert errors[-1] < 2e-3
    assert np.all(rates(errors) > 1.8), (errors, rates(errors))


@pytest.mark.parametrize("polarization", POLARIZATIONS)
def test_index_converges_wherever_the_interfaces_lie_in_their_cells(polarization):
    for width in (0.487, 0.512):
        exact = analytic_slab_index(width, CORE, CLADDING, 1.55, 0, polarization)
        errors = [abs(index(polarization, cells, 0, width_um=width) - exact) for cells in (100, 200, 400)]
        assert np.all(rates(errors) > 1.2) and rates([errors[0], errors[-1]]) > 3.4, errors


def test_analytic_slabs_satisfy_the_textbook_equations():
    for polarization, ratio in (("Ez", 1.0), ("Hz", CORE / CLADDING)):
        n = analytic_slab_index(WIDTH, CORE, CLADDING, 1.55, 0, polarization)
        kappa, gamma = OMEGA * np.sqrt(CORE - n**2), OMEGA * np.sqrt(n**2 - CLADDING)
        assert_allclose(np.tan(kappa * WIDTH / 2), ratio * gamma / kappa, rtol=1e-9)
        n = analytic_slab_index(WIDTH, CORE, CLADDING, 1.55, 1, polarization)
        kappa, gamma = OMEGA * np.sqrt(CORE - n**2), OMEGA * np.sqrt(n**2 - CLADDING)
        assert_allclose(-1 / np.tan(kappa * WIDTH / 2), ratio * gamma / kappa, rtol=1e-8)
    with pytest.raises(ValueError, match="polarization Ez or Hz"):
        analytic_slab_index(WIDTH, CORE, CLADDING, 1.55, 0, "TM")


@pytest.mark.parametrize("loss", [0.0, 0.2j])
@pytest.mark.parametrize("polarization", POLARIZATIONS)
def test_modes_solve_their_equation_and_are_orthogonal(polarization, loss):
    diagonal, across, along = layer(polarization, 150, 3.0, OMEGA, WIDTH, CORE + loss, CLADDING)
    modes = [guided_mode(diagonal, across, along, number) for number in range(2)]
    for mode in modes:
        within = diagonal * mode.profile
        within[1:] += across * mode.profile[:-1]
        within[:-1] += across * mode.profile[1:]
        assert_allclose(within, -2 * np.cos(mode.phase) * along * mode.profile, atol=1e-12)
    gram = [[(one.profile * along * other.profile).sum() for one in modes] for other in modes]
    assert_allclose(gram, np.eye(2), atol=1e-12)
    assert modes[0].phase.real > modes[1].phase.real
    assert all(isinstance(mode.phase, float) for mode in modes) == (loss == 0)


@pytest.mark.parametrize("polarization", POLARIZATIONS)
@pytest.mark.parametrize("loss", [0.05j, 1.5j])
def test_lossy_slab_attenuates_as_the_analytic_one(polarization, loss):
    exact = complex_slab_index(polarization, CORE + loss, CLADDING, index(polarization, 100, 0, CORE + loss))
    assert exact.imag > 0
    errors = [abs(index(polarization, cells, 0, CORE + loss, span_um=3.2) - exact) for cells in (64, 128, 256)]
    assert np.all(rates(errors) > 1.8), (errors, rates(errors))


@pytest.mark.parametrize("polarization", POLARIZATIONS)
def test_a_vanishing_loss_changes_nothing_but_the_decay(polarization):
    """First-order perturbation joins the complex problem to the real one."""
    plain, lossy = index(polarization, 120, 1), index(polarization, 120, 1, CORE + 1e-6j)
    heavier = index(polarization, 120, 1, CORE + 1e-6)
    assert_allclose(lossy.real, plain, rtol=1e-11)
    assert_allclose(lossy.imag, heavier - plain, rtol=1e-4)


def test_metal_gap_carries_its_plasmon():
    """tanh(kappa width / 2) = -eps_gap gamma / (eps_metal kappa), both transverse constants decaying."""
    metal, gap, width = -86.6 + 8.7j, 2.1, 0.2
    errors = []
    for cells in (96, 192, 384):
        n = index("Hz", cells, 0, gap, metal, span_um=0.6, width_um=width)
        exact = complex_slab_index("Hz", gap, metal, n, width)
        errors.append(abs(n - exact))
    assert exact.real > np.sqrt(gap) and exact.imag > 0
    assert errors[-1] < 2e-3 and np.all(rates(errors) > 0.9), (errors, rates(errors))


@pytest.mark.parametrize("loss", [0.0, 0.1j])
def test_unguided_modes_and_cut_tails_are_refused(loss):
    for number in (4, -1):
        with pytest.raises(ValueError, match=f"carries mode {number}"):
            guided_mode(*layer("Ez", 80, 3.0, OMEGA, WIDTH, CORE + loss, CLADDING), number)
    with pytest.raises(ValueError, match="decayed"):
        guided_mode(*layer("Ez", 40, 0.6, OMEGA, WIDTH, CORE + loss, CLADDING))


def test_meshes_too_coarse_for_the_mode_are_refused():
    with pytest.raises(ValueError, match="two cells a wavelength"):
        guided_mode(*layer("Ez", 20, 6.0, OMEGA, 1.0, CORE, CLADDING))


def test_slab_mode_is_the_guided_mode_in_ez():
    diagonal, across, along = layer("Ez", 100, 3.0, OMEGA, WIDTH, CORE, CLADDING)
    mode = guided_mode(diagonal, across, along, 1)
    slab = slab_mode((diagonal.real + 4) / (OMEGA * 0.03) ** 2, 0.03, OMEGA, 1)
    assert_allclose(slab.profile, mode.profile, atol=1e-10)
    assert_allclose([slab.phase, slab.effective_index * OMEGA * 0.03], mode.phase, rtol=1e-12)
