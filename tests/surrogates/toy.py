"""An analytic solver stand-in: a smooth nonlinear complex response of a 24 x 20 density, with exact gradients."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from surrogates import Dataset, LevelData

SHAPE = (24, 20)


@dataclass(frozen=True)
class Toy:
    """Interfering paths: t_j = sum_k b_jk a_k(x) exp(i phi_k(x)), phi and log a linear in smooth views of the density.

    ``bias`` shifts the kernels: another fidelity of the same device.
    """

    bias: float = 0.0
    n_paths: int = 6

    def __call__(self, designs: Tensor) -> dict[str, Tensor]:
        """``{"t": b x 3 complex, "loss": b x 1 real}``."""
        rng = np.random.default_rng(0)
        y, x = np.meshgrid(*(np.linspace(0, 1, n) for n in SHAPE), indexing="ij")

        def kernels(scale: float) -> Tensor:
            waves = [
                np.cos(np.pi * (rng.integers(0, 4) * y + rng.integers(0, 4) * x) + rng.uniform(0, 6) + self.bias)
                for _ in range(self.n_paths)
            ]
            return torch.tensor(scale * np.stack(waves).reshape(self.n_paths, -1) / np.sqrt(x.size))

        flat = (designs.double() - 0.5).reshape(len(designs), -1)
        amplitude = torch.exp(flat @ kernels(0.2).T)
        paths = torch.polar(amplitude, flat @ kernels(0.55).T)
        mix = torch.tensor(rng.normal(size=(3, self.n_paths)) + 1j * rng.normal(size=(3, self.n_paths)))
        t = paths @ mix.T / self.n_paths
        return {"t": t, "loss": (t.abs() ** 2).sum(dim=1, keepdim=True)}


def smooth_designs(rng: np.random.Generator, n: int) -> np.ndarray:
    """``n x 24 x 20`` random densities of a few Fourier modes each."""
    y, x = np.meshgrid(*(np.linspace(0, 1, k) for k in SHAPE), indexing="ij")
    designs = np.zeros((n, *SHAPE))
    for i in range(4):
        for j in range(4):
            phase = rng.uniform(0, 2 * np.pi, size=(n, 1, 1))
            designs += rng.normal(size=(n, 1, 1)) * np.cos(np.pi * (i * y + j * x) + phase)
    return 1 / (1 + np.exp(-2 * designs))


def level_data(
    toy: Toy, *, runs: int, steps: int, seed: int, gradients: bool = True, first_group: int = 0
) -> LevelData:
    """``steps`` samples along each of ``runs`` noisy ascents of |t_0|^2 - |t_1|^2, with that objective's gradients."""
    rng = np.random.default_rng(seed)
    designs = smooth_designs(rng, runs)
    blocks = []
    for _ in range(steps):
        tensor = torch.tensor(designs, requires_grad=True)
        response = toy(tensor)
        t = response["t"].detach().numpy()
        cotangent = np.zeros_like(t)
        cotangent[:, 0], cotangent[:, 1] = 2 * t[:, 0], -2 * t[:, 1]
        product = (torch.tensor(cotangent).conj() * response["t"]).real.sum()
        (gradient,) = torch.autograd.grad(product, tensor)
        values = {name: value.detach().numpy() for name, value in response.items()}
        blocks.append((designs, values, cotangent, gradient.numpy()))
        step = gradient.numpy() / np.abs(gradient.numpy()).max(axis=(1, 2), keepdims=True)
        designs = np.clip(designs + 0.15 * step + 0.1 * (smooth_designs(rng, runs) - 0.5), 0, 1)
    x = np.concatenate([b[0] for b in blocks])
    responses = {name: np.concatenate([b[1][name] for b in blocks]) for name in ("t", "loss")}
    groups = np.tile(np.arange(first_group, first_group + runs), steps)
    if not gradients:
        return LevelData.values_only(x, responses, groups)
    return LevelData(
        x,
        responses,
        groups,
        np.arange(len(x)),
        {"t": np.concatenate([b[2] for b in blocks])},
        np.concatenate([b[3] for b in blocks]),
    )


def dataset(*, runs: int = 10, steps: int = 8, seed: int = 1, gradients: bool = True) -> Dataset:
    """One level."""
    return Dataset({0: level_data(Toy(), runs=runs, steps=steps, seed=seed, gradients=gradients)})
