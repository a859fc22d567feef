"""Ready-made gratings and meta-atoms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from physics.base import Array
from physics.rcwa.metagrating import Metagrating

SILICON = (3.45 + 0.00001j) ** 2
SILICA = 1.45**2


def metagrating(
    *,
    wavelength_um: float | Sequence[float] = 1.05,
    deflection_deg: float = 50.0,
    thickness_um: float = 0.325,
    pixel_um: float = 0.0117,
    harmonics: Sequence[Any] = ((6, 2), (10, 4), (14, 5)),
) -> Metagrating:
    """Silicon on silica that deflects normally incident TM light into order "1,0" in air: a standard design problem.

    The metagrating of J. Jiang, E. W. Wang, J. A. Fan et al. in the photonics-opt-testbed (NanoComp), as the
    challenge `metagrating` of invrs-gym 1.6 sets it: 1.371 um x 0.525 um in 118 x 45 pixels, symmetric under
    y -> -y (``rho == rho[:, ::-1]``), maximise the efficiency of the transmitted order "1,0", smallest width and
    spacing 5 pixels. Its best published design has 0.99603.

    Args:
        wavelength_um: vacuum wavelengths; the first sets the periods.
        deflection_deg: angle of the first order in air at that wavelength.
        thickness_um: of the silicon.
        pixel_um: largest side of a pixel.
        harmonics: levels, as for :class:`Metagrating`.
    """
    first = float(np.atleast_1d(np.asarray(wavelength_um, dtype=float))[0])
    if not 0 < deflection_deg < 90:
        raise ValueError(f"Expected deflection_deg between 0 and 90. Got {deflection_deg}.")
    return Metagrating(
        name="metagrating",
        period_um=(first / math.sin(math.radians(deflection_deg)), first / 2),
        pixel_um=pixel_um,
        thickness_um=thickness_um,
        permittivity=((1 + 0.00001j) ** 2, SILICON),
        wavelength_um=wavelength_um,  # type: ignore[arg-type]
        substrate=SILICA,
        polarisation="TM",
        harmonics=tuple(harmonics),
    )


def lamellar_grating(
    wavelength_um: float | Sequence[float] = 1.05,
    *,
    period_um: float = 1.05 / math.sin(math.radians(50.0)),
    pixel_um: float = 0.0117,
    thickness_um: float = 0.325,
    permittivity: Sequence[complex] = (1.0, SILICON.real),
    superstrate: complex = 1.0,
    substrate: complex = SILICA,
    incident: str = "substrate",
    angle_deg: float | Sequence[float] = 0.0,
    polarisation: str = "TM",
    harmonics: Sequence[Any] = (10, 20, 40),
) -> Metagrating:
    """Lines along y, light in the x-z plane; its orders are integers. Arguments as :class:`Metagrating`."""
    return Metagrating(
        name="lamellar_grating",
        period_um=(period_um,),
        pixel_um=pixel_um,
        thickness_um=thickness_um,
        permittivity=tuple(permittivity),  # type: ignore[arg-type]
        wavelength_um=wavelength_um,  # type: ignore[arg-type]
        superstrate=superstrate,
        substrate=substrate,
        incident=incident,
        angle_deg=angle_deg,  # type: ignore[arg-type]
        polarisation=polarisation,
        harmonics=tuple(harmonics),
    )


def meta_atom(
    wavelength_um: float | Sequence[float] = 1.55,
    *,
    period_um: float = 0.7,
    pixel_um: float = 0.02,
    thickness_um: float = 0.9,
    permittivity: Sequence[complex] = (1.0, 3.48**2),
    substrate: complex = 1.444**2,
    polarisation: str = "TM",
    harmonics: Sequence[Any] = (3, 5, 7),
) -> Metagrating:
    """A square cell of a meta-surface on glass, lit from the glass along the normal: order "0,0" alone is transmitted.

    Its answer of interest is ``amplitude`` at side "transmitted" and order "0,0": phase and magnitude of what a cell of
    this pattern adds to a meta-lens. TM is polarised along x, TE along y. :func:`rectangular_pillar` draws a design.
    Arguments as :class:`Metagrating`.

    Raises:
        ValueError: also where another order is transmitted.
    """
    atom = Metagrating(
        name="meta_atom",
        period_um=(period_um, period_um),
        pixel_um=pixel_um,
        thickness_um=thickness_um,
        permittivity=tuple(permittivity),  # type: ignore[arg-type]
        wavelength_um=wavelength_um,  # type: ignore[arg-type]
        substrate=substrate,
        polarisation=polarisation,
        harmonics=tuple(harmonics),
    )
    if atom.orders != ((0, 0),):
        raise ValueError(
            f"Expected a cell too small for any order but 0,0. Got {atom.orders}; shorten its period of {period_um} um."
        )
    return atom


def rectangular_pillar(grating: Metagrating, size_um: Sequence[float]) -> Array:
    """The density of a centred rectangle, sides along x and y, as area fractions of the pixels.

    Raises:
        ValueError: for sides that do not fit the cell.
    """
    if len(size_um) != len(grating.period_um):
        raise ValueError(f"Expected a side for each of {len(grating.period_um)} periods. Got {size_um}.")
    fractions = [np.ones(1), np.ones(1)]
    for axis, (side, period) in enumerate(zip(size_um, grating.period_um, strict=True)):
        if not 0 <= side <= period:
            raise ValueError(f"Expected sides from 0 to the period of {period:.4g} um. Got {side}.")
        edges = np.linspace(-period / 2, period / 2, grating.design_shape[axis] + 1)
        inside = np.minimum(edges[1:], side / 2) - np.maximum(edges[:-1], -side / 2)
        fractions[axis] = np.clip(inside, 0, None) / np.diff(edges)
    return np.clip(np.outer(*fractions), 0, 1)
