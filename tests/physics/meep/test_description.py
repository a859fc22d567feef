"""What Meep is told of a device, and what is refused before it is asked."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from physics.fdfd.geometry import Circle, Polygon, Rectangle
from physics.fdfd.materials import GOLD, SILICA, SILICON
from physics.fdfd.ports import Port
from physics.meep import MeepLadder
from physics.meep.description import Mesh, crossings, described, groups, layer_profile, plain_shape, section, whole
from physics.meep.resampling import Resampling
from tests.physics.meep.problems import CORE, SIZE_UM, bend, grey, ladder, ports_device, through


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"cells_um": (0.02, 0.05)}, "coarse to fine"),
        ({"cells_um": (0.2,)}, "cells per wavelength.*use cells of"),
        ({"cells_um": ()}, "nothing for Meep to do"),
        ({"cells_um": (-0.05,)}, "cells_um"),
        ({"slab_cells_um": (0.05,)}, "slab_um"),
        ({"transits": 0.0}, "transits"),
        ({"pml_um": math.nan}, "pml_um"),
        ({"gap_um": -1.0}, "gap_um"),
        ({"time_limit_s": 0.0}, "time_limit_s"),
        ({"slab_um": 0.0, "slab_cells_um": (0.05,)}, "slab_um"),
    ],
)
def test_unsound_ladders_are_refused(given, told):
    with pytest.raises(ValueError, match=told):
        MeepLadder(bend(), **given)


def test_no_device_is_refused():
    with pytest.raises(ValueError, match="Expected a PortDevice"):
        MeepLadder("bend")


@pytest.mark.parametrize("metal", [GOLD, -20.0 + 1j])
def test_metals_are_refused(metal):
    device = through(shapes=(Circle((0.0, 0.75), 0.1, metal),), fdfd_um=(0.01,))
    with pytest.raises(ValueError, match=r"positive real part.*Use FDFD for metals"):
        ladder(device, (0.01,))


def test_shapes_that_meep_has_not_are_refused():
    class Own:  # a kind of which the adapter knows nothing
        permittivity = 2.0

    with pytest.raises(ValueError, match="Got a Own; draw it as a polygon"):
        plain_shape(Own())


def test_wavelengths_share_a_run_where_no_medium_changes():
    assert groups(bend((1.6, 1.5, 1.55))) == ((0, 2, 1),)
    assert groups(bend((1.6, 1.5), core_permittivity=SILICON, cladding_permittivity=SILICA)) == ((0,), (1,))
    assert groups(through(wavelength_um=(1.5, 1.6), shapes=(Circle((0.0, 0.75), 0.1, CORE + 1j),))) == ((1,), (0,))


def test_description_is_wide_enough_and_whole():
    model = described(bend((1.6, 1.5)), Mesh(0.05, 0.6, 10.0), (0, 1))
    assert model["frequencies"] == [1 / 1.6, 1 / 1.5]
    port = model["ports"][0]
    assert (port["plane"], port["source_plane"]) == pytest.approx((-0.9, -1.2))
    half = model["size"][0] / 2 - model["pml"]
    assert half >= 1.2 + 0.3 - 1e-9
    assert model["size"][0] / 0.05 == pytest.approx(round(model["size"][0] / 0.1) * 2)
    solid = described(bend(), Mesh(0.05, 0.6, 10.0, 0.22, 0.5), (0,))
    assert solid["size"][2] >= 0.22 + 1.0 + 1.2 - 1e-9


@pytest.mark.parametrize(("length", "cells"), [(1.0, 20), (1.01, 22), (0.95, 20), (1.0 + 1e-13, 20)])
def test_whole_numbers_of_cells(length, cells):
    assert whole(length, 0.05) / 0.05 == pytest.approx(cells)


def test_crossings():
    assert crossings(Rectangle((-1.0, 1.0), (0.0, 0.5), 2.0), 0, 0.3) == [(0.0, 0.5)]
    assert crossings(Rectangle((-1.0, 1.0), (0.0, 0.5), 2.0), 1, 0.3) == [(-1.0, 1.0)]
    assert crossings(Rectangle((-1.0, 1.0), (0.0, 0.5), 2.0), 0, 1.3) == []
    ((low, high),) = crossings(Circle((0.0, 1.0), 0.5, 2.0), 0, 0.3)
    assert (low, high) == pytest.approx((0.6, 1.4))
    horns = Polygon(((0.0, 0.0), (2.0, 0.0), (2.0, 1.0), (1.0, 0.5), (0.0, 1.0)), 2.0)
    assert np.allclose(crossings(horns, 0, 0.5), [(0.0, 0.75)])
    assert np.allclose(crossings(horns, 1, 0.75), [(0.0, 0.5), (1.5, 2.0)])


def test_sections_are_shared_midway():
    ports = (Port("a", "west", -0.4, 0.3), Port("b", "west", 0.3, 0.3), Port("c", "east", 0.0, 0.3, span_um=0.5))
    shapes = tuple(Rectangle((-math.inf, 0.0), (c - 0.1, c + 0.1), CORE) for c in (-0.4, 0.3))
    device = ports_device((Port("a", "east", 0.0, 0.3), Port("c", "south", 0.0, 0.3)), "a", shapes=shapes)
    object.__setattr__(device, "ports", ports)
    assert section(ports[0], device, 1.5) == pytest.approx((-1.5, -0.05))
    assert section(ports[1], device, 1.5) == pytest.approx((-0.05, 1.5))
    assert section(ports[2], device, 1.5) == pytest.approx((-0.25, 0.25))


def test_resampling_keeps_means_and_has_its_transpose():
    rng = np.random.default_rng(0)
    fine = Resampling((40, 30), (1.0, 0.75), 0.05)
    density, cotangent, ring = rng.random((40, 30)), rng.random((42, 32)), np.zeros((42, 32))
    values = fine.down(density, ring)
    assert values[1:-1, 1:-1].mean() == pytest.approx(density.mean())
    assert not values[0].any() and not values[:, -1].any()
    assert np.sum(values * cotangent) == pytest.approx(np.sum(density * fine.up(cotangent)))
    # Half cells that divide a pixel repeat it.
    values = Resampling((24, 24), (SIZE_UM, SIZE_UM), SIZE_UM / 24).down(grey(), np.zeros((50, 50)))
    assert np.allclose(values[1:-1, 1:-1], np.kron(grey(), np.ones((2, 2))))


def test_the_ring_is_what_lies_around_the_design():
    device = bend(1.55)
    ring = Resampling(device.design_shape, device.size_um, device.pixel_um * 2).ring(device, 0)
    assert np.allclose(ring, device.surroundings(1))
    assert ring[0].max() > 0.9 and ring[-1].max() < 0.1  # the guide comes in from the west


def test_levels_and_costs():
    simulator = MeepLadder(bend(fdfd_um=(0.05, 0.025)), (0.05, 0.025), slab_um=0.22, slab_cells_um=(0.05,))
    names = ["fdfd-50nm", "fdfd-25nm", "meep-2d-50nm", "meep-2d-25nm", "meep-3d-50nm"]
    assert [fidelity.name for fidelity in simulator.fidelities] == names
    costs = [fidelity.cost for fidelity in simulator.fidelities]
    assert costs[0] == 1 and costs == sorted(costs)
    assert costs[3] / costs[2] == pytest.approx(8, rel=0.1)
    assert "FDFD" in simulator.provenance(0)["solver"]


def test_equal_ladders_are_equal():
    assert ladder(bend()) == ladder(bend())
    assert hash(ladder(bend())) == hash(ladder(bend()))
    assert replace(ladder(bend()), time_limit_s=9.0) == ladder(bend())


def test_the_layer_has_its_thickness_on_any_cells():
    for cell in (0.02, 0.05, 0.055, 0.08, 0.3):
        shares = layer_profile(0.22, cell)
        assert sum(shares) * cell / 2 == pytest.approx(0.22)
        assert shares == shares[::-1] and shares[0] == 0.0 and len(shares) % 2 == 0
