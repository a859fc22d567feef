"""What devices in free space and in periodic cells must satisfy before they are simulated."""

from __future__ import annotations

import cmath
import math
from collections.abc import Iterable, Mapping
from typing import Any

from physics.devices.checks import check_lengths, check_resolved
from physics.fdfd.dispersion import Medium, medium, number
from physics.fdfd.media import POLARIZATIONS
from physics.fdfd.values import real, reals, whole

MARGIN_CELLS = 6


def normalise(device: Any, reals_of: Mapping[str, int | None], reals_one: Iterable[str], media: Iterable[str]) -> None:
    """Sequences become tuples and numbers floats, so that a device is hashable; ``ValueError`` for what are neither.

    Args:
        device: a frozen dataclass.
        reals_of: names of tuples of numbers, with their length or None.
        reals_one: names of single numbers.
        media: names of single media.
    """
    values: dict[str, Any] = {name: reals(name, getattr(device, name), count) for name, count in reals_of.items()}
    values |= {name: real(name, getattr(device, name)) for name in reals_one}
    values |= {name: medium(name, getattr(device, name)) for name in media}
    values |= {"shapes": tuple(device.shapes), "frozen": tuple(device.frozen)}
    values |= {"threads": whole("threads", device.threads), "permittivity": _pair(device.permittivity)}
    for name, value in values.items():
        object.__setattr__(device, name, value)


def _pair(value: Any) -> tuple[Medium, Medium]:
    try:
        low, high = value
    except (TypeError, ValueError):
        raise ValueError(f"Expected permittivity as a pair, of density 0 and density 1. Got {value!r}.") from None
    return medium("the permittivity of density 0", low), medium("the permittivity of density 1", high)


def check_common(device: Any, media: Iterable[Medium]) -> None:
    """``ValueError`` with wanted, found and remedy for the first common parameter that cannot be simulated soundly.

    Args:
        device: with the common parameters normalised.
        media: all that it is made of.
    """
    if device.polarization not in POLARIZATIONS:
        raise ValueError(f"Expected a polarization among {', '.join(POLARIZATIONS)}. Got {device.polarization!r}.")
    check_lengths("wavelength_um", device.wavelength_um)
    check_lengths("shifted wavelengths", shifted(device))
    for name in ("temperature_k", "pixel_um", "margin_um"):
        check_lengths(name, (getattr(device, name),))
    check_lengths("cells_um", device.cells_um)
    if list(device.cells_um) != sorted(device.cells_um, reverse=True):
        raise ValueError(f"Expected cells_um from coarse to fine. Got {device.cells_um}.")
    if device.threads < 1:
        raise ValueError(f"Expected threads of 1 or more. Got {device.threads}.")
    check_angles("angle_deg", device.angle_deg)
    coarsest = device.cells_um[0]
    if device.margin_um < MARGIN_CELLS * coarsest:
        raise ValueError(
            f"Expected a margin_um of {MARGIN_CELLS} cells or more, {MARGIN_CELLS * coarsest:g} um. "
            f"Got {device.margin_um}."
        )
    media = tuple(media)
    for wavelength in shifted(device):
        if number(device.permittivity[0], wavelength, device.temperature_k) == number(
            device.permittivity[1], wavelength, device.temperature_k
        ):
            raise ValueError("Expected two different permittivities of the design. Got equal ones.")
        check_mesh(media, wavelength, device.temperature_k, coarsest)


def check_mesh(media: Iterable[Medium], wavelength_um: float, temperature_k: float, cell_um: float) -> None:
    """``ValueError`` where a wave is resolved by too few cells; metals, in which none propagates, do not count."""
    values = [complex(number(value, wavelength_um, temperature_k)) for value in media]
    index = max((abs(cmath.sqrt(value)) for value in values if value.real > 0), default=1.0)
    check_resolved(wavelength_um / index, cell_um)


def check_angles(name: str, angles: tuple[float, ...], empty: bool = False) -> None:
    """``ValueError`` unless the angles are finite and distinct, and there are some."""
    if not all(math.isfinite(angle) for angle in angles) or len(set(angles)) != len(angles):
        raise ValueError(f"Expected finite distinct {name}. Got {angles}.")
    if not angles and not empty:
        raise ValueError(f"Expected one {name} or more. Got none.")


def whole_number(what: str, length_um: float, unit: str, unit_um: float, least: int = 1) -> int:
    """``length_um / unit_um``, ``ValueError`` where it is not whole or too small."""
    count = length_um / unit_um
    if not math.isfinite(count) or round(count) < least or abs(count - round(count)) > 1e-6:
        raise ValueError(
            f"Expected {what} of a whole number of {unit}, {least} or more. Got {length_um} um over {unit_um} um."
        )
    return round(count)


def shifted(device: Any) -> tuple[float, ...]:
    """The wavelengths at which media and fields are computed."""
    return tuple(wavelength + device.wavelength_shift_um for wavelength in device.wavelength_um)
