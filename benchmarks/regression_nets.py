"""Networks for the regression of sheets with row cuts: perceptron, plain and residual convolutions; training."""

from __future__ import annotations

import itertools

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Real = NDArray[np.float64]


class Perceptron(nn.Sequential):
    """Hidden layers of one width."""

    def __init__(self, inputs: int, outputs: int, width: int = 256, hidden: int = 3) -> None:
        sizes = [inputs, *[width] * hidden]
        layers: list[nn.Module] = []
        for a, b in itertools.pairwise(sizes):
            layers += [nn.Linear(a, b), nn.SiLU()]
        super().__init__(*layers, nn.Linear(width, outputs))


class PlainCnn(nn.Sequential):
    """Convolutions of sheets `(n, rows, columns)`, whose columns are pooled by two after each."""

    def __init__(self, rows: int, columns: int, outputs: int, channels: int = 32) -> None:
        def step(a: int, b: int) -> list[nn.Module]:
            return [nn.Conv2d(a, b, 3, padding=1), nn.SiLU(), nn.AvgPool2d((1, 2))]

        flat = 2 * channels * rows * (columns // 8)
        super().__init__(
            nn.Unflatten(1, (1, rows)),
            *step(1, channels),
            *step(channels, channels),
            *step(channels, 2 * channels),
            nn.Flatten(),
            nn.Linear(flat, 128),
            nn.SiLU(),
            nn.Linear(128, outputs),
        )


class Residual(nn.Module):
    """x + convolutions of x."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            nn.SiLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Of `(n, channels, rows, columns)`."""
        return x + self.inner(x)


class ResNet(nn.Sequential):
    """Residual blocks on columns pooled by four."""

    def __init__(self, rows: int, columns: int, outputs: int, channels: int = 32, blocks: int = 3) -> None:
        super().__init__(
            nn.Unflatten(1, (1, rows)),
            nn.Conv2d(1, channels, (3, 8), stride=(1, 4), padding=(1, 2)),
            *[Residual(channels) for _ in range(blocks)],
            nn.SiLU(),
            nn.Flatten(),
            nn.Linear(channels * rows * (columns // 4), outputs),
        )


def train(net: nn.Module, x: Real, y: Real, *, steps: int, seed: int, rate: float = 2e-3, batch: int = 128) -> None:
    """AdamW on batches with one cycle of the rate; all `steps` long, whatever the number of samples."""
    inputs, targets = torch.from_numpy(x).float(), torch.from_numpy(y).float()
    optimizer = torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps)
    source = torch.Generator().manual_seed(seed)
    order: list[int] = []
    for _ in range(steps):
        if len(order) < min(batch, len(inputs)):
            order = torch.randperm(len(inputs), generator=source).tolist()
        rows, order = order[:batch], order[batch:]
        optimizer.zero_grad()
        nn.functional.mse_loss(net(inputs[rows]), targets[rows]).backward()
        optimizer.step()
        schedule.step()


def predict(net: nn.Module, x: Real) -> Real:
    """Outputs `(n, m)`."""
    with torch.no_grad():
        return np.asarray(torch.cat([net(part) for part in torch.from_numpy(x).float().split(2048)]).double().numpy())
