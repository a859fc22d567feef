"""A deep ensemble (Lakshminarayanan et al., NeurIPS 2017): several seeds of one architecture, spread calibrated."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from surrogates.architecture import Architecture
from surrogates.batches import prepare
from surrogates.data import Dataset, LevelData
from surrogates.encoding import ResponseCodec
from surrogates.evaluation import TrainingReport, mean_cosine
from surrogates.levels import HELD_OUT, LevelSurrogate, data_key
from surrogates.members import train_members
from surrogates.memo import Memo, Payload, no_memo
from surrogates.networks import SurrogateNetwork
from surrogates.persistence import FittedLevel, load_fitted, reading
from surrogates.runtime import pick_device
from surrogates.scoring import Comparison
from surrogates.seeds import check_seed
from surrogates.splitting import check_dataset, sides_of, split
from surrogates.states import frozen, state_key, unpack, with_output_units
from surrogates.training import TrainingConfig, train


class DeepEnsemble(LevelSurrogate):
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
        super().__init__(held_out)
        if not isinstance(architecture, Architecture):
            raise TypeError(f"Expected an Architecture. Got {architecture!r}; take families.baseline('mlp'), say.")
        if members < 2:
            raise ValueError(f"Expected at least 2 members, whose disagreement is the spread. Got {members}.")
        self.architecture = architecture
        self.members = members
        self.config = config or TrainingConfig()
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
            TypeError: for data or a seed of another kind.
            ValueError: for a negative seed, or another ``init``.
        """
        check_dataset(data)
        check_seed(seed)
        started = time.process_time()
        known = self._known(init, data)
        sides = init.sides if init is not None else {}
        train_data, held_out = split(data, self.held_out, seed, sides)
        kept = {
            level: known[level]
            for level, samples in train_data.levels.items()
            if level in known
            and level != data.reference
            and known[level].data_key == data_key(samples, held_out.levels[level])
            and len(known[level].states) == self.members
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

        def inputs(member: int) -> Mapping[str, Any]:
            return {
                "architecture": self.architecture.to_json(),
                "config": self.config.to_json(),
                "held_out": held_out.key,
                "init": {str(level): state_key(state) for level, state in start[member].items()},
                "keep": sorted(kept),
                "made_by": self.config.made_by(),
                "train": train_data.key,
            }

        def work(member: int, member_seed: int) -> Payload:
            return train(
                self.architecture,
                self.config,
                train_data,
                held_out,
                codecs,
                seed=member_seed,
                init=start[member],
                keep=frozenset(kept),
            ).to_payload()

        overhead = time.process_time() - started
        payloads, spent = train_members(memo, "surrogate-member", self.members, seed, inputs, work)
        started = time.process_time()
        self._networks, self.sides = {}, {**sides, **sides_of(train_data, held_out)}
        trained = [unpack(payload, "weights/") for payload in payloads]
        states = {level: tuple(one[level] for one in trained) for level in codecs}
        calibrations = {level: one.calibration for level, one in kept.items()}
        scores = self._settle(train_data, held_out, codecs, states, calibrations)
        return TrainingReport(scores, spent + overhead + time.process_time() - started)

    def member_predictions(self, design: Tensor, level: int) -> dict[str, Tensor]:
        """Name -> ``members x b x *quantity_shape``: each network's own answer."""
        return self._level(level).codec.decode(self._answer(design, level))

    @classmethod
    def load(cls, path: Path) -> DeepEnsemble:
        """Read what ``save`` wrote; ``CorruptSurrogateError`` if the file is damaged or something else."""
        header, fitted = load_fitted(path)
        with reading(path, "a header"):
            ensemble = cls(
                Architecture.from_json(header["architecture"]),
                int(header["members"]),
                TrainingConfig(**header["config"]),
                float(header["held_out"]),
            )
            ensemble.sides = {int(group): bool(held) for group, held in header["sides"].items()}
            ensemble._restore(header, fitted)
        return ensemble

    def _header(self) -> dict[str, Any]:
        return {
            "architecture": self.architecture.to_json(),
            "config": self.config.to_json(),
            "members": self.members,
            "sides": {str(group): held for group, held in self.sides.items()},
        }

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

    def _at(self, level: int) -> list[SurrogateNetwork]:
        if level not in self._networks:
            fitted, device = self._level(level), pick_device(self.config.device)
            self._networks[level] = [
                frozen(self.architecture.build(self.design_shape, fitted.codec.n_outputs), state, device)
                for state in fitted.states
            ]
        return self._networks[level]

    def _answer(self, design: Tensor, level: int) -> Tensor:
        if not isinstance(design, Tensor):
            kind = type(design).__name__
            raise TypeError(f"Expected designs as a torch tensor. Got {kind}; pass torch.as_tensor(designs).")
        return super()._answer(design, level)

    def _members(self, design: Tensor, level: int) -> Tensor:
        networks = self._at(level)
        first = next(networks[0].parameters())
        # One pooling serves all members: they share the architecture.
        pooled = networks[0].pool(design.to(first).reshape(-1, *networks[0].shape))
        return torch.stack([network.from_pooled(pooled) for network in networks])

    def _compare(self, samples: LevelData, level: int) -> Comparison:
        """In the pooled density throughout, as training judges its epochs."""
        networks = self._at(level)
        tensors = prepare(networks[0], self._level(level).codec, samples, pick_device(self.config.device))
        with torch.no_grad():
            members = np.stack([network.from_pooled(tensors.pooled).cpu().numpy() for network in networks])
        cosine = float("nan")
        if len(tensors.rows):
            total = np.sum([tensors.full_gradients(network) for network in networks], axis=0)
            cosine = mean_cosine(total, tensors.full)
        return Comparison(members.astype(np.float64), tensors.outputs.cpu().numpy().astype(np.float64), cosine)
