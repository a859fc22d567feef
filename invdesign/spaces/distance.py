"""Signed distances from the contours of sampled functions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, zoom

from physics.base import Array

# Samples a pixel and axis between which the contour is placed; odd, so that one lies at the pixel's centre.
REFINEMENT = 7


def signed_distance(
    values: Array, pixel_um: float, level: float = 0.0, periodic: tuple[bool, bool] = (False, False)
) -> NDArray[np.float64]:
    """Distance in micrometres of each pixel's centre from the contour at `level`, positive where values exceed it.

    The contour is that of the bilinear interpolation between the pixels' centres, found to about a tenth of a pixel.
    Where there is no contour the distance is infinite, with the sign of `values - level` (0 counts as below).

    Args:
        values: `(nx, ny)`.
        pixel_um: edge of a pixel.
        level: of the contour.
        periodic: along x and y, whether the array is one period.

    Raises:
        ValueError: unless `values` is a finite array of two axes.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 2 or array.size == 0 or not np.isfinite(array).all():
        raise ValueError(f"Expected finite values of two axes (x, y). Got an array of shape {array.shape}.")
    # The nearest contour of a period is never further than half a period.
    margins = [(n + 1) // 2 if wraps else 0 for n, wraps in zip(array.shape, periodic, strict=True)]
    array = np.pad(array, [(margin, margin) for margin in margins], mode="wrap")
    fine = zoom(array, REFINEMENT, order=1, mode="nearest", grid_mode=True) > level
    centre = slice(REFINEMENT // 2, None, REFINEMENT)
    own = tuple(slice(margin, n - margin) for margin, n in zip(margins, array.shape, strict=True))
    if fine.all() or not fine.any():
        return np.full(array.shape, np.inf if fine.all() else -np.inf)[own]
    # A sample next to the contour is half a sample away from it, not a whole one.
    inside = distance_transform_edt(fine)[centre, centre] - 0.5
    outside = distance_transform_edt(~fine)[centre, centre] - 0.5
    distance = np.where(fine[centre, centre], inside, -outside) * (pixel_um / REFINEMENT)
    return distance[own]
