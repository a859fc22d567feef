"""What a grating coupler must satisfy before it is simulated."""

from __future__ import annotations

import cmath
import math
from typing import TYPE_CHECKING, Any

from physics.devices.checks import check_lengths, check_resolved
from physics.fdfd.dispersion import medium, number
from physics.fdfd.media import POLARIZATIONS
from physics.fdfd.values import real, reals, whole

if TYPE_CHECKING:
    from physics.devices.couplers.grating_coupler import GratingCoupler

LENGTHS = ("length_um", "pixel_um", "waist_um", "core_um", "etch_um", "box_um", "margin_um")
PLACES = ("angle_deg", "beam_x_um", "beam_height_um", "temperature_k", "wavelength_shift_um")
STEEPEST_DEG = 45.0


def normalise_coupler(device: GratingCoupler) -> None:
    """Sequences become tuples and numbers floats; ``ValueError`` for what are neither."""
    values: dict[str, Any] = {name: real(name, getattr(device, name)) for name in (*LENGTHS, *PLACES)}
    values |= {name: reals(name, getattr(device, name)) for name in ("wavelength_um", "cells_um")}
    values |= {name: medium(name, getattr(device, name)) for name in ("core", "cladding", "box", "substrate")}
    values |= {"threads": whole("threads", device.threads), "slab_beyond": bool(device.slab_beyond)}
    for name, value in values.items():
        object.__setattr__(device, name, value)  # frozen from here on


def check_coupler(device: GratingCoupler) -> None:
    """``ValueError`` with wanted, found and remedy for the first parameter that cannot be simulated soundly."""
    if device.polarization not in POLARIZATIONS:
        raise ValueError(f"Expected a polarization among {', '.join(POLARIZATIONS)}. Got {device.polarization!r}.")
    for name in (*LENGTHS, "temperature_k"):
        check_lengths(name, (getattr(device, name),))
    check_lengths("wavelength_um", device.wavelength_um)
    check_lengths("shifted wavelengths", tuple(w + device.wavelength_shift_um for w in device.wavelength_um))
    check_lengths("cells_um", device.cells_um)
    if not all(math.isfinite(getattr(device, name)) for name in PLACES):
        raise ValueError(f"Expected a finite {', '.join(PLACES)}. Got {device}.")
    if list(device.cells_um) != sorted(device.cells_um, reverse=True):
        raise ValueError(f"Expected cells_um from coarse to fine. Got {device.cells_um}.")
    if device.threads < 1:
        raise ValueError(f"Expected threads of 1 or more. Got {device.threads}.")
    if abs(device.angle_deg) > STEEPEST_DEG:
        raise ValueError(f"Expected an angle of {STEEPEST_DEG:g} degrees or less. Got angle_deg={device.angle_deg}.")
    if device.etch_um > device.core_um * (1 + 1e-9):
        raise ValueError(
            f"Expected an etch of at most the device layer's thickness. Got etch_um={device.etch_um} and "
            f"core_um={device.core_um}."
        )
    pixels = device.length_um / device.pixel_um
    if round(pixels) < 1 or abs(pixels - round(pixels)) > 1e-6:
        raise ValueError(
            f"Expected a design region of a whole number of pixels. Got {device.length_um} um over {device.pixel_um} "
            "um; change length_um or pixel_um."
        )
    _check_media(device)


def _check_media(device: GratingCoupler) -> None:
    coarsest = max(device.cells_um)
    for nominal in device.wavelength_um:
        wavelength = nominal + device.wavelength_shift_um
        core, *others = (
            complex(number(value, wavelength, device.temperature_k))
            for value in (device.core, device.cladding, device.box, device.substrate)
        )
        if not core.real > max(others[0].real, others[1].real):
            raise ValueError(
                f"Expected a core of higher permittivity than cladding and box. Got {core}, {others[0]}, {others[1]}."
            )
        index = max(abs(cmath.sqrt(value)) for value in (core, *others))
        check_resolved(wavelength / index, coarsest)
    for name in ("length_um", "core_um"):
        if getattr(device, name) / coarsest < 4:
            raise ValueError(f"Expected {name} of 4 or more cells. Got {getattr(device, name) / coarsest:.2g}.")
