"""Named, real or complex quantities as one standardised real vector, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[Any]
_FLOOR = 0.05
_CONSTANT, _ROUNDING = 1e-9, 1e-14
"""Spreads to be taken for noise, relative to the entry's mean and to the largest mean of its quantity."""


@dataclass(frozen=True)
class Field:
    """One quantity's place in the vector: its name, the shape of one sample, and whether it is complex."""

    name: str
    shape: tuple[int, ...]
    is_complex: bool

    @property
    def size(self) -> int:
        """Real numbers a sample takes."""
        return prod(self.shape) * (2 if self.is_complex else 1)


def _flatten(fields: tuple[Field, ...], values: Mapping[str, Tensor]) -> Tensor:
    """``b x n_outputs``: the real parts of a quantity, then its imaginary parts; real values may stand for complex."""
    parts = []
    for field in fields:
        value = values[field.name]
        if tuple(value.shape[1:]) != field.shape or (value.is_complex() and not field.is_complex):
            kind = "complex" if field.is_complex else "real"
            found = f"{tuple(value.shape)}, {str(value.dtype).removeprefix('torch.')}"
            raise ValueError(f"Expected {field.name!r} of shape b x {field.shape}, {kind}. Got {found}.")
        flat = value.flatten(1) if value.ndim > 1 else value[:, None]
        imaginary = flat.imag if value.is_complex() else torch.zeros_like(flat)
        parts += [flat.real, imaginary] if field.is_complex else [flat]
    return torch.cat(parts, dim=1)


@dataclass(frozen=True, eq=False)
class ResponseCodec:
    """Standardises with figures of the training data: one mean and one scale an entry (Re and Im share it).

    An entry that hardly moves is scaled by 5 % of its quantity's overall spread, so that its noise is not blown up; one
    that is constant but for rounding is scaled by 1.

    Args:
        fields: quantities in the order of the vector.
        mean, scale: ``n_outputs`` each.
    """

    fields: tuple[Field, ...]
    mean: Array
    scale: Array

    @classmethod
    def fit(cls, responses: Mapping[str, Array]) -> ResponseCodec:
        """From name -> ``n x *quantity_shape``."""
        fields, means, scales = [], [], []
        for name, value in sorted(responses.items()):
            array = np.asarray(value)
            field = Field(name, array.shape[1:], np.iscomplexobj(array))
            flat = array.reshape(len(array), -1)
            mean = flat.mean(axis=0)
            variance = (np.abs(flat - mean) ** 2).mean(axis=0) / (2 if field.is_complex else 1)
            spread = np.sqrt(np.maximum(variance, _FLOOR**2 * variance.mean()))
            rounding = np.maximum(_CONSTANT * np.abs(mean), _ROUNDING * np.abs(mean).max(initial=0))
            spread = np.where(spread > rounding, spread, 1.0)
            fields.append(field)
            means += [mean.real, mean.imag] if field.is_complex else [mean]
            scales += [spread, spread] if field.is_complex else [spread]
        return cls(tuple(fields), np.concatenate(means), np.concatenate(scales))

    @property
    def n_outputs(self) -> int:
        """Length of the vector."""
        return sum(field.size for field in self.fields)

    def _check(self, values: Mapping[str, object]) -> None:
        wanted = {field.name for field in self.fields}
        if set(values) != wanted:
            raise KeyError(f"Expected quantities {sorted(wanted)}. Got {sorted(values)}.")

    def encode(self, responses: Mapping[str, Tensor]) -> Tensor:
        """``b x n_outputs``, standardised, from name -> ``b x *quantity_shape``."""
        self._check(responses)
        flat = _flatten(self.fields, responses)
        return (flat - torch.as_tensor(self.mean).to(flat)) / torch.as_tensor(self.scale).to(flat)

    def decode(self, vector: Tensor) -> dict[str, Tensor]:
        """Name -> ``(batch_shape) x *quantity_shape`` from ``(batch_shape) x n_outputs``; differentiable."""
        flat = vector * torch.as_tensor(self.scale).to(vector) + torch.as_tensor(self.mean).to(vector)
        return self.unflatten(flat)

    def unflatten(self, flat: Tensor) -> dict[str, Tensor]:
        """As ``decode``, for a vector already in the units of the response."""
        values, start = {}, 0
        for field in self.fields:
            part = flat[..., start : start + field.size]
            start += field.size
            if field.is_complex:
                part = torch.complex(*part.chunk(2, dim=-1))
            values[field.name] = part.reshape(*flat.shape[:-1], *field.shape)
        return values

    def pull_back(self, cotangents: Mapping[str, Tensor]) -> Tensor:
        """``m x n_outputs`` cotangents of the vector: the chain rule of ``decode``.

        <v, f> = sum Re(conj(v) f) is affine in the vector z, with slope ``scale * (Re v, Im v)``.
        """
        self._check(cotangents)
        flat = _flatten(self.fields, cotangents)
        return flat * torch.as_tensor(self.scale).to(flat)

    def to_json(self) -> dict[str, Any]:
        """All but the figures, which are arrays."""
        return {"fields": [[f.name, list(f.shape), f.is_complex] for f in self.fields]}

    @classmethod
    def from_json(cls, header: Mapping[str, Any], mean: Array, scale: Array) -> ResponseCodec:
        """The inverse of ``to_json``, given the figures."""
        fields = tuple(Field(str(n), tuple(int(k) for k in s), bool(c)) for n, s, c in header["fields"])
        return cls(fields, mean, scale)
