"""Training of one network on all its levels at once."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from surrogates.architecture import Architecture, planar
from surrogates.batches import LevelTensors, prepare
from surrogates.data import Dataset
from surrogates.memo import Payload
from surrogates.models.setting import Model, Setting
from surrogates.networks import SurrogateNetwork
from surrogates.networks.common import AreaPool
from surrogates.runtime import pick_device, seeded, torch_threads
from surrogates.states import save_state
from surrogates.training import TrainingConfig, TrainingDiverged, batch_loss


class LevelView(SurrogateNetwork):
    """One level of a network of several as a network of the density, which is not averaged."""

    def __init__(self, network: nn.Module, design_shape: tuple[int, ...], level: int) -> None:
        nn.Module.__init__(self)
        self.network, self.design_shape, self.level = network, design_shape, level
        self.shape = planar(design_shape)
        self.pool = AreaPool(self.shape, self.shape)

    def from_pooled(self, pooled: Tensor) -> Tensor:
        return self.network(pooled.reshape(-1, *self.design_shape), self.level)


def weighed(config: TrainingConfig, model: Model) -> TrainingConfig:
    """The configuration with the gradients' weight of the model's architectures, where one of them has its own.

    Raises:
        ValueError: for architectures of several weights, as all levels are trained with one.
    """
    parts: list[object] = [getattr(model, field.name) for field in fields(model)] if is_dataclass(model) else []
    weights = {part.gradient_weight for part in parts if isinstance(part, Architecture)}
    own = sorted(weight for weight in weights if weight is not None)
    if len(own) > 1:
        raise ValueError(f"Expected one gradient_weight in a model's architectures. Got {own}; give one, or None.")
    return replace(config, gradient_weight=own[0]) if own else config


def train_model(model: Model, config: TrainingConfig, setting: Setting, data: Dataset, seed: int) -> Payload:
    """Weights after ``pretraining_epochs`` on the levels below the reference and ``epochs`` on all together.

    The loss is the sum of the levels' own (Meng & Karniadakis, J. Comput. Phys. 2020). An epoch passes over
    the largest level once, over smaller ones several times. Gradients are weighed as ``config`` says, see ``weighed``.

    Returns:
        Weights by name, and ``cpu_seconds``.

    Raises:
        TrainingDiverged: the loss is no longer finite.
    """
    started = time.process_time()
    device = pick_device(config.device)
    if not model.smooth:
        config = replace(config, gradient_weight=0.0)
    with torch_threads(1), seeded(seed):
        network = model.build(setting).to(device)
        views = {level: LevelView(network, setting.design_shape, level).to(device) for level in model.levels(setting)}
        samples = {
            level: prepare(view, setting.codecs[level], data.levels[level], device) for level, view in views.items()
        }
        below = {level: view for level, view in views.items() if level != setting.reference}
        rng = np.random.default_rng(seed)
        if below:
            _passes(network, below, samples, config, config.pretraining_epochs, rng)
        _passes(network, views, samples, config, config.epochs, rng)
        state = save_state(network)
    if not all(np.isfinite(array).all() for array in state.values()):
        raise TrainingDiverged("Expected finite weights. Got NaN or infinity; lower the learning rate.")
    return {**state, "cpu_seconds": np.array(time.process_time() - started)}


def _passes(
    network: nn.Module,
    views: Mapping[int, LevelView],
    samples: Mapping[int, LevelTensors],
    config: TrainingConfig,
    epochs: int,
    rng: np.random.Generator,
) -> None:
    parameters = [p for p in network.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(parameters, lr=config.learning_rate, weight_decay=config.weight_decay)
    steps = max(-(-len(samples[level].outputs) // config.batch_size) for level in views)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs * steps)
    for _ in range(epochs):
        batches = {level: _batches(len(samples[level].outputs), steps, config.batch_size, rng) for level in views}
        for step in range(steps):
            loss = torch.stack(
                [
                    batch_loss(view, samples[level], batches[level][step], config.gradient_weight, rng)
                    for level, view in views.items()
                ]
            ).sum()
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, 5.0)
            optimiser.step()
            schedule.step()


def _batches(n: int, steps: int, size: int, rng: np.random.Generator) -> list[np.ndarray]:
    """``steps`` batches: each sample in turn, as often as it takes."""
    size = min(size, n)
    order = np.concatenate([rng.permutation(n) for _ in range(-(-steps * size // n))])
    return [order[k * size : (k + 1) * size] for k in range(steps)]
