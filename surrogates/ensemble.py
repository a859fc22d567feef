"""A deep ensemble (Lakshminarayanan et al., NeurIPS 2017): several seeds of one architecture, spread calibrated."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from surrogates.architecture import Architecture
from surrogates.baselines import score_baselines
from surrogates.batches import prepare
from surrogates.calibration import Calibration, calibrate, cross_coverage
from surrogates.data import Dataset, LevelData
from surrogates.encoding import ResponseCodec
from surrogates.evaluation import LevelScore, TrainingReport, mean_cosine
from surrogates.memo import Memo, no_memo
from surrogates.networks import SurrogateNetwork
from surrogates.persistence import DAMAGE, CorruptSurrogateError, FittedLevel, load_fitted, save_fitted
from surrogates.prediction import Prediction
from surrogates.runtime import pick_device, torch_threads
from surrogates.scoring import level_score
from surrogates.splitting import sides_of, split
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

    Attributes:
        fitted: level -> what ``fit`` left there.
        sides: group -> whether it is held out; of all groups this ensemble and those it goes on from were fitted on.
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
        self.sides: dict[int, bool] = {}
        self._networks: dict[int, list[SurrogateNetwork]] = {}

    def fit(
        self, data: Dataset, *, seed: int, memo: Memo = no_memo, init: DeepEnsemble | None = None
    ) -> TrainingReport:
        """Train every member and calibrate each level.

        Args:
            data: one level or several; each starts from the one below.
            seed: of the split, the weights and the batches.
            memo: each member's training goes through it, under the kind ``surrogate-member``.
            init: a fitted ensemble of the same architecture and held-out share, and at least as many members, to go on
                from. ``data`` is what it was fitted on, appended to. Groups stay on the side they were on, whatever the
                seed: nothing it was trained on is held out now. A level below the reference whose data it has already
                seen is taken as it is, calibration included.

        Raises:
            TrainingDiverged: a member's loss is no longer finite.
        """
        started = time.process_time()
        known = self._known(init, data)
        sides = init.sides if init is not None else {}
        train_data, held_out = split(data, self.held_out, seed, sides)
        data_keys = {level: samples.key + held_out.levels[level].key for level, samples in train_data.levels.items()}
        kept = {
            level: one
            for level, one in known.items()
            if level != data.reference and one.data_key == data_keys.get(level) and len(one.states) == self.members
        }
        codecs = {
            level: kept[level].codec if level in kept else ResponseCodec.fit(samples.responses)
            for level, samples in train_data.levels.items()
        }
        start = [
            {
                level: with_output_units(known[level].states[member], known[level].codec, codec)
                for level, codec in codecs.items()
                if level in known and known[level].codec.fields == codec.fields
            }
            for member in range(self.members)
        ]
        trained, spent = [], 0.0
        overhead = time.process_time() - started
        for member in range(self.members):
            inputs = {
                "architecture": self.architecture.to_json(),
                "config": self.config.to_json(),
                "held_out": held_out.key,
                "init": {str(level): state_key(state) for level, state in start[member].items()},
                "keep": sorted(kept),
                "made_by": self.config.made_by(),
                "member": member,
                "seed": seed,
                "train": train_data.key,
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
                    keep=frozenset(kept),
                ).to_payload()

            trained.append(Trained.from_payload(memo("surrogate-member", inputs, compute)))
            spent += trained[-1].cpu_seconds
        started = time.process_time()
        self.design_shape, self._networks = data.design_shape, {}
        self.sides = {**sides, **sides_of(train_data, held_out)}
        scores = {}
        with torch_threads(1):
            for level, samples in held_out.levels.items():
                states = tuple(one.states[level] for one in trained)
                blank = Calibration(1.0, np.eye(codecs[level].n_outputs), 1.0)
                calibration = kept[level].calibration if level in kept else None
                self.fitted[level] = FittedLevel(codecs[level], calibration or blank, states, data_keys[level])
                scores[level] = self._calibrate(level, train_data.levels[level], samples, calibration)
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
            "sides": {str(group): held for group, held in self.sides.items()},
        }
        for level in self.fitted or (0,):
            self._level(level)
        save_fitted(path, header, self.fitted)

    @classmethod
    def load(cls, path: Path) -> DeepEnsemble:
        """Read what ``save`` wrote; ``CorruptSurrogateError`` if the file is damaged or something else."""
        header, fitted = load_fitted(path)
        try:
            ensemble = cls(
                Architecture.from_json(header["architecture"]),
                int(header["members"]),
                TrainingConfig(**header["config"]),
                float(header["held_out"]),
            )
            ensemble.design_shape = tuple(int(n) for n in header["design_shape"])
            ensemble.sides = {int(group): bool(held) for group, held in header["sides"].items()}
        except DAMAGE as error:
            raise CorruptSurrogateError(f"Expected a header written by save in {path}. Got {error!r}.") from error
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

    def _known(self, init: DeepEnsemble | None, data: Dataset) -> dict[int, FittedLevel]:
        """The levels to go on from."""
        if init is None:
            return {}
        if init.architecture != self.architecture or init.members < self.members:
            raise ValueError(
                f"Expected init to hold {self.members} members of {self.architecture.key}. "
                f"Got {init.members} of {init.architecture.key}; fit without init."
            )
        if init.fitted and init.design_shape != data.design_shape:
            raise ValueError(f"Expected init to know designs {data.design_shape}. Got {init.design_shape}.")
        if init.held_out != self.held_out:
            raise ValueError(f"Expected init to hold out {self.held_out} of the samples. Got {init.held_out}.")
        return {level: init.fitted[level] for level in data.levels if level in init.fitted}

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

    def _calibrate(
        self, level: int, train_samples: LevelData, samples: LevelData, calibration: Calibration | None
    ) -> LevelScore:
        """Calibrates the level, unless a calibration is given, and scores it."""
        members, true, _ = self._held_out_members(level, samples)
        codec = self._level(level).codec
        self.fitted[level] = replace(self.fitted[level], calibration=calibration or calibrate(members, true))
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
        return level_score(members, true, self._level(level).calibration, cosine)
