"""A trained network with a posterior and a conformal interval at each level."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from surrogates.architecture import Architecture
from surrogates.batches import prepare
from surrogates.calibration import Calibration, conformal
from surrogates.data import Dataset, LevelData
from surrogates.encoding import ResponseCodec
from surrogates.evaluation import LevelScore, TrainingReport
from surrogates.memo import Memo, Payload, no_memo
from surrogates.networks import SurrogateNetwork
from surrogates.persistence import DAMAGE, CorruptSurrogateError, FittedLevel, load_fitted, save_fitted
from surrogates.prediction import Prediction
from surrogates.runtime import pick_device, seeded, torch_threads
from surrogates.scoring import calibrate_and_score, score_samples
from surrogates.splitting import split
from surrogates.states import State, load_state, save_state
from surrogates.training import TrainingConfig, train
from surrogates.uncertainty.deep_kernel import DeepKernel
from surrogates.uncertainty.inference import Inference, Posterior
from surrogates.uncertainty.last_layer import LastLayer
from surrogates.uncertainty.mcmc import CyclicalMCMC

INFERENCES: dict[str, type] = {"last_layer": LastLayer, "deep_kernel": DeepKernel, "mcmc": CyclicalMCMC}
_NETWORK, _POSTERIOR = "network/", "posterior/"


class BayesianSurrogate:
    """One network a level, trained as a member of an ensemble is, and draws from a posterior on top.

    Held-out groups calibrate the interval and do nothing else: not even the best epoch is picked by them, so that the
    split-conformal interval has its guarantee as far as groups are alike. Training keeps the epoch that is best on the
    training samples themselves.

    Args:
        architecture: of the network.
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
        held_out: float = 0.2,
    ) -> None:
        self.architecture = architecture
        self.inference = inference or LastLayer()
        self.config = config or TrainingConfig()
        self.held_out = held_out
        self.design_shape: tuple[int, ...] = ()
        self.fitted: dict[int, FittedLevel] = {}
        self._ready: dict[int, tuple[SurrogateNetwork, Posterior]] = {}

    def fit(self, data: Dataset, *, seed: int, memo: Memo = no_memo) -> TrainingReport:
        """Train, infer, and calibrate each level.

        Args:
            data: one level or several; each level's network starts from the one below.
            seed: of the split, the weights, the batches and the draws.
            memo: training and inference go through it, under the kind ``surrogate-posterior``.

        Raises:
            TrainingDiverged: the loss is no longer finite.
        """
        train_data, held_out = split(data, self.held_out, seed)
        codecs = {level: ResponseCodec.fit(samples.responses) for level, samples in train_data.levels.items()}
        inputs = {
            "architecture": self.architecture.to_json(),
            "config": self.config.to_json(),
            "inference": [self.inference.name, self.inference.to_json()],
            "made_by": self.config.made_by(),
            "seed": seed,
            "train": train_data.key,
        }
        payload = memo("surrogate-posterior", inputs, lambda: self._compute(train_data, codecs, seed))
        started = time.process_time()
        self.design_shape, self._ready = data.design_shape, {}
        self.fitted, scores = {}, {}
        with torch_threads(1):
            for level, samples in held_out.levels.items():
                head = f"{level}/"
                state = {name.removeprefix(head): a for name, a in payload.items() if name.startswith(head)}
                blank = Calibration(1.0, np.eye(codecs[level].n_outputs), 1.0)
                data_key = train_data.levels[level].key + samples.key
                self.fitted[level] = FittedLevel(codecs[level], blank, (state,), data_key)
                scores[level] = self._calibrate(level, train_data.levels[level], samples)
        return TrainingReport(scores, float(payload["cpu_seconds"]) + time.process_time() - started)

    def predict(self, design: Tensor, level: int) -> Prediction:
        """The response of ``b x *design_shape`` densities, differentiable in them; draws are its members."""
        fitted = self._level(level)
        return Prediction(self._members(design, level), fitted.codec, fitted.calibration)

    def score(self, data: Dataset) -> dict[int, LevelScore]:
        """Figures of merit on samples that ``fit`` did not see."""
        with torch_threads(1):
            return {level: self._score(level, samples) for level, samples in data.levels.items()}

    def _score(self, level: int, samples: LevelData) -> LevelScore:
        fitted = self._level(level)
        return score_samples(partial(self._members, level=level), fitted.codec, fitted.calibration, samples)

    def save(self, path: Path) -> None:
        """Write one safetensors file: weights, draws, scales, calibration, and JSON for the rest."""
        header = {
            "architecture": self.architecture.to_json(),
            "config": self.config.to_json(),
            "inference": [self.inference.name, self.inference.to_json()],
            "held_out": self.held_out,
            "design_shape": list(self.design_shape),
        }
        for level in self.fitted or (0,):
            self._level(level)
        save_fitted(path, header, self.fitted)

    @classmethod
    def load(cls, path: Path) -> BayesianSurrogate:
        """Read what ``save`` wrote; ``CorruptSurrogateError`` if the file is damaged or something else."""
        header, fitted = load_fitted(path)
        try:
            name, fields = header["inference"]
            surrogate = cls(
                Architecture.from_json(header["architecture"]),
                INFERENCES[name](**fields),
                TrainingConfig(**header["config"]),
                float(header["held_out"]),
            )
            surrogate.design_shape = tuple(int(n) for n in header["design_shape"])
        except DAMAGE as error:
            raise CorruptSurrogateError(f"Expected a header written by save in {path}. Got {error!r}.") from error
        surrogate.fitted = fitted
        return surrogate

    def _compute(self, data: Dataset, codecs: dict[int, ResponseCodec], seed: int) -> Payload:
        started = time.process_time()
        trained = train(self.architecture, self.config, data, data, codecs, seed=seed)
        device = pick_device(self.config.device)
        payload: Payload = {}
        with torch_threads(1), seeded(seed):
            for level, samples in data.levels.items():
                network = self.architecture.build(data.design_shape, codecs[level].n_outputs).to(device)
                load_state(network, trained.states[level])
                posterior = self.inference.infer(network, prepare(network, codecs[level], samples, device), seed)
                arrays = {_POSTERIOR + name: value.cpu().numpy() for name, value in posterior.items()}
                arrays |= {_NETWORK + name: array for name, array in save_state(network).items()}
                payload |= {f"{level}/{name}": array for name, array in arrays.items()}
        return {**payload, "cpu_seconds": np.array(time.process_time() - started)}

    def _level(self, level: int) -> FittedLevel:
        if level not in self.fitted:
            known = ", ".join(map(str, self.fitted)) or "none; call fit first"
            raise ValueError(f"Expected a level this surrogate was fitted on ({known}). Got {level}.")
        return self.fitted[level]

    def _members(self, design: Tensor, level: int) -> Tensor:
        if level not in self._ready:
            fitted, device = self._level(level), pick_device(self.config.device)
            parts: dict[str, State] = {_NETWORK: {}, _POSTERIOR: {}}
            for name, array in fitted.states[0].items():
                head, _, rest = name.partition("/")
                parts[head + "/"][rest] = array
            network = fitted.network(self.architecture, self.design_shape, parts[_NETWORK]).to(device)
            posterior = {name: torch.from_numpy(np.array(a)).to(device) for name, a in parts[_POSTERIOR].items()}
            self._ready[level] = network, posterior
        network, posterior = self._ready[level]
        if tuple(design.shape[1:]) != self.design_shape:
            raise ValueError(f"Expected designs of shape b x {self.design_shape}. Got {tuple(design.shape)}.")
        first = next(network.parameters())
        pooled = network.pool(design.to(first).reshape(-1, *network.shape))
        return self.inference.members(network, posterior, pooled)

    def _calibrate(self, level: int, train_samples: LevelData, samples: LevelData) -> LevelScore:
        fitted = self.fitted[level]
        noise = fitted.states[0][_POSTERIOR + "noise"]
        calibration, score = calibrate_and_score(
            partial(self._members, level=level),
            fitted.codec,
            train_samples,
            samples,
            lambda members, true: conformal(members, true, noise),
        )
        self.fitted[level] = replace(fitted, calibration=calibration)
        return score
