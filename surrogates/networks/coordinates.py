"""Networks of coordinates, steered by the code of a design."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from surrogates.networks.conditioning import conditioning


class FourierFeatures(nn.Module):
    """``p x c`` coordinates in [-1, 1] as ``p x n``: themselves, and sines and cosines of random frequencies.

    Tancik et al., NeurIPS 2020.
    """

    frequencies: Tensor

    def __init__(self, n_coordinates: int, n_waves: int = 16, bandwidth: float = 1.0) -> None:
        super().__init__()
        self.register_buffer("frequencies", bandwidth * math.pi * torch.randn(n_coordinates, n_waves))
        self.n_features = n_coordinates + 2 * n_waves

    def forward(self, x: Tensor) -> Tensor:
        waves = x @ self.frequencies.to(x.dtype)
        return torch.cat([x, waves.sin(), waves.cos()], dim=-1)


def dense(n_in: int, width: int, depth: int, n_out: int) -> nn.Sequential:
    """``depth`` hidden layers."""
    layers: list[nn.Module] = []
    for layer in range(depth):
        layers += [nn.Linear(n_in if layer == 0 else width, width), nn.SiLU()]
    return nn.Sequential(*layers, nn.Linear(width if depth else n_in, n_out))


class BranchAndTrunk(nn.Module):
    """sum_q branch_q(code) trunk_q(coordinates) + bias: ``b x p x n_out`` from ``b x f`` codes, ``p x c`` coordinates.

    DeepONet (Lu, Jin, Pang, Zhang, Karniadakis, Nat. Mach. Intell. 2021); the trunk sees Fourier features.
    """

    def __init__(
        self, n_code: int, n_coordinates: int, n_out: int, modes: int, width: int, depth: int, bandwidth: float
    ) -> None:
        super().__init__()
        self.n_out, self.modes = n_out, modes
        self.branch = nn.Linear(n_code, n_out * modes)
        self.waves = FourierFeatures(n_coordinates, bandwidth=bandwidth)
        self.trunk = dense(self.waves.n_features, width, depth, modes)
        self.bias = nn.Parameter(torch.zeros(n_out))

    def forward(self, code: Tensor, coordinates: Tensor) -> Tensor:
        weights = self.branch(code).reshape(-1, self.n_out, self.modes)
        basis = self.trunk(self.waves(coordinates))
        return torch.einsum("bom,pm->bpo", weights, basis) / math.sqrt(self.modes) + self.bias


class ModulatedField(nn.Module):
    """``b x p x n_out`` from codes ``b x f`` and coordinates ``p x c``: a coordinate network steered by the code.

    Each hidden layer's channels are conditioned on the code, by FiLM (Perez et al. 2018) or channel attention (CAPE,
    Takamoto et al. 2023).
    """

    def __init__(
        self, n_code: int, n_coordinates: int, n_out: int, width: int, depth: int, how: str, bandwidth: float
    ) -> None:
        super().__init__()
        self.waves = FourierFeatures(n_coordinates, bandwidth=bandwidth)
        sizes = [self.waves.n_features] + [width] * depth
        self.layers = nn.ModuleList(nn.Linear(n, width) for n in sizes[:-1])
        self.steer = nn.ModuleList(conditioning(how, n_code, width, grid=False) for _ in range(depth))
        self.out = nn.Linear(width, n_out)

    def forward(self, code: Tensor, coordinates: Tensor) -> Tensor:
        x = self.waves(coordinates).expand(len(code), len(coordinates), -1)
        for layer, steer in zip(self.layers, self.steer, strict=True):
            x = nn.functional.silu(steer(layer(x).transpose(1, 2), code).transpose(1, 2))
        return self.out(x)
