"""A planar device as the plain description that the worker with Meep builds its simulations from.

See :mod:`physics.meep.program.model` for the keys.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from physics.devices.port_device import PortDevice
from physics.fdfd.dispersion import number
from physics.fdfd.geometry import Circle, Polygon, Rectangle, Shape, unbounded
from physics.fdfd.ports import Port
from physics.meep.resampling import Resampling

SOURCE_GAP_UM = 0.3  # from a port's plane outwards to the plane of its source
CLEAR_UM = 0.3  # from there, at least, to the PML
FAR_UM = 1e3  # where shapes end that go to infinity
PULSE = 0.2  # least width of the pulse's spectrum, relative to its centre


@dataclass(frozen=True)
class Mesh:
    """How finely and how widely Meep looks at a device.

    Args:
        cell_um: side of a cell.
        pml_um: thickness of the PML.
        transits: after its sources end a run lasts as long as light takes to cross the design region so many times in
            the densest material.
        thickness_um: of the core layer in three dimensions; None in two.
        gap_um: above and below the core layer to the PML.
    """

    cell_um: float
    pml_um: float
    transits: float
    thickness_um: float | None = None
    gap_um: float = 0.7


def groups(device: PortDevice) -> tuple[tuple[int, ...], ...]:
    """Numbers of the wavelengths that one run answers, ascending in frequency.

    All of them where no medium changes over them and none absorbs; else each has a run of its own, since a run knows
    one permittivity, and absorption at one frequency.
    """
    media = (*device.permittivity, device.background, *(shape.permittivity for shape in device.shapes))
    wavelengths = [wavelength + device.wavelength_shift_um for wavelength in device.wavelength_um]
    seen = {tuple(complex(number(value, w, device.temperature_k)) for value in media) for w in wavelengths}
    ascending = sorted(range(len(wavelengths)), key=lambda i: -wavelengths[i])
    if len(seen) == 1 and not any(value.imag for value in next(iter(seen))):
        return (tuple(ascending),)
    return tuple((i,) for i in ascending)


def described(device: PortDevice, mesh: Mesh, wavelengths: tuple[int, ...]) -> dict[str, Any]:
    """The description of a device at some of its wavelengths.

    Raises:
        ValueError: for metals, which a constant permittivity cannot stand for in time, and for shapes Meep has not.
    """
    lengths = [device.wavelength_um[i] + device.wavelength_shift_um for i in wavelengths]
    here, kelvin = lengths[0], device.temperature_k
    shapes = tuple(shape.resolved(here, kelvin) for shape in device.shapes)
    low, high, background = (plain(number(v, here, kelvin)) for v in (*device.permittivity, device.background))
    half = [size / 2 + device.margin_um + device.pml.thickness_um for size in device.size_um]
    shapes = unbounded(shapes, (half[0], half[1]))
    margin = max(device.margin_um, *(port.distance_um + SOURCE_GAP_UM + CLEAR_UM for port in device.ports))
    lengths_um = [size + 2 * (margin + mesh.pml_um) for size in device.size_um]
    height = 0.0
    if mesh.thickness_um is not None:
        height = mesh.thickness_um + 2 * mesh.gap_um
        lengths_um.append(height + 2 * mesh.pml_um)
    frequencies = [1 / length for length in lengths]
    centre = (frequencies[0] + frequencies[-1]) / 2
    profile = [1.0] if mesh.thickness_um is None else layer_profile(mesh.thickness_um, mesh.cell_um)
    given = Resampling(device.design_shape, device.size_um, mesh.cell_um)
    densest = max(abs(complex(number(value, here, kelvin))) for value in (*device.permittivity, device.background))
    return {
        "dimensions": len(lengths_um),
        "polarization": device.polarization,
        "resolution": 1 / mesh.cell_um,
        "size": [whole(length, mesh.cell_um) for length in lengths_um],
        "pml": mesh.pml_um,
        "background": background,
        "shapes": [plain_shape(shape) for shape in shapes],
        "thickness": mesh.thickness_um,
        "design": {
            "size": [*given.ringed_um, *([len(profile) * mesh.cell_um / 2] if mesh.thickness_um else [])],
            "values": [count + 2 for count in given.values],
            "profile": profile,
            "permittivity": [low, high],
        },
        "ports": [plain_port(port, device, shapes, margin, height) for port in device.ports],
        "frequencies": frequencies,
        "centre": centre,
        "width": min(max(PULSE * centre, 2 * (frequencies[-1] - frequencies[0])), centre),
        "run_time": mesh.transits * math.sqrt(densest) * max(device.size_um),
    }


def layer_profile(thickness_um: float, cell_um: float) -> list[float]:
    """Shares of a layer in the half cells about z = 0, an empty one at either end included."""
    reach = math.ceil(thickness_um / cell_um - 1e-9)
    shares = [min(max(thickness_um / cell_um - k, 0.0), 1.0) for k in range(reach)]
    return [0.0, *reversed(shares), *shares, 0.0]


def run_steps(device: PortDevice, mesh: Mesh, wavelengths: tuple[int, ...]) -> float:
    """Cells times time steps of one run, with Meep's Courant factor of 1/2; a pulse lasts 10 / width."""
    model = described(device, mesh, wavelengths)
    cells = math.prod(length / mesh.cell_um for length in model["size"])
    return cells * (10 / model["width"] + model["run_time"]) * 2 / mesh.cell_um


