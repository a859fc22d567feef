"""A level's samples as tensors in the network's terms: pooled densities, standardised responses, pooled gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from surrogates.architecture import planar
from surrogates.data import LevelData
from surrogates.encoding import ResponseCodec
from surrogates.evaluation import mean_cosine, value_error
from surrogates.networks import SurrogateNetwork


@dataclass(frozen=True, eq=False)
class LevelTensors:
    """``n`` samples and the ``m`` of their gradient rows whose cotangent is not zero.

    Pooling is linear, so a network of the pooled density can be trained on it directly; gradients are compared there
    too, after the least-squares projection of the stored ones. Each is divided by the norm of its cotangent, so that
    rows of differently scaled objectives weigh the same.

    Args:
        pooled: ``n x h' x w'``.
        outputs: ``n x n_outputs``.
        rows: ``m``, the sample of each gradient.
        cotangents: ``m x n_outputs``, of unit norm.
        gradients: ``m x h' x w'``.
        full: ``m x h x w``, the stored gradients, to judge by; on the CPU.
        gradient_power: mean squared norm of ``gradients``.
        norms: ``m``, of the stored cotangents, in the codec's units.
        steps: ``k x 2``: which of the ``m`` has another sample of its run behind it, to which a step led, and the
            gradient of the same objective there, that in the same place among the sample's own.
    """

    pooled: Tensor
    outputs: Tensor
    rows: NDArray[np.int64]
    cotangents: Tensor
    gradients: Tensor
    full: NDArray[np.float64]
    gradient_power: float
    norms: NDArray[np.float64]
    steps: NDArray[np.int64]
    _first: NDArray[np.int64]
    _count: NDArray[np.int64]

    def draw_rows(self, batch: NDArray[Any], rng: np.random.Generator) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """One gradient row at random for each sample of the batch, and which samples have any."""
        count = self._count[batch]
        rows = self._first[batch] + (rng.random(len(batch)) * count).astype(np.int64)
        return np.where(count > 0, rows, 0), count > 0

    def score(self, network: SurrogateNetwork) -> tuple[float, float]:
        """Value error and mean gradient cosine in the full density (``nan`` without gradients)."""
        with torch.no_grad():
            predicted = network.from_pooled(self.pooled)
        error = value_error(predicted.cpu().numpy(), self.outputs.cpu().numpy())
        if len(self.rows) == 0:
            return error, float("nan")
        return error, mean_cosine(self.full_gradients(network), self.full)

    def improvements(self, outputs: NDArray[np.float64]) -> NDArray[np.float64]:
        """``k``: by how much the runs' own steps raise their objectives, ``n x n_outputs`` responses given.

        A cotangent is the objective's derivative in the response. From one end of a step to the other it is integrated
        by the trapezoid rule: exact for powers such as |s|^2, however far their phases turn, and of third order else.
        """
        before, after = self.steps.T
        change = outputs[self.rows[after]] - outputs[self.rows[before]]
        cotangents = self.cotangents.cpu().numpy() * self.norms[:, None]
        return np.asarray((change * (cotangents[before] + cotangents[after])).sum(axis=1) / 2)

    def full_gradients(self, network: SurrogateNetwork) -> NDArray[np.float64]:
        """``m x h x w`` predicted gradients in the full density."""
        _, gradient = gradient_of(network, self.pooled[self.rows], self.cotangents)
        return network.pool.pull_back(gradient).cpu().numpy().astype(np.float64)


def gradient_of(
    network: SurrogateNetwork, pooled: Tensor, cotangents: Tensor, create_graph: bool = False
) -> tuple[Tensor, Tensor]:
    """Responses ``b x n_outputs`` and the ``b x h' x w'`` gradient of <cotangent, response> in the pooled density."""
    pooled = pooled.detach().requires_grad_(True)
    outputs = network.from_pooled(pooled)
    (gradient,) = torch.autograd.grad((outputs * cotangents).sum(), pooled, create_graph=create_graph)
    return outputs, gradient


def prepare(network: SurrogateNetwork, codec: ResponseCodec, data: LevelData, device: torch.device) -> LevelTensors:
    """The samples as this network and codec see them."""
    shape = planar(data.design_shape)
    weights = codec.pull_back(data.tensors("cotangents"))
    norms = weights.norm(dim=1).numpy()
    used = np.flatnonzero(norms > 0)
    used = used[np.argsort(data.gradient_rows[used], kind="stable")]
    rows = data.gradient_rows[used]
    full = data.gradients[used].reshape(-1, *shape) / norms[used, None, None]
    with torch.no_grad():
        designs = torch.from_numpy(data.designs.reshape(-1, *shape).astype(np.float32))
        pooled = network.pool(designs.to(device))
        gradients = network.pool.project(torch.from_numpy(full).to(device)).float()
    count = np.bincount(rows, minlength=len(data)).astype(np.int64)
    first = np.cumsum(count) - count
    return LevelTensors(
        pooled=pooled,
        outputs=codec.encode(data.tensors("responses")).float().to(device),
        rows=rows,
        cotangents=(weights[used] / torch.from_numpy(norms[used, None])).float().to(device),
        gradients=gradients,
        full=full,
        gradient_power=max(float((gradients**2).sum(dim=(1, 2)).mean()), 1e-30) if len(used) else 1.0,
        norms=norms[used],
        steps=_steps(_following(data.groups), rows, first, count),
        _first=first,
        _count=count,
    )


def _following(groups: NDArray[Any]) -> NDArray[np.int64]:
    """``n``: the next sample of the same group, -1 behind the last."""
    order = np.argsort(groups, kind="stable")
    found = np.full(len(groups), -1)
    same = groups[order[1:]] == groups[order[:-1]]
    found[order[:-1][same]] = order[1:][same]
    return found


def _steps(
    following: NDArray[np.int64], rows: NDArray[np.int64], first: NDArray[np.int64], count: NDArray[np.int64]
) -> NDArray[np.int64]:
    """``k x 2``: gradients of samples that are followed by one with as many, and those in the same place there."""
    after = following[rows]
    led = np.flatnonzero((after >= 0) & (count[after] == count[rows]))
    return np.stack([led, first[after[led]] + led - first[rows[led]]], axis=1)
