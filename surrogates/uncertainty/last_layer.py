"""A Bayesian last layer: linear regression on a trained network's features, in closed form.

Bishop, Pattern Recognition and Machine Learning (2006), sections 3.3 and 3.5; on learned features Snoek et al.,
ICML 2015.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from surrogates.batches import LevelTensors
from surrogates.networks import SurrogateNetwork
from surrogates.uncertainty.inference import Posterior, features

_LIMITS = 1e-8, 1e8


def evidence_maximum(phi: Tensor, y: Tensor, iterations: int = 200) -> tuple[Tensor, Tensor]:
    """Precisions of the weights' prior and of the noise, ``k`` each, by the fixed point of Bishop eqs. 3.91-3.95.

    Args:
        phi: ``n x f`` features, float64. y: ``n x k``, each output with precisions of its own.
    """
    n, k = y.shape
    left, singular, _ = torch.linalg.svd(phi, full_matrices=False)
    eigen, projected = singular**2, left.T @ y
    outside = (y**2).sum(0) - (projected**2).sum(0)
    alpha, beta = torch.ones(k, dtype=y.dtype), 10 * torch.ones(k, dtype=y.dtype)
    for _ in range(iterations):
        shrunk = beta * eigen[:, None] / (alpha + beta * eigen[:, None])
        gamma = shrunk.sum(0)
        weight_power = (shrunk**2 * projected**2 / eigen.clamp(min=1e-300)[:, None]).sum(0)
        error = (((1 - shrunk) * projected) ** 2).sum(0) + outside.clamp(min=0)
        new_alpha = (gamma / weight_power.clamp(min=1e-300)).clamp(*_LIMITS)
        new_beta = ((n - gamma).clamp(min=1e-3) / error.clamp(min=1e-300)).clamp(*_LIMITS)
        moved = max(float((new_alpha / alpha).log().abs().max()), float((new_beta / beta).log().abs().max()))
        alpha, beta = new_alpha, new_beta
        if moved < 1e-6:
            break
    return alpha, beta


def weight_posterior(phi: Tensor, y: Tensor, alpha: Tensor, beta: Tensor) -> tuple[Tensor, Tensor]:
    """Mean ``f x k`` and covariances ``k x f x f`` of the weights (Bishop eqs. 3.53 and 3.54)."""
    eye = torch.eye(phi.shape[1], dtype=phi.dtype)
    precision = alpha[:, None, None] * eye + beta[:, None, None] * (phi.T @ phi)
    covariance = torch.linalg.inv(precision)
    mean = torch.einsum("kfg,gk,k->fk", covariance, phi.T @ y, beta)
    return mean, (covariance + covariance.transpose(1, 2)) / 2


@dataclass(frozen=True)
class LastLayer:
    """Draws of the last layer's weights, the features fixed.

    Args:
        draws: members of the prediction; an even number, as they come in opposite pairs about the posterior mean.
    """

    draws: int = 64

    def __post_init__(self) -> None:
        if self.draws < 2 or self.draws % 2:
            raise ValueError(f"Expected an even number of draws, 2 at least. Got {self.draws}.")

    @property
    def name(self) -> str:
        """In files and tables."""
        return "last_layer"

    def infer(self, network: SurrogateNetwork, data: LevelTensors, seed: int) -> Posterior:
        """Evidence maximisation and draws, in float64."""
        with torch.no_grad():
            phi = with_constant(features(network, data.pooled).double().cpu())
        y = data.outputs.double().cpu()
        alpha, beta = evidence_maximum(phi, y)
        mean, covariance = weight_posterior(phi, y, alpha, beta)
        values, vectors = torch.linalg.eigh(covariance)
        root = vectors * values.clamp(min=0).sqrt()[:, None, :]
        generator = torch.Generator().manual_seed(seed)
        normal = torch.randn(self.draws // 2, *mean.shape[::-1], generator=generator, dtype=torch.float64)
        deviation = torch.einsum("kfg,mkg->mfk", root, normal)
        weights = torch.cat([mean + deviation, mean - deviation])
        return {"weights": weights, "noise": (1 / beta).diag()}

    def members(self, network: SurrogateNetwork, posterior: Mapping[str, Tensor], pooled: Tensor) -> Tensor:
        """``M x b x n_outputs``: one linear map of the features a draw."""
        return with_constant(features(network, pooled).double()) @ posterior["weights"]

    def to_json(self) -> dict[str, Any]:
        """Plain fields."""
        return asdict(self)


def with_constant(phi: Tensor) -> Tensor:
    """Features with a constant one beside them."""
    return torch.cat([phi, torch.ones_like(phi[:, :1])], dim=1)
