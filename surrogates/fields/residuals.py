"""What a field misses of its equation: a term of the loss that needs no solution."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Residual = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(designs ``b x h' x w'``, conditions ``b x c``, complex fields ``b x h x w``) -> ``b x ...``, differentiable."""


def helmholtz(
    permittivity: Callable[[Tensor, Tensor], Tensor],
    wavenumber: Callable[[Tensor], Tensor],
    source: Tensor,
    spacing: float,
) -> Residual:
    """Laplace(u) + k^2 eps u - source at the inner nodes, by five points, over k^2 (so that it is in units of u).

    Args:
        permittivity: (designs, conditions) -> ``b x h x w`` on the field's grid.
        wavenumber: conditions ``b x c`` -> ``b``, in vacuum.
        source: ``h x w`` complex.
        spacing: of the grid, in the unit of length of the wavenumber. Absorbing layers are not in the equation: hand in
            a window inside them.
    """

    def residual(designs: Tensor, conditions: Tensor, fields: Tensor) -> Tensor:
        inner = fields[:, 1:-1, 1:-1]
        around = fields[:, 2:, 1:-1] + fields[:, :-2, 1:-1] + fields[:, 1:-1, 2:] + fields[:, 1:-1, :-2]
        squared = wavenumber(conditions)[:, None, None] ** 2
        medium = permittivity(designs, conditions)[:, 1:-1, 1:-1]
        laplacian = (around - 4 * inner) / spacing**2
        return (laplacian + squared * medium * inner - source.to(fields)[1:-1, 1:-1]) / squared

    return residual


def mean_square(values: Tensor) -> Tensor:
    """Mean of |values|^2."""
    return (torch.view_as_real(values) ** 2).sum(dim=-1).mean() if values.is_complex() else (values**2).mean()
