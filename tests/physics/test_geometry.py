"""Painting and resampling: exact areas, conservation, adjoints."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from physics.devices import quarter_ring, straight_guide, straight_waveguide, waveguide_bend
from physics.fdfd import Axis, Grid, Pml, Rectangle, area_weights, paint
from physics.fdfd.geometry import Circle, Polygon, unbounded
from physics.fdfd.media import DesignMap


def design(cell_um, size_um=(0.6, 0.4), pixels=(30, 20)):
    """A design for Ez whose diagonal grows by the permittivity itself."""
    axes = (Axis(2 * round((size / 2 + 0.3) / cell_um), cell_um) for size in size_um)
    sides = ((-size / 2, size / 2) for size in size_um)
    return DesignMap(Grid(*axes), Pml(0.2), 1 / cell_um, "Ez", 2.0, (), *sides, pixels, (2.0, 12.0))


@pytest.mark.parametrize("cell_um", [0.01, 0.02, 0.03, 0.04, 0.07])
def test_resampling_conserves_area(cell_um):
    density, level = np.random.default_rng(0).random((30, 20)), design(cell_um)
    added = level.values(density)[0] - level.values(np.zeros((30, 20)))[0]
    assert_allclose(added.sum() * cell_um**2, 10 * density.sum() * 0.02**2, rtol=1e-10)


@pytest.mark.parametrize("cell_um", [0.01, 0.04, 0.07])
def test_pull_back_is_the_adjoint(cell_um):
    rng, level = np.random.default_rng(1), design(cell_um)
    density, (diagonal, east, north) = rng.random((30, 20)), level.values(np.zeros((30, 20)))
    gradient = rng.standard_normal(diagonal.shape)
    added = level.values(density)[0] - diagonal
    pulled = level.pull_back(density, gradient, np.zeros_like(east), np.zeros_like(north))
    assert_allclose((added * gradient).sum(), (density * pulled).sum(), rtol=1e-10)


def test_a_uniform_density_fills_the_region_on_any_mesh():
    for cell_um in (0.02, 0.04, 0.07):
        level = design(cell_um)
        i0, i1, j0, j1 = level.window
        full, empty = (level.values(np.full((30, 20), value))[0] for value in (1.0, 0.0))
        region = [Rectangle((-0.3, 0.3), (-0.2, 0.2), 12.0)]
        painted = (paint(level.grid, 2.0, region) - paint(level.grid, 2.0, []))[i0:i1, j0:j1]
        assert_allclose(full - empty, painted, rtol=1e-10, atol=1e-10)


def test_weights_of_nested_cells_are_plain_means():
    weights = area_weights(np.linspace(0, 1, 3), np.linspace(0, 1, 5))
    assert_allclose(weights, [[0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5]])


def test_painted_rectangles_have_their_exact_area_and_cover_in_order():
    grid = Grid(Axis(10, 0.1), Axis(14, 0.1))
    first = Rectangle((-0.33, 0.21), (-0.4, 0.13), 5.0)
    second = Rectangle((0.07, float("inf")), (-0.05, 0.5), 9.0)
    painted = paint(grid, 1.0, [first, second])
    overlap = (0.21 - 0.07) * (0.13 + 0.05)
    area = 4.0 * (0.54 * 0.53 - overlap) + 8.0 * ((0.5 - 0.07) * 0.55)
    assert_allclose((painted - 1.0).sum() * 0.01, area, rtol=1e-12)
    assert_allclose(painted[-1, 7], 9.0)


def test_quarter_ring_has_its_area():
    device = waveguide_bend((1.55,), cells_um=(0.04,))
    ring = quarter_ring(device)
    assert ring.shape == device.design_shape
    assert_allclose(ring.sum() * 0.02**2, np.pi / 4 * (1.25**2 - 0.75**2), rtol=1e-3)
    assert ring[0, 50] == 1 and ring[50, 0] == 1 and ring[-1, -1] == 0
    with pytest.raises(ValueError, match="waveguide_bend"):
        quarter_ring(straight_waveguide((1.55,), cells_um=(0.04,)))


def test_straight_guide_has_its_area_where_pixels_do_not_divide_its_width():
    device = straight_waveguide((1.55,), pixel_um=0.04, width_um=0.5, cells_um=(0.04,))
    assert_allclose(straight_guide(device).sum() * 0.04**2, 2.0 * 0.5, rtol=1e-12)
    with pytest.raises(ValueError, match="straight_waveguide"):
        straight_guide(waveguide_bend((1.55,), cells_um=(0.04,)))


def test_rectangles_are_checked():
    with pytest.raises(ValueError, match="lower < upper"):
        Rectangle((1.0, 0.0), (0.0, 1.0), 2.0)
    with pytest.raises(ValueError, match="permittivity above 0"):
        Rectangle((0.0, 1.0), (0.0, 1.0), -2.0)
    with pytest.raises(ValueError, match="square cells"):
        Grid(Axis(10, 0.1), Axis(10, 0.2))
    with pytest.raises(ValueError, match="thickness"):
        Pml(0.0)
    for wrong in ({"order": np.inf}, {"order": 0.5}, {"log_reflection": -np.inf}, {"log_reflection": 1.0}):
        with pytest.raises(ValueError, match="finite PML order"):
            Pml(**wrong)


def area(painted, cell_um, background=1.0, inside=3.0):
    return (painted - background).sum() * cell_um**2 / (inside - background)


def test_discs_have_their_area():
    grid = Grid(Axis(24, 0.05), Axis(30, 0.05))
    disc = Circle((0.013, -0.021), 0.43, 3.0)
    assert_allclose(area(paint(grid, 1.0, [disc]), 0.05), np.pi * 0.43**2, rtol=1e-12)
    # Both axes sample it alike, to the square of an eighth of a cell.
    turned = paint(Grid(grid.y, grid.x), 1.0, [disc.transposed]).T
    assert np.abs(turned - paint(grid, 1.0, [disc])).max() < 0.05
    assert_allclose(paint(grid, 1.0, [disc])[12, 14], 3.0)


@pytest.mark.parametrize("degrees", [0.0, 0.01, 30.0, 45.0, 90.0])
def test_polygons_have_their_area(degrees):
    grid = Grid(Axis(24, 0.05), Axis(24, 0.05))
    turn = np.exp(1j * np.radians(degrees))
    corners = turn * np.array([-0.31 - 0.22j, 0.31 - 0.22j, 0.31 + 0.22j, 0.05j, -0.31 + 0.22j]) + 0.017
    polygon = Polygon(tuple((z.real, z.imag) for z in corners), 3.0)
    assert_allclose(area(paint(grid, 1.0, [polygon]), 0.05), 0.62 * 0.44 - 0.31 * 0.17, rtol=1e-10)


def test_a_rectangle_as_a_polygon_is_the_rectangle():
    grid = Grid(Axis(12, 0.1), Axis(14, 0.1))
    (x0, x1), (y0, y1) = (-0.33, 0.21), (-0.4, 0.13)
    polygon = Polygon(((x0, y0), (x1, y0), (x1, y1), (x0, y1)), 5.0 + 1j)
    ours, exact = (paint(grid, 1.0, [shape]) for shape in (polygon, Rectangle((x0, x1), (y0, y1), 5.0 + 1j)))
    assert_allclose(ours, exact, rtol=1e-12)


def test_holes_by_the_even_odd_rule():
    grid = Grid(Axis(20, 0.1), Axis(20, 0.1))
    star = [np.exp(2j * np.pi * (0.25 + 2 * k / 5)) * 0.8 for k in range(5)]
    painted = paint(grid, 1.0, [Polygon(tuple((z.real, z.imag) for z in star), 3.0)])
    assert_allclose(painted[9:11, 9:11], 1.0)
    assert_allclose(painted.max(), 3.0)


def test_absorbing_shapes_cover_and_lossless_ones_stay_real():
    grid = Grid(Axis(4, 0.1), Axis(4, 0.1))
    metal = Rectangle((-0.1, 0.1), (-0.1, 0.1), -10.0 + 1j)
    assert paint(grid, 1.0, [metal])[1, 1] == -10.0 + 1j
    assert paint(grid, 1.0, [metal, Rectangle((-1, 1), (-1, 1), 2.0)]).real.max() == 2.0
    assert paint(grid, 1.0, [Rectangle((-1, 1), (-1, 1), 2.0)]).dtype == float


def test_large_curved_shapes_are_painted_in_bounded_memory():
    grid = Grid(Axis(150, 0.05), Axis(150, 0.05))
    disc = Circle((0.0, 0.0), 3.6, 3.0)
    assert_allclose(area(paint(grid, 1.0, [disc]), 0.05), np.pi * 3.6**2, rtol=1e-12)


def test_shapes_of_a_larger_domain():
    guide, disc = Rectangle((-1.0, 0.2), (-0.1, 0.1), 4.0), Circle((0.9, 0.0), 0.3, 2.0)
    outside = Polygon(((1.1, 0.0), (1.5, 0.0), (1.5, 0.4)), 3.0)
    widened = unbounded((guide, disc, outside), (1.0, 1.0))
    assert widened == (Rectangle((-np.inf, 0.2), (-0.1, 0.1), 4.0), disc)


def test_discs_and_polygons_are_checked():
    for make, message in (
        (lambda: Circle((0, 0), 0.0, 2.0), "radius above 0"),
        (lambda: Circle((0, np.inf), 1.0, 2.0), "finite centre"),
        (lambda: Circle((0, 0), 1.0, 2.0 - 1j), "passive"),
        (lambda: Polygon(((0, 0), (1, 0)), 2.0), "3 or more"),
        (lambda: Polygon(((0, 0), (1, 0), (0, 1, 2)), 2.0), "vertex as 2 real numbers"),
        (lambda: Polygon(((0, 0), (1, 0), (0, np.nan)), 2.0), "finite vertices"),
    ):
        with pytest.raises(ValueError, match=message):
            make()
