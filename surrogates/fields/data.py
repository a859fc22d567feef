"""Designs and the complex fields a solver found for them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from surrogates.data import Array, DataError, Dataset, LevelData
from surrogates.splitting import split


@dataclass(frozen=True, eq=False)
class FieldData:
    """Samples of one level. Arrays are copied, checked and made read-only.

    Args:
        designs: ``n x h' x w'`` densities in [0, 1] over the field's window; averaged or repeated onto its grid.
        fields: ``n x h x w`` complex.
        groups: ``n`` integers, the run a sample came from; samples of one design at several conditions share it.
        conditions: ``n x c``: wavelength, load, angle; none if left out.

    Raises:
        DataError: shapes that do not agree, values that are not finite, densities outside [0, 1].
    """

    designs: Array
    fields: Array
    groups: Array
    conditions: Array | None = None

    def __post_init__(self) -> None:
        fields = np.asarray(self.fields)
        if fields.ndim != 3:
            raise DataError(f"Expected fields of shape n x h x w. Got {fields.shape}.")
        if np.ndim(self.designs) != 3:
            raise DataError(f"Expected designs of shape n x h x w. Got {np.shape(self.designs)}.")
        n = len(fields)
        conditions = np.zeros((n, 0)) if self.conditions is None else np.asarray(self.conditions, dtype=np.float64)
        if conditions.ndim != 2:
            raise DataError(f"Expected conditions of shape n x c. Got {conditions.shape}.")
        # The checks of responses are those of fields and conditions.
        responses = {"field": fields.astype(np.complex128), "conditions": conditions}
        checked = LevelData.values_only(self.designs, responses, self.groups)
        object.__setattr__(self, "designs", checked.designs)
        object.__setattr__(self, "fields", checked.responses["field"])
        object.__setattr__(self, "conditions", checked.responses["conditions"])
        object.__setattr__(self, "groups", checked.groups)

    def __len__(self) -> int:
        return len(self.fields)

    @property
    def design_shape(self) -> tuple[int, int]:
        """Shape of one design."""
        return self.designs.shape[1], self.designs.shape[2]

    @property
    def field_shape(self) -> tuple[int, int]:
        """Shape of one field."""
        return self.fields.shape[1], self.fields.shape[2]

    @property
    def n_conditions(self) -> int:
        """Numbers a condition has."""
        return 0 if self.conditions is None else self.conditions.shape[1]

    @cached_property
    def key(self) -> str:
        """SHA-256 of the content."""
        digest = hashlib.sha256()
        for name in ("designs", "fields", "groups", "conditions"):
            array = getattr(self, name)
            digest.update(f"{name}|{array.shape}|".encode() + np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def take(self, rows: Array) -> FieldData:
        """The samples in ``rows``, in that order."""
        conditions = None if self.conditions is None else self.conditions[rows]
        return FieldData(self.designs[rows], self.fields[rows], self.groups[rows], conditions)

    def split(self, fraction: float, seed: int) -> tuple[FieldData, FieldData]:
        """Training and held-out samples, by groups, as :func:`surrogates.split` does it."""
        numbered = LevelData.values_only(self.designs, {"row": np.arange(len(self))}, self.groups)
        parts = split(Dataset({0: numbered}), fraction, seed)
        train, held_out = (self.take(part.levels[0].responses["row"].astype(np.int64)) for part in parts)
        return train, held_out

    def tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        """Designs, conditions (both float32) and fields (complex64)."""
        conditions = np.zeros((len(self), 0)) if self.conditions is None else self.conditions
        return (
            torch.from_numpy(self.designs.astype(np.float32)),
            torch.from_numpy(conditions.astype(np.float32)),
            torch.from_numpy(self.fields.astype(np.complex64)),
        )
