"""Gaussian processes of one level or several: co-kriging, the baseline of every network over levels."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from surrogates import gaussian
from surrogates.architecture import Architecture, planar
from surrogates.calibration import Calibration, conformal
from surrogates.data import DataError, Dataset
from surrogates.encoding import ResponseCodec
from surrogates.evaluation import LevelScore, TrainingReport
from surrogates.memo import Memo, Payload, no_memo
from surrogates.networks.common import AreaPool
from surrogates.persistence import DAMAGE, CorruptSurrogateError, FittedLevel, load_fitted, save_fitted
from surrogates.prediction import Prediction
from surrogates.runtime import torch_threads
from surrogates.scoring import calibrate_and_score, score_samples
from surrogates.splitting import split


class CoKriging:
    """f_l = r_l f_(l-1) + g_l, each g_l a Gaussian process of the averaged density.

    Kennedy & O'Hagan, Biometrika 2000; hyperparameters of all levels by the marginal likelihood of all samples, one
    kernel for all outputs. With one level it is the plain Gaussian process. Gradients are not learnt from.

    Args:
        resolution: cells along the design's longer side that the density is averaged to.
        draws: members of the prediction, an even number.
        held_out: share of every level's samples, by groups, that calibrates and is scored in the report.
        max_samples: at all levels together; time grows with the cube.
        relevance: a length for each cell instead of one for all, for tables whose columns differ in weight.

    Attributes:
        fitted: level -> what ``fit`` left there; the process is kept at the reference.
    """

    def __init__(
        self,
        resolution: int = 8,
        draws: int = 32,
        held_out: float = 0.2,
        max_samples: int = 2000,
        relevance: bool = False,
    ) -> None:
        if draws < 2 or draws % 2:
            raise ValueError(f"Expected an even number of draws, 2 at least. Got {draws}.")
        self.architecture = Architecture(resolution=resolution)
        self.draws, self.held_out, self.max_samples, self.relevance = draws, held_out, max_samples, relevance
        self.design_shape: tuple[int, ...] = ()
        self.fitted: dict[int, FittedLevel] = {}
        self._state: dict[str, Tensor] = {}

    def fit(self, data: Dataset, *, seed: int, memo: Memo = no_memo) -> TrainingReport:
        """Fit the hyperparameters, condition, and calibrate each level.

        Args:
            data: all levels answer the same quantities.
            seed: of the split and the draws.
            memo: the process goes through it, under the kind ``surrogate-process``.

        Raises:
            DataError: too many samples, or levels that answer different quantities.
        """
        train_data, held_out = split(data, self.held_out, seed)
        codecs = {level: ResponseCodec.fit(samples.responses) for level, samples in train_data.levels.items()}
        n = sum(len(samples) for samples in train_data.levels.values())
        if n > self.max_samples:
            raise DataError(
                f"Expected at most {self.max_samples} samples. Got {n}; raise max_samples or use a network."
            )
        if len({codec.fields for codec in codecs.values()}) > 1:
            raise DataError("Expected the same quantities at every level. Got different ones; use Composite.")
        self.design_shape = data.design_shape
        inputs = {
            "resolution": self.architecture.resolution,
            "draws": self.draws,
            "relevance": self.relevance,
            "seed": seed,
            "train": train_data.key,
            "torch": torch.__version__,
        }
        payload = dict(memo("surrogate-process", inputs, lambda: self._compute(train_data, codecs, seed)))
        spent, started = float(payload.pop("cpu_seconds")), time.process_time()
        self._state, self.fitted, scores = _tensors(payload), {}, {}
        for level, codec in codecs.items():
            blank = Calibration(1.0, np.eye(codec.n_outputs), 1.0)
            kept: tuple[Mapping[str, np.ndarray], ...] = (payload,) if level == data.reference else ()
            self.fitted[level] = FittedLevel(codec, blank, kept, train_data.levels[level].key)
        with torch_threads(1):
            for position, (level, codec) in enumerate(codecs.items()):
                noise = self._state["log_noise"][position].exp().item() * np.eye(codec.n_outputs)
                calibration, scores[level] = calibrate_and_score(
                    partial(self._members, level=level),
                    codec,
                    train_data.levels[level],
                    held_out.levels[level],
                    partial(conformal, noise=noise),
                )
                self.fitted[level] = replace(self.fitted[level], calibration=calibration)
        return TrainingReport(scores, spent + time.process_time() - started)

    def predict(self, design: Tensor, level: int) -> Prediction:
        """The response of ``b x *design_shape`` densities, differentiable in them; draws are its members."""
        if level not in self.fitted:
            known = ", ".join(map(str, self.fitted)) or "none; call fit first"
            raise ValueError(f"Expected a level this process was fitted on ({known}). Got {level}.")
        return Prediction(self._members(design, level), self.fitted[level].codec, self.fitted[level].calibration)

    def score(self, data: Dataset) -> dict[int, LevelScore]:
        """Figures of merit on samples that ``fit`` did not see."""
        with torch_threads(1):
            return {
                level: score_samples(
                    partial(self._members, level=level),
                    self.fitted[level].codec,
                    self.fitted[level].calibration,
                    samples,
                )
                for level, samples in data.levels.items()
            }

    def save(self, path: Path) -> None:
        """Write one safetensors file: the process, scales, calibration, and JSON for the rest."""
        if not self.fitted:
            raise ValueError("Expected a fitted process. Got none; call fit first.")
        header = {
            "resolution": self.architecture.resolution,
            "draws": self.draws,
            "held_out": self.held_out,
            "max_samples": self.max_samples,
            "relevance": self.relevance,
            "design_shape": list(self.design_shape),
        }
        save_fitted(path, header, self.fitted)

    @classmethod
    def load(cls, path: Path) -> CoKriging:
        """Read what ``save`` wrote; ``CorruptSurrogateError`` if the file is damaged or something else."""
        header, fitted = load_fitted(path)
        try:
            process = cls(
                int(header["resolution"]),
                int(header["draws"]),
                float(header["held_out"]),
                int(header["max_samples"]),
                bool(header["relevance"]),
            )
            process.design_shape = tuple(int(n) for n in header["design_shape"])
            process._state = _tensors(fitted[max(fitted)].states[0])
        except (*DAMAGE, IndexError) as error:
            raise CorruptSurrogateError(f"Expected a process written by save in {path}. Got {error!r}.") from error
        process.fitted = fitted
        return process

    def _compute(self, data: Dataset, codecs: Mapping[int, ResponseCodec], seed: int) -> Payload:
        started = time.process_time()
        with torch_threads(1):
            parts = list(data.levels.items())
            x = torch.cat([self._inputs(torch.from_numpy(samples.designs.copy())) for _, samples in parts])
            y = torch.cat([codecs[level].encode(samples.tensors("responses")) for level, samples in parts])
            levels = torch.cat([torch.full((len(s),), position) for position, (_, s) in enumerate(parts)])
            hyper = gaussian.most_likely(x, levels, y, gaussian.first_guess(x, len(parts), relevance=self.relevance))
            state = gaussian.draw(x, levels, y, hyper, self.draws, seed)
        arrays = {name: value.numpy() for name, value in state.items()}
        return {**arrays, "cpu_seconds": np.array(time.process_time() - started)}

    def _inputs(self, design: Tensor) -> Tensor:
        """``b x d`` averaged densities, float64."""
        pool = AreaPool(planar(self.design_shape), self.architecture.pooled_shape(self.design_shape))
        return pool(design.cpu().double().reshape(-1, *planar(self.design_shape))).flatten(1)

    def _members(self, design: Tensor, level: int) -> Tensor:
        if tuple(design.shape[1:]) != self.design_shape:
            raise ValueError(f"Expected designs of shape b x {self.design_shape}. Got {tuple(design.shape)}.")
        return gaussian.evaluate(self._state, self._inputs(design), list(self.fitted).index(level))


def _tensors(arrays: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    return {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}
