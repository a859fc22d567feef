"""Permittivities over wavelength and temperature.

Refractive indices are n + i k with k >= 0 for absorption, permittivity (n + i k)^2 (time convention exp(-i omega t)).
Temperature enters as n + dn/dT (T - reference_k), k unchanged.
"""

from __future__ import annotations

import cmath
import math
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from physics.fdfd.values import real, reals

ROOM_K = 293.15


@runtime_checkable
class Material(Protocol):
    """A dispersive medium: frozen, hashable, canonical by ``dataclasses.asdict``."""

    @property
    def range_um(self) -> tuple[float, float]:
        """Wavelengths at which it is known."""

    def permittivity(self, wavelength_um: float, temperature_k: float = ROOM_K) -> complex:
        """Relative permittivity, its imaginary part positive where the material absorbs.

        Raises:
            ValueError: outside ``range_um``.
        """


Medium = float | complex | Material


def check_permittivity(value: complex) -> None:
    """``ValueError`` unless finite and passive: lossless and above 0, or absorbing (imaginary part above 0)."""
    value = complex(value)
    if not cmath.isfinite(value):
        raise ValueError(f"Expected a finite permittivity above 0 or with a positive imaginary part. Got {value}.")
    if value.imag < 0:
        raise ValueError(
            f"Expected a passive material. Got permittivity {value}; absorption is a positive imaginary part here "
            "(time convention exp(-i omega t)), take the complex conjugate."
        )
    if value.imag == 0 and value.real <= 0:
        raise ValueError(
            f"Expected a finite permittivity above 0. Got {value.real}; give a metal its absorption, "
            "a positive imaginary part."
        )


def medium(name: str, value: Any) -> Medium:
    """``value`` as a material, a float where it is real, or a complex number; ``ValueError`` for anything else."""
    if isinstance(value, Material):
        return value
    array = np.asarray(value)
    if array.ndim != 0 or array.dtype.kind not in "iufc":
        raise ValueError(f"Expected {name} as a number or a material. Got {value!r}.")
    check_permittivity(complex(value))
    return complex(value).real if complex(value).imag == 0 else complex(value)


def number(value: Medium, wavelength_um: float, temperature_k: float = ROOM_K) -> float | complex:
    """A medium's permittivity at one wavelength, a float where it is real."""
    if isinstance(value, Material):
        value = complex(value.permittivity(wavelength_um, temperature_k))
        check_permittivity(value)
    return value.real if isinstance(value, complex) and value.imag == 0 else value


@dataclass(frozen=True)
class Constant:
    """A refractive index n + i k that does not depend on the wavelength.

    Args:
        index: n.
        extinction: k, 0 or more.
        dn_dt: dn/dT in 1 / K.
        reference_k: temperature at which ``index`` holds.
        range_um: wavelengths at which it may be used.
    """

    index: float
    extinction: float = 0.0
    dn_dt: float = 0.0
    reference_k: float = ROOM_K
    range_um: tuple[float, float] = (0.0, math.inf)

    def __post_init__(self) -> None:
        _plain(self, "index", "extinction", "dn_dt", "reference_k")
        _check_range(self)
        check_permittivity(complex(self.index, self.extinction) ** 2)

    def permittivity(self, wavelength_um: float, temperature_k: float = ROOM_K) -> complex:
        """(n + i k)^2."""
        _check_wavelength(self, wavelength_um)
        return _squared(self.index, self.extinction, self.dn_dt, temperature_k - self.reference_k)


