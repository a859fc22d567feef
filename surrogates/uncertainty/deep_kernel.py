"""A deep kernel: a Gaussian process whose inputs are a network's features, both fitted to the marginal likelihood.

Wilson, Hu, Salakhutdinov, Xing, AISTATS 2016. The network is trained as usual first, and the joint fit is short: a long
one lets the features collapse onto the data (Ober, Rasmussen, van der Wilk, UAI 2021).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from surrogates import gaussian
from surrogates.batches import LevelTensors
from surrogates.networks import SurrogateNetwork
from surrogates.training import TrainingDiverged
from surrogates.uncertainty.inference import Posterior, features


@dataclass(frozen=True)
class DeepKernel:
    """Draws of functions from the process's posterior.

    Args:
        draws: members of the prediction, an even number.
        steps: of Adam on the network and the kernel together, after the kernel alone was fitted.
        learning_rate: of those steps, for the network; the kernel's is thirty times that.
        max_samples: beyond that many samples a random part of them is conditioned on.
    """

    draws: int = 32
    steps: int = 20
    learning_rate: float = 3e-4
    max_samples: int = 1500

    def __post_init__(self) -> None:
        if self.draws < 2 or self.draws % 2:
            raise ValueError(f"Expected an even number of draws, 2 at least. Got {self.draws}.")
        if self.steps < 0 or self.max_samples < 2:
            raise ValueError(f"Expected steps of at least 0 and max_samples of at least 2. Got {self}.")
        if not 0 < self.learning_rate < math.inf:
            raise ValueError(f"Expected a learning_rate above 0. Got {self.learning_rate}.")

    @property
    def name(self) -> str:
        """In files and tables."""
        return "deep_kernel"

    def infer(self, network: SurrogateNetwork, data: LevelTensors, seed: int) -> Posterior:
        """Kernel by L-BFGS, then kernel and network by Adam, then the draws.

        Raises:
            TrainingDiverged: features of the joint fit whose covariance cannot be factored.
        """
        generator = torch.Generator().manual_seed(seed)
        rows = torch.randperm(len(data.outputs), generator=generator)[: self.max_samples]
        pooled, y = data.pooled[rows], data.outputs[rows].double().cpu()
        levels = torch.zeros(len(rows), dtype=torch.long)
        with torch.no_grad():
            x = features(network, pooled).double().cpu()
        hyper = gaussian.most_likely(x, levels, y, gaussian.first_guess(x, 1))
        try:
            hyper = self._jointly(network, pooled, levels, y, hyper)
            with torch.no_grad():
                x = features(network, pooled).double().cpu()
                state = gaussian.draw(x, levels, y, hyper, self.draws, seed)
        except torch.linalg.LinAlgError as error:
            raise TrainingDiverged(
                f"Expected a covariance that can be factored. Got {error}; lower the deep kernel's learning rate."
            ) from error
        return {**state, "noise": hyper["log_noise"].exp()[0] * torch.eye(y.shape[1], dtype=torch.float64)}

    def _jointly(
        self, network: SurrogateNetwork, pooled: Tensor, levels: Tensor, y: Tensor, hyper: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        free = {name: value.clone().requires_grad_(True) for name, value in hyper.items()}
        trunk = list(network.trunk.parameters())
        optimiser = torch.optim.Adam(
            [
                {"params": trunk, "lr": self.learning_rate},
                {"params": list(free.values()), "lr": 30 * self.learning_rate},
            ]
        )
        for _ in range(self.steps):
            optimiser.zero_grad()
            x = features(network, pooled).double().cpu()
            gaussian.negative_log_likelihood(x, levels, y, free).backward()
            torch.nn.utils.clip_grad_norm_(trunk, 5.0)
            optimiser.step()
        return {name: value.detach() for name, value in free.items()}

    def members(self, network: SurrogateNetwork, posterior: Mapping[str, Tensor], pooled: Tensor) -> Tensor:
        """``M x b x n_outputs``, float64."""
        return gaussian.evaluate(posterior, features(network, pooled).double(), 0)

    def to_json(self) -> dict[str, Any]:
        """Plain fields."""
        return asdict(self)
