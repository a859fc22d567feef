"""ceviche (Hughes et al., ACS Photonics 6, 3010 (2019)) for Hz, on its own faces, absorbing layers and boundaries."""

import warnings

import numpy as np
import pytest
import scipy.sparse.linalg as spla
from numpy.testing import assert_allclose

from physics.fdfd import Axis, Grid, Stretch
from physics.fdfd.faces import mean_faces
from physics.fdfd.operator import assemble, ez_stencil, face_factors, hz_stencil, mass_factors
from tests.physics.layers import PML as NO_LAYERS

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    ceviche = pytest.importorskip("ceviche", reason="the referee is ceviche 0.1.3")
    derivatives = pytest.importorskip("ceviche.derivatives", reason="the referee is ceviche 0.1.3")

SHAPE, LAYERS, CELL_UM, OMEGA = (90, 80), (15, 12), 0.03, 2 * np.pi / 1.55
SI_OMEGA = OMEGA * 1e6 * ceviche.constants.C_0
EPSILON_0, MU_0 = ceviche.constants.EPSILON_0, ceviche.constants.MU_0


def medium(lossy):
    rng = np.random.default_rng(0)
    eps = np.full(SHAPE, 2.1 + 0j)
    eps[:45, 32:48] = 12.1
    eps[30:60, 25:55] = rng.uniform(2.1, 12.1, (30, 30)) + (1j * rng.uniform(0, 2, (30, 30)) if lossy else 0)
    return eps


def faces(grid, eps):
    """ceviche's face between cells i and i + 1 has the mean of cells i - 1 and i, plus 1e-5."""
    east, north = mean_faces(grid, np.roll(eps, 1, axis=0))[0], mean_faces(grid, np.roll(eps, 1, axis=1))[1]
    return east + 1e-5, north + 1e-5


def theirs(kind, eps, layers, load, phases):
    """Their field for our load; exp(+i omega t) and opposite Bloch phases there, hence the conjugates."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        solver = kind(SI_OMEGA, CELL_UM * 1e-6, np.conj(eps), list(layers), [-p for p in phases])
        # A is omega^2 mu_0 + (1 / eps_0) curl curl for Hz, so that ours is eps_0 cell^2 times theirs; for Ez -mu_0.
        scale = EPSILON_0 if kind is ceviche.fdfd_hz else -MU_0
        return np.conj(solver.solve(np.conj(load) / (1j * SI_OMEGA * scale * (CELL_UM * 1e-6) ** 2))[2])


def ours(stencil, load):
    return spla.spsolve(stencil.matrix().tocsc(), load.ravel()).reshape(load.shape)


@pytest.mark.parametrize("lossy", [False, True])
def test_hz_agrees_with_their_absorbing_layers(lossy):
    """Their layers' stretches and their periodic boundary behind them: the same matrix to rounding."""
    eps = medium(lossy)
    grid = Grid(*(Axis(n, CELL_UM, phase=0.0) for n in SHAPE))
    stretches = []
    for n, layers in zip(SHAPE, LAYERS, strict=True):
        f, b = (np.conj(derivatives.create_sfactor(d, SI_OMEGA, CELL_UM * 1e-6, n, layers)) for d in "fb")
        stretches.append(Stretch(b, np.concatenate([f[-1:], f])))
    east, north = faces(grid, eps)
    x_faces, y_faces = face_factors(*stretches)
    mass = mass_factors(*stretches, CELL_UM, OMEGA)
    stencil = assemble(x_faces / east, y_faces / north, mass, grid.phases)
    load = np.zeros(SHAPE, dtype=complex)
    load[22, 30:50] = np.random.default_rng(1).standard_normal((20, 2)) @ [1, 1j]
    reference = theirs(ceviche.fdfd_hz, eps, LAYERS, load, (0, 0))
    assert_allclose(ours(stencil, load), reference, atol=1e-9 * np.abs(reference).max())


@pytest.mark.parametrize("phases", [(0.0, 0.0), (0.7, -1.9)])
@pytest.mark.parametrize("polarization", ["Ez", "Hz"])
def test_both_polarisations_agree_between_bloch_boundaries(polarization, phases):
    eps = medium(lossy=True)
    grid = Grid(*(Axis(n, CELL_UM, phase=phase) for n, phase in zip(SHAPE, phases, strict=True)))
    if polarization == "Ez":
        stencil, kind = ez_stencil(grid, NO_LAYERS, OMEGA, eps), ceviche.fdfd_ez
    else:
        stencil, kind = hz_stencil(grid, NO_LAYERS, OMEGA, *faces(grid, eps)), ceviche.fdfd_hz
    load = np.zeros(SHAPE, dtype=complex)
    load[22, 30:50] = 1.0
    reference = theirs(kind, eps, (0, 0), load, phases)
    assert_allclose(ours(stencil, load), reference, atol=1e-8 * np.abs(reference).max())
