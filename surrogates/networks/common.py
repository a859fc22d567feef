"""What the families share: pooling, coordinates, read-out, head."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from surrogates.networks.activations import Activation

READOUT = 8


def area_weights(n: int, m: int) -> Tensor:
    """``m x n``, float64: row i averages ``n`` pixels over the i-th of ``m`` equal cells, pixels weighted by share."""
    edges = torch.arange(m + 1, dtype=torch.float64) * n / m
    pixels = torch.arange(n, dtype=torch.float64)
    upper = torch.minimum(edges[1:, None], pixels + 1)
    lower = torch.maximum(edges[:-1, None], pixels)
    return (upper - lower).clamp(min=0) * m / n


class AreaPool(nn.Module):
    """Exact area averaging ``b x h x w`` (or ``b x c x h x w``) onto a coarser grid; linear, any two sizes."""

    rows: Tensor
    columns: Tensor

    def __init__(self, shape: tuple[int, int], pooled: tuple[int, int]) -> None:
        super().__init__()
        self.register_buffer("rows", area_weights(shape[0], pooled[0]).float(), persistent=False)
        self.register_buffer("columns", area_weights(shape[1], pooled[1]).float(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.rows.to(x.dtype) @ x @ self.columns.to(x.dtype).T

    def pull_back(self, gradient: Tensor) -> Tensor:
        """Gradient in the full density from ``m x h' x w'`` gradients in the pooled one (the adjoint)."""
        return self.rows.to(gradient.dtype).T @ gradient @ self.columns.to(gradient.dtype)

    def project(self, gradient: Tensor) -> Tensor:
        """The pooled gradient whose ``pull_back`` is nearest (least squares) to ``m x h x w`` full gradients."""
        rows, columns = self.rows.to(gradient.dtype), self.columns.to(gradient.dtype)
        left = torch.linalg.solve(rows @ rows.T, rows)
        right = torch.linalg.solve(columns @ columns.T, columns)
        return left @ gradient @ right.T


def unit_grid(shape: tuple[int, int]) -> Tensor:
    """``2 x h x w``: the two coordinates of each pixel, in [-1, 1]; 0 along an axis of one pixel."""
    axes = [torch.linspace(-1, 1, n) if n > 1 else torch.zeros(1) for n in shape]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"))


class WithCoordinates(nn.Module):
    """``b x h x w`` densities as ``b x 3 x h x w``: density and the two coordinates, each in [-1, 1]."""

    grid: Tensor

    def __init__(self, shape: tuple[int, int]) -> None:
        super().__init__()
        self.register_buffer("grid", unit_grid(shape), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        grid = self.grid.to(x.dtype).expand(len(x), *self.grid.shape)
        return torch.cat([x[:, None], grid], dim=1)


class Readout(nn.Module):
    """``b x c x h x w`` feature maps as ``b x n_features``: averages on an 8 x 8 grid (place matters), a layer."""

    def __init__(self, channels: int, shape: tuple[int, int], n_features: int, activation: str) -> None:
        super().__init__()
        cells = (min(READOUT, shape[0]), min(READOUT, shape[1]))
        self.pool = AreaPool(shape, cells)
        self.linear = nn.Linear(channels * cells[0] * cells[1], n_features)
        self.activation = Activation(activation, n_features)

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.linear(self.pool(x).flatten(1)))


class SurrogateNetwork(nn.Module):
    """Pool, trunk, linear head: ``b x *design_shape`` -> ``b x n_outputs`` standardised responses.

    The trunk maps ``b x h' x w'`` pooled densities, scaled to [-1, 1], to ``b x n_features``.
    """

    def __init__(
        self, shape: tuple[int, int], pooled: tuple[int, int], trunk: nn.Module, n_features: int, n_outputs: int
    ) -> None:
        super().__init__()
        self.shape = shape
        self.pool = AreaPool(shape, pooled)
        self.trunk = trunk
        self.head = nn.Linear(n_features, n_outputs)

    def forward(self, design: Tensor) -> Tensor:
        return self.from_pooled(self.pool(design.reshape(-1, *self.shape)))

    def from_pooled(self, pooled: Tensor) -> Tensor:
        """Responses from ``b x h' x w'`` pooled densities; training works on these."""
        return self.head(self.trunk(2 * pooled - 1))
