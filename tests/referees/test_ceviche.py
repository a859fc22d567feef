"""ceviche (Hughes et al., ACS Photonics 6, 3010 (2019)), on the same permittivity, cells and absorbing layers."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose

from physics.fdfd import Coefficients, RegionFactor, Stretch, condense, helmholtz, slab_mode
from physics.fdfd.operator import assemble, face_factors, mass_factors

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    ceviche = pytest.importorskip("ceviche", reason="the referee is ceviche 0.1.3")
    derivatives = pytest.importorskip("ceviche.derivatives", reason="the referee is ceviche 0.1.3")

CELLS, PML, CELL_UM, OMEGA = 100, 15, 0.03, 2 * np.pi / 1.55
SI_OMEGA = OMEGA * 1e6 * ceviche.constants.C_0


@pytest.fixture(scope="module")
def case():
    """A guide into a random block, ceviche's field for its mode's directional source, and our stretches."""
    permittivity = np.full((CELLS, CELLS), 2.1)
    permittivity[:50, 42:58] = 12.1
    design = np.zeros((CELLS, CELLS), dtype=bool)
    design[34:66, 34:66] = True
    permittivity[design] = np.random.default_rng(0).uniform(2.1, 12.1, design.sum())
    mode = slab_mode(permittivity[25, PML:-PML], CELL_UM, OMEGA)
    load = np.zeros((CELLS, CELLS), dtype=complex)
    load[24, PML:-PML] = mode.profile
    load[25, PML:-PML] = -np.exp(-1j * mode.phase) * mode.profile
    # ceviche: exp(+i omega t), SI units, A = -d^2 / mu_0 - eps_0 omega^2 eps, b = i omega J; hence the conjugates.
    current = np.conj(load) * 1j / (ceviche.constants.MU_0 * SI_OMEGA * (CELL_UM * 1e-6) ** 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _, _, field = ceviche.fdfd_ez(SI_OMEGA, CELL_UM * 1e-6, permittivity, [PML, PML]).solve(current)
    profile = {d: np.conj(derivatives.create_sfactor(d, SI_OMEGA, CELL_UM * 1e-6, CELLS, PML)) for d in "fb"}
    stretch = Stretch(profile["f"], np.append(profile["b"], profile["b"][-1]))
    return permittivity, design, load, np.conj(field), stretch


def solved(permittivity, design, loads, stretch):
    """The condensed region of the design and its fields; the outside is eliminated at another design."""

    def stencil(eps):
        return assemble(*face_factors(stretch, stretch), mass_factors(stretch, stretch, CELL_UM, OMEGA) * eps)

    inside = np.flatnonzero(design.any(axis=1))
    first, stop = int(inside[0]), int(inside[-1]) + 1
    region = condense(stencil(np.where(design, 2.1, permittivity)), (first, stop, first, stop), loads)
    full, window = stencil(permittivity), (slice(first, stop), slice(first, stop))
    parts = (np.real(part[window]).copy() for part in (full.diagonal, full.east, full.north))
    return region, RegionFactor(region, Coefficients(*parts)).solve(region.sources)


def test_fields_agree(case):
    """Everywhere to 1e-6; what remains is ceviche's periodic boundary behind its absorbing layers."""
    permittivity, design, load, field, stretch = case
    matrix = helmholtz(permittivity, CELL_UM, OMEGA, stretch, stretch)
    _, ours = solved(permittivity, design, load.reshape(-1, 1), stretch)
    assert_allclose(ours[:, 0], field[design], atol=1e-6 * np.abs(field).max())
    # The operator annihilates ceviche's field up to the load, in the interior and in the absorbing layers.
    residual = matrix @ field.ravel() - load.ravel()
    assert np.abs(residual).max() < 1e-6 * np.abs(load).max()


def test_gradients_agree(case):
    permittivity, design, load, _, stretch = case
    output = load.T

    def objective(eps):
        current = np.conj(load) * 1j / (ceviche.constants.MU_0 * SI_OMEGA * (CELL_UM * 1e-6) ** 2)
        _, _, field = ceviche.fdfd_ez(SI_OMEGA, CELL_UM * 1e-6, eps, [PML, PML]).solve(current)
        return npa.abs(npa.sum(field * np.conj(output))) ** 2

    import autograd.numpy as npa

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = ceviche.jacobian(objective, mode="reverse")(permittivity).reshape(CELLS, CELLS)[design]

    loads = np.stack([load.ravel(), output.ravel()], axis=1)
    region, field = solved(permittivity, design, loads, stretch)
    amplitude = region.constant[1, 0] + region.receivers[:, 1] @ field[:, 0]
    ours = -2 * (OMEGA * CELL_UM) ** 2 * np.real(np.conj(amplitude) * field[:, 0] * field[:, 1])
    assert_allclose(ours, theirs, atol=1e-6 * np.abs(theirs).max())