def whole(length_um: float, cell_um: float) -> float:
    """The length rounded up to an even number of cells, so that the origin stays on the grid."""
    return 2 * math.ceil(length_um / 2 / cell_um - 1e-9) * cell_um


def plain(value: float | complex) -> float | list[float]:
    """A permittivity as JSON; ``ValueError`` for a negative one."""
    value = complex(value)
    if value.real <= 0:
        raise ValueError(
            f"Expected permittivities of positive real part. Got {value}; Meep's time stepping is unstable with a "
            "constant negative one. Use FDFD for metals."
        )
    return value.real if value.imag == 0 else [value.real, value.imag]


def plain_shape(shape: Shape) -> dict[str, Any]:
    """A shape as JSON."""
    permittivity = plain(shape.permittivity)  # type: ignore[arg-type]  # resolved: a number
    if isinstance(shape, Rectangle):
        x, y = ([min(max(end, -FAR_UM), FAR_UM) for end in ends] for ends in shape.bounds_um)
        return {"kind": "block", "x": x, "y": y, "permittivity": permittivity}
    if isinstance(shape, Circle):
        circle = {"centre": list(shape.centre_um), "radius": shape.radius_um}
        return {"kind": "circle", **circle, "permittivity": permittivity}
    if isinstance(shape, Polygon):
        return {"kind": "polygon", "vertices": [list(v) for v in shape.vertices_um], "permittivity": permittivity}
    raise ValueError(
        f"Expected rectangles, circles and polygons. Got a {type(shape).__name__}; draw it as a polygon for Meep."
    )


def plain_port(
    port: Port, device: PortDevice, shapes: tuple[Shape, ...], margin_um: float, height_um: float
) -> dict[str, Any]:
    """A port as JSON."""
    axis, outward = (0 if port.side in ("west", "east") else 1), (1 if port.side in ("east", "north") else -1)
    half, reach = device.size_um[axis] / 2, device.size_um[1 - axis] / 2 + margin_um
    plane = outward * (half + port.distance_um)
    strips = []
    for shape in shapes:
        for across in crossings(shape, axis, plane):
            along = (-math.inf, math.inf)
            x, y = (along, across) if axis == 0 else (across, along)
            strips.append(plain_shape(Rectangle(x, y, shape.permittivity)))
    lower, upper = section(port, device, reach)
    return {
        "axis": axis,
        "outward": outward,
        "plane": plane,
        "source_plane": plane + outward * SOURCE_GAP_UM,
        "centre": (lower + upper) / 2,
        "span": upper - lower,
        "height": height_um,
        "mode": port.mode,
        "distance": port.distance_um,
        "strips": strips,
    }


def section(port: Port, device: PortDevice, reach_um: float) -> tuple[float, float]:
    """Ends of a port's cross-section: its span, else to the PML, shared midway with its neighbours."""
    lower, upper = -reach_um, reach_um
    if math.isfinite(port.span_um):
        return max(lower, port.centre_um - port.span_um / 2), min(upper, port.centre_um + port.span_um / 2)
    for other in device.ports:
        middle = (other.centre_um + port.centre_um) / 2
        if other.side == port.side and other.centre_um < port.centre_um:
            lower = max(lower, middle)
        elif other.side == port.side and other.centre_um > port.centre_um:
            upper = min(upper, middle)
    return lower, upper


def crossings(shape: Shape, axis: int, plane_um: float) -> list[tuple[float, float]]:
    """Where a line across ``axis`` at ``plane_um`` runs inside a shape."""
    shape = shape if axis == 0 else shape.transposed
    (lower, upper), across = shape.bounds_um
    if not lower < plane_um < upper:
        return []
    if isinstance(shape, Rectangle):
        return [across]
    if isinstance(shape, Circle):
        half = math.sqrt(shape.radius_um**2 - (plane_um - shape.centre_um[0]) ** 2)
        return [(shape.centre_um[1] - half, shape.centre_um[1] + half)]
    if not isinstance(shape, Polygon):
        return []
    start = np.asarray(shape.vertices_um)
    end = np.roll(start, -1, axis=0)
    cut = (start[:, 0] <= plane_um) != (end[:, 0] <= plane_um)
    (x0, y0), (x1, y1) = start[cut].T, end[cut].T
    cuts = np.sort(y0 + (y1 - y0) * (plane_um - x0) / (x1 - x0))
    return [(float(a), float(b)) for a, b in zip(cuts[0::2], cuts[1::2], strict=True)]
