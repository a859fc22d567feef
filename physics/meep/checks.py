"""What a ladder must satisfy before it is simulated."""

from __future__ import annotations

from typing import TYPE_CHECKING

from physics.devices.checks import check_cells, check_lengths
from physics.devices.port_device import PortDevice
from physics.fdfd.dispersion import number
from physics.meep.description import Mesh, described, groups

if TYPE_CHECKING:
    from physics.meep.ladder import MeepLadder


def check_ladder(ladder: MeepLadder) -> None:
    """``ValueError`` with wanted, found and remedy for the first parameter that cannot be simulated soundly."""
    if not isinstance(ladder.device, PortDevice):
        raise ValueError(f"Expected a PortDevice. Got {ladder.device!r}; use one of physics.devices.")
    for name in ("cells_um", "slab_cells_um"):
        cells = getattr(ladder, name)
        if cells:
            check_lengths(name, cells)
        if list(cells) != sorted(cells, reverse=True):
            raise ValueError(f"Expected {name} from coarse to fine. Got {cells}.")
    for name in ("pml_um", "transits", "gap_um", "time_limit_s"):
        check_lengths(name, (getattr(ladder, name),))
    if ladder.slab_um is not None:
        check_lengths("slab_um", (ladder.slab_um,))
    if bool(ladder.slab_cells_um) and ladder.slab_um is None:
        raise ValueError("Expected slab_um, the thickness of the core layer, with slab_cells_um. Got none.")
    if not ladder.meshes:
        raise ValueError("Expected cells_um, or slab_um and slab_cells_um. Got none: nothing for Meep to do.")
    check_design_media(ladder.device)
    if ladder.slab_um is not None and ladder.device.permittivity[0] != ladder.device.background:
        raise ValueError(
            "Expected density 0 of a layered device to be the background, which lies above and below the layer. "
            f"Got {ladder.device.permittivity[0]} and {ladder.device.background}."
        )
    for mesh in ladder.meshes:
        device = ladder.device if mesh.thickness_um is not None else ladder.planar
        check_cells(device, mesh.cell_um)
        describable(device, mesh)


def check_design_media(device: PortDevice) -> None:
    """``ValueError`` for a design region that absorbs; static shapes may.

    Meep interpolates the conductivity, not the imaginary permittivity, and meep.adjoint 1.25 gives a wrong gradient:
    off by 5 % at an imaginary part of 0.1 and by 35 % at 1 (density 1 of permittivity 12.1), by central differences.
    """
    for wavelength in device.wavelength_um:
        for value in device.permittivity:
            found = complex(number(value, wavelength + device.wavelength_shift_um, device.temperature_k))
            if found.imag:
                raise ValueError(
                    f"Expected lossless media of density 0 and 1. Got {found}; Meep has no right gradient with "
                    "absorption in the design region. Use real permittivities there, or FDFD alone."
                )


def describable(device: PortDevice, mesh: Mesh) -> None:
    """``ValueError`` for media and shapes that Meep cannot be given."""
    for wavelengths in groups(device):
        described(device, mesh, wavelengths)
