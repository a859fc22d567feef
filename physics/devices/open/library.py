"""Scatterers and periodic cells ready to be designed, in two dimensions.

The problem families of O. D. Miller, Photonic Design (PhD thesis, University of California, Berkeley, 2012).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from physics.base import Array
from physics.devices.open.checks import shifted
from physics.devices.open.periodic import PeriodicDevice
from physics.devices.open.scattering import ScatteringDevice
from physics.fdfd.dispersion import Medium, number
from physics.fdfd.geometry import Circle
from physics.fdfd.grid import Pml

SOLAR_BAND_UM = tuple(round(0.75 + 0.015 * i, 3) for i in range(8))


def cloak(
    wavelength_um: Sequence[float] = (1.50, 1.525, 1.55, 1.575, 1.60),
    *,
    core: Medium = 12.0,
    radius_um: float = 0.3,
    outer_um: float = 1.0,
    coating: Medium = 2.25,
    angle_deg: Sequence[float] = (0.0,),
    polarization: str = "Ez",
    pixel_um: float = 0.04,
    cells_um: Sequence[float] = (0.04, 0.02),
) -> ScatteringDevice:
    """A cylinder in air in the middle of a square, whose coating is to be designed.

    Args:
        wavelength_um: vacuum wavelengths.
        core: permittivity of the cylinder; for Ez also a metal's.
        radius_um: of the cylinder.
        outer_um: half the side of the square, to a whole pixel; :func:`cloak_void` cuts a ring out of it.
        coating: permittivity of density 1; density 0 is air.
        angle_deg: of the incident waves, from x.
        polarization: "Ez" or "Hz".
        pixel_um: side of a pixel.
        cells_um: sides of the cells, one a level.

    Raises:
        ValueError: for a cylinder that does not fit into the square.
    """
    if not 0 < radius_um < outer_um:
        raise ValueError(f"Expected 0 < radius_um < outer_um. Got radius_um={radius_um}, outer_um={outer_um}.")
    side = 2 * pixel_um * round(outer_um / pixel_um)
    return ScatteringDevice(
        name="cloak",
        size_um=(side, side),
        pixel_um=pixel_um,
        permittivity=(1.0, coating),
        wavelength_um=tuple(wavelength_um),
        cells_um=tuple(cells_um),
        angle_deg=tuple(angle_deg),
        frozen=(Circle((0.0, 0.0), radius_um, core),),
        margin_um=0.3,
        polarization=polarization,
    )


def cloak_void(device: ScatteringDevice) -> NDArray[np.bool_]:
    """Pixels of :func:`cloak` that are not coating: wholly within the cylinder, or beyond the circle."""
    frozen: tuple[object, ...] = getattr(device, "frozen", ())
    if len(frozen) != 1 or not isinstance(frozen[0], Circle):
        raise ValueError(f"Expected a cloak(). Got {getattr(device, 'name', device)!r}.")
    cylinder = frozen[0]
    x, y = (device.pixel_um * (np.arange(n) - (n - 1) / 2) for n in device.design_shape)
    centre = np.hypot(x[:, None], y)
    corner = np.hypot(np.abs(x)[:, None] + device.pixel_um / 2, np.abs(y) + device.pixel_um / 2)
    return (centre > device.size_um[0] / 2) | (corner < cylinder.radius_um)


def solar_texture(
    wavelength_um: Sequence[float] = SOLAR_BAND_UM,
    *,
    index: float = 3.5,
    extinction: float = 5e-3,
    period_um: float = 0.7,
    thickness_um: float = 0.3,
    angle_deg: Sequence[float] = (0.0, 15.0, 30.0),
    polarization: str = "Ez",
    pixel_um: float = 0.02,
    cells_um: Sequence[float] = (0.02, 0.01),
) -> PeriodicDevice:
    """A thin, weakly absorbing film on a perfect mirror whose surface is to be textured; air above.

    The problem of Ganapati, Miller, Yablonovitch, IEEE J. Photovolt. 4, 175 (2014), arXiv:1307.5465, with a
    texture that varies along one axis. Density 1 is film; its lowest pixels rest on the mirror.

    Args:
        wavelength_um: vacuum wavelengths.
        index, extinction: n and k of the film, the same at all wavelengths.
        period_um: of the texture.
        thickness_um: the most the film may take.
        angle_deg: of incidence.
        polarization: "Ez" or "Hz".
        pixel_um: side of a pixel.
        cells_um: sides of the cells, one a level.
    """
    return PeriodicDevice(
        name="solar texture",
        period_um=period_um,
        thickness_um=thickness_um,
        pixel_um=pixel_um,
        permittivity=(1.0, complex(index, extinction) ** 2),
        wavelength_um=tuple(wavelength_um),
        cells_um=tuple(cells_um),
        angle_deg=tuple(angle_deg),
        substrate=None,
        margin_um=0.2,
        pml=Pml(0.5, log_reflection=-16.0),
        polarization=polarization,
    )


def single_pass(device: PeriodicDevice, depth_um: float) -> Array:
    """alpha d of a flat film of a depth, alpha = 4 pi k / wavelength; one a wavelength."""
    wavelengths = shifted(device)
    index = [
        np.sqrt(complex(number(device.permittivity[1], wavelength, device.temperature_k))) for wavelength in wavelengths
    ]
    return 4 * math.pi * np.imag(index) / np.array(wavelengths) * depth_um


def enhancement(device: PeriodicDevice, design: Array, absorption: Array) -> Array:
    """Absorption over that of a single pass through as much film, laid flat, without reflection: A / (alpha d).

    Args:
        device: its design region is the film, of weak absorption: alpha d is much below 1.
        design: density; its mean gives d.
        absorption: ``angle x wavelength`` of the film.

    Returns:
        ``angle x wavelength``.
    """
    return np.asarray(absorption) / single_pass(device, device.thickness_um * float(np.mean(design)))


def ray_limit(index: float, passes: float | Array, axes: int = 1) -> float | Array:
    """The enhancement 1 / (alpha d + 1 / F) of rays in a thick film on a mirror, scattered at random by its surface.

    F is 4 n^2 where the surface scatters along two axes (Yablonovitch, J. Opt. Soc. Am. 72, 899 (1982)) and pi n where
    it varies along one (Yu, Raman, Fan, Opt. Express 18, A366 (2010)). It binds neither a film thinner than a
    wavelength nor an average over less than all angles.

    Args:
        index: n.
        passes: alpha d, see :func:`single_pass`; 0 for the limit of no absorption.
        axes: 1 or 2.
    """
    return 1 / (np.asarray(passes) + 1 / (math.pi * index if axes == 1 else 4 * index**2))
