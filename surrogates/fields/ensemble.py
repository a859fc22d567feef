"""Several networks of one field model, their spread calibrated."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor

from surrogates.calibration import conformal_quantile, halves
from surrogates.encoding import Array
from surrogates.fields.data import FieldData
from surrogates.fields.models import FieldModel, FieldNetwork
from surrogates.fields.prediction import FieldPrediction, FieldScore
from surrogates.fields.residuals import Residual
from surrogates.fields.training import FieldTraining, Units, train_field
from surrogates.levels import HELD_OUT
from surrogates.members import train_members
from surrogates.memo import Memo, Payload, no_memo
from surrogates.persistence import check_model, load_arrays, reading, save_arrays
from surrogates.prediction import check_designs
from surrogates.runtime import pick_device, torch_threads
from surrogates.states import State, frozen, pack, unpack

_BATCH = 64
_FLOOR = 1e-3
"""Of the spread, in units of the fields' root mean square: members that agree by accident are not sure."""


class FieldEnsemble:
    """Networks from design and condition to field that differ in their seed.

    Held-out groups calibrate the spread and do nothing else.

    Args:
        model: ``GridField``, ``CoordinateField`` or ``Refiner``.
        members: networks; one is enough for a ``Refiner``, whose draws differ.
        config: how each is trained.
        held_out: share of the samples, by groups, that calibrates and is scored in the report.
    """

    def __init__(
        self, model: FieldModel, members: int = 2, config: FieldTraining | None = None, held_out: float = HELD_OUT
    ) -> None:
        if members < 1:
            raise ValueError(f"Expected at least one member. Got {members}.")
        self.model, self.members = model, members
        self.config = config or FieldTraining()
        self.held_out = held_out
        self.quantile = float("nan")
        self._units = Units(1.0, (), ())
        self._states: list[State] = []
        self._networks: list[FieldNetwork] = []
        self._design_shape, self._field_shape = (0, 0), (0, 0)

    def fit(
        self,
        data: FieldData,
        *,
        seed: int,
        memo: Memo = no_memo,
        residual: Residual | None = None,
        residual_identity: str = "",
        unsolved: FieldData | None = None,
    ) -> FieldScore:
        """Train every member and calibrate.

        Args:
            data: to train on and to hold out of.
            seed: of the split, the weights and the batches.
            memo: each member's training goes through it, under the kind ``surrogate-field``.
            residual: of the equation, for a ``residual_weight`` above 0.
            residual_identity: stable, of everything that changes the residual: results are stored under it.
            unsolved: designs and conditions without a solution, for the residual alone; none of the held-out groups'.

        Returns:
            The score on held-out groups; coverage is counted on the half not calibrated on, both ways.

        Raises:
            TrainingDiverged: the loss is no longer finite.
        """
        if residual is not None and memo is not no_memo and not residual_identity:
            raise ValueError("Expected a residual_identity to store results under. Got none; name the equation.")
        if unsolved is not None and (unsolved.design_shape, unsolved.n_conditions) != (
            data.design_shape,
            data.n_conditions,
        ):
            raise ValueError(
                f"Expected unsolved designs {data.design_shape} with {data.n_conditions} conditions. "
                f"Got {unsolved.design_shape} with {unsolved.n_conditions}."
            )
        train, held = data.split(self.held_out, seed)
        units = Units.fit(train)

        def inputs(_: int) -> Mapping[str, Any]:
            return {
                "model": self.model.to_json(),
                "config": self.config.to_json(),
                "residual": residual_identity,
                "unsolved": "" if unsolved is None else unsolved.key,
                "train": train.key,
                "torch": torch.__version__,
            }

        def work(_: int, member_seed: int) -> Payload:
            return train_field(self.model, self.config, units, train, member_seed, residual, unsolved)

        states, spent = train_members(memo, "surrogate-field", self.members, seed, inputs, work)
        started = time.process_time()
        self._units, self._states, self._networks = units, states, []
        self._design_shape, self._field_shape = data.design_shape, data.field_shape
        errors, spreads, score = self._compare(held)
        self.quantile = conformal_quantile(errors / spreads)
        inside, radii = [], []
        for own, counted in halves(held.groups):
            radius = conformal_quantile(errors[own] / spreads[own]) * spreads[counted]
            inside.append((errors[counted] <= radius).ravel())
            radii.append(radius.ravel())
        coverage = float(np.concatenate(inside).mean()) if inside else float("nan")
        radius_90 = float(np.concatenate(radii).mean()) / units.scale if radii else float("nan")
        spent += time.process_time() - started
        return replace(score, n_train=len(train), coverage_90=coverage, radius_90=radius_90, cpu_seconds=spent)

    def predict(self, design: Tensor, condition: Tensor | None = None) -> FieldPrediction:
        """Fields of ``b x h' x w'`` designs at ``b x c`` conditions, differentiable in both."""
        networks = self._ready()
        check_designs(design, self._design_shape)
        wanted = len(self._units.middle)
        given = torch.zeros(len(design), 0) if condition is None else condition
        if tuple(given.shape) != (len(design), wanted):
            raise ValueError(f"Expected conditions of shape {len(design)} x {wanted}. Got {tuple(given.shape)}.")
        device = pick_device(self.config.device)
        x, scaled = design.to(device, torch.float32), self._units.conditions(given.to(device, torch.float32))
        drawn = torch.cat([network.draws(x, scaled) for network in networks])
        return FieldPrediction(drawn * self._units.scale, _FLOOR * self._units.scale, self.quantile)

    def score(self, data: FieldData) -> FieldScore:
        """Figures of merit on samples that ``fit`` did not see; ``ValueError`` for those of other shapes."""
        self._ready()
        if data.field_shape != self._field_shape:
            raise ValueError(
                f"Expected fields of shape n x {self._field_shape}. Got {data.fields.shape}; bring them to the grid "
                "fitted on."
            )
        return self._compare(data)[2]

    def save(self, path: Path) -> None:
        """Write one safetensors file; of the model only its description."""
        self._ready()
        units = {"scale": self._units.scale, "middle": self._units.middle, "reach": self._units.reach}
        header = {
            "model": self.model.to_json(),
            "members": self.members,
            "config": self.config.to_json(),
            "held_out": self.held_out,
            "quantile": self.quantile,
            "units": units,
            "shapes": [list(self._design_shape), list(self._field_shape)],
        }
        save_arrays(path, header, pack(dict(enumerate(self._states))))

    @classmethod
    def load(cls, path: Path, model: FieldModel) -> FieldEnsemble:
        """Read what ``save`` wrote.

        Args:
            path: of the file.
            model: an equal one to the one saved.

        Raises:
            CorruptSurrogateError: the file is damaged or something else.
            ValueError: it is of another model.
        """
        header, arrays = load_arrays(path)
        check_model(path, header, model.to_json())
        with reading(path, "fields"):
            config, units = FieldTraining(**header["config"]), header["units"]
            one = cls(model, int(header["members"]), config, float(header["held_out"]))
            one.quantile = float(header["quantile"])
            one._units = Units(float(units["scale"]), tuple(units["middle"]), tuple(units["reach"]))
            one._design_shape, one._field_shape = ((int(h), int(w)) for h, w in header["shapes"])
            one._states = list(unpack(arrays).values())
        return one

    def _ready(self) -> list[FieldNetwork]:
        if not self._states:
            raise ValueError("Expected a fitted ensemble. Got none; call fit first.")
        if not self._networks:
            shapes, device = (self._design_shape, self._field_shape), pick_device(self.config.device)
            self._networks = [
                frozen(self.model.build(*shapes, len(self._units.middle)), state, device) for state in self._states
            ]
        return self._networks

    def _compare(self, data: FieldData) -> tuple[Array, Array, FieldScore]:
        """Absolute errors and spreads, ``n x (h w)``, and the score at the quantile as it stands."""
        errors, spreads = [], []
        with torch.no_grad(), torch_threads(1):
            designs, conditions, fields = data.tensors()
            for rows in torch.arange(len(data)).split(_BATCH):
                prediction = self.predict(designs[rows], conditions[rows])
                errors.append((prediction.mean.cpu() - fields[rows]).abs().flatten(1).numpy())
                spreads.append(prediction.std.cpu().flatten(1).numpy())
        error, spread = np.concatenate(errors).astype(np.float64), np.concatenate(spreads).astype(np.float64)
        norms = np.linalg.norm(data.fields.reshape(len(data), -1), axis=1)
        relative = np.linalg.norm(error, axis=1) / np.maximum(norms, 1e-30)
        doubt = np.linalg.norm(spread, axis=1) / np.maximum(norms, 1e-30)
        correlation = float(spearmanr(relative, doubt).statistic) if len(data) > 2 else float("nan")
        coverage = float((error <= self.quantile * spread).mean())
        radius = float(self.quantile * spread.mean()) / self._units.scale
        return error, spread, FieldScore(0, len(data), float(relative.mean()), coverage, radius, correlation)
