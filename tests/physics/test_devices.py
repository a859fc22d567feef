"""The device as a simulator: contract, door, identity, threads, fields, refinement, failures."""

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
    HasParameters,
    HasRefinement,
    HasSetup,
    SimulationError,
    Simulator,
    check_design,
)
from physics.devices import beam_splitter, quarter_ring, straight_guide, straight_waveguide, waveguide_bend
from physics.fdfd import (
    Circle,
    Constant,
    Port,
    Rectangle,
    RegionFactor,
    Sellmeier,
    Table,
    blas,
    linear,
    reduced_system,
    region,
    scene,
)
from physics.fdfd.dispersion import number
from physics.testing import check_simulator


def small(**changes):
    options = {"design_um": 1.2, "pixel_um": 0.04, "cells_um": (0.04,)} | changes
    return waveguide_bend(options.pop("wavelength_um", (1.53, 1.57)), **options)


SILICON = Constant(3.478, dn_dt=1.8e-4)
GLASS = Sellmeier((0.6961663, 0.4079426, 0.8974794), (0.0684043, 0.1162414, 9.896161), (0.21, 3.71))  # fused silica


@pytest.mark.parametrize(
    "device",
    [
        waveguide_bend((1.55,)),
        straight_waveguide((1.53, 1.57), pixel_um=0.04, cells_um=(0.04, 0.03)),
        beam_splitter((1.55,), cells_um=(0.04,)),
        replace(small(wavelength_um=1.55), polarization="Hz", name="hz"),
        replace(
            small(wavelength_um=1.55), source=("in", "out"), permittivity=(2.1, 12.1 + 0.3j), name="lossy, two sources"
        ),
        replace(
            small(wavelength_um=1.55),
            permittivity=(GLASS, SILICON),
            polarization="Hz",
            source=("out",),
            name="dispersive",
        ),
    ],
    ids=lambda device: device.name,
)
def test_devices_pass_the_conformance_kit(device):
    for protocol in (Simulator, Differentiable, HasFields, HasExamples, HasRefinement, HasParameters, HasSetup):
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
        ({"core_permittivity": -12.0}, "permittivity above 0"),
        ({"core_permittivity": float("nan")}, "finite permittivity"),
        ({"cladding_permittivity": -1.0}, "permittivity above 0"),
        ({"width_um": 1.3}, "fits the design region"),
        ({"width_um": 0.0}, "width_um finite and above 0"),
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
    for i, wavelength in enumerate(device.wavelength_um):
        field, column, out = fields.values["Ez"][i], s[:, i], device.scene(0, i).port_vectors()[1]
        amplitude = (out.w * field).sum() / (2 * np.sqrt(2j * np.pi / wavelength))
        assert_allclose(amplitude, column[1], rtol=1e-9)


def test_surroundings_need_two_media():
    with pytest.raises(ValueError, match="two different permittivities"):
        replace(small(), permittivity=(2.1, 2.1)).surroundings()


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
    monkeypatch.setattr(scene, "_build", lambda level: wavelengths.append(level.wavelength_um) or build(level))
    return wavelengths


def test_the_cache_is_bounded_and_reused(monkeypatch, built):
    def at(wavelength_um):
        return reduced_system(small(wavelength_um=wavelength_um).scene(0))

    first = at(1.50)
    assert at(1.50) is first
    monkeypatch.setenv(scene.CACHE_VARIABLE, str(2.5 * first.region.nbytes / 1e6))
    for wavelength in (1.52, 1.54):
        at(wavelength)
    assert [level.wavelength_um for level in scene._systems] == [1.52, 1.54]
    assert at(1.50) is not first
    assert built == [1.50, 1.52, 1.54, 1.50]
    monkeypatch.setenv(scene.CACHE_VARIABLE, "plenty")
    with pytest.raises(ValueError, match="number of megabytes"):
        at(1.60)


