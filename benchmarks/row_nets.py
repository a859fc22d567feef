"""An ensemble of networks that read a sheet row by row: shared weights for all rows, messages between neighbours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import silu

Real = NDArray[np.float64]
# Rows carry some ten ones or features of order one, whatever the number of columns.
FAN = 12


@dataclass(frozen=True)
class RowNets:
    """Members differ in weights and batches; every sheet counts with its mirror image, in training and answers.

    Args:
        members: networks.
        width: of a row's state.
        layers: of messages from both neighbours.
        head: width of the layer that sees mean and maximum of the rows, and what describes the whole sheet.
        steps, batch, rate, decay: of AdamW with one cycle of the rate.
    """

    members: int = 4
    width: int = 48
    layers: int = 2
    head: int = 96
    steps: int = 800
    batch: int = 128
    rate: float = 4e-3
    decay: float = 0.1

    def answers(self, rows: Real, whole: Real, values: Real, wanted_rows: Real, wanted_whole: Real, seed: int) -> Real:
        """Means of the members, `(k, m)`, trained on standardised values.

        Args:
            rows: numbers of each row, `(2, n, r, c)`, of the sheets and of their mirror images.
            whole: numbers of each sheet, `(n, w)`, the same for its image.
            values: `(n, m)`.
            wanted_rows, wanted_whole: of the k sheets asked for.
            seed: of weights and batches.
        """
        source = torch.Generator().manual_seed(seed)
        x = torch.from_numpy(np.concatenate(rows)).float()
        g = torch.from_numpy(np.tile(whole, (2, 1))).float()
        y = torch.from_numpy(np.tile(values, (2, 1))).float()
        weights, biases = self._start(x.shape[-1], g.shape[-1], y.shape[-1], source)
        optimizer = torch.optim.AdamW(
            [{"params": weights, "weight_decay": self.decay}, {"params": biases, "weight_decay": 0.0}], lr=self.rate
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.rate, total_steps=self.steps)
        for _ in range(self.steps):
            pick = torch.randint(len(x), (self.members, min(self.batch, len(x))), generator=source)
            optimizer.zero_grad()
            found = self._forward(x[pick], g[pick], weights, biases)
            ((found - y[pick]) ** 2).mean((1, 2)).sum().backward()
            optimizer.step()
            schedule.step()
        total = np.zeros((wanted_rows.shape[1], values.shape[1]))
        with torch.no_grad():
            for image in wanted_rows:
                parts = zip(
                    torch.from_numpy(np.ascontiguousarray(image)).float().split(1024),
                    torch.from_numpy(wanted_whole).float().split(1024),
                    strict=True,
                )
                total += torch.cat([self._asked(*part, weights, biases) for part in parts]).double().numpy()
        return total / len(wanted_rows)

    def _start(self, row: int, whole: int, outputs: int, source: torch.Generator) -> tuple[list[Tensor], list[Tensor]]:
        """Random weights and zero biases of every layer, a member each."""
        sizes = [(row, self.width, 2 / FAN)]
        sizes += [(3 * self.width, self.width, 1 / (3 * self.width))] * self.layers
        inner = 2 * self.width + whole
        sizes += [(inner, self.head, 2 / inner), (self.head, outputs, 0.3 / self.head)]
        weights = [torch.randn(self.members, a, b, generator=source) * variance**0.5 for a, b, variance in sizes]
        biases = [torch.zeros(self.members, 1, b) for _, b, _ in sizes]
        return [w.requires_grad_() for w in weights], [b.requires_grad_() for b in biases]

    def _asked(self, rows: Tensor, whole: Tensor, weights: list[Tensor], biases: list[Tensor]) -> Tensor:
        many = rows.expand(self.members, -1, -1, -1), whole.expand(self.members, -1, -1)
        return self._forward(*many, weights, biases).mean(0)

    def _forward(self, rows: Tensor, whole: Tensor, weights: list[Tensor], biases: list[Tensor]) -> Tensor:
        """Of each member's own rows `(members, n, r, c)` and sheets `(members, n, w)`: `(members, n, m)`."""

        def layer(h: Tensor, number: int) -> Tensor:
            flat = h.reshape(len(h), -1, h.shape[-1]) @ weights[number] + biases[number]
            return flat.reshape(*h.shape[:-1], -1)

        state = silu(layer(rows, 0))
        edge = torch.zeros_like(state[:, :, :1])
        for number in range(1, self.layers + 1):
            before = torch.cat([edge, state[:, :, :-1]], 2)
            after = torch.cat([state[:, :, 1:], edge], 2)
            state = state + silu(layer(torch.cat([before, state, after], 3), number))
        pooled = torch.cat([state.mean(2), state.amax(2), whole], 2)
        return layer(silu(layer(pooled, self.layers + 1)), self.layers + 2)
