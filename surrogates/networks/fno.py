"""Fourier neural operator (Li et al., ICLR 2021, arXiv 2010.08895, eq. 4-5)."""

from __future__ import annotations

from math import pi

import torch
from torch import Tensor, nn

from surrogates.networks.common import ACTIVATIONS, Readout, WithCoordinates


def _fourier(n: int, frequencies: Tensor) -> Tensor:
    """``m x n x 2``, real and imaginary parts: rows exp(-2 pi i f x / n) / sqrt(n)."""
    phase = 2 * pi * frequencies[:, None] * torch.arange(n) / n
    return torch.stack([phase.cos(), -phase.sin()], dim=-1) / n**0.5


class SpectralConvolution(nn.Module):
    """Multiplies the lowest Fourier modes by learned matrices.

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


class FNOTrunk(nn.Module):
    """``depth`` Fourier layers: act(spectral(x) + 1x1 convolution(x)), added to x."""

    def __init__(self, shape: tuple[int, int], width: int, depth: int, modes: int, activation: str) -> None:
        super().__init__()
        self.lift = nn.Sequential(WithCoordinates(shape), nn.Conv2d(3, width, 3, padding=1))
        self.spectral = nn.ModuleList(SpectralConvolution(shape, width, modes) for _ in range(depth))
        self.local = nn.ModuleList(nn.Conv2d(width, width, 1) for _ in range(depth))
        self.activation = ACTIVATIONS[activation]()
        self.n_features = 4 * width
        self.readout = Readout(width, shape, self.n_features, activation)

    def forward(self, x: Tensor) -> Tensor:
        x = self.lift(x)
        for spectral, local in zip(self.spectral, self.local, strict=True):
            x = x + self.activation(spectral(x) + local(x))
        return self.readout(x)
