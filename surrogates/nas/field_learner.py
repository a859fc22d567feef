"""One field network in training that can be put down and taken up again."""

from __future__ import annotations

import copy
import io
import time
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from surrogates.fields.data import FieldData
from surrogates.fields.models import FieldModel
from surrogates.fields.residuals import Residual, mean_square
from surrogates.fields.training import FieldTraining, Units, batch_loss
from surrogates.nas.learner import AVERAGING
from surrogates.runtime import pick_device, seeded, torch_threads
from surrogates.states import load_state, save_state, under
from surrogates.training import TrainingDiverged

LEARNER_VERSION = 1
"""Raised with every change of what training the same network on the same samples gives: trials are stored under it."""
_BATCH = 64


class FieldLearner:
    """Trains a field network epoch by epoch; the same epochs give the same network, in one go or in several.

    The learning rate follows a cosine over all epochs of the ladder. What is judged is a moving average of the weights
    (Polyak & Juditsky 1992), so that a network may be judged before the rate has come down.

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
        self.config, self.units, self.residual = config, units, residual
        self.total_epochs, self.seed = total_epochs, seed
        self.device = pick_device(config.device)
        self.epoch = 0
        self.curve: list[float] = []
        with seeded(seed):
            built = model.build(samples.design_shape, samples.field_shape, samples.n_conditions)
        self.network = built.to(self.device)
        self.averaged = copy.deepcopy(self.network).requires_grad_(False).eval()
        self.data = tuple(part.to(self.device) for part in samples.tensors())
        used = unsolved if config.residual_weight else None
        self.unsolved = None if used is None else tuple(part.to(self.device) for part in used.tensors()[:2])
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self.steps = -(-len(samples) // config.batch_size)

    def advance(self, check: FieldData) -> float:
        """One more epoch; the relative error of the averaged weights on the held-out samples.

        Raises:
            TrainingDiverged: the error is no longer finite.
        """
        rng = np.random.default_rng([self.seed, self.epoch])
        designs, conditions, fields = self.data
        with torch_threads(1):
            for number, batch in enumerate(np.array_split(rng.permutation(len(designs)), self.steps)):
                done = (self.epoch + number / self.steps) / self.total_epochs
                for group in self.optimiser.param_groups:
                    group["lr"] = self.config.learning_rate * (1 + np.cos(np.pi * min(done, 1.0))) / 2
                others = None
                if self.unsolved is not None:
                    rows = rng.integers(0, len(self.unsolved[0]), len(batch))
                    others = self.unsolved[0][rows], self.unsolved[1][rows]
                samples = designs[batch], conditions[batch], fields[batch]
                loss = batch_loss(self.network, self.config, self.units, samples, self.residual, others)
                self.optimiser.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
                self.optimiser.step()
                self._average(self.epoch * self.steps + number)
        self.epoch += 1
        error = self.measure(check)["relative_error"]
        if not np.isfinite(error):
            raise TrainingDiverged(f"Expected a finite error. Got {error} in epoch {self.epoch}.")
        self.curve.append(error)
        return error

    def _average(self, taken: int) -> None:
        # The first steps are forgotten soon.
        share = max(AVERAGING, 1 / (1 + 0.1 * taken))
        own = self.network.state_dict()
        with torch.no_grad():
            for name, tensor in self.averaged.state_dict().items():
                tensor.lerp_(own[name], share)

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

    def checkpoint(self) -> bytes:
        """All that training goes on from, as npz bytes."""
        arrays: dict[str, NDArray[Any]] = {f"network/{n}": a for n, a in save_state(self.network).items()}
        arrays |= {f"averaged/{n}": a for n, a in save_state(self.averaged).items()}
        for number, state in self.optimiser.state_dict()["state"].items():
            arrays |= {f"optimiser/{number}/{n}": np.array(t.cpu().numpy()) for n, t in state.items()}
        arrays |= {"epoch": np.array(self.epoch), "curve": np.array(self.curve)}
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **arrays)
        return buffer.getvalue()

    def resume(self, checkpoint: bytes) -> None:
        """Goes on from ``checkpoint``; ``KeyError``, ``ValueError`` or ``RuntimeError`` if it is of another network."""
        with np.load(io.BytesIO(checkpoint), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        load_state(self.network, under(arrays, "network/"))
        load_state(self.averaged, under(arrays, "averaged/"))
        moments: dict[int, dict[str, torch.Tensor]] = {}
        for name, array in under(arrays, "optimiser/").items():
            number, _, what = name.partition("/")
            moments.setdefault(int(number), {})[what] = torch.from_numpy(array.copy()).to(self.device)
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": moments})
        self.epoch = int(arrays["epoch"])
        self.curve = [float(error) for error in arrays["curve"]]
