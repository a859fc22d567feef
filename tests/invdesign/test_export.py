"""GDSII keeps the exact pixels; feature sizes are those of known shapes."""

from __future__ import annotations

import gdstk
import numpy as np
import pytest

from invdesign.export import feature_sizes, read_gds, write_gds
from physics.base import Array


def ring(n: int = 24) -> Array:
    x = np.arange(n) - (n - 1) / 2
    radius = np.hypot(x[:, None], x[None, :])
    return ((radius > 5) & (radius < 9)).astype(float)


def holes_within_holes() -> Array:
    density = np.zeros((17, 13))
    for depth, value in enumerate((1, 0, 1, 0, 1)):
        density[depth + 1 : 16 - depth, depth + 1 : 12 - depth] = value
    return density


@pytest.mark.parametrize(
    "density",
    [
        ring(),
        holes_within_holes(),
        np.ones((4, 7)),
        np.zeros((4, 7)),
        np.eye(6),
        (np.indices((9, 11)).sum(0) % 2).astype(float),
        (np.random.default_rng(3).random((40, 30)) > 0.4).astype(float),
    ],
    ids=["ring", "nested", "solid", "void", "diagonal", "checkerboard", "random"],
)
@pytest.mark.parametrize(("pixel_um", "origin_um"), [(0.02, (0.0, 0.0)), (1 / 30, (-0.4, 1.7))])
def test_gds_round_trip_is_exact(density, pixel_um, origin_um, tmp_path):
    path = write_gds(density, tmp_path / "a.gds", pixel_um=pixel_um, origin_um=origin_um)
    assert np.array_equal(read_gds(path, density.shape, pixel_um, origin_um=origin_um), density)
    polygons = [p for cell in gdstk.read_gds(str(path)).top_level() for p in cell.polygons]
    # A third of a nanometre is off the grid of 1 pm.
    assert sum(p.area() for p in polygons) == pytest.approx(density.sum() * pixel_um**2, rel=1e-4, abs=1e-15)


def test_gds_merges_pixels_and_keeps_the_axes(tmp_path):
    density = np.zeros((10, 20))
    density[2:5, 7:18] = 0.8
    path = write_gds(density, tmp_path / "a.gds", pixel_um=0.1, layer=3, datatype=2, ports={"in": (0.0, 1.0)})
    (cell,) = gdstk.read_gds(str(path)).top_level()
    (polygon,) = cell.polygons
    assert (polygon.layer, polygon.datatype) == (3, 2)
    assert np.allclose(polygon.bounding_box(), ((0.2, 0.7), (0.5, 1.8)))
    assert len(polygon.points) == 4
    assert [(label.text, label.origin) for label in cell.labels] == [("in", (0.0, 1.0))]
    assert not read_gds(path, (10, 20), 0.1, layer=1).any()


def test_equal_designs_are_equal_files(tmp_path):
    first, second = (write_gds(ring(), tmp_path / f"{n}.gds", pixel_um=0.02) for n in "ab")
    assert first.read_bytes() == second.read_bytes()


def test_gds_errors(tmp_path):
    with pytest.raises(ValueError, match="pixel_um > 0"):
        write_gds(ring(), tmp_path / "a.gds", pixel_um=0)
    with pytest.raises(ValueError, match="two axes"):
        write_gds(np.ones(5), tmp_path / "a.gds", pixel_um=1)
    with pytest.raises(FileNotFoundError, match="There is none"):
        read_gds(tmp_path / "absent.gds", (2, 2), 1.0)
    with pytest.raises(FileNotFoundError, match="Make it first"):
        write_gds(ring(), tmp_path / "absent" / "a.gds", pixel_um=1)
    (tmp_path / "text.gds").write_text("not a layout")
    with pytest.raises(ValueError, match="Expected a GDSII file"):
        read_gds(tmp_path / "text.gds", (2, 2), 1.0)


@pytest.mark.parametrize("layer", [-1, 65536, (1, 0), "1/0", 1.0])
def test_layers_that_the_format_does_not_know_are_refused(layer, tmp_path):
    path = write_gds(ring(), tmp_path / "a.gds", pixel_um=1)
    with pytest.raises(ValueError, match="whole numbers from 0 to 65535"):
        write_gds(ring(), tmp_path / "b.gds", pixel_um=1, layer=layer)
    with pytest.raises(ValueError, match="whole numbers from 0 to 65535"):
        read_gds(path, ring().shape, 1.0, datatype=layer)


def bars(width: int, gap: int) -> Array:
    """Two long bars, away from the border, `gap` apart."""
    density = np.zeros((60, 60))
    density[15:45, 10 : 10 + width] = 1
    density[15:45, 10 + width + gap : 10 + 2 * width + gap] = 1
    return density


@pytest.mark.parametrize(("width", "gap"), [(4, 7), (6, 3), (10, 5)])
def test_feature_sizes_of_bars(width, gap):
    sizes = feature_sizes(bars(width, gap), 0.02)
    # Square corners cannot be drawn with a round brush of the full width: a pixel is granted.
    assert sizes.min_width_um == pytest.approx(0.02 * width, abs=0.021)
    assert sizes.min_spacing_um == pytest.approx(0.02 * gap, abs=0.021)


def test_border_does_not_make_features_small():
    density = np.zeros((40, 40))
    density[:, 38:] = 1
    sizes = feature_sizes(density, 0.1)
    assert sizes.min_width_um is not None and sizes.min_width_um > 1.0


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_uniform_design_has_no_sizes(value, capfd):
    sizes = feature_sizes(np.full((20, 20), value), 0.02)
    assert (sizes.min_width_um, sizes.min_spacing_um) == (None, None)
    feature_sizes(ring(), 0.02)
    assert capfd.readouterr().out == ""


def test_contours_are_smooth_and_keep_areas(tmp_path):
    """Of area fractions of a ring the half contour is the ring: area and radius, not a staircase."""
    x = np.arange(60 * 16) / 16 - 29.97
    radius = np.hypot(x[:, None], x[None, :])
    fractions = ((radius > 9.3) & (radius < 21.7)).reshape(60, 16, 60, 16).mean(axis=(1, 3))
    path = write_gds(fractions, tmp_path / "a.gds", pixel_um=0.02, origin_um=(-0.6, -0.6), outline="contour")
    polygons = [p for cell in gdstk.read_gds(str(path)).top_level() for p in cell.polygons]
    assert sum(p.area() for p in polygons) == pytest.approx(fractions.sum() * 0.02**2, rel=2e-3)
    corners = np.concatenate([p.points for p in polygons])
    distance = np.hypot(*corners.T) / 0.02
    assert np.minimum(np.abs(distance - 9.3), np.abs(distance - 21.7)).max() < 0.15
    np.testing.assert_array_equal(read_gds(path, (60, 60), 0.02, origin_um=(-0.6, -0.6)), fractions > 0.5)


@pytest.mark.parametrize("density", [np.ones((4, 7)), np.zeros((4, 7)), np.pad(np.ones((4, 3)), ((0, 0), (0, 4)))])
def test_contours_reach_the_border(density, tmp_path):
    path = write_gds(density, tmp_path / "a.gds", pixel_um=0.5, outline="contour")
    polygons = [p for cell in gdstk.read_gds(str(path)).top_level() for p in cell.polygons]
    assert sum(p.area() for p in polygons) == pytest.approx(density.sum() * 0.25)


def test_unknown_outline_is_refused(tmp_path):
    with pytest.raises(ValueError, match="outline"):
        write_gds(ring(), tmp_path / "a.gds", pixel_um=0.02, outline="spline")