@pytest.mark.parametrize("limit_mb", [1000, 0])
def test_many_wavelengths_do_not_displace_each_other(monkeypatch, built, limit_mb):
    monkeypatch.setenv(scene.CACHE_VARIABLE, str(limit_mb))
    device = small(wavelength_um=np.linspace(1.5, 1.6, 34), design_um=0.6, margin_um=0.4, pml_um=0.3)
    design = np.full(device.design_shape, 0.5)
    for _ in range(2):
        device.vjp(design, 0, {"transmission": np.ones((1, 34))})
    assert sorted(built) == list(device.wavelength_um)
    other = small(design_um=0.64, width_um=0.48)  # with no room for both, the one not in use goes
    other.simulate(np.full(other.design_shape, 0.5), 0)
    assert len(scene._systems) == (2 if limit_mb == 0 else 36)


def test_examples_are_valid_and_seeded():
    device = small()
    one, other = (device.example_designs(np.random.default_rng(5), 3) for _ in range(2))
    assert np.array_equal(one, other)
    assert one.shape == (3, *device.design_shape) and one.min() >= 0 and one.max() <= 1


def test_a_failed_solve_is_an_error(monkeypatch):
    device, design = small(), np.full((30, 30), 0.5)
    device.simulate(design, 0)
    with monkeypatch.context() as patch:
        patch.setattr(RegionFactor, "solve", lambda self, loads: np.full_like(loads, np.nan))
        with pytest.raises(SimulationError, match="finite scattering"):
            device.simulate(design, 0)
    solve, calls = RegionFactor.solve, []
    monkeypatch.setattr(RegionFactor, "solve", lambda self, loads: calls.append(1) or solve(self, loads))
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match="finite cotangent of 'reflection'"):
            device.vjp(design, 0, {"reflection": np.array([bad, 1.0])})
    assert len(calls) == 4  # forward alone, at two wavelengths


def test_no_answer_comes_without_a_small_residual(monkeypatch):
    device, design = small(), np.full((30, 30), 0.5)
    expected = device.simulate(design, 0)["s"]
    with monkeypatch.context() as patch:  # the fronts useless: the window is pivoted, the answer the same
        patch.setattr(RegionFactor, "_once", lambda self, loads, transposed: np.zeros_like(loads))
        assert_allclose(device.simulate(design, 0)["s"], expected, rtol=1e-9)
    monkeypatch.setattr(region, "ACCEPTED", 1e-30)
    monkeypatch.setattr(linear, "ACCEPTED", 1e-30)
    with pytest.raises(SimulationError, match="backward error"):
        device.simulate(design, 0)


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


def full_s(device, design):
    """The S-matrix over all ports, ports x ports x wavelengths."""
    return replace(device, source=tuple(port.name for port in device.ports)).simulate(design, 0)["s"]


@pytest.mark.parametrize("polarization", ["Ez", "Hz"])
@pytest.mark.parametrize("core", [12.1, 12.1 + 1.0j])
def test_reciprocity_and_power(polarization, core):
    splitter = beam_splitter((1.53, 1.57), cells_um=0.04, pixel_um=0.04)
    device = replace(splitter, polarization=polarization, permittivity=(2.1, core))
    for design in device.example_designs(np.random.default_rng(2), 2):
        s = full_s(device, design)
        assert_allclose(s, s.transpose(1, 0, 2), atol=1e-12)
        for matrix in np.moveaxis(s, -1, 0):  # no combination of inputs gains power
            assert np.linalg.norm(matrix, 2) < 1 + 1e-4


def test_a_straight_guide_is_unitary_in_all_its_modes():
    """Three modes of a wide guide, four ports of which are excited one by one: nothing is lost, nothing converted."""
    guide = straight_waveguide(1.55, length_um=0.8, breadth_um=1.6, width_um=0.8, pixel_um=0.04, cells_um=0.02)
    names = [(port, mode) for mode in range(2) for port in guide.ports]
    ports = tuple(replace(port, name=f"{port.name}{mode}", mode=mode) for port, mode in names)
    for polarization in ("Ez", "Hz"):
        device = replace(guide, ports=ports, source=ports[0].name, polarization=polarization)
        (matrix,) = np.moveaxis(full_s(device, straight_guide(device)), -1, 0)
        assert_allclose(np.abs(matrix), np.eye(4)[[1, 0, 3, 2]], atol=2e-3)
        assert_allclose(matrix.conj().T @ matrix, np.eye(4), atol=2e-3)


