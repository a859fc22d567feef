"""One network in training that can be put down and taken up again."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from surrogates.architecture import Architecture
from surrogates.batches import LevelTensors, prepare
from surrogates.data import LevelData
from surrogates.encoding import ResponseCodec
from surrogates.evaluation import PullBack, mean_cosine, r_squared, step_figures, value_error
from surrogates.runtime import pick_device, seeded, torch_threads
from surrogates.states import State, load_state, save_state
from surrogates.training import TrainingConfig, TrainingDiverged, batch_loss

# Share of the last steps' weights that the judged average forgets a step.
AVERAGING = 0.02


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
        """Mean cosine of ``m x h x w`` predicted gradients in the density, pulled back, with the stored ones."""
        return mean_cosine(self.pull_back(self.designs, gradients.reshape(self.designs.shape)), self.latent)


class Learner:
    """Trains a network epoch by epoch; the same epochs give the same network, in one go or in several.

    The learning rate follows a cosine over all epochs of the ladder. What is judged is a moving average of the weights
    (Polyak & Juditsky 1992), so that a network may be judged before the rate has come down.

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
        self.architecture = architecture
        self.latent = latent
        self.config = config
        weight = architecture.gradient_weight
        self.gradient_weight = config.gradient_weight if weight is None else weight
        self.codec = codec
        self.device = pick_device(config.device)
        self.total_epochs = total_epochs
        self.seed = seed
        self.epoch = 0
        self.curve: list[float] = []
        with seeded(seed):
            self.network = architecture.build(samples.design_shape, codec.n_outputs).to(self.device)
        if start is not None:
            load_state(self.network, start)
        self.data = prepare(self.network, codec, samples, self.device)
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self.steps = -(-len(samples) // config.batch_size)
        self.average = {name: tensor.detach().clone() for name, tensor in self.network.state_dict().items()}

    def advance(self, check: LevelTensors, monitor: str) -> float:
        """One more epoch; the monitored error of the averaged weights on the held-out samples.

        Raises:
            TrainingDiverged: the error is no longer finite.
        """
        rng = np.random.default_rng([self.seed, self.epoch])
        with torch_threads(1):
            for number, batch in enumerate(np.array_split(rng.permutation(len(self.data.pooled)), self.steps)):
                done = (self.epoch + number / self.steps) / self.total_epochs
                for group in self.optimiser.param_groups:
                    group["lr"] = self.config.learning_rate * (1 + np.cos(np.pi * min(done, 1.0))) / 2
                loss = batch_loss(self.network, self.data, batch, self.gradient_weight, rng)
                self.optimiser.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
                self.optimiser.step()
                self._average(self.epoch * self.steps + number)
            self.epoch += 1
            measures = self.measure(check)
        error = monitored(measures, monitor)
        if not np.isfinite(error):
            raise TrainingDiverged(f"Expected a finite error. Got {error} in epoch {self.epoch}.")
        self.curve.append(error)
        return error

    def _average(self, taken: int) -> None:
        # The first steps are forgotten soon.
        share = max(AVERAGING, 1 / (1 + 0.1 * taken))
        with torch.no_grad():
            for name, tensor in self.network.state_dict().items():
                self.average[name].lerp_(tensor, share)

    def measure(self, check: LevelTensors) -> dict[str, float]:
        """Of the averaged weights: ``value_error``, ``r2``, ``gradient_cosine``, and what ``step_figures`` gives.

        The steps are those of the runs that the samples come from: improvement of the objective whose gradient is
        known, linearised in the response. Without gradients, all but the first two are nan. Of samples that were
        prepared with ``latent`` there is ``latent_cosine`` as well.
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

    def weights(self) -> State:
        """The averaged weights."""
        return {name: np.array(tensor.cpu().numpy()) for name, tensor in self.average.items()}

    def checkpoint(self) -> bytes:
        """All that training goes on from, as npz bytes."""
        arrays: dict[str, NDArray[Any]] = {f"network/{n}": a for n, a in save_state(self.network).items()}
        arrays |= {f"average/{n}": a for n, a in self.weights().items()}
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
        load_state(self.network, _under(arrays, "network/"))
        self.average = {n: torch.from_numpy(a.copy()).to(self.device) for n, a in _under(arrays, "average/").items()}
        moments: dict[int, dict[str, torch.Tensor]] = {}
        for name, array in _under(arrays, "optimiser/").items():
            number, _, what = name.partition("/")
            moments.setdefault(int(number), {})[what] = torch.from_numpy(array.copy()).to(self.device)
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": moments})
        self.epoch = int(arrays["epoch"])
        self.curve = [float(error) for error in arrays["curve"]]


def _under(arrays: Mapping[str, NDArray[Any]], start: str) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(start): array for name, array in arrays.items() if name.startswith(start)}


def monitored(measures: Mapping[str, float], monitor: str) -> float:
    """The one number that a search minimises: ``value`` error, ``gradient`` (1 - cosine), or ``both`` (their mean).

    The cosine is that in the latent variables where gradients are judged there, else that in the density. Without
    gradients it is the value error.
    """
    cosine = measures.get("latent_cosine", measures["gradient_cosine"])
    if monitor == "value" or np.isnan(cosine):
        return measures["value_error"]
    return 1 - cosine if monitor == "gradient" else (measures["value_error"] + 1 - cosine) / 2
