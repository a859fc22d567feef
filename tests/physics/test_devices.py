"""The device as a simulator: contract, door, identity, threads, fields, refinement, failures."""

import pickle
from collections import OrderedDict
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from threadpoolctl import threadpool_limits

from physics.base import (
    Differentiable,
    HasExamples,
    HasFields,
    HasRefinement,
    SimulationError,
    Simulator,
    check_design,
)
from physics.devices import beam_splitter, quarter_ring, straight_guide, straight_waveguide, waveguide_bend
from physics.devices import port_device as port_device_module
from physics.fdfd import Pml, Port, Rectangle, blas, reduced_system, scene
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


def test_refined_keeps_shapes_that_reach_the_boundary_and_hides_what_lay_outside():
    device = straight_waveguide((1.55,), length_um=1.2, breadth_um=1.2, pixel_um=0.04, cells_um=(0.04,))
    end = 0.6 + device.margin_um + device.pml.thickness_um
    ends = (Rectangle((-end, 0), (-0.25, 0.25), 12.1), Rectangle((0, end + 0.1), (-0.25, 0.25), 12.1))
    outside = Rectangle((-1, 1), (end, end + 1), 12.1)
    refined = replace(device, shapes=(*ends, outside)).refined()
    assert refined.shapes == device.refined().shapes == device.shapes
    assert [port.distance_um for port in refined.ports] == [1.5 * port.distance_um for port in device.ports]
    assert abs(refined.simulate(straight_guide(device), 0)["transmission"].item() - 1) < 1e-4


@pytest.fixture
def built(monkeypatch):
    """Wavelengths of the systems built, with an empty cache."""
    wavelengths, build = [], scene._build
    monkeypatch.setattr(scene, "_systems", OrderedDict())
    monkeypatch.setattr(scene, "_build", lambda level, w: wavelengths.append(w) or build(level, w))
    return wavelengths


def test_the_cache_is_bounded_and_reused(monkeypatch, built):
    level = small().scene(0)
    first = reduced_system(level, 1.50)
    assert reduced_system(small().scene(0), 1.50) is first
    monkeypatch.setenv(scene.CACHE_VARIABLE, str(2.5 * first.condensed.nbytes / 1e6))
    for wavelength in (1.52, 1.54):
        reduced_system(level, wavelength)
    assert [wavelength for _, wavelength in scene._systems] == [1.52, 1.54]
    assert reduced_system(level, 1.50) is not first
    monkeypatch.setenv(scene.CACHE_VARIABLE, "plenty")
    with pytest.raises(ValueError, match="number of megabytes"):
        reduced_system(level, 1.60)


@pytest.mark.parametrize("limit_mb", [1000, 0])
def test_many_wavelengths_do_not_displace_each_other(monkeypatch, built, limit_mb):
    monkeypatch.setenv(scene.CACHE_VARIABLE, str(limit_mb))
    device = small(wavelength_um=np.linspace(1.5, 1.6, 66), design_um=0.6, margin_um=0.4, pml_um=0.3)
    design = np.full(device.design_shape, 0.5)
    for _ in range(2):
        device.vjp(design, 0, {"transmission": np.ones((1, 66))})
    assert sorted(built) == list(device.wavelength_um)
    other = small(design_um=0.64, width_um=0.48)  # with no room for both, the one not in use goes
    other.simulate(np.full(other.design_shape, 0.5), 0)
    assert len(scene._systems) == (2 if limit_mb == 0 else 68)


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
    solve, calls = Factor.solve, []
    monkeypatch.setattr(Factor, "solve", lambda self, rhs: calls.append(1) or solve(self, rhs))
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match="finite cotangent of 'reflection'"):
            device.vjp(design, 0, {"reflection": np.array([bad, 1.0])})
    assert len(calls) == 4  # forward alone, at two wavelengths


def test_sequences_of_any_kind_and_single_numbers_give_the_same_device():
    splitter = beam_splitter((1.55,), cells_um=(0.04,))
    for alike in (
        beam_splitter(1.55, design_um=[2.4, 2.4], cells_um=0.04, threads=np.int64(4)),
        beam_splitter(np.array([1.55]), design_um=np.array([2.4, 2.4]), cells_um=[np.float64(0.04)]),
        replace(splitter, shapes=list(splitter.shapes), ports=list(splitter.ports), size_um=[2.4, 2.4]),
    ):
        assert alike == splitter and hash(alike) == hash(splitter) and alike.identity == splitter.identity
    lists = [Rectangle(list(s.x_um), list(s.y_um), s.permittivity) for s in splitter.shapes]
    assert hash(replace(splitter, shapes=lists)) == hash(splitter)
    ports = tuple(replace(port, centre_um=port.centre_um or -0.0) for port in splitter.ports)
    assert replace(splitter, ports=ports).identity == splitter.identity


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"wavelength_um": "15"}, "wavelength_um as real numbers"),
        ({"wavelength_um": ["1.55"]}, "wavelength_um as real numbers"),
        ({"wavelength_um": 1.55 + 0j}, "wavelength_um as real numbers"),
        ({"cells_um": "4"}, "cells_um as real numbers"),
        ({"design_um": "2"}, "design_um as a real number"),
        ({"design_um": (1.2, 1.2)}, "design_um as a real number"),
        ({"width_um": None}, "width_um as a real number"),
        ({"margin_um": [[0.8]]}, "margin_um as a real number"),
        ({"pml_um": "1"}, "thickness_um as a real number"),
        ({"threads": 1.5}, "threads as a whole number"),
        ({"threads": True}, "threads as a real number"),
    ],
)
def test_what_is_not_a_number_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        small(**changes)


def test_splitters_and_ports_refuse_what_is_not_a_number():
    for changes in ({"design_um": 2.4}, {"design_um": "24"}, {"separation_um": "1"}):
        with pytest.raises(ValueError, match="real number"):
            beam_splitter((1.55,), **changes)
    with pytest.raises(ValueError, match="whole number"):
        Port("in", "west", mode=0.5)
    with pytest.raises(ValueError, match="2 real numbers"):
        Rectangle((0.0, 1.0, 2.0), (0.0, 1.0), 2.0)


def test_complex_and_textual_designs_are_refused():
    device = small()
    for bad in (np.full(device.design_shape, 0.5 + 0.5j), np.full(device.design_shape, "0.5")):
        with pytest.raises(ValueError, match="real numbers"):
            device.simulate(bad, 0)


def test_designs_may_exceed_one_by_their_own_rounding():
    exact = check_design(np.ones((2, 2)), (2, 2))
    above = np.nextafter(np.float32(1), np.float32(2))
    assert np.array_equal(check_design(np.full((2, 2), above, dtype=np.float32), (2, 2)), exact)
    with pytest.raises(ValueError, match=r"to 1\.00000011"):
        check_design(np.full((2, 2), float(above)), (2, 2))
