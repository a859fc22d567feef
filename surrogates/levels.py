"""What surrogates of one level or several have in common: calibration, answers, figures, files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from surrogates.calibration import Calibration, calibrate
from surrogates.data import Dataset, LevelData
from surrogates.encoding import Array, ResponseCodec
from surrogates.evaluation import LevelScore
from surrogates.persistence import FittedLevel, save_fitted
from surrogates.prediction import Prediction, check_designs
from surrogates.runtime import torch_threads
from surrogates.scoring import Comparison, compare
from surrogates.splitting import split

HELD_OUT = 0.2


class LevelSurrogate(ABC):
    """Members that answer level by level, their spread calibrated on held-out groups.

    Args:
        held_out: share of every level's samples, by groups, that calibrates the spread and is scored in the report.

    Attributes:
        design_shape: of one design; empty before ``fit``.
        fitted: level -> what ``fit`` left there.
    """

    def __init__(self, held_out: float) -> None:
        self.held_out = held_out
        self.design_shape: tuple[int, ...] = ()
        self.fitted: dict[int, FittedLevel] = {}

    @abstractmethod
    def _members(self, design: Tensor, level: int) -> Tensor:
        """``M x b x n_outputs`` standardised predictions for ``b x *design_shape`` designs of a level fitted."""

    @abstractmethod
    def _header(self) -> dict[str, Any]:
        """What ``save`` writes beside the levels, the held-out share and the design's shape."""

    def _calibration(self, level: int, members: Array, true: Array) -> Calibration:
        """Of held-out samples: ``M x n x n_outputs`` predictions and ``n x n_outputs`` true responses."""
        return calibrate(members, true)

    def predict(self, design: Tensor, level: int) -> Prediction:
        """The response to ``b x *design_shape`` densities; all of the answer is differentiable in them."""
        fitted = self._level(level)
        return Prediction(self._answer(design, level), fitted.codec, fitted.calibration)

    def score(self, data: Dataset) -> dict[int, LevelScore]:
        """Figures of merit on samples that ``fit`` did not see, with the calibration as it stands."""
        for level, samples in data.levels.items():
            self._level(level)
            check_designs(samples.designs, self.design_shape)
        with torch_threads(1):
            return {
                level: self._compare(samples, level).score(self.fitted[level].calibration)
                for level, samples in data.levels.items()
            }

    def save(self, path: Path) -> None:
        """Write one safetensors file: weights, scales, calibration, and JSON for the rest."""
        for level in self.fitted or (0,):
            self._level(level)
        shared = {"held_out": self.held_out, "design_shape": list(self.design_shape)}
        save_fitted(path, {**self._header(), **shared}, self.fitted)

    def _restore(self, header: Mapping[str, Any], fitted: Mapping[int, FittedLevel]) -> None:
        self.design_shape = tuple(int(n) for n in header["design_shape"])
        self.fitted = dict(fitted)

    def _split(self, data: Dataset, seed: int) -> tuple[Dataset, Dataset, dict[int, ResponseCodec]]:
        """Samples to train on, held-out ones, and the units of each level's responses."""
        train, held_out = split(data, self.held_out, seed)
        return train, held_out, {level: ResponseCodec.fit(part.responses) for level, part in train.levels.items()}

    def _settle(
        self,
        train: Dataset,
        held_out: Dataset,
        codecs: Mapping[int, ResponseCodec],
        states: Mapping[int, tuple[Mapping[str, Array], ...]],
        kept: Mapping[int, Calibration] | None = None,
    ) -> dict[int, LevelScore]:
        """Takes over what training gave, calibrates each level of ``states`` but those kept, and scores it."""
        self.design_shape = train.design_shape
        self.fitted = {}
        for level, own in states.items():
            blank = Calibration(1.0, np.eye(codecs[level].n_outputs), 1.0)
            key = data_key(train.levels[level], held_out.levels[level])
            self.fitted[level] = FittedLevel(codecs[level], blank, own, key)
        scores = {}
        with torch_threads(1):
            for level, fitted in self.fitted.items():
                found, method = self._compare(held_out.levels[level], level), partial(self._calibration, level)
                calibration = (kept or {}).get(level) or method(found.members, found.true)
                self.fitted[level] = replace(fitted, calibration=calibration)
                scores[level] = found.report(
                    calibration, method, fitted.codec, train.levels[level], held_out.levels[level]
                )
        return scores

    def _level(self, level: int) -> FittedLevel:
        if level not in self.fitted:
            known = ", ".join(map(str, self.fitted)) or "none; call fit first"
            raise ValueError(f"Expected a level this surrogate was fitted on ({known}). Got {level}.")
        return self.fitted[level]

    def _answer(self, design: Tensor, level: int) -> Tensor:
        check_designs(design, self.design_shape)
        return self._members(design, level)

    def _compare(self, samples: LevelData, level: int) -> Comparison:
        return compare(partial(self._answer, level=level), self._level(level).codec, samples)


def data_key(train: LevelData, held_out: LevelData) -> str:
    """Of the samples that a level was trained and calibrated on."""
    return train.key + held_out.key
