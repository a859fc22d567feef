"""Layers of a layout as densities, and devices with their ports."""

from __future__ import annotations

from types import SimpleNamespace

import gdstk
import numpy as np
import pytest

from invdesign import Adjoint, Budget, DensitySpace, Problem, Target, run
from invdesign.export import write_gds
from invdesign.gds import density_from_gds, write_device_gds
from physics.base import Array
from physics.devices import beam_splitter, waveguide_bend
from tests.invdesign.toy import Toy

RANDOM = (np.random.default_rng(3).random((40, 30)) > 0.4).astype(float)
RINGS = (np.sin(np.hypot(*np.meshgrid(np.arange(26) - 12.5, np.arange(34) - 16.5)) / 1.5) > 0).astype(float)


def layout(path, polygons, unit=1e-6, precision=1e-9, layer=1):
    library = gdstk.Library("L", unit=unit, precision=precision)
    cell = library.new_cell("TOP")
    for polygon in polygons:
        polygon.layer = layer
        cell.add(polygon)
    library.write_gds(str(path))
    return path


def places(cell):
    return {label.text: tuple(np.round(label.origin, 9)) for label in cell.labels}


@pytest.mark.parametrize("density", [RANDOM, RINGS, np.eye(6), np.ones((4, 7))], ids=["random", "rings", "eye", "full"])
@pytest.mark.parametrize(("pixel_um", "origin_um"), [(0.02, (0.0, 0.0)), (1 / 30, (-0.4, 1.7)), (0.0125, None)])
def test_round_trip_is_identical(density: Array, pixel_um, origin_um, tmp_path) -> None:
    start = tuple(-pixel_um * n / 2 for n in density.shape) if origin_um is None else origin_um
    path = write_gds(density, tmp_path / "a.gds", pixel_um=pixel_um, origin_um=start)
    assert np.array_equal(density_from_gds(path, density.shape, pixel_um, origin_um=origin_um), density)


def test_fractions_are_exact(tmp_path) -> None:
    """A disc against a count of 64 x 64 points a pixel, and its area against the polygon's."""
    disc = gdstk.ellipse((0.013, -0.02), 0.31, tolerance=1e-6)
    path = layout(tmp_path / "a.gds", [disc], precision=1e-12)
    ours = density_from_gds(path, (40, 36), 0.02)
    assert ours.sum() * 0.02**2 == pytest.approx(disc.area(), rel=1e-6)
    points = [(np.arange(n * 64) + 0.5) / 64 * 0.02 - n * 0.01 for n in (40, 36)]
    inside = np.hypot(points[0][:, None] - 0.013, points[1] + 0.02) < 0.31
    np.testing.assert_allclose(ours, inside.reshape(40, 64, 36, 64).mean(axis=(1, 3)), atol=2e-3)


def test_overlaps_count_once(tmp_path) -> None:
    first, second = gdstk.rectangle((0, 0), (0.11, 0.5)), gdstk.rectangle((0.05, 0.0), (0.31, 0.5))
    ours = density_from_gds(layout(tmp_path / "a.gds", [first, second]), (5, 5), 0.1, origin_um=(0.0, 0.0))
    np.testing.assert_allclose(ours, np.outer([1, 1, 1, 0.1, 0], np.ones(5)), atol=2e-4)


def test_references_units_and_clipping(tmp_path) -> None:
    library = gdstk.Library("L", unit=1e-9, precision=1e-9)
    tooth = library.new_cell("TOOTH").add(gdstk.rectangle((0, 0), (50, 400), layer=2, datatype=5))
    library.new_cell("TOP").add(gdstk.Reference(tooth, (-200, -200), columns=4, rows=1, spacing=(100, 0)))
    library.write_gds(str(tmp_path / "a.gds"))
    wanted = np.outer(np.tile([1, 0], 4), np.ones(8))
    ours = density_from_gds(tmp_path / "a.gds", (8, 8), 0.05, layer=2, datatype=5)
    np.testing.assert_allclose(ours, wanted, atol=1e-9)
    cut = density_from_gds(tmp_path / "a.gds", (4, 4), 0.05, layer=2, datatype=5, outside="clip")
    np.testing.assert_allclose(cut, wanted[2:6, 2:6], atol=1e-9)


def test_errors(tmp_path) -> None:
    path = write_gds(RANDOM, tmp_path / "a.gds", pixel_um=0.02, origin_um=(-0.4, -0.3))
    with pytest.raises(FileNotFoundError, match="There is none"):
        density_from_gds(tmp_path / "absent.gds", (4, 4), 0.1)
    with pytest.raises(ValueError, match=r"layer 7/0\. .* has 1/0"):
        density_from_gds(path, (40, 30), 0.02, layer=7)
    with pytest.raises(ValueError, match=r"within a region of 0.4 x 0.3 um .*outside='clip'"):
        density_from_gds(path, (20, 15), 0.02)
    with pytest.raises(ValueError, match="another unit"):
        density_from_gds(layout(tmp_path / "b.gds", [gdstk.rectangle((0, 0), (2, 2))], unit=1e-9), (40, 30), 0.02)
    metres = layout(tmp_path / "c.gds", [gdstk.rectangle((0, 0), (2, 2))], unit=1e-3, precision=1e-9)
    with pytest.raises(ValueError, match="the file's unit is right"):
        density_from_gds(metres, (100, 100), 0.02)
    (tmp_path / "d.gds").write_text("not a layout")
    with pytest.raises(ValueError, match="Expected a GDSII file"):
        density_from_gds(tmp_path / "d.gds", (4, 4), 0.1)
    for arguments in ({"pixel_um": 0.0}, {"outside": "wrap"}, {"layer": -1}, {"layer": (1, 0)}):
        with pytest.raises(ValueError, match="Expected"):
            density_from_gds(path, **({"shape": (40, 30), "pixel_um": 0.02} | arguments))


