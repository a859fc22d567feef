"""Gratings and meta-atoms: the contract, conservation, symmetry, convergence, gradients, the door."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import scipy.linalg
import torch

from physics.base import Differentiable, HasExamples, HasRefinement, Simulator
from physics.rcwa import Metagrating, lamellar_grating, meta_atom, metagrating, rectangular_pillar
from physics.testing import check_simulator, taylor_slope

pytest.importorskip("torcwa", reason="pip install invdesign[rcwa]")


@pytest.mark.parametrize(
    "grating",
    [
        lamellar_grating((1.0, 1.05), angle_deg=(7.0, -20.0), polarisation="Hz", harmonics=(5, 7)),
        lamellar_grating(permittivity=(1.0, 12 + 0.5j), polarisation="TE", harmonics=(5, 7)),
        replace(lamellar_grating(angle_deg=12.0, harmonics=(4, 6)), azimuth_deg=35.0),
        meta_atom(harmonics=(2, 3)),
        replace(metagrating(harmonics=((4, 1), (5, 2))), angle_deg=5.0, azimuth_deg=20.0),
    ],
    ids=["planar TM", "lossy TE", "conical", "meta-atom", "2D oblique"],
)
def test_the_contract_is_kept(grating: Metagrating) -> None:
    assert isinstance(grating, Simulator) and isinstance(grating, Differentiable)
    assert isinstance(grating, HasExamples) and isinstance(grating, HasRefinement)
    report = check_simulator(grating)
    assert min(slope for slopes in report.taylor_slopes.values() for slope in slopes) > 1.9


@pytest.mark.parametrize("side", [0.0, 0.35, 0.7])
def test_gradients_where_eigenvalues_coincide(side: float) -> None:
    atom = meta_atom(harmonics=(3,))
    design = 0.1 + 0.8 * rectangular_pillar(atom, (side, side))
    assert taylor_slope(atom, 0, design, np.random.default_rng(1)) > 1.95


@pytest.mark.parametrize("spread", [1.0, 1e-7, 0.0])
def test_root_and_propagator_with_their_derivatives(spread: float) -> None:
    from physics.rcwa.functions import RootAndPropagator

    rng = np.random.default_rng(6)
    basis = np.eye(4) + 0.3 * (rng.standard_normal((4, 4)) + 1j * rng.standard_normal((4, 4)))
    eigenvalues = np.array([1.5 + 0.4j, 1.5 + 0.4j + spread, 0.7, -2.0])
    matrix = torch.from_numpy((basis * eigenvalues) @ np.linalg.inv(basis))
    root, propagator = RootAndPropagator.apply(matrix, 0.7)
    assert np.abs((root @ root - matrix).numpy()).max() < 1e-12 and np.linalg.eigvals(root.numpy()).imag.min() > -1e-12
    assert np.abs(propagator.numpy() - scipy.linalg.expm(0.7j * root.numpy())).max() < 1e-12
    assert torch.autograd.gradcheck(lambda m: RootAndPropagator.apply(m, 0.7), matrix.requires_grad_(), eps=1e-5)


def test_gradient_near_a_coincidence() -> None:
    atom = meta_atom(harmonics=(2,))
    rng = np.random.default_rng(2)
    for distance in (1e-3, 1e-6, 1e-9, 1e-12):
        design = 0.1 + 0.8 * rectangular_pillar(atom, (0.35, 0.35)) + distance * rng.random(atom.design_shape)
        assert taylor_slope(atom, 0, design, rng) > 1.95, distance


@pytest.mark.parametrize("polarisation", ["TE", "TM"])
@pytest.mark.parametrize("incident", ["substrate", "superstrate"])
def test_power_is_conserved_without_loss_and_lost_with_it(polarisation: str, incident: str) -> None:
    rng = np.random.default_rng(3)
    lossless = replace(
        metagrating(harmonics=((4, 2),)),
        permittivity=(1.0, 3.45**2),
        polarisation=polarisation,
        incident=incident,
        angle_deg=(0.0, 17.0),
        azimuth_deg=30.0,
    )
    design = lossless.example_designs(rng, 2)[1]
    total = lossless.simulate(design, 0)["efficiency"].sum(axis=(0, 1))
    assert np.abs(total - 1).max() < 1e-11
    lossy = replace(lossless, permittivity=(1.0, (3.45 + 0.02j) ** 2))
    total = lossy.simulate(design, 0)["efficiency"].sum(axis=(0, 1))
    assert (total < 0.99).all() and (total > 0.3).all()


def test_a_lamellar_cell_is_the_two_dimensional_cell_of_the_same_lines() -> None:
    rng = np.random.default_rng(4)
    for polarisation in ("TE", "TM"):
        lines = replace(lamellar_grating(harmonics=(7,), polarisation=polarisation), permittivity=(1.0, 11.9))
        cell = replace(lines, period_um=(*lines.period_um, 0.525), harmonics=((7, 1),))
        design = rng.random(lines.design_shape)
        one = lines.simulate(design, 0)["efficiency"]
        two = cell.simulate(np.repeat(design, cell.design_shape[1], axis=1), 0)["efficiency"]
        assert np.abs(one - two).max() < 1e-12
        assert lines.orders == cell.orders


def test_mirrored_and_shifted_designs() -> None:
    grating = metagrating(harmonics=((5, 2),))
    labels = grating.fidelities[0].quantity("amplitude").coords["order"]
    design = grating.example_designs(np.random.default_rng(5), 1)[0]
    there = grating.simulate(design, 0)["amplitude"]
    mirrored = grating.simulate(design[::-1], 0)["amplitude"]
    # The origin stays at the outer corner, which the mirror puts on itself.
    assert np.abs(mirrored[:, ::-1, 1] - there[:, :, 1]).max() < 1e-10
    shifted = grating.simulate(np.roll(design, 10, axis=0), 0)["amplitude"]
    phase = np.exp(-2j * np.pi * 10 / grating.design_shape[0] * np.array([int(o.split(",")[0]) for o in labels]))
    assert np.abs(shifted - there * phase[None, :, None, None, None]).max() < 1e-10


def test_a_quarter_turn_exchanges_the_polarisations() -> None:
    along_x = meta_atom(harmonics=(3,), polarisation="TM")
    along_y = meta_atom(harmonics=(3,), polarisation="TE")
    pillar = rectangular_pillar(along_x, (0.2, 0.45))
    tm = along_x.simulate(pillar, 0)["amplitude"][0, 0, 1]
    te = along_y.simulate(pillar.T, 0)["amplitude"][0, 0, 0]
    assert np.abs(tm - te).max() < 1e-11
    assert np.abs(tm - along_x.simulate(pillar.T, 0)["amplitude"][0, 0, 1]).max() > 0.1


def test_pixels_are_exact_whatever_their_number() -> None:
    coarse = lamellar_grating(period_um=1.2, pixel_um=0.3, harmonics=(9,))
    fine = replace(coarse, pixel_um=0.01)
    design = np.array([1.0, 0.2, 0.0, 0.7])[:, None]
    difference = coarse.simulate(design, 0)["amplitude"] - fine.simulate(np.repeat(design, 30, axis=0), 0)["amplitude"]
    assert np.abs(difference).max() < 1e-11


def test_more_harmonics_converge_for_both_polarisations() -> None:
    for polarisation in ("TE", "TM"):
        grating = lamellar_grating(harmonics=(5, 10, 20, 80), polarisation=polarisation)
        design = (np.arange(118)[:, None] % 59 < 25).astype(float)
        answers = [grating.simulate(design, level)["efficiency"] for level in range(4)]
        errors = [np.abs(answer - answers[-1]).max() for answer in answers[:-1]]
        assert errors[0] > 2 * errors[1] > 4 * errors[2] and errors[2] < 3e-3


def test_orders_and_levels() -> None:
    grating = metagrating()
    assert grating.design_shape == (118, 45)
    assert [round(p, 4) for p in grating.period_um] == [1.3707, 0.525]
    assert grating.fidelities[0].quantity("efficiency").coords["order"] == ("-1,0", "0,0", "1,0")
    assert lamellar_grating(0.6).fidelities[0].quantity("efficiency").coords["order"] == tuple(range(-3, 4))
    assert meta_atom().polarisations == ("TE", "TM") and lamellar_grating().polarisations == ("TM",)
    assert meta_atom(harmonics=(4,)).harmonics == ((4, 4),)
    assert replace(grating, harmonics=(6,)).harmonics == ((6, 3),)
    assert grating.refined().harmonics == ((21, 8),)
    assert lamellar_grating(harmonics=(11,)).refined().harmonics == ((17, 0),)


def test_identity_sees_what_matters_and_nothing_else() -> None:
    base = lamellar_grating(polarisation="TM")
    assert replace(base, polarisation="Hz").identity == base.identity
    assert replace(base, superstrate=1).identity == base.identity
    assert replace(base, superstrate=1 + 0j) == base
    changes = {
        "substrate": 2.0,
        "thickness_um": 0.3,
        "angle_deg": 1.0,
        "azimuth_deg": 1.0,
        "incident": "superstrate",
        "polarisation": "TE",
        "harmonics": (10, 20),
        "permittivity": (1.0, 12.0 + 1e-9j),
    }
    assert len({replace(base, **{k: v}).identity for k, v in changes.items()} | {base.identity}) == 1 + len(changes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"period_um": (1.0, 1.0, 1.0)}, "one or two periods"),
        ({"period_um": (-1.0,)}, "period_um finite and above 0"),
        ({"pixel_um": 0.0}, "pixel_um finite and above 0"),
        ({"thickness_um": float("nan")}, "thickness_um finite"),
        ({"permittivity": (1.0,)}, "density 0 and density 1"),
        ({"permittivity": (1.0, 12 - 1j)}, "loss is positive"),
        ({"permittivity": (1.0, "12")}, "as a number"),
        ({"substrate": 0.0}, "not 0"),
        ({"substrate": 2.1 + 0.1j}, "real permittivity above 0"),
        ({"incident": "above"}, "incident among"),
        ({"angle_deg": (90.0,)}, "between -90 and 90"),
        ({"azimuth_deg": float("inf")}, "finite azimuth_deg"),
        ({"polarisation": "x"}, "polarisation among"),
        ({"polarisation": "Ez", "azimuth_deg": 10.0}, "azimuth_deg is 0"),
        ({"harmonics": (20, 10)}, "few to many"),
        ({"harmonics": ((3, 3),)}, "one for each of 1 periods"),
        ({"harmonics": (0,)}, "1 or more"),
        ({"harmonics": (2,), "wavelength_um": 0.4}, "beyond the highest propagating order"),
        ({"wavelength_um": (1.0, 1.0)}, "no repeated wavelength_um"),
        ({"period_um": 1.05}, "no order along the surface"),
    ],
)
def test_the_door(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(lamellar_grating(), **change)


def test_the_doors_of_the_library() -> None:
    with pytest.raises(ValueError, match="deflection_deg"):
        metagrating(deflection_deg=95.0)
    with pytest.raises(ValueError, match="too small for any order"):
        meta_atom(period_um=1.2)
    with pytest.raises(ValueError, match="each of 2 periods"):
        rectangular_pillar(meta_atom(), (0.2,))
    with pytest.raises(ValueError, match="from 0 to the period"):
        rectangular_pillar(meta_atom(), (0.2, 0.8))


def test_no_cotangents_no_gradient_and_threads_left_alone() -> None:
    atom = meta_atom(harmonics=(2,))
    threads = torch.get_num_threads()
    response, gradient = atom.vjp(np.full(atom.design_shape, 0.5), 0, {})
    assert set(response) == {"amplitude", "efficiency"} and not gradient.any()
    assert torch.get_num_threads() == threads


def test_torch_and_torcwa_are_loaded_when_used() -> None:
    code = (
        "import sys; from physics.rcwa import metagrating; metagrating().fidelities; "
        "assert not {'torch', 'torcwa'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_missing_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torcwa", None)
    atom = meta_atom(harmonics=(2,))
    with pytest.raises(ImportError, match=r"pip install invdesign\[rcwa\]"):
        atom.simulate(np.zeros(atom.design_shape), 0)
