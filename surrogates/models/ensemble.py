"""An ensemble of any model, its spread calibrated as the deep ensemble's is."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from surrogates.data import DataError, Dataset
from surrogates.evaluation import LevelScore, TrainingReport
from surrogates.levels import HELD_OUT, LevelSurrogate
from surrogates.members import train_members
from surrogates.memo import Memo, Payload, no_memo
from surrogates.models.setting import Model, Setting
from surrogates.models.training import train_model, weighed
from surrogates.persistence import check_model, load_fitted, reading
from surrogates.runtime import pick_device
from surrogates.states import frozen
from surrogates.training import TrainingConfig


class ModelEnsemble(LevelSurrogate):
    """Networks of one model that differ in their seed.

    Args:
        model: what each network is, e.g. ``Composite(...)``.
        members: how many, at least 2.
        config: how each is trained; its patience and monitor play no part, as the last epoch's weights are kept. A
            ``gradient_weight`` of the model's architecture takes the place of the configuration's.
        held_out: share of every level's samples, by groups, that calibrates the spread and is scored in the report.

    Attributes:
        fitted: level -> what ``fit`` left there; the weights are kept at the reference.
    """

    def __init__(
        self, model: Model, members: int = 4, config: TrainingConfig | None = None, held_out: float = HELD_OUT
    ) -> None:
        super().__init__(held_out)
        if members < 2:
            raise ValueError(f"Expected at least 2 members, whose disagreement is the spread. Got {members}.")
        self.model = model
        self.members = members
        self.config = config or TrainingConfig()
        self._networks: list[nn.Module] = []

    def fit(self, data: Dataset, *, seed: int, memo: Memo = no_memo) -> TrainingReport:
        """Train every member on all levels at once and calibrate each level.

        Args:
            data: the levels; the last is the reference.
            seed: of the split, the weights and the batches.
            memo: each member's training goes through it, under the kind ``surrogate-model``.

        Raises:
            TrainingDiverged: a member's loss is no longer finite.
            ValueError: for a model whose architectures have several gradient weights.
        """
        config = weighed(self.config, self.model)
        train_data, held_out, codecs = self._split(data, seed)
        setting = Setting(data.design_shape, codecs)
        levels = self.model.levels(setting)
        missing = sorted(set(levels) - set(train_data.levels))
        if missing:
            raise DataError(f"Expected samples to train on at levels {levels}. Got none at {missing}.")

        def inputs(_: int) -> Mapping[str, Any]:
            return {
                "model": self.model.to_json(),
                "config": config.to_json(),
                "made_by": config.made_by(),
                "train": train_data.key,
            }

        def work(_: int, member_seed: int) -> Payload:
            return train_model(self.model, config, setting, train_data, member_seed)

        states, spent = train_members(memo, "surrogate-model", self.members, seed, inputs, work)
        started = time.process_time()
        self._networks = []
        kept = {level: tuple(states) if level == setting.reference else () for level in levels}
        scores = self._settle(train_data, held_out, codecs, kept)
        return TrainingReport(scores, spent + time.process_time() - started)

    def score(self, data: Dataset) -> dict[int, LevelScore]:
        """Figures of merit, at the levels the model answers, on samples that ``fit`` did not see."""
        answered = {level: samples for level, samples in data.levels.items() if level in self.fitted}
        return super().score(Dataset(answered) if answered else data)

    @classmethod
    def load(cls, path: Path, model: Model) -> ModelEnsemble:
        """Read what ``save`` wrote: the model's callables are not in it, only its description.

        Args:
            path: of the file.
            model: an equal one to the one saved.

        Raises:
            CorruptSurrogateError: the file is damaged or something else.
            ValueError: it is of another model.
        """
        header, fitted = load_fitted(path)
        check_model(path, header, model.to_json())
        with reading(path, "a header"):
            ensemble = cls(model, int(header["members"]), TrainingConfig(**header["config"]), float(header["held_out"]))
            ensemble._restore(header, fitted)
        return ensemble

    def _header(self) -> dict[str, Any]:
        return {"model": self.model.to_json(), "config": self.config.to_json(), "members": self.members}

    def _members(self, design: Tensor, level: int) -> Tensor:
        device = pick_device(self.config.device)
        if not self._networks:
            setting = Setting(self.design_shape, {level: one.codec for level, one in self.fitted.items()})
            states = self.fitted[setting.reference].states
            self._networks = [frozen(self.model.build(setting), state, device) for state in states]
        return torch.stack([network(design.to(device, torch.float32), level) for network in self._networks])
