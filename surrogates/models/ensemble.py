"""An ensemble of any model, its spread calibrated as the deep ensemble's is."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from surrogates.calibration import Calibration, calibrate
from surrogates.data import DataError, Dataset
from surrogates.encoding import ResponseCodec
from surrogates.evaluation import LevelScore, TrainingReport
from surrogates.memo import Memo, no_memo
from surrogates.models.setting import Model, Setting
from surrogates.models.training import train_model
from surrogates.persistence import DAMAGE, CorruptSurrogateError, FittedLevel, load_fitted, save_fitted
from surrogates.prediction import Prediction
from surrogates.runtime import pick_device, torch_threads
from surrogates.scoring import calibrate_and_score, score_samples
from surrogates.splitting import split
from surrogates.states import load_state
from surrogates.training import TrainingConfig


class ModelEnsemble:
    """Networks of one model that differ in their seed.

    Args:
        model: what each network is, e.g. ``Composite(...)``.
        members: how many, at least 2.
        config: how each is trained; its patience and monitor play no part, as the last epoch's weights are kept.
        held_out: share of every level's samples, by groups, that calibrates the spread and is scored in the report.

    Attributes:
        fitted: level -> what ``fit`` left there; the weights are kept at the reference.
    """

    def __init__(
        self, model: Model, members: int = 4, config: TrainingConfig | None = None, held_out: float = 0.2
    ) -> None:
        if members < 2:
            raise ValueError(f"Expected at least 2 members, whose disagreement is the spread. Got {members}.")
        self.model = model
        self.members = members
        self.config = config or TrainingConfig()
        self.held_out = held_out
        self.design_shape: tuple[int, ...] = ()
        self.fitted: dict[int, FittedLevel] = {}
        self._networks: list[nn.Module] = []

    def fit(self, data: Dataset, *, seed: int, memo: Memo = no_memo) -> TrainingReport:
        """Train every member on all levels at once and calibrate each level.

        Args:
            data: the levels; the last is the reference.
            seed: of the split, the weights and the batches.
            memo: each member's training goes through it, under the kind ``surrogate-model``.

        Raises:
            TrainingDiverged: a member's loss is no longer finite.
        """
        train_data, held_out = split(data, self.held_out, seed)
        codecs = {level: ResponseCodec.fit(samples.responses) for level, samples in train_data.levels.items()}
        setting = Setting(data.design_shape, codecs)
        levels = self.model.levels(setting)
        missing = sorted(set(levels) - set(train_data.levels))
        if missing:
            raise DataError(f"Expected samples to train on at levels {levels}. Got none at {missing}.")
        states, spent = [], 0.0
        for member in range(self.members):
            inputs = {
                "model": self.model.to_json(),
                "config": self.config.to_json(),
                "made_by": self.config.made_by(),
                "member": member,
                "seed": seed,
                "train": train_data.key,
            }
            work = partial(train_model, self.model, self.config, setting, train_data, 1000 * seed + member)
            payload = dict(memo("surrogate-model", inputs, work))
            spent += float(payload.pop("cpu_seconds"))
            states.append(payload)
        started = time.process_time()
        self.design_shape, self._networks = data.design_shape, []
        self.fitted, scores = {}, {}
        for level in levels:
            blank = Calibration(1.0, np.eye(codecs[level].n_outputs), 1.0)
            kept = tuple(states) if level == setting.reference else ()
            key = train_data.levels[level].key + held_out.levels[level].key
            self.fitted[level] = FittedLevel(codecs[level], blank, kept, key)
        with torch_threads(1):
            for level in levels:
                calibration, scores[level] = calibrate_and_score(
                    partial(self._members, level=level),
                    codecs[level],
                    train_data.levels[level],
                    held_out.levels[level],
                    calibrate,
                )
                self.fitted[level] = replace(self.fitted[level], calibration=calibration)
        return TrainingReport(scores, spent + time.process_time() - started)

    def predict(self, design: Tensor, level: int) -> Prediction:
        """The response of ``b x *design_shape`` densities, differentiable in them."""
        fitted = self._level(level)
        return Prediction(self._members(design, level), fitted.codec, fitted.calibration)

    def score(self, data: Dataset) -> dict[int, LevelScore]:
        """Figures of merit, at the levels fitted, on samples that ``fit`` did not see."""
        scores = {}
        with torch_threads(1):
            for level, fitted in self.fitted.items():
                if level in data.levels:
                    predict = partial(self._members, level=level)
                    scores[level] = score_samples(predict, fitted.codec, fitted.calibration, data.levels[level])
        return scores

    def save(self, path: Path) -> None:
        """Write one safetensors file; the model's callables are not in it, only its description."""
        header = {
            "model": self.model.to_json(),
            "config": self.config.to_json(),
            "members": self.members,
            "held_out": self.held_out,
            "design_shape": list(self.design_shape),
        }
        for level in self.fitted or (0,):
            self._level(level)
        save_fitted(path, header, self.fitted)

    @classmethod
    def load(cls, path: Path, model: Model) -> ModelEnsemble:
        """Read what ``save`` wrote.

        Args:
            path: of the file.
            model: an equal one to the one saved, as a file cannot hold its callables.

        Raises:
            CorruptSurrogateError: the file is damaged or something else.
            ValueError: it is of another model.
        """
        header, fitted = load_fitted(path)
        if header.get("model") != model.to_json():
            raise ValueError(f"Expected the model {path} was saved with, {header.get('model')}. Got {model.to_json()}.")
        try:
            ensemble = cls(model, int(header["members"]), TrainingConfig(**header["config"]), float(header["held_out"]))
            ensemble.design_shape = tuple(int(n) for n in header["design_shape"])
        except DAMAGE as error:
            raise CorruptSurrogateError(f"Expected a header written by save in {path}. Got {error!r}.") from error
        ensemble.fitted = fitted
        return ensemble

    def _level(self, level: int) -> FittedLevel:
        if level not in self.fitted:
            known = ", ".join(map(str, self.fitted)) or "none; call fit first"
            raise ValueError(f"Expected a level this ensemble was fitted on ({known}). Got {level}.")
        return self.fitted[level]

    def _members(self, design: Tensor, level: int) -> Tensor:
        if tuple(design.shape[1:]) != self.design_shape:
            raise ValueError(f"Expected designs of shape b x {self.design_shape}. Got {tuple(design.shape)}.")
        device = pick_device(self.config.device)
        if not self._networks:
            setting = Setting(self.design_shape, {level: one.codec for level, one in self.fitted.items()})
            for state in self.fitted[setting.reference].states:
                network = self.model.build(setting).to(device)
                load_state(network, state)
                self._networks.append(network.requires_grad_(False).eval())
        return torch.stack([network(design.to(device, torch.float32), level) for network in self._networks])
