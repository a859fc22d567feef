"""Fourier layers: all modes mixed at once, or one axis at a time."""

from __future__ import annotations

from math import pi

import torch
from torch import Tensor, nn

from surrogates.networks.activations import Activation


def _fourier(n: int, frequencies: Tensor) -> Tensor:
    """``m x n x 2``, real and imaginary parts: rows exp(-2 pi i f x / n) / sqrt(n)."""
    phase = 2 * pi * frequencies[:, None] * torch.arange(n) / n
    return torch.stack([phase.cos(), -phase.sin()], dim=-1) / n**0.5


class SpectralConvolution(nn.Module):
    """Multiplies the lowest Fourier modes by learned matrices (Li et al., ICLR 2021, arXiv 2010.08895, eq. 4-5).

    The truncated transform is two small matrix products, quicker than a full FFT at the few dozen pixels of a pooled
    design. Frequencies run over -k..k along the rows and 0..k along the columns, those above 0 counted twice.
    """

    left: Tensor
    right: Tensor
    fold: Tensor

    def __init__(self, shape: tuple[int, int], width: int, modes: int) -> None:
        super().__init__()
        kh, kw = (min(modes - 1, (n - 1) // 2) for n in shape)
        self.register_buffer("left", _fourier(shape[0], torch.arange(-kh, kh + 1.0)), persistent=False)
        self.register_buffer("right", _fourier(shape[1], torch.arange(kw + 1.0)), persistent=False)
        self.register_buffer("fold", torch.where(torch.arange(kw + 1) > 0, 2.0, 1.0), persistent=False)
        # Complex numbers are kept as pairs of reals: optimisers, files and changes of precision know those.
        self.weight = nn.Parameter(torch.randn(2 * kh + 1, kw + 1, width, width, 2) * (0.5 / width) ** 0.5)

    def forward(self, x: Tensor) -> Tensor:
        left, right = (torch.view_as_complex(basis.to(x.dtype)) for basis in (self.left, self.right))
        spectrum = left @ x.to(left.dtype) @ right.T  # b c i j
        mixed = torch.view_as_complex(self.weight).permute(0, 1, 3, 2) @ spectrum.permute(2, 3, 1, 0)  # i j o b
        folded = mixed.permute(3, 2, 0, 1) * self.fold
        return (left.conj().T @ folded @ right.conj()).real


class AxisConvolution(nn.Module):
    """The same along the last axis alone, ``b x c x h x w``; weights shared by all rows."""

    basis: Tensor
    fold: Tensor

    def __init__(self, n: int, width: int, modes: int) -> None:
        super().__init__()
        k = min(modes - 1, (n - 1) // 2)
        self.register_buffer("basis", _fourier(n, torch.arange(k + 1.0)), persistent=False)
        self.register_buffer("fold", torch.where(torch.arange(k + 1) > 0, 2.0, 1.0), persistent=False)
        self.weight = nn.Parameter(torch.randn(k + 1, width, width, 2) * (0.5 / width) ** 0.5)

    def forward(self, x: Tensor) -> Tensor:
        basis = torch.view_as_complex(self.basis.to(x.dtype))
        spectrum = x.to(basis.dtype) @ basis.T  # b c h k
        mixed = torch.einsum("bchk,kcd->bdhk", spectrum, torch.view_as_complex(self.weight)) * self.fold
        return (mixed @ basis.conj()).real


class Spectral(nn.Module):
    """act(spectral(x) + 1x1 convolution(x)), the layer of the Fourier neural operator; ``reach`` is the modes kept."""

    def __init__(self, shape: tuple[int, int], width: int, reach: int, activation: str, padding: str) -> None:
        super().__init__()
        self.spectral = SpectralConvolution(shape, width, reach)
        self.local = nn.Conv2d(width, width, 1)
        self.activation = Activation(activation, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.spectral(x) + self.local(x))


class FactorisedSpectral(nn.Module):
    """Two layers on the sum of one transform an axis (Tran et al., ICLR 2023, arXiv 2111.13802, eq. 6-8)."""

    def __init__(self, shape: tuple[int, int], width: int, reach: int, activation: str, padding: str) -> None:
        super().__init__()
        self.down, self.along = AxisConvolution(shape[0], width, reach), AxisConvolution(shape[1], width, reach)
        self.first, self.second = nn.Conv2d(width, 2 * width, 1), nn.Conv2d(2 * width, width, 1)
        self.activation = Activation(activation, 2 * width)

    def forward(self, x: Tensor) -> Tensor:
        both = self.down(x.transpose(2, 3)).transpose(2, 3) + self.along(x)
        return self.second(self.activation(self.first(both)))