def test_absorption_takes_power_by_its_own_rate():
    """A straight guide all of one absorbing medium: S21 falls by exp(-Im beta L), beta the guide's."""
    length = 1.6
    guide = straight_waveguide(1.55, length_um=length, breadth_um=1.2, pixel_um=0.04, cells_um=0.02)
    design, loss = straight_guide(guide), 1e-3
    lossless, lossy = (
        replace(guide, permittivity=(2.1, 12.1 + extinction)).simulate(design, 0)["s"][1, 0]
        for extinction in (0.0, 1j * loss)
    )
    # First order: d(beta) = (omega^2 / 2 beta) d(eps) times the share of |E|^2 in the core.
    ports = guide.scene(0).port_vectors()
    k, share = 2 * np.pi / 1.55, 0.0
    profile = np.abs(ports[0].mode.profile) ** 2
    centre = (len(profile) - 1) / 2
    inside = np.clip(0.25 / 0.02 + 0.5 - np.abs(np.arange(len(profile)) - centre), 0, 1)
    share = (profile * inside).sum() / profile.sum()
    beta = ports[0].mode.phase.real / 0.02
    assert_allclose(np.abs(lossy / lossless), np.exp(-(k**2) / (2 * beta) * loss * share * length), rtol=2e-4)


@pytest.mark.parametrize("polarization", ["Ez", "Hz"])
def test_dispersive_media_are_taken_at_each_wavelength(polarization):
    wavelengths = (1.45, 1.55, 1.65)
    table = Table((1.4, 1.5, 1.7), (3.40, 3.50, 3.45), (0.0, 0.01, 0.02))
    bend = small(wavelength_um=wavelengths)

    def of(core, glass, wavelength_um):
        shapes = tuple(replace(shape, permittivity=core) for shape in bend.shapes)
        return replace(
            bend, permittivity=(glass, core), background=glass, wavelength_um=wavelength_um, shapes=shapes,
            polarization=polarization,
        )  # fmt: skip

    guides = tuple(replace(shape, permittivity=SILICON) for shape in bend.shapes)
    device = replace(of(SILICON, GLASS, wavelengths), permittivity=(GLASS, table), shapes=guides)
    design = device.example_designs(np.random.default_rng(0), 1)[0]
    cotangents = {"transmission": np.ones((1, 3)), "s": np.full((2, 3), 1 - 2j)}
    response, gradient = device.vjp(design, 0, cotangents)
    total = np.zeros(device.design_shape)
    for i, wavelength in enumerate(wavelengths):
        core, glass = number(SILICON, wavelength), number(GLASS, wavelength)
        fixed = replace(of(core, glass, wavelength), permittivity=(glass, number(table, wavelength)))
        alone, part = fixed.vjp(design, 0, {name: c[..., i : i + 1] for name, c in cotangents.items()})
        assert_allclose(response["s"][:, i : i + 1], alone["s"], rtol=1e-10)
        total += part
    assert_allclose(gradient, total, atol=1e-10 * np.abs(total).max())


def test_temperature_and_wavelength_shift_are_parameters():
    bend = small(wavelength_um=1.55)
    shapes = tuple(replace(shape, permittivity=SILICON) for shape in bend.shapes)
    device = replace(bend, permittivity=(2.1, SILICON), shapes=shapes)
    design = quarter_ring(device)
    assert set(device.parameters) == {"temperature_k", "wavelength_shift_um"}
    warm = device.with_parameters(temperature_k=350.0)
    hot_silicon = (3.478 + 1.8e-4 * (350 - 293.15)) ** 2
    fixed = replace(
        bend, permittivity=(2.1, hot_silicon), shapes=tuple(replace(s, permittivity=hot_silicon) for s in shapes)
    )
    assert_allclose(warm.simulate(design, 0)["s"], fixed.simulate(design, 0)["s"], rtol=1e-10)
    shifted = device.with_parameters(wavelength_shift_um=0.02)
    assert shifted.fidelities[0].quantity("s").coords["wavelength_um"] == (1.55,)
    elsewhere = replace(device, wavelength_um=(1.55 + 0.02,))
    assert np.array_equal(shifted.simulate(design, 0)["s"], elsewhere.simulate(design, 0)["s"])
    assert len({sim.identity for sim in (device, warm, shifted, elsewhere)}) == 4
    assert warm.with_parameters(temperature_k=device.temperature_k) == device
    assert device.with_parameters() == device


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"humidity": 0.5}, "among temperature_k, wavelength_shift_um"),
        ({"temperature_k": 10.0}, r"temperature_k in \[200.0, 500.0\]"),
        ({"temperature_k": float("nan")}, "temperature_k in"),
        ({"temperature_k": "300"}, "temperature_k as a real number"),
        ({"wavelength_shift_um": -0.2}, "wavelength_shift_um in"),
    ],
)
def test_parameters_are_checked(values, message):
    with pytest.raises(ValueError, match=message):
        small().with_parameters(**values)


