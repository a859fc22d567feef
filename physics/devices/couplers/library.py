"""Ready-made grating couplers, and what a person would draw into them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from physics.base import Array
from physics.devices.couplers.grating_coupler import GratingCoupler
from physics.fdfd.values import real, reals


def grating_coupler(
    wavelength_um: float | Sequence[float] = 1.55,
    *,
    length_um: float = 12.0,
    pixel_um: float = 0.02,
    waist_um: float = 5.2,
    angle_deg: float = 10.0,
    beam_x_um: float = 0.0,
    etch_um: float = 0.07,
    polarization: str = "Ez",
    cells_um: float | Sequence[float] = (0.04, 0.02),
    threads: int = 4,
) -> GratingCoupler:
    """A grating coupler of a 220 nm device layer on 2 um of oxide, to a fibre; see :class:`GratingCoupler`.

    Args:
        wavelength_um: vacuum wavelengths, one or several.
        length_um, pixel_um, waist_um, angle_deg, beam_x_um, etch_um, polarization, cells_um, threads: as there.
    """
    return GratingCoupler(
        length_um=length_um,
        pixel_um=pixel_um,
        wavelength_um=reals("wavelength_um", wavelength_um),
        waist_um=waist_um,
        angle_deg=angle_deg,
        beam_x_um=beam_x_um,
        etch_um=etch_um,
        polarization=polarization,
        cells_um=reals("cells_um", cells_um),
        threads=threads,
    )


def uniform_grating(
    device: GratingCoupler, period_um: float, groove_share: float = 0.5, start_um: float = 0.0
) -> Array:
    """The grating a person would draw: equal grooves, as area fractions of the density's pixels.

    Args:
        device: the coupler.
        period_um: from groove to groove.
        groove_share: width of a groove over the period, between 0 and 1.
        start_um: from the design region's west edge to the first groove.

    Returns:
        Density of ``device.design_shape``.
    """
    period, share, start = real("period_um", period_um), real("groove_share", groove_share), real("start_um", start_um)
    if not (period > 0 and 0 < share < 1 and start >= 0):
        raise ValueError(
            f"Expected period_um > 0, a groove_share in (0, 1) and start_um >= 0. Got {(period, share, start)}."
        )
    edges = np.arange(device.design_shape[0] + 1) * device.pixel_um - start
    whole, rest = np.divmod(np.maximum(edges, 0.0), period)
    etched_so_far = whole * share * period + np.minimum(rest, share * period)
    return np.clip(1 - np.diff(etched_so_far) / device.pixel_um, 0.0, 1.0)[:, None]
