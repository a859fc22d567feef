"""Cyclical stochastic-gradient MCMC over all weights (Zhang, Li, Zhang, Chen, Wilson, ICLR 2020)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from surrogates.batches import LevelTensors
from surrogates.networks import SurrogateNetwork
from surrogates.states import under
from surrogates.training import batch_loss
from surrogates.uncertainty.inference import Posterior

Energy = Callable[[], Tensor]


def cyclical_step(step: int, steps: int, cycles: int, largest: float) -> tuple[float, float]:
    """Step size and position in the cycle, in [0, 1) (Zhang et al. 2020)."""
    length = -(-steps // cycles)
    place = (step % length) / length
    return largest / 2 * (math.cos(math.pi * place) + 1), place


def hamiltonian_step(
    parameters: Sequence[Tensor], momenta: Sequence[Tensor], energy: Energy, size: float, friction: float, hot: float
) -> None:
    """One step of SGHMC (Chen, Fox, Guestrin, ICML 2014) in place; friction 1 is SGLD (Welling & Teh 2011).

    The density sampled is exp(-energy / hot); ``hot`` 0 descends.
    """
    gradients = torch.autograd.grad(energy(), list(parameters))
    with torch.no_grad():
        for parameter, momentum, gradient in zip(parameters, momenta, gradients, strict=True):
            momentum.mul_(1 - friction).sub_(size * gradient)
            if hot:
                momentum.add_(torch.randn_like(parameter), alpha=math.sqrt(2 * friction * size * hot))
            parameter.add_(momentum)


@dataclass(frozen=True)
class CyclicalMCMC:
    """SGHMC whose step size falls along a cosine again and again: each cycle finds a mode, then samples it.

    The likelihood is Gaussian in the standardised values, with the gradients' term of training beside it where there
    are gradients. The noise is drawn from its conditional (an inverse gamma) at the start of each cycle.

    Args:
        draws: members of the prediction, spread over the cycles.
        cycles: restarts of the step size.
        epochs: passes over the data, all cycles together.
        exploration: share of a cycle that descends without noise.
        learning_rate: largest step, in terms of the mean loss that training minimises.
        friction: 1 for Langevin dynamics.
        prior_std: of the weights.
        gradient_weight: of the gradients' term; an architecture's own takes its place.
        batch_size: samples a step.
    """

    draws: int = 16
    cycles: int = 4
    epochs: int = 120
    exploration: float = 0.6
    learning_rate: float = 1e-2
    friction: float = 0.1
    prior_std: float = 1.0
    gradient_weight: float = 1.0
    batch_size: int = 32

    def __post_init__(self) -> None:
        if self.cycles < 1 or self.draws < max(2, self.cycles):
            raise ValueError(f"Expected a draw a cycle and 2 at least. Got {self.draws} in {self.cycles} cycles.")
        if self.epochs < 1 or self.batch_size < 1:
            raise ValueError(f"Expected epochs and batch_size of at least 1. Got {self.epochs} and {self.batch_size}.")
        if not 0 <= self.exploration < 1 or not 0 < self.friction <= 1:
            raise ValueError(f"Expected exploration in [0, 1) and friction in (0, 1]. Got {self}.")
        if not 0 < self.learning_rate < math.inf or not 0 < self.prior_std < math.inf:
            raise ValueError(
                f"Expected a learning_rate and a prior_std above 0. Got {self.learning_rate} and {self.prior_std}."
            )
        if not 0 <= self.gradient_weight < math.inf:
            raise ValueError(f"Expected a gradient_weight of at least 0. Got {self.gradient_weight}.")

    @property
    def name(self) -> str:
        """In files and tables."""
        return "mcmc"

    def infer(self, network: SurrogateNetwork, data: LevelTensors, seed: int) -> Posterior:
        """Weights from the noisy part of each cycle, evenly spaced in it.

        Raises:
            ValueError: a cycle has fewer noisy steps than draws.
        """
        rng = np.random.default_rng(seed)
        n, k = data.outputs.shape
        parameters = list(network.parameters())
        momenta = [torch.zeros_like(p) for p in parameters]
        a_cycle = -(-self.epochs * max(n // self.batch_size, 1) // self.cycles)
        per_cycle = [len(part) for part in np.array_split(np.arange(self.draws), self.cycles)]
        start = int(np.floor(self.exploration * a_cycle))
        if a_cycle - 1 - start < per_cycle[0]:
            raise ValueError(
                f"Expected a noisy step for each of {per_cycle[0]} draws a cycle. Got {a_cycle - 1 - start} with {n} "
                f"samples; raise epochs or take fewer draws."
            )
        drawn, noises = [], []
        for cycle in range(self.cycles):
            kept = set(np.linspace(start, a_cycle - 1, per_cycle[cycle] + 1).round().astype(int)[1:].tolist())
            noise = self._noise(network, data, rng)
            hot = 2 * noise / (n * k)
            for step in range(a_cycle):
                size, place = cyclical_step(step, a_cycle, 1, self.learning_rate)
                batch = rng.choice(n, size=min(self.batch_size, n), replace=False)

                def energy(batch: Any = batch, hot: float = hot) -> Tensor:
                    weights = sum((p**2).sum() for p in parameters) / (2 * self.prior_std**2)
                    return batch_loss(network, data, batch, self.gradient_weight, rng) + hot * weights

                noisy = place >= self.exploration
                hamiltonian_step(parameters, momenta, energy, size, self.friction, hot if noisy else 0.0)
                if step in kept:
                    drawn.append({name: value.detach().clone() for name, value in network.state_dict().items()})
                    noises.append(noise)
        state = {f"weights/{name}": torch.stack([one[name] for one in drawn]) for name in drawn[0]}
        return {**state, "noise": float(np.mean(noises)) * torch.eye(k, dtype=torch.float64)}

    def _noise(self, network: SurrogateNetwork, data: LevelTensors, rng: np.random.Generator) -> float:
        """A draw of the noise variance given the weights, under a prior of one sample of variance 0.01."""
        with torch.no_grad():
            error = float(((network.from_pooled(data.pooled) - data.outputs) ** 2).sum())
        count = data.outputs.numel()
        return float((error + 0.01) / rng.chisquare(count + 1))

    def members(self, network: SurrogateNetwork, posterior: Mapping[str, Tensor], pooled: Tensor) -> Tensor:
        """``M x b x n_outputs``, one pass a draw."""
        states = under(posterior, "weights/")
        count = len(next(iter(states.values())))
        inner = _FromPooled(network)
        return torch.stack(
            [
                torch.func.functional_call(inner, {f"network.{n}": v[m] for n, v in states.items()}, (pooled,))
                for m in range(count)
            ]
        )

    def to_json(self) -> dict[str, Any]:
        """Plain fields."""
        return asdict(self)


class _FromPooled(torch.nn.Module):
    """A network that starts from the pooled density."""

    def __init__(self, network: SurrogateNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, pooled: Tensor) -> Tensor:
        return self.network.from_pooled(pooled)
