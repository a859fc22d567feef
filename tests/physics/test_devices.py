"""The device as a simulator: contract, door, identity, threads, fields, refinement, failures."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from threadpoolctl import threadpool_limits

from physics.base import Differentiable, HasExamples, HasFields, HasRefinement, SimulationError, Simulator
from physics.devices import beam_splitter, quarter_ring, straight_waveguide, waveguide_bend
from physics.devices import port_device as port_device_module
from physics.fdfd import Pml, Port, blas, reduced_system, scene
from physics.fdfd.linear import Factor
from physics.testing import check_simulator


def small(**changes):
    options = {"design_um": 1.2, "pixel_um": 0.04, "cells_um": (0.04,)} | changes
    return waveguide_bend(options.pop("wavelength_um", (1.53, 1.57)), **options)


@pytest.mark.parametrize(
    "device",
    [
        waveguide_bend((1.55,)),
        straight_waveguide((1.53, 1.57), cells_um=(0.04, 0.03)),
        beam_splitter((1.55,), cells_um=(0.04,)),
    ],
    ids=lambda device: device.name,
)
def test_devices_pass_the_conformance_kit(device):
    for protocol in (Simulator, Differentiable, HasFields, HasExamples, HasRefinement):
        assert isinstance(device, protocol)
    report = check_simulator(device, agreement={"transmission": 0.15} if len(device.fidelities) > 1 else None)
    assert all(slope > 1.8 for slopes in report.taylor_slopes.values() for slope in slopes)


def test_quantities_name_ports_and_wavelengths():
    device = waveguide_bend()
    assert [f.name for f in device.fidelities] == ["fdfd-40nm", "fdfd-20nm"]
    fidelity = device.fidelities[0]
    assert fidelity.quantity("s").coords == {"port": ("in", "out"), "wavelength_um": (1.53, 1.55, 1.57)}
    assert fidelity.quantity("transmission").coords["port"] == ("out",)
    assert list(fidelity.quantity("reflection").coords) == ["wavelength_um"]
    assert device.design_shape == (100, 100)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"wavelength_um": ()}, "wavelength_um finite"),
        ({"wavelength_um": (float("inf"),)}, "wavelength_um finite"),
        ({"wavelength_um": (float("nan"),)}, "wavelength_um finite"),
        ({"wavelength_um": (-1.55,)}, "wavelength_um finite"),
        ({"wavelength_um": (1.55, 1.55)}, "repeated wavelength_um"),
        ({"cells_um": (0.02, 0.04)}, "coarse to fine"),
        ({"cells_um": ()}, "cells_um"),
        ({"cells_um": (0.08,)}, "cells per wavelength"),
        ({"pixel_um": 0.07}, "whole number of pixels"),
        ({"core_permittivity": -12.0}, "core_permittivity above"),
        ({"core_permittivity": float("nan")}, "core_permittivity above"),
        ({"cladding_permittivity": -1.0}, "permittivity above 0"),
        ({"width_um": 1.3}, "fits the design region"),
        ({"width_um": 0.0}, "fits the design region"),
        ({"width_um": 0.02}, "decayed"),
        ({"margin_um": 0.0}, "outside the design region"),
        ({"pml_um": -1.0}, "PML thickness"),
        ({"threads": 0}, "threads"),
        ({"design_um": 0.12, "width_um": 0.1}, "4 or more cells"),
    ],
)
def test_construction_is_checked(changes, message):
    with pytest.raises(ValueError, match=message):
        small(**changes)


def test_ports_are_checked():
    device = small()
    with pytest.raises(ValueError, match="among the ports in, out"):
        replace(device, source="elsewhere")
    with pytest.raises(ValueError, match="distinct names"):
        replace(device, ports=(device.ports[0], replace(device.ports[1], name="in")))
    with pytest.raises(ValueError, match="distinct places"):
        replace(device, ports=(device.ports[0], replace(device.ports[0], name="out")))
    with pytest.raises(ValueError, match="side among"):
        Port("in", "left")
    with pytest.raises(ValueError, match="mode 0, 1"):
        Port("in", "west", mode=-1)
    with pytest.raises(ValueError, match="finite position"):
        Port("in", "west", distance_um=-0.1)


def test_identity_changes_with_the_physics_alone():
    device = small()
    assert small().identity == device.identity == pickle.loads(pickle.dumps(device)).identity  # noqa: S301  our own bytes
    assert replace(device, threads=1).identity == device.identity
    assert small(design_um=2).identity == small(design_um=2.0).identity
    others = [
        small(wavelength_um=(1.53,)),
        small(core_permittivity=12.2),
        small(cladding_permittivity=2.2),
        small(cells_um=(0.03,)),
        small(pixel_um=0.02),
        small(width_um=0.48),
        small(margin_um=0.9),
        small(pml_um=0.7),
        replace(device, source="out"),
        replace(device, ports=(device.ports[0], replace(device.ports[1], mode=1))),
        replace(device, pml=Pml(0.6, log_reflection=-20.0)),
    ]
    assert len({device.identity, *(other.identity for other in others)}) == len(others) + 1


def test_identity_changes_with_the_solver(monkeypatch):
    before = small().identity
    monkeypatch.setattr(port_device_module, "SOLVER_VERSION", "another")
    assert small().identity != before


def test_answers_do_not_depend_on_threads():
    design = small().example_designs(np.random.default_rng(0), 1)[0]
    cotangents = {"transmission": np.ones((1, 3))}
    answers = []
    for threads, blas_threads in ((1, 1), (2, 1), (4, 2)):
        scene._systems.clear()
        with threadpool_limits(blas_threads):
            device = small(wavelength_um=(1.53, 1.55, 1.57), threads=threads)
            answers.append(device.vjp(design, 0, cotangents))
    for response, gradient in answers[1:]:
        assert np.array_equal(response["s"], answers[0][0]["s"])
        assert np.array_equal(gradient, answers[0][1])


def test_blas_threads_are_restored_after_overlapping_uses():
    before = [library.get_num_threads() for library in blas._libraries()]
    with blas.one_blas_thread(), blas.one_blas_thread():
        assert all(library.get_num_threads() == 1 for library in blas._libraries())
    assert [library.get_num_threads() for library in blas._libraries()] == before


def test_fields_agree_with_the_response():
    device = small()
    design = device.example_designs(np.random.default_rng(1), 1)[0]
    fields, s = device.fields(design, 0), device.simulate(design, 0)["s"]
    level = device.scene(0)
    assert fields.values["Ez"].shape == (2, *level.grid.shape)
    assert fields.permittivity.shape == (len(fields.x_um), len(fields.y_um)) == level.grid.shape
    for field, wavelength, column in zip(fields.values["Ez"], device.wavelength_um, s.T, strict=True):
        out = level.port_vectors(wavelength)[1]
        amplitude = (out.w * field).sum() / (2 * np.sqrt(2j * np.pi / wavelength))
        assert_allclose(amplitude, column[1], rtol=1e-9)


def test_refined_is_stricter_and_agrees():
    device = small()
    refined = device.refined()
    assert refined.design_shape == device.design_shape
    assert refined.cells_um == (0.02,) and refined.margin_um > device.margin_um
    assert refined.pml.thickness_um > device.pml.thickness_um and refined.identity != device.identity
    ring = quarter_ring(device)
    assert_allclose(refined.simulate(ring, 0)["transmission"], device.simulate(ring, 0)["transmission"], atol=0.02)


def test_meshes_that_do_not_divide_the_region_converge_alike():
    ring = quarter_ring(small())
    power = [small(cells_um=(cell,)).simulate(ring, 0)["transmission"] for cell in (0.037, 0.023, 0.02)]
    assert_allclose(power[0], power[2], atol=0.02)
    assert_allclose(power[1], power[2], atol=0.01)


def test_the_cache_is_bounded_and_reused(monkeypatch):
    scene._systems.clear()
    monkeypatch.setattr(scene, "CACHED_SYSTEMS", 2)
    level = small().scene(0)
    first = reduced_system(level, 1.50)
    assert reduced_system(small().scene(0), 1.50) is first
    for wavelength in (1.52, 1.54):
        reduced_system(level, wavelength)
    assert len(scene._systems) == 2
    assert reduced_system(level, 1.50) is not first


def test_examples_are_valid_and_seeded():
    device = small()
    one, other = (device.example_designs(np.random.default_rng(5), 3) for _ in range(2))
    assert np.array_equal(one, other)
    assert one.shape == (3, *device.design_shape) and one.min() >= 0 and one.max() <= 1


def test_a_failed_solve_is_an_error(monkeypatch):
    device, design = small(), np.full((30, 30), 0.5)
    device.simulate(design, 0)
    with monkeypatch.context() as patch:
        patch.setattr(Factor, "solve", lambda self, rhs: np.full_like(rhs, np.nan))
        with pytest.raises(SimulationError, match="finite scattering"):
            device.simulate(design, 0)
    with pytest.raises(SimulationError):
        device.vjp(design, 0, {"reflection": np.array([np.nan, 1.0])})
