"""A deep ensemble (Lakshminarayanan et al., NeurIPS 2017): several seeds of one architecture, spread calibrated."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from surrogates.architecture import Architecture
from surrogates.baselines import score_baselines
from surrogates.batches import prepare
from surrogates.calibration import Calibration, calibrate, cross_coverage, interval_figures
from surrogates.data import Dataset, LevelData
from surrogates.encoding import ResponseCodec
from surrogates.evaluation import LevelScore, TrainingReport, mean_cosine, r_squared, value_error
from surrogates.memo import Memo, no_memo
from surrogates.networks import SurrogateNetwork
from surrogates.persistence import FittedLevel, load_fitted, save_fitted
from surrogates.prediction import Prediction
from surrogates.runtime import pick_device, torch_threads
from surrogates.splitting import split
from surrogates.states import State, state_key, with_output_units
from surrogates.training import Trained, TrainingConfig, train

HELD_OUT = 0.2


class DeepEnsemble:
    """Networks that differ in their seed; their mean predicts, their disagreement warns.

    Args:
        architecture: of every member.
        members: how many, at least 2.
        config: how each is trained.
        held_out: share of every level's samples, by groups, that picks the best epoch, calibrates the spread and is
            scored in the report.
    """

    def __init__(
        self,
        architecture: Architecture,
        members: int = 4,
        config: TrainingConfig | None = None,
        held_out: float = HELD_OUT,
    ) -> None:
        if members < 2:
            raise ValueError(f"Expected at least 2 members, whose disagreement is the spread. Got {members}.")
        self.architecture = architecture
        self.members = members
        self.config = config or TrainingConfig()
        self.held_out = held_out
        self.design_shape: tuple[int, ...] = ()
        self.fitted: dict[int, FittedLevel] = {}
        self._networks: dict[int, list[SurrogateNetwork]] = {}

    def fit(
        self, data: Dataset, *, seed: int, memo: Memo = no_memo, init: DeepEnsemble | None = None
    ) -> TrainingReport:
        """Train every member and calibrate each level.

        Args:
            data: one level or several; each starts from the one below.
            seed: of the split, the weights and the batches.
            memo: each member's training goes through it, under the kind ``surrogate-member``.
            init: a fitted ensemble of the same architecture and at least as many members to go on from. A level whose
                data it has already seen is taken as it is.

        Raises:
            TrainingDiverged: a member's loss is no longer finite.
        """
        started = time.process_time()
        train_data, held_out = split(data, self.held_out, seed)
        codecs = {level: ResponseCodec.fit(samples.responses) for level, samples in train_data.levels.items()}
        start = self._starting_points(init, data, codecs)
        keep = frozenset(
            level
            for level in start[0]
            if init is not None and level != data.reference and init.fitted[level].data_key == data.levels[level].key
        )
        trained, spent = [], 0.0
        overhead = time.process_time() - started
        for member in range(self.members):
            inputs = {
                "architecture": self.architecture.to_json(),
                "config": self.config.to_json(),
                "data": data.key,
                "held_out": self.held_out,
                "init": {str(level): state_key(state) for level, state in start[member].items()},
                "keep": sorted(keep),
                "member": member,
                "seed": seed,
            }

            def compute(member: int = member) -> State:
                return train(
                    self.architecture,
                    self.config,
                    train_data,
                    held_out,
                    codecs,
                    seed=1000 * seed + member,
                    init=start[member],
                    keep=keep,
                ).to_payload()

            trained.append(Trained.from_payload(memo("surrogate-member", inputs, compute)))
            spent += trained[-1].cpu_seconds
        started = time.process_time()
        self.design_shape, self._networks = data.design_shape, {}
        scores = {}
        with torch_threads(1):
            for level, samples in held_out.levels.items():
                states = tuple(one.states[level] for one in trained)
                blank = Calibration(1.0, np.eye(codecs[level].n_outputs), 1.0)
                self.fitted[level] = FittedLevel(codecs[level], blank, states, data.levels[level].key)
                scores[level] = self._calibrate(level, train_data.levels[level], samples)
        self.fitted = {level: self.fitted[level] for level in scores}
        return TrainingReport(scores, spent + overhead + time.process_time() - started)

    def predict(self, design: Tensor, level: int) -> Prediction:
        """The response to ``b x *design_shape`` densities; all of the answer is differentiable in them."""
        fitted = self._level(level)
        return Prediction(self._standardised(design, level), fitted.codec, fitted.calibration)

    def member_predictions(self, design: Tensor, level: int) -> dict[str, Tensor]:
        """Name -> ``members x b x *quantity_shape``: each network's own answer."""
        return self._level(level).codec.decode(self._standardised(design, level))

    def score(self, data: Dataset) -> dict[int, LevelScore]:
        """Figures of merit on samples that ``fit`` did not see, with the calibration as it stands."""
        with torch_threads(1):
            return {level: self._score(level, samples) for level, samples in data.levels.items()}

    def save(self, path: Path) -> None:
        """Write one safetensors file: weights, scales, calibration, and JSON for the rest."""
        header = {
            "architecture": self.architecture.to_json(),
            "config": self.config.to_json(),
            "members": self.members,
            "held_out": self.held_out,
            "design_shape": list(self.design_shape),
        }
        for level in self.fitted or (0,):
            self._level(level)
        save_fitted(path, header, self.fitted)

    @classmethod
    def load(cls, path: Path) -> DeepEnsemble:
        """Read what ``save`` wrote; ``CorruptSurrogateError`` if the file is damaged or something else."""
        header, fitted = load_fitted(path)
        ensemble = cls(
            Architecture.from_json(header["architecture"]),
            int(header["members"]),
            TrainingConfig(**header["config"]),
            float(header["held_out"]),
        )
        ensemble.design_shape = tuple(int(n) for n in header["design_shape"])
        ensemble.fitted = fitted
        return ensemble

    def _level(self, level: int) -> FittedLevel:
        if level not in self.fitted:
            known = ", ".join(map(str, self.fitted)) or "none; call fit first"
            raise ValueError(f"Expected a level this ensemble was fitted on ({known}). Got {level}.")
        return self.fitted[level]

    def _members(self, level: int) -> list[SurrogateNetwork]:
        if level not in self._networks:
            fitted = self._level(level)
            device = pick_device(self.config.device)
            self._networks[level] = [
                fitted.network(self.architecture, self.design_shape, state).to(device) for state in fitted.states
            ]
        return self._networks[level]

    def _standardised(self, design: Tensor, level: int) -> Tensor:
        networks = self._members(level)
        if tuple(design.shape[1:]) != self.design_shape:
            raise ValueError(f"Expected designs of shape b x {self.design_shape}. Got {tuple(design.shape)}.")
        first = next(networks[0].parameters())
        # One pooling serves all members: they share the architecture.
        pooled = networks[0].pool(design.to(first).reshape(-1, *networks[0].shape))
        return torch.stack([network.from_pooled(pooled) for network in networks])

    def _starting_points(
        self, init: DeepEnsemble | None, data: Dataset, codecs: Mapping[int, ResponseCodec]
    ) -> list[dict[int, State]]:
        if init is None:
            return [{} for _ in range(self.members)]
        if init.architecture != self.architecture or init.members < self.members:
            raise ValueError(
                f"Expected init to hold {self.members} members of {self.architecture.key}. "
                f"Got {init.members} of {init.architecture.key}; fit without init."
            )
        if init.fitted and init.design_shape != data.design_shape:
            raise ValueError(f"Expected init to know designs {data.design_shape}. Got {init.design_shape}.")
        shared = [level for level in data.levels if level in init.fitted]
        return [
            {
                level: with_output_units(init.fitted[level].states[member], init.fitted[level].codec, codecs[level])
                for level in shared
                if init.fitted[level].codec.fields == codecs[level].fields
            }
            for member in range(self.members)
        ]

    def _held_out_members(self, level: int, samples: LevelData) -> tuple[np.ndarray, np.ndarray, float]:
        """Member predictions, true responses (both standardised), and the ensemble mean's gradient cosine."""
        networks = self._members(level)
        device = pick_device(self.config.device)
        tensors = prepare(networks[0], self._level(level).codec, samples, device)
        with torch.no_grad():
            members = np.stack([network.from_pooled(tensors.pooled).cpu().numpy() for network in networks])
        cosine = float("nan")
        if len(tensors.rows):
            cosine = mean_cosine(
                np.sum([tensors.full_gradients(network) for network in networks], axis=0), tensors.full
            )
        return members.astype(np.float64), tensors.outputs.cpu().numpy().astype(np.float64), cosine

    def _calibrate(self, level: int, train_samples: LevelData, samples: LevelData) -> LevelScore:
        members, true, _ = self._held_out_members(level, samples)
        codec = self._level(level).codec
        self.fitted[level] = replace(self.fitted[level], calibration=calibrate(members, true))
        coverage, width = cross_coverage(members, true, samples.groups)
        return replace(
            self._score(level, samples),
            n_train=len(train_samples),
            coverage_90=coverage,
            width_90=width,
            baselines=score_baselines(train_samples, samples, codec),
        )

    def _score(self, level: int, samples: LevelData) -> LevelScore:
        members, true, cosine = self._held_out_members(level, samples)
        mean = members.mean(axis=0)
        coverage, width = interval_figures(self._level(level).calibration, members, true)
        return LevelScore(0, len(samples), value_error(mean, true), r_squared(mean, true), cosine, coverage, width)
