"""The five standard photonic design problems of ceviche_challenges and invrs-gym, as devices.

Geometry, materials, wavelengths and ports are those of ceviche_challenges 1.0.2 (Schubert et al., ACS Photonics 9,
2327 (2022)) with the specifications of invrs-gym 1.6.2 (Schubert, arXiv:2410.24132). Densities have the shape, pixel
and orientation ``[ix, iy]`` of ceviche_challenges' design variable: a saved array goes into either package as it is.
Polarisation Ez; the first port is excited; ports are in the original's order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from physics.base import Array
from physics.devices.library import guide
from physics.devices.port_device import PortDevice
from physics.fdfd.grid import Pml
from physics.fdfd.modes import slab_mode
from physics.fdfd.ports import Port

CORE, CLADDING = 12.25, 2.25  # relative permittivity of density 1 and of density 0
GUIDE_UM = 0.4  # width of every guide
MODE_PADDING_UM = 0.52  # of cladding on either side of a guide within a port's cross-section
SPAN_UM = GUIDE_UM + 2 * MODE_PADDING_UM  # of that cross-section
MARGIN_UM = 0.72  # from the design region to the absorbing layer, along the guides
PML_CELLS, PML_LOG_REFLECTION = 20, -30.0  # ceviche's own layer
PORT_OFFSET_UM = 0.04  # from the absorbing layer to the source's plane

FULL_UM, LIGHTWEIGHT_UM = 0.01, 0.04  # side of cells and pixels
FULL_BAND_UM = (1.265, 1.270, 1.275, 1.285, 1.290, 1.295)
LIGHTWEIGHT_BAND_UM = (1.270, 1.290)

# Name, side, centre along it in units of the port spacing of the problem, mode.
Place = tuple[str, str, float, int]
SPLIT: tuple[Place, ...] = (("in", "west", 0.0, 0), ("lower", "east", -1.0, 0), ("upper", "east", 1.0, 0))


@dataclass(frozen=True)
class Layout:
    """One problem at one resolution: the design region, the ports, and how far outputs lie from the centre line.

    Args:
        size_um: design region along x and y.
        places: ports in the original's order.
        spacing_um: scale of the ports' positions.
        monitor_um: from the source's plane to the plane where amplitudes are read; None for five cells.
    """

    size_um: tuple[float, float]
    places: tuple[Place, ...]
    spacing_um: float = 0.0
    monitor_um: float | None = 0.04


BEND = Layout((1.6, 1.6), (("in", "west", 0.0, 0), ("out", "south", 0.0, 0)))
SPLITTER = Layout((1.6, 1.6), SPLIT, 0.48, None)
CONVERTER = Layout((1.6, 1.6), (("in", "west", 0.0, 0), ("out", "east", 0.0, 1)))
COUPLER = Layout(
    (3.2, 2.0),
    (("port1", "west", 1.0, 0), ("port2", "east", 1.0, 0), ("port3", "east", -1.0, 0), ("port4", "west", -1.0, 0)),
    0.76,
)
# Name -> (full, lightweight).
LAYOUTS = {
    "waveguide_bend": (BEND, BEND),
    "beam_splitter": (COUPLER, COUPLER),
    "power_splitter": (SPLITTER, SPLITTER),
    "mode_converter": (CONVERTER, CONVERTER),
    "wdm": (Layout((6.4, 6.4), SPLIT, 2.68, None), Layout((3.2, 3.2), SPLIT, 1.0, None)),
}
CHALLENGES = tuple(LAYOUTS)


def challenge_device(
    name: str,
    *,
    lightweight: bool = False,
    wavelength_um: Sequence[float] | None = None,
    cells_um: Sequence[float] | None = None,
    threads: int = 4,
) -> PortDevice:
    """A standard problem's device.

    - ``waveguide_bend``: "in" from the west, "out" to the south.
    - ``beam_splitter``: "port1" (upper) and "port4" (lower) west, "port2" (upper) and "port3" (lower) east.
    - ``power_splitter``, ``wdm``: "in" from the west, "lower" and "upper" to the east.
    - ``mode_converter``: "in" (fundamental) from the west, "out" (second mode) to the east.

    Args:
        name: one of :data:`CHALLENGES`.
        lightweight: cells and pixels of 40 nm and two wavelengths instead of 10 nm and six (and a smaller ``wdm``).
        wavelength_um: other vacuum wavelengths.
        cells_um: other cells, a level each, coarsest first; the pixel stays.
        threads: wavelengths solved at once.

    Raises:
        ValueError: for an unknown name, and as :class:`PortDevice`.
    """
    if name not in LAYOUTS:
        raise ValueError(f"Expected a challenge among {', '.join(CHALLENGES)}. Got {name!r}.")
    layout = LAYOUTS[name][1 if lightweight else 0]
    pixel_um = LIGHTWEIGHT_UM if lightweight else FULL_UM
    monitor_um = 5 * pixel_um if layout.monitor_um is None else layout.monitor_um
    distance_um = MARGIN_UM - PORT_OFFSET_UM - monitor_um
    ports = tuple(
        Port(port, side, centre * layout.spacing_um, distance_um, mode, SPAN_UM)
        for port, side, centre, mode in layout.places
    )
    return PortDevice(
        name=f"{name}_challenge",
        size_um=layout.size_um,
        pixel_um=pixel_um,
        permittivity=(CLADDING, CORE),
        background=CLADDING,
        shapes=tuple(guide(port.side, GUIDE_UM, CORE, port.centre_um) for port in ports),
        ports=ports,
        source=ports[0].name,
        wavelength_um=tuple(wavelength_um or (LIGHTWEIGHT_BAND_UM if lightweight else FULL_BAND_UM)),
        cells_um=tuple(cells_um or (pixel_um,)),
        margin_um=MARGIN_UM,
        pml=Pml(PML_CELLS * pixel_um, 3.0, PML_LOG_REFLECTION),
        threads=threads,
    )


def ceviche_reading(device: PortDevice, s: Array) -> Array:
    """What ceviche_challenges reads where a device has the S-parameters ``s``.

    Its monitors (``scattering.py``) compare E, the mean over two cells, with H between them. With k the mode's phase
    per cell that takes a share t = tan(k / 4)^2 of each wave for the opposite one: S11 reads (S11 - t) / (1 - t S11)
    and any other S reads S / (1 - t S11), phases at the monitor. Between unlike modes there is a factor q_out / q_in
    besides, q = cos(k / 4)^2 / sqrt(cos(k / 2)), because the mean weakens E and not H. The share is -56 dB in cells of
    10 nm, but -31 dB in those of 40 nm, where it moves a reflection of -20 dB by 2 to 3 dB.

    Args:
        device: a :func:`challenge_device`.
        s: ``ports x wavelengths`` (leading axes are kept) on the finest cells, the first port excited.
    """
    cell = device.cells_um[-1]
    wavelengths = [nominal + device.wavelength_shift_um for nominal in device.wavelength_um]
    phases = np.array([[_phase(port.mode, cell, wavelength) for wavelength in wavelengths] for port in device.ports])
    share = np.tan(phases[0] / 4) ** 2
    to_monitor = np.exp(2j * phases[0] * device.ports[0].distance_um / cell)
    reflection = s[..., 0, :] * to_monitor
    weight = np.cos(phases / 4) ** 2 / np.sqrt(np.cos(phases / 2))
    factor = weight / weight[0]
    read = factor * s / (1 - share * reflection)[..., None, :]
    read[..., 0, :] = (reflection - share) / (1 - share * reflection) / to_monitor
    return read


def _phase(mode: int, cell_um: float, wavelength_um: float) -> float:
    """Phase per cell of a guide's mode."""
    core, padding = round(GUIDE_UM / cell_um), round(MODE_PADDING_UM / cell_um)
    section = np.pad(np.full(core, CORE), padding, constant_values=CLADDING)
    return slab_mode(section, cell_um, 2 * math.pi / wavelength_um, mode).phase.real
