"""Iterative refinement of a predicted field, whose spread over noise draws is an uncertainty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from surrogates.fields.models import FieldNetwork, GridField, GridNetwork, Shape


@dataclass(frozen=True)
class Refiner:
    """PDE-Refiner (Lippe, Veeling, Perdikaris, Turner, Brandstetter, NeurIPS 2023).

    One network predicts the field from nothing at step 0; at step k = 1..K it sees an estimate with noise of size
    smallest_noise^(k/K) added and predicts that noise, which is taken off again.
    Small noise makes it attend to components of small amplitude, and every draw of the noise gives another field.

    Args:
        grid: the network.
        steps: K, refinements.
        smallest_noise: standard deviation at the last step, the field's own being 1.
        samples: draws of a prediction. The noise is drawn once, with the weights, and saved with them: a draw is one
            smooth function of the design.
    """

    grid: GridField
    steps: int = 3
    smallest_noise: float = 0.05
    samples: int = 4

    def __post_init__(self) -> None:
        if self.steps < 1 or self.samples < 1 or not 0 < self.smallest_noise < 1:
            raise ValueError(f"Expected steps and samples of at least 1 and smallest_noise in (0, 1). Got {self}.")

    def build(self, design_shape: Shape, field_shape: Shape, n_conditions: int) -> FieldNetwork:
        """Freshly initialised, noise drawn."""
        return _RefinerNetwork(self, design_shape, field_shape, n_conditions)

    def to_json(self) -> dict[str, Any]:
        """Plain fields."""
        parts = {"steps": self.steps, "smallest_noise": self.smallest_noise, "samples": self.samples}
        return {"name": "refiner", "grid": self.grid.to_json(), **parts}


class _RefinerNetwork(FieldNetwork):
    noise: Tensor

    def __init__(self, model: Refiner, design_shape: Shape, field_shape: Shape, n_conditions: int) -> None:
        super().__init__()
        self.steps, self.smallest = model.steps, model.smallest_noise
        # The step is one more condition, the current estimate two more channels.
        self.network = GridNetwork(model.grid, design_shape, field_shape, n_conditions + 1, n_extra=2)
        self.register_buffer("noise", torch.randn(model.samples, model.steps, 2, *field_shape))

    def _ask(self, design: Tensor, condition: Tensor, estimate: Tensor, step: Tensor) -> Tensor:
        """``b x 2 x h x w`` from an estimate of that shape and ``b`` steps."""
        place = (2 * step / self.steps - 1)[:, None].to(condition)
        answer = self.network(design, torch.cat([condition, place], dim=1), estimate)
        return torch.stack([answer.real, answer.imag], dim=1)

    def _size(self, step: Tensor) -> Tensor:
        return self.smallest ** (step / self.steps)

    def loss(self, design: Tensor, condition: Tensor, field: Tensor) -> tuple[Tensor, Tensor]:
        """Of one random step a sample: the field from nothing, or the noise."""
        true = torch.stack([field.real, field.imag], dim=1)
        step = torch.randint(0, self.steps + 1, (len(design),), device=design.device)
        first = (step == 0)[:, None, None, None]
        noise = torch.randn_like(true)
        size = self._size(step)[:, None, None, None]
        noised = torch.where(first, torch.zeros_like(true), true + size * noise)
        answer = self._ask(design, condition, noised, step)
        predicted = torch.where(first, answer, noised - size * answer)
        error = (answer - torch.where(first, true, noise)) ** 2
        return error.sum(dim=1).mean(), torch.complex(predicted[:, 0], predicted[:, 1])

    def draws(self, design: Tensor, condition: Tensor) -> Tensor:
        """``samples x b x h x w``."""
        zeros = torch.zeros(len(design), *self.noise.shape[2:], device=design.device)
        start = self._ask(design, condition, zeros, torch.zeros(len(design), device=design.device))
        drawn = []
        for noise in self.noise:
            estimate = start
            for k in range(1, self.steps + 1):
                step = torch.full((len(design),), float(k), device=design.device)
                size = self._size(step)[:, None, None, None]
                noised = estimate + size * noise[k - 1]
                estimate = noised - size * self._ask(design, condition, noised, step)
            drawn.append(torch.complex(estimate[:, 0], estimate[:, 1]))
        return torch.stack(drawn)

    def forward(self, design: Tensor, condition: Tensor) -> Tensor:
        return self.draws(design, condition).mean(dim=0)
