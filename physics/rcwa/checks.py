"""What a grating must satisfy before it is simulated."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from physics.fdfd.values import real, reals, whole
from physics.rcwa.orders import Pair, box, grazing

if TYPE_CHECKING:
    from physics.rcwa.metagrating import Metagrating

SIDES = ("substrate", "superstrate")
ALIASES = {"TE": "TE", "TM": "TM", "Ez": "TE", "Hz": "TM"}


def normalise(grating: Metagrating) -> None:
    """Sequences become tuples and numbers plain, so that a grating is hashable; ``ValueError`` for what are neither."""
    period = reals("period_um", grating.period_um)
    if len(period) not in (1, 2):
        raise ValueError(f"Expected period_um of one or two periods. Got {grating.period_um!r}.")
    values: dict[str, Any] = {
        "period_um": period,
        "wavelength_um": reals("wavelength_um", grating.wavelength_um),
        "angle_deg": reals("angle_deg", grating.angle_deg),
        "permittivity": tuple(number("permittivity", value) for value in grating.permittivity),
        "harmonics": tuple(pair(value, period) for value in _several(grating.harmonics)),
    }
    for name in ("pixel_um", "thickness_um", "azimuth_deg"):
        values[name] = real(name, getattr(grating, name))
    for name in SIDES:
        values[name] = number(name, getattr(grating, name))
    for name in ("period_um", "wavelength_um"):
        _check_lengths(name, values[name])
    for name in ("pixel_um", "thickness_um"):
        _check_lengths(name, (values[name],))
    counts = pixels(period, values["pixel_um"])
    values["pixel_um"] = max(side / count for side, count in zip(period, counts, strict=True))
    if grating.polarisation in ("Ez", "Hz") and not (len(period) == 1 and values["azimuth_deg"] == 0):
        raise ValueError(
            f"Expected polarisation 'TE' or 'TM' unless the cell has one period and azimuth_deg is 0. "
            f"Got {grating.polarisation!r}."
        )
    if grating.polarisation not in ALIASES:
        raise ValueError(f"Expected polarisation among {', '.join(ALIASES)}. Got {grating.polarisation!r}.")
    values["polarisation"] = ALIASES[grating.polarisation]
    for name, value in values.items():
        object.__setattr__(grating, name, value)  # frozen from here on


def pixels(period_um: tuple[float, ...], pixel_um: float) -> tuple[int, ...]:
    """The fewest equal pixels no larger than ``pixel_um``, for each period."""
    return tuple(math.ceil(period / pixel_um - 1e-9) for period in period_um)


def number(name: str, value: Any) -> complex:
    """A permittivity as a finite complex number that is not zero and does not amplify; else ``ValueError``."""
    if isinstance(value, bool) or not isinstance(value, int | float | complex | np.number):
        raise ValueError(f"Expected {name} as a number. Got {value!r}.")
    plain = complex(value)
    if not np.isfinite(plain) or plain == 0 or plain.imag < 0:
        raise ValueError(
            f"Expected {name} finite, not 0, with an imaginary part of 0 or more (loss is positive). Got {value}."
        )
    return plain


def pair(value: Any, period_um: tuple[float, ...]) -> Pair:
    """Highest order along x and y; one number is meant along the longest period, the other in proportion."""
    several = [whole("harmonics", v) for v in _several(value)]
    if len(period_um) == 1 and several[1:] == [0]:
        several = several[:1]
    if len(several) == 1:
        longest = max(period_um)
        several = [math.ceil(several[0] * period / longest - 1e-9) for period in period_um]
    if len(several) != len(period_um) or min(several) < 1:
        raise ValueError(
            f"Expected harmonics of 1 or more, one number or one for each of {len(period_um)} periods. Got {value!r}."
        )
    return (several[0], 0) if len(several) == 1 else (several[0], several[1])


def check_grating(grating: Metagrating) -> None:
    """``ValueError`` with wanted, found and remedy for the first parameter that cannot be simulated soundly."""
    if len(grating.permittivity) != 2:
        raise ValueError(f"Expected permittivity of density 0 and density 1. Got {grating.permittivity}.")
    if len(set(grating.wavelength_um)) != len(grating.wavelength_um):
        raise ValueError(f"Expected no repeated wavelength_um. Got {grating.wavelength_um}.")
    angles = grating.angle_deg
    if not angles or len(set(angles)) != len(angles) or not all(-90 < angle < 90 for angle in angles):
        raise ValueError(f"Expected angle_deg between -90 and 90, none repeated. Got {angles}.")
    if not math.isfinite(grating.azimuth_deg):
        raise ValueError(f"Expected a finite azimuth_deg. Got {grating.azimuth_deg}.")
    if grating.incident not in SIDES:
        raise ValueError(f"Expected incident among {', '.join(SIDES)}. Got {grating.incident!r}.")
    if grating.front.imag != 0 or grating.front.real <= 0:
        raise ValueError(
            f"Expected light to come from a medium of real permittivity above 0. Got {grating.front} in the "
            f"{grating.incident}."
        )
    counts = [(2 * mx + 1) * (2 * my + 1) for mx, my in grating.harmonics]
    if not counts or counts != sorted(set(counts)):
        raise ValueError(f"Expected harmonics from few to many. Got {grating.harmonics}.")
    _check_orders(grating)


def _check_orders(grating: Metagrating) -> None:
    for incidence in grating.incidences():
        transverse = incidence.transverse(grating.front.real, grating.period_um, box(grating.harmonics[-1]))
        # The gaps between the layer and its half-spaces are vacuum, so its grazing orders matter too.
        for permittivity in (grating.front, grating.back, 1.0):
            if grazing(permittivity, transverse):
                raise ValueError(
                    f"Expected no order along the surface. Got one in permittivity {permittivity} at {incidence}; "
                    "change the wavelength, the angle or the period by one part in a million."
                )
    seen = np.abs(np.array(grating.orders)).max(axis=0)
    if (seen > grating.harmonics[0]).any():
        raise ValueError(
            f"Expected harmonics beyond the highest propagating order, {tuple(int(n) for n in seen)}. "
            f"Got {grating.harmonics[0]}; add harmonics."
        )


def _check_lengths(name: str, values: tuple[float, ...]) -> None:
    if not values or not all(math.isfinite(v) and v > 0 for v in values):
        raise ValueError(f"Expected {name} finite and above 0, at least one. Got {values}.")


def _several(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, Iterable) and not isinstance(value, str) else (value,)
