"""What a device must satisfy before it is simulated."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from physics.fdfd.geometry import check_permittivity
from physics.fdfd.values import real, reals, whole

if TYPE_CHECKING:
    from physics.devices.port_device import PortDevice

CELLS_PER_WAVELENGTH = 8


def normalise(device: PortDevice) -> None:
    """Sequences become tuples and numbers floats, so that a device is hashable; ``ValueError`` for what are neither."""
    values: dict[str, Any] = {
        "wavelength_um": reals("wavelength_um", device.wavelength_um),
        "cells_um": reals("cells_um", device.cells_um),
        "size_um": reals("size_um", device.size_um, 2),
        "permittivity": reals("permittivity", device.permittivity, 2),
        "threads": whole("threads", device.threads),
        "shapes": tuple(device.shapes),
        "ports": tuple(device.ports),
    }
    for name in ("pixel_um", "background", "margin_um"):
        values[name] = real(name, getattr(device, name))
    for name, value in values.items():
        object.__setattr__(device, name, value)  # frozen from here on


def check_device(device: PortDevice) -> None:
    """``ValueError`` with wanted, found and remedy for the first parameter that cannot be simulated soundly."""
    for value in (*device.permittivity, device.background):
        check_permittivity(value)
    check_lengths("wavelength_um", device.wavelength_um)
    check_lengths("cells_um", device.cells_um)
    check_lengths("size_um", device.size_um, distinct=False)
    check_lengths("pixel_um", (device.pixel_um,))
    check_lengths("margin_um", (device.margin_um,))
    if list(device.cells_um) != sorted(device.cells_um, reverse=True):
        raise ValueError(f"Expected cells_um from coarse to fine. Got {device.cells_um}.")
    if device.threads < 1:
        raise ValueError(f"Expected threads of 1 or more. Got {device.threads}.")
    for size in device.size_um:
        pixels = size / device.pixel_um
        if round(pixels) < 1 or abs(pixels - round(pixels)) > 1e-6:
            raise ValueError(
                f"Expected a design region of a whole number of pixels. Got {size} um over {device.pixel_um} um; "
                "change design_um or pixel_um."
            )
    _check_ports(device)
    _check_mesh(device)


def check_lengths(name: str, values: tuple[float, ...], distinct: bool = True) -> None:
    """``ValueError`` unless the values are finite, above 0, at least one, and none is repeated."""
    if not values or not all(math.isfinite(v) and v > 0 for v in values):
        raise ValueError(f"Expected {name} finite and above 0, at least one. Got {values}.")
    if distinct and len(set(values)) != len(values):
        raise ValueError(f"Expected no repeated {name}. Got {values}.")


def _check_ports(device: PortDevice) -> None:
    names = [port.name for port in device.ports]
    if len(names) < 2 or len(set(names)) != len(names):
        raise ValueError(f"Expected two or more ports of distinct names. Got {names}.")
    if device.source not in names:
        raise ValueError(f"Expected a source among the ports {', '.join(names)}. Got {device.source!r}.")
    places = [(port.side, port.centre_um, port.mode) for port in device.ports]
    if len(set(places)) != len(places):
        raise ValueError(f"Expected ports at distinct places or of distinct modes. Got {places}.")


def _check_mesh(device: PortDevice) -> None:
    densest = max(*device.permittivity, device.background, *(shape.permittivity for shape in device.shapes))
    shortest = min(device.wavelength_um) / math.sqrt(densest)
    coarsest = max(device.cells_um)
    if shortest / coarsest < CELLS_PER_WAVELENGTH:
        raise ValueError(
            f"Expected {CELLS_PER_WAVELENGTH} or more cells per wavelength in the densest material. "
            f"Got {shortest / coarsest:.2g} at {coarsest} um; "
            f"use cells of {shortest / CELLS_PER_WAVELENGTH:.3g} um or less."
        )
    for size in device.size_um:
        if size / coarsest < 4:
            raise ValueError(f"Expected a design region of 4 or more cells a side. Got {size / coarsest:.2g}.")
