"""A fitted response asked at other coordinates than it was trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.interpolate import RegularGridInterpolator
from torch import nn

from surrogates.calibration import Calibration
from surrogates.data import Array
from surrogates.encoding import Field, ResponseCodec
from surrogates.models.ensemble import ModelEnsemble
from surrogates.models.setting import OfAllLevels, Setting
from surrogates.operators.models import Axes, DeepONet, NeuralField, OverCoordinates, axes_json, axes_of, coordinates
from surrogates.persistence import FittedLevel


def resampled(ensemble: ModelEnsemble, axes: Axes) -> ModelEnsemble:
    """The same networks at the entries of other axes, within the range of those trained on.

    The networks answer at any coordinate; units are interpolated linearly between the trained entries, and what all
    members miss is taken from the nearest one.

    Args:
        ensemble: fitted, of ``DeepONet`` or ``NeuralField``.
        axes: new ones of some quantities; the others stay.

    Raises:
        ValueError: for another model or one not fitted, an unknown quantity, or coordinates outside the trained range.
    """
    model = ensemble.model
    if not isinstance(model, DeepONet | NeuralField):
        raise ValueError(f"Expected an ensemble of DeepONet or NeuralField. Got {type(model).__name__}.")
    if not ensemble.fitted:
        raise ValueError("Expected a fitted ensemble. Got none; call fit first.")
    trained = Setting(ensemble.design_shape, {level: one.codec for level, one in ensemble.fitted.items()})
    new = dict(axes)
    codec = trained.codecs[trained.reference]
    unknown = sorted(set(new) - {field.name for field in codec.fields})
    if unknown:
        raise ValueError(f"Expected axes of quantities that are answered. Got some of {', '.join(unknown)}.")
    wrapped = _Resampled(model, trained, tuple(sorted(new.items())))
    other = ModelEnsemble(wrapped, ensemble.members, ensemble.config, ensemble.held_out)
    other.design_shape = ensemble.design_shape
    for level, one in ensemble.fitted.items():
        own, calibration = _interpolated(one.codec, one.calibration, model.axes, new)
        other.fitted[level] = FittedLevel(own, calibration, one.states, one.data_key)
    return other


@dataclass(frozen=True)
class _Resampled(OfAllLevels):
    model: DeepONet | NeuralField
    trained: Setting
    axes: Axes

    def build(self, setting: Setting) -> nn.Module:
        network = self.model.build(self.trained)
        assert isinstance(network, OverCoordinates)
        for k, field in enumerate(self.trained.codecs[self.trained.reference].fields):
            if field.name in dict(self.axes):
                places = coordinates(axes_of(field, self.model.axes), dict(self.axes)[field.name])
                network.register_buffer(f"coordinates_{k}", places, persistent=False)
        return network

    def to_json(self) -> dict[str, Any]:
        return {"name": "resampled", "model": self.model.to_json(), "axes": axes_json(self.axes)}


def _interpolated(
    codec: ResponseCodec, calibration: Calibration, axes: Axes, new: Mapping[str, tuple[tuple[float, ...], ...]]
) -> tuple[ResponseCodec, Calibration]:
    fields, means, scales, nearest, start = [], [], [], [], 0
    for field in codec.fields:
        old = axes_of(field, axes)
        wanted = new.get(field.name, old)
        _check_range(field, old, wanted)
        fields.append(Field(field.name, tuple(len(axis) for axis in wanted), field.is_complex))
        size = int(np.prod(field.shape))
        for part in range(field.size // size):
            rows = np.arange(start + part * size, start + (part + 1) * size)
            means.append(_on_grid(old, wanted, codec.mean[rows].reshape(field.shape)))
            scales.append(_on_grid(old, wanted, codec.scale[rows].reshape(field.shape)))
            close = [np.abs(np.subtract.outer(b, a)).argmin(axis=1) for a, b in zip(old, wanted, strict=True)]
            places = rows.reshape(field.shape)[np.ix_(*close)] if close else rows
            nearest.append(places.ravel())
        start += field.size
    chosen = np.concatenate(nearest)
    residual = calibration.residual[np.ix_(chosen, chosen)]
    # Entries with the same nearest neighbour miss alike; a little of their own keeps the matrix definite.
    residual = residual + 1e-9 * np.trace(residual) / len(residual) * np.eye(len(residual))
    units = ResponseCodec(tuple(fields), np.concatenate(means), np.concatenate(scales))
    return units, Calibration(calibration.member_scale, residual, calibration.quantile)


def _check_range(field: Field, old: tuple[tuple[float, ...], ...], wanted: tuple[tuple[float, ...], ...]) -> None:
    if len(old) != len(wanted):
        raise ValueError(f"Expected {len(old)} axes of {field.name!r}. Got {len(wanted)}.")
    for before, after in zip(old, wanted, strict=True):
        if not after or min(after) < min(before) or max(after) > max(before):
            raise ValueError(
                f"Expected coordinates of {field.name!r} in {min(before):g}..{max(before):g}, as trained on. "
                f"Got {after}."
            )


def _on_grid(old: tuple[tuple[float, ...], ...], wanted: tuple[tuple[float, ...], ...], values: Array) -> Array:
    """Linear interpolation, flattened; an axis of one entry is constant."""
    keep = [k for k, axis in enumerate(old) if len(axis) > 1]
    shape = tuple(len(axis) for axis in wanted)
    if not keep:
        return np.broadcast_to(values, shape).ravel().copy()
    orders = {k: np.argsort(old[k]) for k in keep}
    inner = values.reshape([len(old[k]) for k in keep])[np.ix_(*orders.values())]
    grid = RegularGridInterpolator([np.array(old[k])[orders[k]] for k in keep], inner)
    places = np.stack(np.meshgrid(*[wanted[k] for k in keep], indexing="ij"), axis=-1)
    found = grid(places)
    spread = found.reshape([shape[k] if k in keep else 1 for k in range(len(old))])
    return np.broadcast_to(spread, shape).ravel().copy()
