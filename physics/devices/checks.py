"""What a device must satisfy before it is simulated."""

from __future__ import annotations

import cmath
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from physics.fdfd.dispersion import medium, number
from physics.fdfd.media import POLARIZATIONS
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
        "permittivity": _pair(device.permittivity),
        "background": medium("background", device.background),
        "source": _names(device.source),
        "threads": whole("threads", device.threads),
        "shapes": tuple(device.shapes),
        "ports": tuple(device.ports),
    }
    for name in ("pixel_um", "margin_um", "temperature_k", "wavelength_shift_um"):
        values[name] = real(name, getattr(device, name))
    for name, value in values.items():
        object.__setattr__(device, name, value)  # frozen from here on


def _names(source: Any) -> Any:
    """A name, or a tuple of several."""
    if isinstance(source, str):
        return source
    names = tuple(source) if isinstance(source, Iterable) else ()
    if not names or not all(isinstance(name, str) for name in names):
        raise ValueError(f"Expected source as the name of a port, or several. Got {source!r}.")
    return tuple(str(name) for name in names)


def _pair(value: Any) -> tuple[Any, Any]:
    """Two media."""
    try:
        low, high = value
    except (TypeError, ValueError):
        raise ValueError(f"Expected permittivity as a pair, of density 0 and density 1. Got {value!r}.") from None
    return medium("the permittivity of density 0", low), medium("the permittivity of density 1", high)


def check_device(device: PortDevice) -> None:
    """``ValueError`` with wanted, found and remedy for the first parameter that cannot be simulated soundly."""
    if device.polarization not in POLARIZATIONS:
        raise ValueError(f"Expected a polarization among {', '.join(POLARIZATIONS)}. Got {device.polarization!r}.")
    check_lengths("wavelength_um", device.wavelength_um)
    shifted = tuple(wavelength + device.wavelength_shift_um for wavelength in device.wavelength_um)
    check_lengths("shifted wavelengths", shifted)
    check_lengths("temperature_k", (device.temperature_k,))
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
    coarsest = max(device.cells_um)
    check_cells(device, coarsest)
    for size in device.size_um:
        if size / coarsest < 4:
            raise ValueError(f"Expected a design region of 4 or more cells a side. Got {size / coarsest:.2g}.")
    try:
        hash((device, device.identity))
    except TypeError as error:
        raise ValueError(
            f"Expected all parameters hashable. Got {error}; make a material or a shape of your own a frozen dataclass."
        ) from None


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
    sources = (device.source,) if isinstance(device.source, str) else device.source
    if not sources or len(set(sources)) != len(sources) or not set(sources) <= set(names):
        raise ValueError(
            f"Expected a source, or distinct ones, among the ports {', '.join(names)}. Got {device.source!r}."
        )
    places = [(port.side, port.centre_um, port.mode) for port in device.ports]
    if len(set(places)) != len(places):
        raise ValueError(f"Expected ports at distinct places or of distinct modes. Got {places}.")


def check_cells(device: PortDevice, cell_um: float) -> None:
    """``ValueError`` for cells too large for the shortest wavelength in the densest material."""
    media = (*device.permittivity, device.background, *(shape.permittivity for shape in device.shapes))
    shortest = math.inf
    for nominal in device.wavelength_um:
        wavelength = nominal + device.wavelength_shift_um
        index = max(abs(cmath.sqrt(number(value, wavelength, device.temperature_k))) for value in media)
        shortest = min(shortest, wavelength / index)
    check_resolved(shortest, cell_um)


def check_resolved(shortest_um: float, cell_um: float) -> None:
    """``ValueError`` for cells too large for the shortest wavelength inside a material."""
    if shortest_um / cell_um < CELLS_PER_WAVELENGTH:
        raise ValueError(
            f"Expected {CELLS_PER_WAVELENGTH} or more cells per wavelength in the densest material. "
            f"Got {shortest_um / cell_um:.2g} at {cell_um} um; "
            f"use cells of {shortest_um / CELLS_PER_WAVELENGTH:.3g} um or less."
        )
