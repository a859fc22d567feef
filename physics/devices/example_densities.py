"""Densities to try devices on."""

from __future__ import annotations

import numpy as np

from physics.base import Array


def smooth_densities(rng: np.random.Generator, n: int, shape: tuple[int, int], periodic_x: bool = False) -> Array:
    """Smooth random densities, alternately grey and nearly binary, ``n x *shape``; one period along x if so asked."""
    x, y = (np.pi * (np.arange(pixels) + 0.5) / pixels for pixels in shape)
    modes = np.arange(5)
    coefficients = rng.standard_normal((n, 5, 5))
    along_x = np.cos(np.outer(modes, x))
    if periodic_x:
        along_x = np.concatenate([along_x[::2], np.sin(np.outer(modes[2::2], x))])
    waves = np.einsum("nab,ai,bj->nij", coefficients, along_x, np.cos(np.outer(modes, y)))
    sharpness = np.where(np.arange(n) % 2 == 0, 0.3, 5.0)[:, None, None]
    return 0.5 + 0.5 * np.tanh(sharpness * waves)