def test_a_shift_beyond_a_materials_data_is_refused():
    narrow = Table((1.5, 1.6), (3.4, 3.5), (0.0, 0.0))
    device = replace(small(), permittivity=(2.1, narrow))
    with pytest.raises(ValueError, match="within the material's data"):
        device.with_parameters(wavelength_shift_um=0.05)


@pytest.mark.parametrize("source", [None, 3, (), ("in", 3), [["in"]], "elsewhere", ("in", "elsewhere"), ("in", "in")])
def test_sources_are_checked(source):
    with pytest.raises(ValueError, match=r"Expected (a )?source"):
        replace(small(), source=source)


def test_several_sources_answer_as_each_alone():
    splitter = beam_splitter((1.53, 1.57), cells_um=0.04, pixel_um=0.04)
    design = splitter.example_designs(np.random.default_rng(0), 1)[0]
    both = replace(splitter, source=("lower", "in"))
    quantity = both.fidelities[0].quantity("power")
    assert quantity.coords == {
        "port": ("in", "upper", "lower"),
        "source": ("lower", "in"),
        "wavelength_um": (1.53, 1.57),
    }
    response = both.simulate(design, 0)
    for k, name in enumerate(both.source):
        alone = replace(splitter, source=name).simulate(design, 0)
        assert_allclose(response["s"][:, k], alone["s"], rtol=1e-12)
        own = [port.name for port in splitter.ports].index(name)
        assert_allclose(response["power"][own, k], alone["reflection"], rtol=1e-12)
        assert_allclose(np.delete(response["power"][:, k], own, axis=0), alone["transmission"], rtol=1e-12)
    fields = both.fields(design, 0)
    assert list(fields.values) == ["Ez, lower", "Ez, in"]
    assert_allclose(fields.values["Ez, in"], splitter.fields(design, 0).values["Ez"], rtol=1e-9, atol=1e-12)
    assert not np.allclose(fields.values["Ez, in"], fields.values["Ez, lower"])


def test_prepare_makes_later_solves_find_all_set_up(built):
    device = small(design_um=0.6, margin_um=0.4, pml_um=0.3)
    device.prepare(0)
    assert sorted(built) == [1.53, 1.57]
    device.prepare(0)
    device.simulate(np.full(device.design_shape, 0.5), 0)
    assert sorted(built) == [1.53, 1.57]
    with pytest.raises(ValueError, match="level"):
        device.prepare(1)


@pytest.mark.parametrize(("cell_um", "polarization"), [(0.04, "Hz"), (0.037, "Ez"), (0.037, "Hz")])
def test_a_port_in_cells_that_the_design_changes_is_refused(cell_um, polarization):
    """A guide as wide as the region, empty pixels of its own permittivity: nothing but the design is in the way."""
    guide = straight_waveguide(1.55, length_um=1.2, breadth_um=1.2, width_um=1.2, pixel_um=0.04, cells_um=cell_um)
    near = tuple(replace(port, distance_um=0.01) for port in guide.ports)
    with pytest.raises(ValueError, match="clear of all cells"):
        replace(guide, permittivity=(12.1, 2.1), polarization=polarization, ports=near)


def test_a_static_circle_is_a_shape_like_others():
    device = small()
    post = Circle((0.0, 0.8), 0.1, 12.1)
    with_post = replace(device, shapes=(*device.shapes, post))
    design = quarter_ring(device)
    assert with_post.identity != device.identity
    assert not np.allclose(with_post.simulate(design, 0)["s"], device.simulate(design, 0)["s"], atol=1e-6)