@pytest.mark.filterwarnings("error")
def test_ports_are_marked_where_the_guides_are(tmp_path) -> None:
    device = beam_splitter(1.55, cells_um=0.04)
    density = np.zeros(device.design_shape)
    density[:, 40:80] = 1
    path = write_device_gds(density, device, tmp_path / "a.gds")
    (cell,) = gdstk.read_gds(str(path)).top_level()
    assert places(cell) == {"in": (-1.2, 0.0), "upper": (1.2, 0.7), "lower": (1.2, -0.7)}
    boxes = [p.bounding_box() for p in cell.polygons if (p.layer, p.datatype) == (1, 10)]
    wanted = [((-1.21, -0.25), (-1.2, 0.25)), ((1.2, 0.45), (1.21, 0.95)), ((1.2, -0.95), (1.21, -0.45))]
    np.testing.assert_allclose(sorted(boxes), sorted(wanted), atol=1e-9)
    assert np.array_equal(density_from_gds(path, device.design_shape, device.pixel_um), density)


def test_guides_reach_the_ports_planes(tmp_path) -> None:
    device = waveguide_bend(1.55, cells_um=0.04)
    density = np.ones(device.design_shape)
    path = write_device_gds(density, device, tmp_path / "a.gds", guides=True, layer=4, port_layer=(9, 9))
    (cell,) = gdstk.read_gds(str(path)).top_level()
    assert places(cell) == {"in": (-1.4, 0.0), "out": (0.0, -1.4)}
    assert sum(p.area() for p in cell.polygons if p.layer == 4) == pytest.approx(4 + 2 * 0.4 * 0.5)
    with pytest.raises(ValueError, match=r"shape \(100, 100\)"):
        write_device_gds(np.ones((50, 50)), device, tmp_path / "b.gds")
    with pytest.raises(ValueError, match="within a region"):
        density_from_gds(path, device.design_shape, device.pixel_um, layer=4)
    inside = density_from_gds(path, device.design_shape, device.pixel_um, layer=4, outside="clip")
    assert np.array_equal(inside, density)


def test_any_object_with_ports_will_do(tmp_path) -> None:
    port = SimpleNamespace(name="a", side="north", centre_um=0.1, distance_um=0.3)
    device = SimpleNamespace(size_um=(1.0, 0.5), ports=[port])
    density = np.ones((20, 10))
    for width, given in ((0.2, 0.2), (0.3, {"a": 0.3})):
        path = write_device_gds(density, device, tmp_path / "a.gds", port_width_um=given)
        (cell,) = gdstk.read_gds(str(path)).top_level()
        (bar,) = (p for p in cell.polygons if p.datatype == 10)
        np.testing.assert_allclose(bar.bounding_box(), ((0.1 - width / 2, 0.25), (0.1 + width / 2, 0.26)), atol=1e-9)
    with pytest.raises(ValueError, match="give port_width_um"):
        write_device_gds(density, device, tmp_path / "a.gds")
    with pytest.raises(ValueError, match="width of port 'a'"):
        write_device_gds(density, device, tmp_path / "a.gds", port_width_um={"b": 0.1})
    with pytest.raises(ValueError, match="positive width"):
        write_device_gds(density, device, tmp_path / "a.gds", port_width_um=-1.0)
    with pytest.raises(ValueError, match="square pixels"):
        write_device_gds(np.ones((20, 20)), device, tmp_path / "a.gds", port_width_um=0.2)
    with pytest.raises(ValueError, match="size_um and ports"):
        write_device_gds(density, SimpleNamespace(size_um=(1, 1)), tmp_path / "a.gds")
    port.side = "up"
    with pytest.raises(ValueError, match="side west"):
        write_device_gds(density, device, tmp_path / "a.gds", port_width_um=0.2)


def test_a_layout_starts_a_run(tmp_path) -> None:
    """`start=` takes the density of a layer as it is."""
    toy = Toy()
    drawn = np.zeros(toy.design_shape)
    drawn[3:9, 2:10] = 1
    path = write_gds(drawn, tmp_path / "a.gds", pixel_um=0.1, origin_um=(-0.6, -0.6))
    start = density_from_gds(path, toy.design_shape, 0.1)
    space = DensitySpace(toy.design_shape, pixel_um=0.1, filter_radius_um=0)
    problem = Problem(space, toy, [Target("transmission", lower=2.0)])
    result = run(problem, Adjoint(start=start, betas=(1e4,), evaluations=1, starts=1), budget=Budget(cpu_seconds=20))
    assert np.array_equal(result.candidates[0].design, drawn)
