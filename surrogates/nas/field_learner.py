"""One field network in training that can be put down and taken up again."""

from __future__ import annotations

import copy
import time

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from surrogates.fields.data import FieldData
from surrogates.fields.models import FieldModel, FieldNetwork
from surrogates.fields.residuals import Residual, mean_square
from surrogates.fields.training import FieldTraining, Units, batch_loss
from surrogates.nas.resumable import Resumable
from surrogates.runtime import seeded, torch_threads

LEARNER_VERSION = 1
"""Raised with every change of what training the same network on the same samples gives: trials are stored under it."""
_BATCH = 64


class FieldLearner(Resumable[FieldNetwork, FieldTraining]):
    """Trains a network from designs and conditions to fields, see ``Resumable``.

    Args:
        model: of the network.
        config: batch size, learning rate, weights of the loss, device.
        units: of fields and conditions.
        samples: what it learns.
        total_epochs: of the ladder's last rung.
        seed: of weights and batches.
        residual: of the equation, for a ``residual_weight`` above 0.
        unsolved: designs and conditions without a solution, for the residual alone.
    """

    average_name = "averaged"

    def __init__(
        self,
        model: FieldModel,
        config: FieldTraining,
        units: Units,
        samples: FieldData,
        total_epochs: int,
        seed: int,
        residual: Residual | None = None,
        unsolved: FieldData | None = None,
    ) -> None:
        with seeded(seed):
            network = model.build(samples.design_shape, samples.field_shape, samples.n_conditions)
        super().__init__(network, config, len(samples), total_epochs, seed)
        self.units, self.residual = units, residual
        self.averaged = copy.deepcopy(self.network).requires_grad_(False).eval()
        self.average = self.averaged.state_dict()  # its own tensors
        self.data = tuple(part.to(self.device) for part in samples.tensors())
        used = unsolved if config.residual_weight else None
        self.unsolved = None if used is None else tuple(part.to(self.device) for part in used.tensors()[:2])

    def advance(self, check: FieldData) -> float:
        """One more epoch; the relative error of the averaged weights on the held-out samples.

        Raises:
            TrainingDiverged: the error is no longer finite.
        """
        with torch_threads(1):
            self._pass(self._loss)
        return self._enter(self.measure(check)["relative_error"])

    def _loss(self, rows: NDArray[np.int64], rng: np.random.Generator) -> Tensor:
        designs, conditions, fields = (part[rows] for part in self.data)
        others = None
        if self.unsolved is not None:
            drawn = rng.integers(0, len(self.unsolved[0]), len(rows))
            others = self.unsolved[0][drawn], self.unsolved[1][drawn]
        return batch_loss(self.network, self.config, self.units, (designs, conditions, fields), self.residual, others)

    def measure(self, check: FieldData) -> dict[str, float]:
        """Of the averaged weights: ``relative_error``, as in ``FieldScore``, and, with an equation, ``residual``.

        The residual is its root mean square over that of the training fields.
        """
        relative, missed = [], []
        with torch.no_grad(), torch_threads(1):
            parts = [part.to(self.device) for part in check.tensors()]
            for rows in torch.arange(len(check)).split(_BATCH):
                designs, conditions, fields = (part[rows] for part in parts)
                predicted = self.averaged(designs, self.units.conditions(conditions)) * self.units.scale
                norms = [torch.linalg.vector_norm(f, dim=(1, 2)) for f in (predicted - fields, fields)]
                relative.append(norms[0] / norms[1].clamp(min=1e-30))
                if self.residual is not None:
                    missed.append(len(rows) * mean_square(self.residual(designs, conditions, predicted)))
        measures = {"relative_error": float(torch.cat(relative).double().mean())}
        if missed:
            measures["residual"] = float(sum(missed) / len(check)) ** 0.5 / self.units.scale
        return measures

    @property
    def n_parameters(self) -> int:
        """Trainable numbers."""
        return sum(p.numel() for p in self.network.parameters())

    def latency_ms(self, repeats: int = 5) -> float:
        """CPU time of the gradient of the field's energy in one design, median; one thread."""
        design, condition = (part[:1].clone() for part in self.data[:2])
        design.requires_grad_(True)
        seconds = []
        with torch_threads(1):
            for _ in range(repeats):
                started = time.process_time()
                energy = self.averaged(design, self.units.conditions(condition)).abs().square().sum()
                torch.autograd.grad(energy, design)
                seconds.append(time.process_time() - started)
        return 1000 * float(np.median(seconds))
