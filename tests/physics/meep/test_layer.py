"""Layered devices: the effective index, and Meep in three dimensions."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
from scipy.linalg import eigh_tridiagonal

from physics.fdfd.ports import Port
from physics.meep import MeepLadder, effective_device, effective_permittivity
from physics.testing import check_simulator
from tests.meep import needs_meep
from tests.physics.meep.problems import bend, ports_device

SILICON, OXIDE = 3.476**2, 1.444**2


def by_finite_differences(core, cladding, thickness_um, wavelength_um, polarization, cells=2000, span_um=2.0):
    """Effective index of a layer by the eigenvalues of the wave equation across it, on a grid of its own."""
    h = span_um / cells
    centres = (np.arange(cells) + 0.5) * h - span_um / 2
    edges = np.arange(cells + 1) * h - span_um / 2

    def media(z):
        share = np.clip((thickness_um / 2 - np.abs(z)) / h + 0.5, 0, 1)
        return share * core + (1 - share) * cladding

    k = 2 * np.pi / wavelength_um
    eps = media(centres)
    if polarization == "Hz":  # TE of the layer: the electric field lies in its plane
        diagonal, off = eps - 2 / (h * k) ** 2, np.full(cells - 1, 1 / (h * k) ** 2)
    else:  # TM: d/dz (1/eps dH/dz) + k^2 H = beta^2 H / eps, made symmetric by H = sqrt(eps) u
        inverse = 1 / media(edges)
        diagonal = eps * (1 - (inverse[:-1] + inverse[1:]) / (h * k) ** 2)
        off = np.sqrt(eps[:-1] * eps[1:]) * inverse[1:-1] / (h * k) ** 2
    largest = (cells - 1, cells - 1)
    return np.sqrt(eigh_tridiagonal(diagonal, off, eigvals_only=True, select="i", select_range=largest)[0])


@pytest.mark.parametrize("polarization", ["Hz", "Ez"])
@pytest.mark.parametrize("thickness_um", [0.15, 0.22, 0.34])
def test_effective_index(polarization, thickness_um):
    found = effective_permittivity(SILICON, OXIDE, thickness_um, 1.55, polarization) ** 0.5
    wanted = by_finite_differences(SILICON, OXIDE, thickness_um, 1.55, polarization)
    assert found == pytest.approx(wanted, abs=5e-3)


def test_effective_index_of_silicon_on_insulator():
    # 220 nm of silicon in oxide at 1550 nm, as in L. Chrostowski and M. Hochberg, Silicon Photonics Design (2015).
    assert effective_permittivity(SILICON, OXIDE, 0.22, 1.55, "Hz") ** 0.5 == pytest.approx(2.85, abs=0.01)
    assert effective_permittivity(SILICON, OXIDE, 0.22, 1.55, "Ez") ** 0.5 == pytest.approx(2.05, abs=0.03)


def test_unknown_polarization_is_refused():
    with pytest.raises(ValueError, match="Expected"):
        effective_permittivity(SILICON, OXIDE, 0.22, 1.55, "TE")


def test_effective_device_replaces_what_is_denser_than_the_background():
    device = bend(polarization="Hz", core_permittivity=SILICON, cladding_permittivity=OXIDE)
    flat = effective_device(device, 0.22)
    core = effective_permittivity(SILICON, OXIDE, 0.22, 1.55, "Hz")
    assert flat.background == OXIDE
    assert flat.permittivity == pytest.approx((OXIDE, core))
    assert all(shape.permittivity == pytest.approx(core) for shape in flat.shapes)
    assert (flat.ports, flat.size_um, flat.cells_um) == (device.ports, device.size_um, device.cells_um)


def layered(cells_um=(0.08,), flat_um=(), **given):
    """A guide of titania's index in air, 0.3 um thick."""
    ports = (Port("in", "west", 0.0, 0.3), Port("out", "east", 0.0, 0.3))
    settings = {
        "core": 5.76,
        "background": 1.0,
        "permittivity": (1.0, 5.76),
        "width_um": 0.6,
        "polarization": "Hz",
        "size_um": (0.96, 1.28),
        "pixel_um": 0.08,
        "fdfd_um": (0.04,),
    }
    device = ports_device(ports, "in", **(settings | given))
    return MeepLadder(device, flat_um, slab_um=0.32, slab_cells_um=cells_um, pml_um=0.48, transits=4.0, gap_um=0.48)


def strip():
    """The density of the uninterrupted guide."""
    y = (np.arange(16) + 0.5) * 0.08 - 0.64
    inside = np.clip((0.3 - np.abs(y)) / 0.08 + 0.5, 0, 1)
    return np.tile(inside, (12, 1))


@needs_meep
@pytest.mark.slow
def test_straight_guide_in_three_dimensions():
    simulator = layered()
    assert [f.name for f in simulator.fidelities] == ["fdfd-40nm", "meep-3d-80nm"]
    flat, solid = (simulator.simulate(strip(), level) for level in (0, 1))
    assert np.allclose(solid["transmission"], 1, atol=0.03)
    assert solid["reflection"] < 0.01
    assert np.allclose(flat["transmission"], 1, atol=0.01)


@needs_meep
@pytest.mark.slow
@pytest.mark.parametrize("polarization", ["Hz", "Ez"])
def test_conformance_in_three_dimensions(polarization):
    simulator = layered(polarization=polarization)
    check_simulator(simulator, levels=[1], points=1, gradient_tolerance=0.02)


@needs_meep
@pytest.mark.slow
def test_three_dimensions_near_the_effective_index():
    simulator = layered((0.08, 0.05), (0.04,))
    phases = [np.angle(simulator.simulate(strip(), level)["s"][1, 0]) for level in (1, 2, 3)]
    limit = phases[2] + (phases[2] - phases[1]) / ((0.08 / 0.05) ** 2 - 1)
    assert abs(limit - phases[0]) < 0.6  # the effective-index method overrates the index of narrow guides


@needs_meep
def test_copies_and_changes():
    simulator = layered()
    copy = pickle.loads(pickle.dumps(simulator))  # noqa: S301
    assert copy == simulator and copy.identity == simulator.identity
    assert replace(simulator, time_limit_s=7.0).identity == simulator.identity
    others = [
        replace(simulator, transits=5.0),
        replace(simulator, gap_um=0.5),
        replace(simulator, pml_um=0.5),
        replace(simulator, slab_um=0.3),
        replace(simulator, slab_cells_um=(0.08, 0.07)),
        simulator.with_parameters(temperature_k=300.0),
        simulator.refined(),
    ]
    identities = {simulator.identity, *(other.identity for other in others)}
    assert len(identities) == 1 + len(others)


def test_refined():
    solid = layered().refined()
    assert solid.slab_cells_um == pytest.approx((0.064,))
    assert (solid.cells_um, solid.pml_um, solid.gap_um, solid.transits) == (
        (),
        pytest.approx(0.72),
        pytest.approx(0.72),
        6.0,
    )
    flat = MeepLadder(bend(), (0.05, 0.04)).refined()
    assert flat.cells_um == pytest.approx((0.02,))
    with pytest.raises(ValueError, match="Expected"):
        layered().with_parameters(width=1.0)
