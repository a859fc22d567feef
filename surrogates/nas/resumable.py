"""A network in training that can be put down and taken up again, whatever it learns."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from surrogates.runtime import pick_device
from surrogates.states import State, load_state, pack, save_state, under, unpack
from surrogates.training import TrainingDiverged

# Share of the last steps' weights that the judged average forgets a step.
AVERAGING = 0.02


class StepConfig(Protocol):
    """How steps are taken."""

    @property
    def batch_size(self) -> int: ...
    @property
    def learning_rate(self) -> float: ...
    @property
    def weight_decay(self) -> float: ...
    @property
    def device(self) -> str: ...


Network = TypeVar("Network", bound=nn.Module)
Config = TypeVar("Config", bound=StepConfig)


class Resumable(Generic[Network, Config]):
    """Trains a network epoch by epoch; the same epochs give the same network, in one go or in several.

    The learning rate follows a cosine over all epochs of the ladder. What is judged is a moving average of the weights
    (Polyak & Juditsky 1992), so that a network may be judged before the rate has come down.

    Args:
        network: to train.
        config: batch size, learning rate, weight decay, device.
        n_samples: in an epoch.
        total_epochs: of the ladder's last rung.
        seed: of batches.
    """

    average_name = "average"
    """Of the averaged weights in checkpoints."""

    def __init__(self, network: Network, config: Config, n_samples: int, total_epochs: int, seed: int) -> None:
        self.config, self.n_samples, self.total_epochs, self.seed = config, n_samples, total_epochs, seed
        self.device = pick_device(config.device)
        self.network = network.to(self.device)
        self.average = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
        self.optimiser = torch.optim.AdamW(
            network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self.steps = -(-n_samples // config.batch_size)
        self.epoch = 0
        self.curve: list[float] = []

    def _pass(self, loss: Callable[[NDArray[np.int64], np.random.Generator], Tensor]) -> None:
        """One more epoch down the loss of the batches, each given by its rows."""
        rng = np.random.default_rng([self.seed, self.epoch])
        for number, batch in enumerate(np.array_split(rng.permutation(self.n_samples), self.steps)):
            done = (self.epoch + number / self.steps) / self.total_epochs
            for group in self.optimiser.param_groups:
                group["lr"] = self.config.learning_rate * (1 + np.cos(np.pi * min(done, 1.0))) / 2
            value = loss(batch, rng)
            self.optimiser.zero_grad()
            value.backward()
            nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
            self.optimiser.step()
            self._move_average(self.epoch * self.steps + number)
        self.epoch += 1

    def _move_average(self, taken: int) -> None:
        # The first steps are forgotten soon.
        share = max(AVERAGING, 1 / (1 + 0.1 * taken))
        with torch.no_grad():
            for name, tensor in self.network.state_dict().items():
                self.average[name].lerp_(tensor, share)

    def _enter(self, error: float) -> float:
        """The epoch's error, now in the curve; ``TrainingDiverged`` unless it is finite."""
        if not np.isfinite(error):
            raise TrainingDiverged(f"Expected a finite error. Got {error} in epoch {self.epoch}.")
        self.curve.append(error)
        return error

    def weights(self) -> State:
        """The averaged weights."""
        return {name: np.array(tensor.cpu().numpy()) for name, tensor in self.average.items()}

    def checkpoint(self) -> bytes:
        """All that training goes on from, as npz bytes."""
        moments = self.optimiser.state_dict()["state"].items()
        arrays: dict[str, NDArray[Any]] = {f"network/{n}": a for n, a in save_state(self.network).items()}
        arrays |= {f"{self.average_name}/{n}": a for n, a in self.weights().items()}
        arrays |= pack({k: {n: t.cpu().numpy() for n, t in state.items()} for k, state in moments}, "optimiser/")
        arrays |= {"epoch": np.array(self.epoch), "curve": np.array(self.curve)}
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **arrays)
        return buffer.getvalue()

    def resume(self, checkpoint: bytes) -> None:
        """Goes on from ``checkpoint``; ``KeyError``, ``ValueError`` or ``RuntimeError`` if it is of another network."""
        with np.load(io.BytesIO(checkpoint), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        load_state(self.network, under(arrays, "network/"))
        for name, tensor in self.average.items():
            tensor.copy_(torch.from_numpy(arrays[f"{self.average_name}/{name}"]))
        moments = {
            number: {name: torch.from_numpy(array.copy()).to(self.device) for name, array in state.items()}
            for number, state in unpack(arrays, "optimiser/").items()
        }
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": moments})
        self.epoch = int(arrays["epoch"])
        self.curve = [float(error) for error in arrays["curve"]]
