"""Training of field networks: values, and what the equation says."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from surrogates.fields.data import FieldData
from surrogates.fields.models import FieldModel, FieldNetwork
from surrogates.fields.residuals import Residual, mean_square
from surrogates.memo import Payload
from surrogates.runtime import pick_device, seeded, torch_threads
from surrogates.states import save_state
from surrogates.training import TrainingDiverged


@dataclass(frozen=True)
class FieldTraining:
    """How to train; with a model, the data and a seed it determines the result.

    Args:
        epochs: passes over the data.
        batch_size: samples a step.
        learning_rate: peak of AdamW's cosine schedule.
        weight_decay: AdamW's.
        residual_weight: of the equation's mean squared residual, over the fields' mean square, beside the value term;
            physics-informed training as of Raissi, Perdikaris, Karniadakis (J. Comput. Phys. 2019).
        device: ``auto``, ``cpu``, ``cuda``, ...
    """

    epochs: int = 40
    batch_size: int = 16
    learning_rate: float = 4e-3
    weight_decay: float = 1e-4
    residual_weight: float = 0.0
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 1 or self.learning_rate <= 0:
            raise ValueError(f"Expected epochs and batch_size of at least 1 and a learning rate above 0. Got {self}.")
        if self.residual_weight < 0 or self.weight_decay < 0:
            raise ValueError(f"Expected weights of at least 0. Got {self}.")

    def to_json(self) -> dict[str, Any]:
        """Plain fields."""
        return asdict(self)


@dataclass(frozen=True)
class Units:
    """Scales of fields and conditions: fields are divided by ``scale``, conditions brought to [-1, 1].

    Args:
        scale: root mean square of the training fields.
        middle, reach: of each condition.
    """

    scale: float
    middle: tuple[float, ...]
    reach: tuple[float, ...]

    @classmethod
    def fit(cls, data: FieldData) -> Units:
        """From training data."""
        conditions = np.zeros((len(data), 0)) if data.conditions is None else data.conditions
        low, high = conditions.min(axis=0), conditions.max(axis=0)
        reach = np.where(high > low, (high - low) / 2, 1.0)
        scale = float(np.sqrt(np.mean(np.abs(data.fields) ** 2)))
        return cls(scale if scale > 0 else 1.0, tuple(map(float, (high + low) / 2)), tuple(map(float, reach)))

    def conditions(self, conditions: Tensor) -> Tensor:
        """``b x c`` in [-1, 1] over the training data."""
        return (conditions - torch.tensor(self.middle).to(conditions)) / torch.tensor(self.reach).to(conditions)


def batch_loss(
    network: FieldNetwork,
    config: FieldTraining,
    units: Units,
    samples: tuple[Tensor, Tensor, Tensor],
    residual: Residual | None = None,
    unsolved: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """The network's own loss, plus the weighted residual on the samples and on designs that nobody solved.

    Args:
        network, config, units: what is trained, and how.
        samples: designs ``b x h' x w'``, conditions ``b x c``, fields ``b x h x w``.
        residual: of the equation; used with a weight above 0.
        unsolved: more designs and conditions, for the residual alone.
    """
    designs, conditions, fields = samples
    loss, predicted = network.loss(designs, units.conditions(conditions), fields / units.scale)
    if not config.residual_weight or residual is None:
        return loss
    missed = residual(designs, conditions, predicted * units.scale)
    loss = loss + config.residual_weight * mean_square(missed) / units.scale**2
    if unsolved is not None:
        designs, conditions = unsolved
        missed = residual(designs, conditions, network(designs, units.conditions(conditions)) * units.scale)
        loss = loss + config.residual_weight * mean_square(missed) / units.scale**2
    return loss


def train_field(
    model: FieldModel,
    config: FieldTraining,
    units: Units,
    data: FieldData,
    seed: int,
    residual: Residual | None = None,
    unsolved: FieldData | None = None,
) -> Payload:
    """Weights by name, and ``cpu_seconds``.

    Args:
        model, config, units, data, seed: determine the result, with the rest.
        residual: of the equation; used with a weight above 0.
        unsolved: more designs and conditions for the residual alone; their fields are not looked at.

    Raises:
        TrainingDiverged: the loss is no longer finite.
    """
    started = time.process_time()
    device = pick_device(config.device)
    if config.residual_weight and residual is None:
        raise ValueError(f"Expected a residual to give a weight of {config.residual_weight} to. Got none.")
    with torch_threads(1), seeded(seed):
        network = model.build(data.design_shape, data.field_shape, data.n_conditions).to(device)
        designs, conditions, fields = (part.to(device) for part in data.tensors())
        more = unsolved.tensors()[:2] if config.residual_weight and unsolved is not None else None
        more = None if more is None else (more[0].to(device), more[1].to(device))
        rng = np.random.default_rng(seed)
        optimiser = torch.optim.AdamW(network.parameters(), config.learning_rate, weight_decay=config.weight_decay)
        steps = -(-len(data) // config.batch_size)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, config.epochs * steps)
        for epoch in range(config.epochs):
            for batch in np.array_split(rng.permutation(len(data)), steps):
                samples = designs[batch], conditions[batch], fields[batch]
                others = None
                if more is not None:
                    rows = rng.integers(0, len(more[0]), len(batch))
                    others = more[0][rows], more[1][rows]
                loss = batch_loss(network, config, units, samples, residual, others)
                optimiser.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
                optimiser.step()
                schedule.step()
            if not np.isfinite(loss.item()):
                raise TrainingDiverged(f"Expected a finite loss. Got {loss.item()} in epoch {epoch + 1}.")
        return {**save_state(network), "cpu_seconds": np.array(time.process_time() - started)}
