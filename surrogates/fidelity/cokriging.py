"""Gaussian processes of one level or several: co-kriging, the baseline of every network over levels."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from surrogates import gaussian
from surrogates.architecture import Architecture, planar
from surrogates.calibration import Calibration, conformal
from surrogates.data import DataError, Dataset
from surrogates.encoding import Array, ResponseCodec
from surrogates.evaluation import TrainingReport
from surrogates.levels import HELD_OUT, LevelSurrogate
from surrogates.members import charged
from surrogates.memo import Memo, Payload, no_memo
from surrogates.networks.common import AreaPool
from surrogates.persistence import load_fitted, reading
from surrogates.runtime import torch_threads


class CoKriging(LevelSurrogate):
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
        held_out: float = HELD_OUT,
        max_samples: int = 2000,
        relevance: bool = False,
    ) -> None:
        super().__init__(held_out)
        if draws < 2 or draws % 2:
            raise ValueError(f"Expected an even number of draws, 2 at least. Got {draws}.")
        self.architecture = Architecture(resolution=resolution)
        self.draws, self.max_samples, self.relevance = draws, max_samples, relevance
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
        train_data, held_out, codecs = self._split(data, seed)
        n = sum(len(samples) for samples in train_data.levels.values())
        if n > self.max_samples:
            raise DataError(
                f"Expected at most {self.max_samples} samples. Got {n}; raise max_samples or use a network."
            )
        if len({codec.fields for codec in codecs.values()}) > 1:
            raise DataError("Expected the same quantities at every level. Got different ones; use Composite.")
        inputs = {
            "resolution": self.architecture.resolution,
            "draws": self.draws,
            "relevance": self.relevance,
            "seed": seed,
            "train": train_data.key,
            "torch": torch.__version__,
        }
        payload, spent = charged(memo, "surrogate-process", inputs, lambda: self._compute(train_data, codecs, seed))
        started = time.process_time()
        self._state = _tensors(payload)
        states = {level: (payload,) if level == data.reference else () for level in codecs}
        scores = self._settle(train_data, held_out, codecs, states)
        return TrainingReport(scores, spent + time.process_time() - started)

    @classmethod
    def load(cls, path: Path) -> CoKriging:
        """Read what ``save`` wrote; ``CorruptSurrogateError`` if the file is damaged or something else."""
        header, fitted = load_fitted(path)
        with reading(path, "a process"):
            process = cls(
                int(header["resolution"]),
                int(header["draws"]),
                float(header["held_out"]),
                int(header["max_samples"]),
                bool(header["relevance"]),
            )
            process._restore(header, fitted)
            process._state = _tensors(fitted[max(fitted)].states[0])
        return process

    def _header(self) -> dict[str, Any]:
        return {
            "resolution": self.architecture.resolution,
            "draws": self.draws,
            "max_samples": self.max_samples,
            "relevance": self.relevance,
        }

    def _compute(self, data: Dataset, codecs: Mapping[int, ResponseCodec], seed: int) -> Payload:
        started = time.process_time()
        with torch_threads(1):
            parts = list(data.levels.items())
            x = torch.cat(
                [self._inputs(torch.from_numpy(samples.designs.copy()), data.design_shape) for _, samples in parts]
            )
            y = torch.cat([codecs[level].encode(samples.tensors("responses")) for level, samples in parts])
            levels = torch.cat([torch.full((len(s),), position) for position, (_, s) in enumerate(parts)])
            hyper = gaussian.most_likely(x, levels, y, gaussian.first_guess(x, len(parts), relevance=self.relevance))
            state = gaussian.draw(x, levels, y, hyper, self.draws, seed)
        arrays = {name: value.numpy() for name, value in state.items()}
        return {**arrays, "cpu_seconds": np.array(time.process_time() - started)}

    def _inputs(self, design: Tensor, design_shape: tuple[int, ...]) -> Tensor:
        """``b x d`` averaged densities, float64."""
        pool = AreaPool(planar(design_shape), self.architecture.pooled_shape(design_shape))
        return pool(design.cpu().double().reshape(-1, *planar(design_shape))).flatten(1)

    def _members(self, design: Tensor, level: int) -> Tensor:
        return gaussian.evaluate(self._state, self._inputs(design, self.design_shape), list(self.fitted).index(level))

    def _calibration(self, level: int, members: Array, true: Array) -> Calibration:
        noise = self._state["log_noise"][list(self.fitted).index(level)].exp().item()
        return conformal(members, true, noise * np.eye(true.shape[1]))


def _tensors(arrays: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    return {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}
