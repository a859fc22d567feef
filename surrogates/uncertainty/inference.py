"""The contract of a posterior over what one network answers at one level."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from torch import Tensor

from surrogates.batches import LevelTensors
from surrogates.networks import SurrogateNetwork

Posterior = dict[str, Tensor]
"""``noise``, the ``n_outputs x n_outputs`` covariance of what no member explains, and an inference's own tensors."""


class Inference(Protocol):
    """From a trained network and its samples to draws from a posterior. A frozen value.

    ``infer`` may change the network's weights; they are saved afterwards. It draws from torch's current generator.
    """

    @property
    def name(self) -> str: ...
    def infer(self, network: SurrogateNetwork, data: LevelTensors, seed: int) -> Posterior: ...
    def members(self, network: SurrogateNetwork, posterior: Mapping[str, Tensor], pooled: Tensor) -> Tensor:
        """``M x b x n_outputs`` from ``b x h' x w'`` pooled densities, differentiable in them."""
        ...

    def to_json(self) -> dict[str, Any]: ...


def features(network: SurrogateNetwork, pooled: Tensor) -> Tensor:
    """``b x n_features``: what the network's head sees."""
    return network.trunk(2 * pooled - 1)
