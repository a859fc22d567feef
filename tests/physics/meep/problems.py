"""The smallest devices that are still sound, and designs for them."""

from __future__ import annotations

import math

import numpy as np

from physics.devices import waveguide_bend
from physics.devices.port_device import PortDevice
from physics.fdfd.geometry import Rectangle
from physics.fdfd.grid import Pml
from physics.fdfd.ports import Port
from physics.meep import MeepLadder

SIZE_UM, PIXEL_UM, WIDTH_UM = 1.2, 0.05, 0.4
CORE, CLADDING = 12.1, 2.1
QUICK = {"pml_um": 0.6, "transits": 10.0}


def bend(wavelength_um=1.55, fdfd_um=(0.025,), **given):
    """A bend of 24 x 24 pixels."""
    settings = {"design_um": SIZE_UM, "width_um": WIDTH_UM, "pixel_um": PIXEL_UM, "margin_um": 0.6}
    return waveguide_bend(wavelength_um, cells_um=fdfd_um, **(settings | given))


def ladder(device, cells_um=(0.05,), **given):
    """Of few, coarse levels."""
    return MeepLadder(device, cells_um=cells_um, **(QUICK | given))


def ports_device(ports, source, width_um=WIDTH_UM, fdfd_um=(0.025,), core=CORE, shapes=(), **given):
    """Guides from the origin through the sides of the given ports, and more shapes."""
    half, inf = width_um / 2, math.inf
    guides = {
        "west": Rectangle((-inf, 0.0), (-half, half), core),
        "east": Rectangle((0.0, inf), (-half, half), core),
        "south": Rectangle((-half, half), (-inf, 0.0), core),
        "north": Rectangle((-half, half), (0.0, inf), core),
    }
    settings = {
        "permittivity": (CLADDING, core),
        "background": CLADDING,
        "wavelength_um": (1.55,),
        "size_um": (SIZE_UM, SIZE_UM),
        "pixel_um": PIXEL_UM,
        "margin_um": 0.6,
        "pml": Pml(0.6),
    }
    sides = dict.fromkeys(port.side for port in ports)
    return PortDevice(
        name="test",
        ports=tuple(ports),
        source=source,
        shapes=(*(guides[side] for side in sides), *shapes),
        cells_um=fdfd_um,
        **(settings | given),
    )


def through(source="in", **given):
    """A guide from west to east."""
    return ports_device((Port("in", "west", 0.0, 0.3), Port("out", "east", 0.0, 0.3)), source, **given)


def pixels(shape=(24, 24), size_um=SIZE_UM):
    """Centres of the pixels."""
    return np.meshgrid(*((np.arange(n) + 0.5) * size_um / n - size_um / 2 for n in shape), indexing="ij")


def ring(width_um=WIDTH_UM, edge_um=0.03):
    """A quarter of a ring from the west to the south, with soft edges."""
    x, y = pixels()
    radius = np.hypot(x + SIZE_UM / 2, y + SIZE_UM / 2)
    return 1 / (1 + np.exp(-(width_um / 2 - np.abs(radius - SIZE_UM / 2)) / edge_um))


def grey(seed=0):
    """Smooth and grey."""
    return bend().example_designs(np.random.default_rng(seed), 2)[0]


def binary(seed=0):
    """Smooth and nearly binary."""
    return bend().example_designs(np.random.default_rng(seed), 2)[1]


def turn(a, b):
    """Differences of phases, in [-pi, pi]."""
    return np.angle(a / b)


def extrapolated(coarse, fine, ratio):
    """Richardson's limit of an error that falls with the square of the cells, whose sides have this ratio."""
    return (ratio**2 * fine - coarse) / (ratio**2 - 1)
