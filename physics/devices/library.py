"""Ready-made devices of one or two ports a guide; :mod:`physics.devices.junctions` has those of more."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np

from physics.base import Array
from physics.devices.checks import check_lengths
from physics.devices.port_device import PortDevice
from physics.fdfd.dispersion import ROOM_K, Medium, medium, number
from physics.fdfd.geometry import Rectangle
from physics.fdfd.grid import Pml
from physics.fdfd.ports import Port
from physics.fdfd.values import real, reals

SILICON, GLASS = 12.1, 2.1  # relative permittivity near 1.55 um
BAND_UM = (1.53, 1.55, 1.57)


def guide(side: str, width_um: float, permittivity: Medium, centre_um: float = 0.0) -> Rectangle:
    """A straight guide from the origin out through one side."""
    across = (centre_um - width_um / 2, centre_um + width_um / 2)
    along = (-math.inf, 0.0) if side in ("west", "south") else (0.0, math.inf)
    x, y = (along, across) if side in ("west", "east") else (across, along)
    return Rectangle(x, y, permittivity)


# Name -> side, centre along it in um, mode of the guide.
Places = Mapping[str, tuple[str, float, int]]


def guided_device(
    name: str,
    places: Places,
    wavelength_um: float | Sequence[float],
    *,
    size_um: tuple[float, float],
    pixel_um: float,
    width_um: float,
    core_permittivity: Medium,
    cladding_permittivity: Medium,
    cells_um: float | Sequence[float],
    margin_um: float,
    pml_um: float,
    polarization: str,
    threads: int,
) -> PortDevice:
    """A device whose ports are guides of one width, or modes of them; the first port is the source.

    Args:
        name: of the device.
        places: of the ports.
        size_um: design region along x and y.
        wavelength_um, pixel_um, width_um, core_permittivity, cladding_permittivity, cells_um, margin_um, pml_um,
            polarization, threads: as for :func:`waveguide_bend`.

    Raises:
        ValueError: for guides that do not fit the region's edges, or do not guide.
    """
    width_um, margin_um = real("width_um", width_um), real("margin_um", margin_um)
    wavelengths = reals("wavelength_um", wavelength_um)
    core_permittivity = medium("core_permittivity", core_permittivity)
    cladding_permittivity = medium("cladding_permittivity", cladding_permittivity)
    check_lengths("the design region", size_um, distinct=False)
    check_lengths("width_um", (width_um,))
    for port, (side, centre, _) in places.items():
        edge = size_um[1 if side in ("west", "east") else 0] / 2
        if not width_um <= 2 * (edge - abs(centre)) + 1e-9:
            raise ValueError(
                f"Expected a guide that fits the design region's {side} edge. Got width_um={width_um} at "
                f"{centre} um for port {port!r}; narrow it or enlarge the region."
            )
    _check_apart(places, width_um)
    for wavelength in wavelengths:
        core, cladding = (
            complex(number(value, wavelength, ROOM_K)).real for value in (core_permittivity, cladding_permittivity)
        )
        if not core > cladding:
            raise ValueError(f"Expected core_permittivity above cladding_permittivity. Got {core} and {cladding}.")
    guides = dict.fromkeys((side, centre) for side, centre, _ in places.values())
    return PortDevice(
        name=name,
        size_um=size_um,
        pixel_um=pixel_um,
        permittivity=(cladding_permittivity, core_permittivity),
        background=cladding_permittivity,
        shapes=tuple(guide(side, width_um, core_permittivity, centre) for side, centre in guides),
        ports=tuple(Port(port, side, centre, margin_um / 2, mode) for port, (side, centre, mode) in places.items()),
        source=next(iter(places)),
        wavelength_um=wavelengths,
        cells_um=reals("cells_um", cells_um),
        margin_um=margin_um,
        pml=Pml(pml_um),
        polarization=polarization,
        threads=threads,
    )


def _check_apart(places: Places, width_um: float) -> None:
    """``ValueError`` where two guides on a side overlap; modes of one guide may share it."""
    guides = sorted({(side, centre) for side, centre, _ in places.values()})
    for (side, lower), (other, upper) in itertools.pairwise(guides):
        if side == other and upper - lower < width_um - 1e-9:
            raise ValueError(
                f"Expected guides beside each other on the {side} side. Got centres {upper - lower:.4g} um apart with "
                f"width_um={width_um}; move them apart or narrow them."
            )


def waveguide_bend(
    wavelength_um: float | Sequence[float] = BAND_UM,
    *,
    design_um: float = 2.0,
    pixel_um: float = 0.02,
    width_um: float = 0.5,
    core_permittivity: Medium = SILICON,
    cladding_permittivity: Medium = GLASS,
    cells_um: float | Sequence[float] = (0.04, 0.02),
    margin_um: float = 0.8,
    pml_um: float = 0.6,
    polarization: str = "Ez",
    threads: int = 4,
) -> PortDevice:
    """A 90 degree bend: "in" from the west, "out" to the south, both centred on the edges of a square region.

    The device is its own mirror image in the diagonal x = y, so a density and its plain transpose ``rho.T`` have the
    same transmission; symmetric designs have ``rho == rho.T`` ("diagonal" symmetry).

    Args:
        wavelength_um: vacuum wavelengths, one or several.
        design_um: side of the design region.
        pixel_um: side of a density pixel.
        width_um: of the guides.
        core_permittivity, cladding_permittivity: of density 1 (and the guides) and density 0; numbers or materials.
        cells_um: sides of the mesh cells, one a level, coarsest first.
        margin_um: from the design region to the PML; the ports lie half-way.
        pml_um: thickness of the absorbing layers.
        polarization: "Ez" or "Hz", the field out of the plane.
        threads: wavelengths solved at once.
    """
    side = real("design_um", design_um)
    return guided_device(
        "waveguide_bend",
        {"in": ("west", 0.0, 0), "out": ("south", 0.0, 0)},
        wavelength_um,
        size_um=(side, side),
        pixel_um=pixel_um,
        width_um=width_um,
        core_permittivity=core_permittivity,
        cladding_permittivity=cladding_permittivity,
        cells_um=cells_um,
        margin_um=margin_um,
        pml_um=pml_um,
        polarization=polarization,
        threads=threads,
    )


def straight_waveguide(
    wavelength_um: float | Sequence[float] = BAND_UM,
    *,
    length_um: float = 2.0,
    breadth_um: float = 2.0,
    pixel_um: float = 0.02,
    width_um: float = 0.5,
    core_permittivity: Medium = SILICON,
    cladding_permittivity: Medium = GLASS,
    cells_um: float | Sequence[float] = (0.04, 0.02),
    margin_um: float = 0.8,
    pml_um: float = 0.6,
    polarization: str = "Ez",
    threads: int = 4,
) -> PortDevice:
    """A guide from "in" (west) to "out" (east) interrupted by a design region; arguments as :func:`waveguide_bend`.

    The density of the uninterrupted guide, :func:`straight_guide`, transmits everything.
    """
    return guided_device(
        "straight_waveguide",
        {"in": ("west", 0.0, 0), "out": ("east", 0.0, 0)},
        wavelength_um,
        size_um=(real("length_um", length_um), real("breadth_um", breadth_um)),
        pixel_um=pixel_um,
        width_um=width_um,
        core_permittivity=core_permittivity,
        cladding_permittivity=cladding_permittivity,
        cells_um=cells_um,
        margin_um=margin_um,
        pml_um=pml_um,
        polarization=polarization,
        threads=threads,
    )


def beam_splitter(
    wavelength_um: float | Sequence[float] = BAND_UM,
    *,
    design_um: Sequence[float] = (2.4, 2.4),
    separation_um: float = 1.4,
    pixel_um: float = 0.02,
    width_um: float = 0.5,
    core_permittivity: Medium = SILICON,
    cladding_permittivity: Medium = GLASS,
    cells_um: float | Sequence[float] = (0.04, 0.02),
    margin_um: float = 0.8,
    pml_um: float = 0.6,
    polarization: str = "Ez",
    threads: int = 4,
) -> PortDevice:
    """A 1 x 2 splitter: "in" from the west, "upper" and "lower" to the east, ``separation_um`` from centre to centre.

    It is its own mirror image in y = 0: ``rho`` and ``rho[:, ::-1]`` exchange the outputs. Other arguments as
    :func:`waveguide_bend`.
    """
    (width, height), half = reals("design_um", design_um, 2), real("separation_um", separation_um) / 2
    return guided_device(
        "beam_splitter",
        {"in": ("west", 0.0, 0), "upper": ("east", half, 0), "lower": ("east", -half, 0)},
        wavelength_um,
        size_um=(width, height),
        pixel_um=pixel_um,
        width_um=width_um,
        core_permittivity=core_permittivity,
        cladding_permittivity=cladding_permittivity,
        cells_um=cells_um,
        margin_um=margin_um,
        pml_um=pml_um,
        polarization=polarization,
        threads=threads,
    )


def _guide_width(device: PortDevice) -> float:
    """Width of the guides of a library device, from its first shape."""
    return min(upper - lower for lower, upper in device.shapes[0].bounds_um)


def quarter_ring(device: PortDevice, samples: int = 16) -> Array:
    """The bend a person would draw: a quarter ring of the guide's width, as area fractions of the density's pixels.

    Args:
        device: a :func:`waveguide_bend`.
        samples: a pixel's area is sampled at ``samples x samples`` points.

    Returns:
        Density of ``device.design_shape``.
    """
    if device.name != "waveguide_bend":
        raise ValueError(f"Expected a waveguide_bend. Got {device.name!r}.")
    n, size = device.design_shape[0], device.size_um[0]
    points = (np.arange(n * samples) + 0.5) / (n * samples) * size
    radius, half = np.hypot(points[:, None], points[None, :]), _guide_width(device) / 2
    ring = np.abs(radius - size / 2) < half
    return ring.reshape(n, samples, n, samples).mean(axis=(1, 3))


def straight_guide(device: PortDevice) -> Array:
    """The density of the uninterrupted guide of a :func:`straight_waveguide`, as area fractions."""
    if device.name != "straight_waveguide":
        raise ValueError(f"Expected a straight_waveguide. Got {device.name!r}.")
    n, size, half = device.design_shape[1], device.size_um[1], _guide_width(device) / 2
    edges = (np.arange(n + 1) / n - 0.5) * size
    inside = np.clip(np.minimum(edges[1:], half) - np.maximum(edges[:-1], -half), 0, None) / np.diff(edges)
    return np.tile(inside, (device.design_shape[0], 1))
