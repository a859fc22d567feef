"""How the networks of `kirigami_networks` are trained in the end, and asked."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from surrogates import Architecture, LevelData, TrainingConfig
from surrogates.batches import prepare
from surrogates.encoding import ResponseCodec
from surrogates.nas.learner import Learner
from surrogates.nas.methods.supernet import Supernet
from surrogates.networks import SurrogateNetwork
from surrogates.training import batch_loss

Real = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Final:
    """Networks of one architecture, trained on all samples.

    Args:
        architecture, config, samples: what, how, on what.
        epochs: of each.
        most: networks.
    """

    architecture: Architecture
    config: TrainingConfig
    samples: LevelData
    epochs: int
    most: int

    def answers(self, sheets: Real, seed: int, cpu_seconds: float) -> tuple[Real, int]:
        """Their mean, ``n x 2``, and how many there were time for; one at least."""
        codec = ResponseCodec.fit(self.samples.responses)
        found, began, longest = list[Real](), time.process_time(), 0.0
        last = began
        while not found or (len(found) < self.most and last - began + longest < cpu_seconds):
            network = self._trained(codec, 100 * seed + len(found))
            found.append(asked(network, sheets, codec.mean, codec.scale))
            longest, last = max(longest, time.process_time() - last), time.process_time()
        return np.asarray(np.mean(found, axis=0)), len(found)

    def _trained(self, codec: ResponseCodec, seed: int) -> SurrogateNetwork:
        learner = Learner(self.architecture, self.config, self.samples, codec, self.epochs, seed)
        few = learner.prepared(self.samples.take(np.arange(2)))
        for _ in range(self.epochs):
            learner.advance(few, "value")
        learner.network.load_state_dict(learner.average)
        return learner.network


def settle(
    supernet: Supernet,
    codec: ResponseCodec,
    samples: LevelData,
    config: TrainingConfig,
    epochs: int,
    cpu_seconds: float,
    seed: int,
) -> None:
    """Trains a supernet's weights on all samples, its scores as they are, for the epochs or the CPU seconds."""
    rng = np.random.default_rng(seed)
    data = prepare(supernet, codec, samples, torch.device("cpu"))
    optimiser = torch.optim.AdamW(supernet.shared(), lr=config.learning_rate, weight_decay=config.weight_decay)
    began = time.process_time()
    progress = 0.0
    for epoch in range(epochs):
        order = rng.permutation(len(samples))
        for batch in np.array_split(order, -(-len(order) // config.batch_size)):
            progress = max(epoch / epochs, (time.process_time() - began) / cpu_seconds) if cpu_seconds > 0 else 1.0
            if progress >= 1:
                return
            for group in optimiser.param_groups:
                group["lr"] = config.learning_rate * (0.02 + 0.98 * (1 + np.cos(np.pi * progress)) / 2)
            loss = batch_loss(supernet, data, batch, 0.0, rng)
            supernet.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(supernet.shared(), 5.0)
            optimiser.step()


def asked(network: SurrogateNetwork, sheets: Real, mean: Real, scale: Real) -> Real:
    """Mean of the answers for the sheets and their images, ``n x 2``."""
    network.eval()
    total = np.zeros((len(sheets), 2))
    with torch.no_grad():
        for images in (sheets, sheets[:, ::-1]):
            parts = torch.from_numpy(np.ascontiguousarray(images)).float().split(1024)
            total += torch.cat([network(part) for part in parts]).double().numpy()
    return np.asarray(total / 2 * scale + mean)
