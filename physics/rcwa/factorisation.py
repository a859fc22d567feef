"""Permittivity of a pixel cell as matrices between Fourier orders, with the right rule for each field component.

Li, J. Opt. Soc. Am. A 13, 1870 (1996): where permittivity and field jump together and their product does not, the
inverse of the matrix of 1/eps converges, that of eps does not. Pixels have walls along x and y only, so the rule of Li,
J. Opt. Soc. Am. A 14, 2758 (1997), section 3, is exact for them: for Ex invert along x, then transform along y.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def coefficients(values: Tensor, axis: int, harmonics: int) -> Tensor:
    """Exact Fourier coefficients of piecewise constant pixels over one period.

    Args:
        values: complex, pixels along ``axis``; the period starts at the left edge of the first.
        axis: which is replaced by a new last one, of orders -2 harmonics to 2 harmonics.
        harmonics: highest order of the fields.
    """
    pixels = values.shape[axis]
    orders = torch.arange(-2 * harmonics, 2 * harmonics + 1, dtype=torch.float64)
    centres = (torch.arange(pixels, dtype=torch.float64) + 0.5) / pixels
    waves = torch.exp(-2j * math.pi * orders[:, None] * centres) * torch.sinc(orders / pixels)[:, None] / pixels
    return torch.tensordot(values, waves, dims=([axis], [1]))


def toeplitz(coefficient: Tensor, harmonics: int) -> Tensor:
    """``... x (4 h + 1)`` coefficients as ``... x (2 h + 1) x (2 h + 1)`` matrices of products in Fourier space."""
    order = torch.arange(2 * harmonics + 1)
    return coefficient[..., order[:, None] - order[None, :] + 2 * harmonics]


def permittivity_matrices(permittivity: Tensor, harmonics: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """Matrices from Ex, Ey and Ez to the displacement, each ``n x n`` with n orders, y the faster.

    Args:
        permittivity: ``nx x ny`` complex.
        harmonics: highest order along x and y.
    """
    mx, my = harmonics

    def along_x(matrix_y: Tensor) -> Tensor:
        """``nx x Ny x Ny`` to orders along x: ``Ny x Ny x Nx x Nx`` with its axes in place."""
        return toeplitz(coefficients(matrix_y, 0, mx), mx).permute(2, 0, 3, 1)

    def along_y(matrix_x: Tensor) -> Tensor:
        return toeplitz(coefficients(matrix_x, 0, my), my).permute(0, 2, 1, 3)

    size = (2 * mx + 1) * (2 * my + 1)
    for_x = along_y(torch.linalg.inv(toeplitz(coefficients(1 / permittivity, 0, mx), mx)))
    for_y = along_x(torch.linalg.inv(toeplitz(coefficients(1 / permittivity, 1, my), my)))
    for_z = along_x(toeplitz(coefficients(permittivity, 1, my), my))
    return for_x.reshape(size, size), for_y.reshape(size, size), for_z.reshape(size, size)
