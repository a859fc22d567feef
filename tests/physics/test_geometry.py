"""Painting and resampling: exact areas, conservation, adjoints."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from physics.devices import quarter_ring, straight_guide, straight_waveguide, waveguide_bend
from physics.fdfd import Axis, Grid, Pml, Rectangle, area_weights, paint
from physics.fdfd.scene import Scene


def scene(cell_um, size_um=(0.6, 0.4), pixels=(30, 20)):
    return Scene(cell_um, size_um, pixels, (2.0, 12.0), 2.0, (), (), 0.3, Pml(0.2))


@pytest.mark.parametrize("cell_um", [0.01, 0.02, 0.03, 0.04, 0.07])
def test_resampling_conserves_area(cell_um):
    density = np.random.default_rng(0).random((30, 20))
    added = scene(cell_um).added_permittivity(density)
    assert_allclose(added.sum() * cell_um**2, 10 * density.sum() * 0.02**2, rtol=1e-12)


@pytest.mark.parametrize("cell_um", [0.01, 0.04, 0.07])
def test_pull_back_is_the_adjoint(cell_um):
    rng, level = np.random.default_rng(1), scene(cell_um)
    density, gradient = rng.random((30, 20)), rng.standard_normal(level.grid.shape)
    assert_allclose(
        (level.added_permittivity(density) * gradient).sum(), (density * level.pull_back(gradient)).sum(), rtol=1e-12
    )


def test_a_uniform_density_fills_the_region_on_any_mesh():
    for cell_um in (0.02, 0.04, 0.07):
        level = scene(cell_um)
        whole = level.static_permittivity + level.added_permittivity(np.ones((30, 20)))
        region = [Rectangle((-0.3, 0.3), (-0.2, 0.2), 12.0)]
        assert_allclose(whole, paint(level.grid, 2.0, region), rtol=1e-12)


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
