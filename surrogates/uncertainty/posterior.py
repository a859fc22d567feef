"""A trained network with a posterior and a conformal interval at each level."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from surrogates.architecture import Architecture
from surrogates.batches import LevelTensors, prepare
from surrogates.calibration import Calibration, conformal
from surrogates.data import Dataset
from surrogates.encoding import Array, ResponseCodec
from surrogates.evaluation import TrainingReport
from surrogates.levels import HELD_OUT, LevelSurrogate
from surrogates.members import charged
from surrogates.memo import Memo, Payload, no_memo
from surrogates.networks import SurrogateNetwork
from surrogates.persistence import load_fitted, reading
from surrogates.runtime import pick_device, seeded, torch_threads
from surrogates.states import frozen, load_state, save_state, under, unpack
from surrogates.training import TrainingConfig, TrainingDiverged, train
from surrogates.uncertainty.deep_kernel import DeepKernel
from surrogates.uncertainty.inference import Inference, Posterior
from surrogates.uncertainty.last_layer import LastLayer
from surrogates.uncertainty.mcmc import CyclicalMCMC

INFERENCES: dict[str, type] = {"last_layer": LastLayer, "deep_kernel": DeepKernel, "mcmc": CyclicalMCMC}
_NETWORK, _POSTERIOR = "network/", "posterior/"
_AT_ONCE = 256


class BayesianSurrogate(LevelSurrogate):
    """One network a level, trained as a member of an ensemble is, and draws from a posterior on top.

    Held-out groups calibrate the interval and do nothing else: not even the best epoch is picked by them, so that the
    split-conformal interval has its guarantee as far as groups are alike. Training keeps the epoch that is best on the
    training samples themselves.

    Args:
        architecture: of the network. A ``gradient_weight`` of its own takes the place of the configuration's, and of
            that of ``CyclicalMCMC``.
        inference: ``LastLayer()``, ``DeepKernel()`` or ``CyclicalMCMC()``; the first if left out.
        config: how the network is trained.
        held_out: share of every level's samples, by groups, that calibrates and is scored in the report.

    Attributes:
        fitted: level -> what ``fit`` left there.
    """

    def __init__(
        self,
        architecture: Architecture,
        inference: Inference | None = None,
        config: TrainingConfig | None = None,
        held_out: float = HELD_OUT,
    ) -> None:
        super().__init__(held_out)
        self.architecture = architecture
        self.inference = inference or LastLayer()
        self.config = config or TrainingConfig()
        self._ready: dict[int, tuple[SurrogateNetwork, Posterior]] = {}

    def fit(self, data: Dataset, *, seed: int, memo: Memo = no_memo) -> TrainingReport:
        """Train, infer, and calibrate each level.

        Args:
            data: one level or several; each level's network starts from the one below.
            seed: of the split, the weights, the batches and the draws.
            memo: training and inference go through it, under the kind ``surrogate-posterior``.

        Raises:
            TrainingDiverged: the loss, or what a draw of the posterior answers, is no longer finite.
        """
        inference = self._weighed()
        train_data, held_out, codecs = self._split(data, seed)
        inputs = {
            "architecture": self.architecture.to_json(),
            "config": self.config.to_json(),
            "inference": [inference.name, inference.to_json()],
            "made_by": self.config.made_by(),
            "seed": seed,
            "train": train_data.key,
        }
        payload, spent = charged(
            memo, "surrogate-posterior", inputs, lambda: self._compute(inference, train_data, codecs, seed)
        )
        started = time.process_time()
        self._ready = {}
        states = {level: (state,) for level, state in unpack(payload).items()}
        scores = self._settle(train_data, held_out, codecs, states)
        return TrainingReport(scores, spent + time.process_time() - started)

    @classmethod
    def load(cls, path: Path) -> BayesianSurrogate:
        """Read what ``save`` wrote; ``CorruptSurrogateError`` if the file is damaged or something else."""
        header, fitted = load_fitted(path)
        with reading(path, "a header"):
            name, fields = header["inference"]
            surrogate = cls(
                Architecture.from_json(header["architecture"]),
                INFERENCES[name](**fields),
                TrainingConfig(**header["config"]),
                float(header["held_out"]),
            )
            surrogate._restore(header, fitted)
        return surrogate

    def _header(self) -> dict[str, Any]:
        return {
            "architecture": self.architecture.to_json(),
            "config": self.config.to_json(),
            "inference": [self.inference.name, self.inference.to_json()],
        }

    def _weighed(self) -> Inference:
        """The inference with the architecture's weight of gradients, where it has one and the inference needs one."""
        own = self.architecture.gradient_weight
        if own is None or not isinstance(self.inference, CyclicalMCMC):
            return self.inference
        return replace(self.inference, gradient_weight=own)

    def _compute(self, inference: Inference, data: Dataset, codecs: dict[int, ResponseCodec], seed: int) -> Payload:
        started = time.process_time()
        trained = train(self.architecture, self.config, data, data, codecs, seed=seed)
        device = pick_device(self.config.device)
        payload: Payload = {}
        with torch_threads(1), seeded(seed):
            for level, samples in data.levels.items():
                network = self.architecture.build(data.design_shape, codecs[level].n_outputs).to(device)
                load_state(network, trained.states[level])
                tensors = prepare(network, codecs[level], samples, device)
                posterior = inference.infer(network, tensors, seed)
                _check_finite(inference, network, posterior, tensors, level)
                arrays = {_POSTERIOR + name: value.cpu().numpy() for name, value in posterior.items()}
                arrays |= {_NETWORK + name: array for name, array in save_state(network).items()}
                payload |= {f"{level}/{name}": array for name, array in arrays.items()}
        return {**payload, "cpu_seconds": np.array(time.process_time() - started)}

    def _members(self, design: Tensor, level: int) -> Tensor:
        if level not in self._ready:
            fitted, device = self._level(level), pick_device(self.config.device)
            network = self.architecture.build(self.design_shape, fitted.codec.n_outputs)
            drawn = under(fitted.states[0], _POSTERIOR)
            self._ready[level] = (
                frozen(network, under(fitted.states[0], _NETWORK), device),
                {name: torch.from_numpy(np.array(array)).to(device) for name, array in drawn.items()},
            )
        network, posterior = self._ready[level]
        first = next(network.parameters())
        pooled = network.pool(design.to(first).reshape(-1, *network.shape))
        return self.inference.members(network, posterior, pooled)

    def _calibration(self, level: int, members: Array, true: Array) -> Calibration:
        return conformal(members, true, self.fitted[level].states[0][_POSTERIOR + "noise"])


def _check_finite(
    inference: Inference, network: SurrogateNetwork, posterior: Posterior, data: LevelTensors, level: int
) -> None:
    """``TrainingDiverged`` unless the posterior, and what its draws answer to the training samples, is finite."""
    on_device = {name: value.to(data.pooled.device) for name, value in posterior.items()}
    finite = all(bool(torch.isfinite(value).all()) for value in on_device.values())
    with torch.no_grad():
        finite = finite and all(
            bool(torch.isfinite(inference.members(network, on_device, pooled)).all())
            for pooled in data.pooled.split(_AT_ONCE)
        )
    if not finite:
        raise TrainingDiverged(
            f"Expected finite draws of the posterior. Got NaN or infinity by {inference.name} at level {level}; lower "
            "the learning rate."
        )
