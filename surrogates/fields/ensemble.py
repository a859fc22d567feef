"""Several networks of one field model, their spread calibrated."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor

from surrogates.calibration import conformal_quantile
from surrogates.encoding import Array
from surrogates.fields.data import FieldData
from surrogates.fields.models import FieldModel, FieldNetwork
from surrogates.fields.prediction import FieldPrediction, FieldScore
from surrogates.fields.residuals import Residual
from surrogates.fields.training import FieldTraining, Units, train_field
from surrogates.memo import Memo, no_memo
from surrogates.persistence import DAMAGE, CorruptSurrogateError, load_arrays, save_arrays
from surrogates.runtime import pick_device, torch_threads
from surrogates.states import State, load_state

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
        self, model: FieldModel, members: int = 2, config: FieldTraining | None = None, held_out: float = 0.2
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
        train, held = data.split(self.held_out, seed)
        self._units, self._states, self._networks = Units.fit(train), [], []
        self._design_shape, self._field_shape = data.design_shape, data.field_shape
        spent = 0.0
        for member in range(self.members):
            inputs = {
                "model": self.model.to_json(),
                "config": self.config.to_json(),
                "residual": residual_identity,
                "unsolved": "" if unsolved is None else unsolved.key,
                "member": member,
                "seed": seed,
                "train": train.key,
                "torch": torch.__version__,
            }
            work = partial(
                train_field, self.model, self.config, self._units, train, 1000 * seed + member, residual, unsolved
            )
            payload = dict(memo("surrogate-field", inputs, work))
            spent += float(payload.pop("cpu_seconds"))
            self._states.append(payload)
        started = time.process_time()
        errors, spreads, score = self._compare(held)
        self.quantile = conformal_quantile(errors / spreads)
        unique = np.unique(held.groups)
        first = np.isin(held.groups, unique[::2]) if len(unique) > 1 else np.arange(len(held)) < len(held) // 2
        inside, radii = [], []
        for half in (first, ~first):
            if half.any() and (~half).any():
                quantile = conformal_quantile(errors[half] / spreads[half])
                inside.append((errors[~half] <= quantile * spreads[~half]).ravel())
                radii.append(quantile * spreads[~half].ravel())
        coverage = float(np.concatenate(inside).mean()) if inside else float("nan")
        radius = float(np.concatenate(radii).mean()) / self._units.scale if radii else float("nan")
        spent += time.process_time() - started
        return replace(score, n_train=len(train), coverage_90=coverage, radius_90=radius, cpu_seconds=spent)

    def predict(self, design: Tensor, condition: Tensor | None = None) -> FieldPrediction:
        """Fields of ``b x h' x w'`` designs at ``b x c`` conditions, differentiable in both."""
        networks = self._ready()
        if tuple(design.shape[1:]) != self._design_shape:
            raise ValueError(f"Expected designs of shape b x {self._design_shape}. Got {tuple(design.shape)}.")
        wanted = len(self._units.middle)
        given = torch.zeros(len(design), 0) if condition is None else condition
        if tuple(given.shape) != (len(design), wanted):
            raise ValueError(f"Expected conditions of shape {len(design)} x {wanted}. Got {tuple(given.shape)}.")
        device = pick_device(self.config.device)
        x, scaled = design.to(device, torch.float32), self._units.conditions(given.to(device, torch.float32))
        drawn = torch.cat([network.draws(x, scaled) for network in networks])
        return FieldPrediction(drawn * self._units.scale, _FLOOR * self._units.scale, self.quantile)

    def score(self, data: FieldData) -> FieldScore:
        """Figures of merit on samples that ``fit`` did not see."""
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
        save_arrays(path, header, {f"{k}/{name}": a for k, one in enumerate(self._states) for name, a in one.items()})

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
        if header.get("model") != model.to_json():
            raise ValueError(f"Expected the model {path} was saved with, {header.get('model')}. Got {model.to_json()}.")
        try:
            config, units = FieldTraining(**header["config"]), header["units"]
            one = cls(model, int(header["members"]), config, float(header["held_out"]))
            one.quantile = float(header["quantile"])
            one._units = Units(float(units["scale"]), tuple(units["middle"]), tuple(units["reach"]))
            one._design_shape, one._field_shape = ((int(h), int(w)) for h, w in header["shapes"])
            one._states = [{} for _ in range(one.members)]
            for name, array in arrays.items():
                member, _, rest = name.partition("/")
                one._states[int(member)][rest] = array
        except (*DAMAGE, IndexError) as error:
            raise CorruptSurrogateError(f"Expected fields written by save in {path}. Got {error!r}.") from error
        return one

    def _ready(self) -> list[FieldNetwork]:
        if not self._states:
            raise ValueError("Expected a fitted ensemble. Got none; call fit first.")
        if not self._networks:
            for state in self._states:
                network = self.model.build(self._design_shape, self._field_shape, len(self._units.middle))
                load_state(network, state)
                self._networks.append(network.to(pick_device(self.config.device)).requires_grad_(False).eval())
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