@dataclass(frozen=True)
class Sellmeier:
    """n^2 = constant + sum of strength L^2 / (L^2 - resonance^2), L the wavelength in um; lossless.

    Args:
        strength: one a term, dimensionless.
        resonance_um: one a term.
        range_um: wavelengths at which the fit holds.
        constant: the limit of n^2 at short wavelengths.
        dn_dt: dn/dT in 1 / K.
        reference_k: temperature at which the fit holds.
    """

    strength: tuple[float, ...]
    resonance_um: tuple[float, ...]
    range_um: tuple[float, float]
    constant: float = 1.0
    dn_dt: float = 0.0
    reference_k: float = ROOM_K

    def __post_init__(self) -> None:
        _plain(self, "constant", "dn_dt", "reference_k")
        _tuples(self, "strength", "resonance_um")
        _check_range(self)

    def permittivity(self, wavelength_um: float, temperature_k: float = ROOM_K) -> complex:
        """n^2, real."""
        _check_wavelength(self, wavelength_um)
        square = wavelength_um**2
        terms = (b * square / (square - c**2) for b, c in zip(self.strength, self.resonance_um, strict=True))
        index = math.sqrt(self.constant + sum(terms))
        return _squared(index, 0.0, self.dn_dt, temperature_k - self.reference_k)


@dataclass(frozen=True)
class Table:
    """Measured n and k, each interpolated linearly in the wavelength.

    Args:
        wavelength_um: ascending.
        index: n, one a wavelength.
        extinction: k, one a wavelength.
        dn_dt: dn/dT in 1 / K.
        reference_k: temperature at which the table holds.
    """

    wavelength_um: tuple[float, ...]
    index: tuple[float, ...]
    extinction: tuple[float, ...]
    dn_dt: float = 0.0
    reference_k: float = ROOM_K

    def __post_init__(self) -> None:
        _plain(self, "dn_dt", "reference_k")
        _tuples(self, "wavelength_um", "index", "extinction")
        if not (np.isfinite(self.wavelength_um).all() and (np.diff(self.wavelength_um) > 0).all()):
            raise ValueError(f"Expected finite ascending wavelengths in a table. Got {self.wavelength_um}.")
        for n, k in zip(self.index, self.extinction, strict=True):
            check_permittivity(complex(n, k) ** 2)

    @classmethod
    def of_permittivity(cls, wavelength_um: Any, permittivity: Any) -> Table:
        """The table of a measured complex permittivity."""
        index = np.sqrt(np.asarray(permittivity, dtype=np.complex128))
        return cls(tuple(wavelength_um), tuple(index.real), tuple(index.imag))

    @property
    def range_um(self) -> tuple[float, float]:
        """First and last wavelength."""
        return self.wavelength_um[0], self.wavelength_um[-1]

    def permittivity(self, wavelength_um: float, temperature_k: float = ROOM_K) -> complex:
        """(n + i k)^2."""
        _check_wavelength(self, wavelength_um)
        n, k = (float(np.interp(wavelength_um, self.wavelength_um, v)) for v in (self.index, self.extinction))
        return _squared(n, k, self.dn_dt, temperature_k - self.reference_k)


def _squared(n: float, k: float, dn_dt: float, warmer_k: float) -> complex:
    return complex(n + dn_dt * warmer_k, k) ** 2


def _plain(material: Any, *names: str) -> None:
    """Numbers become floats, finite ones."""
    for name in names:
        value = real(f"a material's {name}", getattr(material, name))
        if not math.isfinite(value):
            raise ValueError(f"Expected a material's {name} finite. Got {value}.")
        object.__setattr__(material, name, value)


def _tuples(material: Any, *names: str) -> None:
    """Sequences become tuples of float, of one length."""
    for name in names:
        object.__setattr__(material, name, reals(f"a material's {name}", getattr(material, name)))
    lengths = {len(getattr(material, name)) for name in names}
    if len(lengths) != 1 or 0 in lengths:
        raise ValueError(f"Expected equally many {', '.join(names)} of a material, one or more. Got {material}.")


def _check_range(material: Any) -> None:
    object.__setattr__(material, "range_um", reals("a material's range_um", material.range_um, 2))
    lower, upper = material.range_um
    if not 0 <= lower < upper:
        raise ValueError(f"Expected a material's range_um as 0 <= lower < upper. Got {material.range_um}.")


def _check_wavelength(material: Material, wavelength_um: float) -> None:
    lower, upper = material.range_um
    if not lower <= wavelength_um <= upper:
        raise ValueError(
            f"Expected a wavelength within the material's data, {lower} to {upper} um. Got {wavelength_um}; "
            "use a material that is known there."
        )
