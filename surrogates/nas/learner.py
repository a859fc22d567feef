"""One network in training that can be put down and taken up again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray

from surrogates.architecture import Architecture
from surrogates.batches import LevelTensors, prepare
from surrogates.data import LevelData
from surrogates.encoding import ResponseCodec
from surrogates.evaluation import PullBack, mean_cosine, r_squared, step_figures, value_error
from surrogates.nas.resumable import Resumable
from surrogates.networks import SurrogateNetwork
from surrogates.runtime import seeded, torch_threads
from surrogates.states import State, load_state
from surrogates.training import TrainingConfig, batch_loss


@dataclass(frozen=True, eq=False)
class LatentTensors(LevelTensors):
    """Samples whose gradients are judged in the latent variables too.

    Args:
        pull_back: from the density.
        designs: ``m x *design_shape``, that of each gradient.
        latent: ``m x ...``, the stored gradients in the latent variables.
    """

    pull_back: PullBack
    designs: NDArray[np.float64]
    latent: NDArray[np.float64]

    @classmethod
    def of(cls, tensors: LevelTensors, samples: LevelData, pull_back: PullBack) -> LatentTensors:
        """The same with what was pulled back."""
        designs = samples.designs[tensors.rows]
        latent = pull_back(designs, tensors.full.reshape(designs.shape)) if len(designs) else np.zeros((0, 1))
        own = {field.name: getattr(tensors, field.name) for field in fields(LevelTensors)}
        return cls(**own, pull_back=pull_back, designs=designs, latent=latent)

    def latent_cosine(self, gradients: NDArray[np.float64]) -> float:
        """Mean cosine of ``m x h x w`` predicted gradients in the density, pulled back, with the stored ones.

        nan of gradients that are not finite.
        """
        if not np.isfinite(gradients).all():
            return float("nan")
        return mean_cosine(self.pull_back(self.designs, gradients.reshape(self.designs.shape)), self.latent)


class Learner(Resumable[SurrogateNetwork, TrainingConfig]):
    """Trains a network from designs to responses, see ``Resumable``.

    Args:
        architecture: of the network.
        config: batch size, learning rate, weight decay, gradient weight, device.
        samples, codec: what it learns, and its units.
        total_epochs: of the ladder's last rung.
        seed: of weights and batches.
        start: weights to start from where they fit, such as a smaller network's; None for fresh ones.
        latent: to judge gradients in the latent variables as well.
    """

    def __init__(
        self,
        architecture: Architecture,
        config: TrainingConfig,
        samples: LevelData,
        codec: ResponseCodec,
        total_epochs: int,
        seed: int,
        start: State | None = None,
        latent: PullBack | None = None,
    ) -> None:
        with seeded(seed):
            network = architecture.build(samples.design_shape, codec.n_outputs)
        if start is not None:
            load_state(network, start)
        super().__init__(network, config, len(samples), total_epochs, seed)
        self.architecture, self.codec, self.latent = architecture, codec, latent
        weight = architecture.gradient_weight
        self.gradient_weight = config.gradient_weight if weight is None else weight
        self.data = prepare(self.network, codec, samples, self.device)

    def advance(self, check: LevelTensors, monitor: str) -> float:
        """One more epoch; the monitored error of the averaged weights on the held-out samples.

        Raises:
            TrainingDiverged: the error is no longer finite.
        """
        with torch_threads(1):
            self._pass(lambda rows, rng: batch_loss(self.network, self.data, rows, self.gradient_weight, rng))
            measures = self.measure(check)
        return self._enter(monitored(measures, monitor))

    def measure(self, check: LevelTensors) -> dict[str, float]:
        """Of the averaged weights: ``value_error``, ``r2``, ``gradient_cosine``, and what ``step_figures`` gives.

        The steps are those of the runs that the samples come from: improvement of the objective whose gradient is
        known at both ends, see ``LevelTensors.improvements``. Without gradients, all but the first two are nan. Of
        samples that were prepared with ``latent`` there is ``latent_cosine`` as well.
        """
        own = {name: tensor.clone() for name, tensor in self.network.state_dict().items()}
        self.network.load_state_dict(self.average)
        with torch.no_grad():
            predicted = self.network.from_pooled(check.pooled).cpu().numpy()
        true = check.outputs.cpu().numpy()
        gradients = check.full_gradients(self.network) if len(check.rows) else None
        self.network.load_state_dict(own)
        cosines = {"gradient_cosine": float("nan") if gradients is None else mean_cosine(gradients, check.full)}
        if isinstance(check, LatentTensors):
            cosines["latent_cosine"] = float("nan") if gradients is None else check.latent_cosine(gradients)
        return {
            "value_error": value_error(predicted, true),
            "r2": r_squared(predicted, true),
            **cosines,
            **step_figures(check.improvements(predicted), check.improvements(true)),
        }

    def prepared(self, samples: LevelData) -> LevelTensors:
        """Samples as this network sees them."""
        tensors = prepare(self.network, self.codec, samples, self.device)
        return tensors if self.latent is None else LatentTensors.of(tensors, samples, self.latent)


def monitored(measures: Mapping[str, float], monitor: str) -> float:
    """The one number that a search minimises: ``value`` error, ``gradient`` (1 - cosine), or ``both`` (their mean).

    The cosine is that in the latent variables where gradients are judged there, else that in the density. Without
    gradients it is the value error.
    """
    cosine = measures.get("latent_cosine", measures["gradient_cosine"])
    if monitor == "value" or np.isnan(cosine):
        return measures["value_error"]
    return 1 - cosine if monitor == "gradient" else (measures["value_error"] + 1 - cosine) / 2
