"""Training data: designs, responses and adjoint gradients, one block a fidelity level."""

from __future__ import annotations

import hashlib
import io
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from surrogates.files import atomic_path

Array = NDArray[Any]
_SLACK = 1e-6
_DAMAGE = (ValueError, TypeError, KeyError, AttributeError, RuntimeError, EOFError, zipfile.BadZipFile, zlib.error)
"""What reading a file that holds something else ends in."""


class DataError(ValueError):
    """A data set that contradicts itself, or a file that does not hold one."""


def _checked(name: str, value: object, shape: tuple[int, ...], dtype: type | None = None) -> Array:
    array = np.asarray(value)
    if dtype is None:
        dtype = np.complex128 if np.iscomplexobj(array) else np.float64
    elif np.iscomplexobj(array) and dtype is not np.complex128:
        raise DataError(f"Expected {name} to be real. Got {array.dtype}; pass its real part.")
    if array.shape != shape:
        raise DataError(f"Expected {name} to have shape {shape}. Got {array.shape}.")
    if array.dtype.kind not in "biufc":
        raise DataError(f"Expected {name} to be numbers. Got {array.dtype}.")
    if not np.isfinite(array).all():
        bad = int(np.flatnonzero(~np.isfinite(array).reshape(len(array), -1).all(axis=1))[0])
        raise DataError(f"Expected {name} to be finite. Got NaN or infinity in row {bad}; drop failed samples.")
    if dtype is np.int64 and (array != np.round(array)).any():
        raise DataError(f"Expected {name} to be integers. Got {array[array != np.round(array)][0]}; number them.")
    array = np.array(array, dtype=dtype, order="C")
    array.setflags(write=False)
    return array


@dataclass(frozen=True, eq=False)
class LevelData:
    """The samples of one fidelity level. Arrays are copied, checked and made read-only.

    Args:
        designs: ``n x *design_shape`` densities in [0, 1].
        responses: name -> ``n x *quantity_shape``, real or complex.
        groups: ``n`` integers, the optimisation run a sample came from. Splits are by group, never by sample; the same
            number at two levels means the same run.
        gradient_rows: ``m`` integers, the row of ``designs`` each gradient belongs to (a row may have several).
        cotangents: name -> ``m x *quantity_shape`` in torch's convention (dL/dRe + i dL/dIm), kept in the response's
            dtype; a name left out is zero.
        gradients: ``m x *design_shape``, real: the gradient of sum Re(conj(cotangent) response) in the density.

    Raises:
        DataError: shapes that do not agree, values that are not finite, densities outside [0, 1].
    """

    designs: Array
    responses: Mapping[str, Array]
    groups: Array
    gradient_rows: Array
    cotangents: Mapping[str, Array]
    gradients: Array

    def __post_init__(self) -> None:
        designs = np.asarray(self.designs)
        if designs.ndim < 2 or designs.size == 0:
            raise DataError(f"Expected designs as a non-empty n x *design_shape array. Got shape {designs.shape}.")
        designs = _checked("designs", designs, designs.shape, np.float64)
        if designs.min() < -_SLACK or designs.max() > 1 + _SLACK:
            raise DataError(
                f"Expected densities in [0, 1]. Got values from {designs.min():.4g} to {designs.max():.4g}."
            )
        n = len(designs)
        rows = _checked("gradient_rows", self.gradient_rows, np.shape(self.gradient_rows), np.int64)
        if not self.responses:
            raise DataError("Expected at least one named response. Got none.")
        if not any(map(np.size, self.responses.values())):
            shapes = {name: np.shape(value) for name, value in self.responses.items()}
            raise DataError(f"Expected responses of at least one number a sample. Got shapes {shapes}.")
        unknown = sorted(set(self.cotangents) - set(self.responses))
        if unknown:
            raise DataError(f"Expected cotangents of {', '.join(self.responses)}. Got one of {', '.join(unknown)}.")
        if rows.ndim != 1 or (rows.size and (rows.min() < 0 or rows.max() >= n)):
            raise DataError(f"Expected gradient_rows as a list of rows in 0..{n - 1}. Got {self.gradient_rows}.")
        responses, cotangents = {}, {}
        for name, value in sorted(self.responses.items()):
            shape = np.shape(value)
            responses[name] = _checked(f"response {name!r}", value, (n, *shape[1:]))
            dtype = np.complex128 if np.iscomplexobj(responses[name]) else np.float64
            given = self.cotangents.get(name, np.zeros((len(rows), *shape[1:])))
            cotangents[name] = _checked(f"cotangent of {name!r}", given, (len(rows), *shape[1:]), dtype)
        checked: dict[str, Any] = {
            "designs": designs,
            "responses": responses,
            "groups": _checked("groups", self.groups, (n,), np.int64),
            "gradient_rows": rows,
            "cotangents": cotangents,
            "gradients": _checked("gradients", self.gradients, (len(rows), *designs.shape[1:]), np.float64),
        }
        for field, content in checked.items():
            object.__setattr__(self, field, content)

    @classmethod
    def values_only(cls, designs: Array, responses: Mapping[str, Array], groups: Array) -> LevelData:
        """Samples without gradients."""
        empty = np.zeros((0, *np.shape(designs)[1:]))
        return cls(designs, responses, groups, np.zeros(0, np.int64), {}, empty)

    def __len__(self) -> int:
        return len(self.designs)

    @property
    def design_shape(self) -> tuple[int, ...]:
        """Shape of one design."""
        return self.designs.shape[1:]

    @cached_property
    def key(self) -> str:
        """SHA-256 of the content."""
        digest = hashlib.sha256()
        for name, array in sorted(self.arrays().items()):
            digest.update(f"{name}|{array.dtype.str}|{array.shape}|".encode())
            digest.update(array.tobytes())
        return digest.hexdigest()

    def arrays(self) -> dict[str, Array]:
        """The content as one flat mapping; ``from_arrays`` is its inverse."""
        flat: dict[str, Array] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Mapping):
                flat |= {f"{field.name}/{name}": array for name, array in value.items()}
            else:
                flat[field.name] = value
        return flat

    def tensors(self, field: str) -> dict[str, Tensor]:
        """``responses`` or ``cotangents`` as tensors; copies, as torch does not know read-only memory."""
        return {name: torch.from_numpy(array.copy()) for name, array in getattr(self, field).items()}

    @classmethod
    def from_arrays(cls, flat: Mapping[str, Array]) -> LevelData:
        """A level from what ``arrays`` gave."""
        values: dict[str, Any] = {"responses": {}, "cotangents": {}}
        for name, array in flat.items():
            head, _, tail = name.partition("/")
            if tail:
                values.setdefault(head, {})[tail] = array
            else:
                values[head] = array
        try:
            return cls(**values)
        except TypeError as error:
            raise DataError(f"Expected the arrays of one level. Got {sorted(flat)}.") from error

    def take(self, rows: Array) -> LevelData:
        """The samples in ``rows`` (``k`` integers, no repeats), in that order, with their gradients."""
        position = np.full(len(self), -1)
        position[rows] = np.arange(len(rows))
        kept = np.flatnonzero(position[self.gradient_rows] >= 0)
        return LevelData(
            self.designs[rows],
            {name: value[rows] for name, value in self.responses.items()},
            self.groups[rows],
            position[self.gradient_rows[kept]],
            {name: value[kept] for name, value in self.cotangents.items()},
            self.gradients[kept],
        )

    def concat(self, other: LevelData) -> LevelData:
        """These samples followed by ``other``'s."""
        if self.design_shape != other.design_shape or set(self.responses) != set(other.responses):
            raise DataError(
                f"Expected designs {self.design_shape} with responses {sorted(self.responses)}. "
                f"Got {other.design_shape} with {sorted(other.responses)}."
            )
        rows = {"gradient_rows": np.concatenate([self.gradient_rows, other.gradient_rows + len(self)])}
        ours, theirs = self.arrays(), other.arrays()
        return LevelData.from_arrays({k: np.concatenate([ours[k], theirs[k]]) for k in ours} | rows)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Levels kept apart, in ascending order; the last is the reference. All share one design shape."""

    levels: Mapping[int, LevelData]

    def __post_init__(self) -> None:
        if not self.levels:
            raise DataError("Expected data of at least one level. Got none.")
        ordered = {int(level): self.levels[level] for level in sorted(self.levels)}
        shapes = {level: data.design_shape for level, data in ordered.items()}
        if len(set(shapes.values())) > 1:
            raise DataError(f"Expected one design shape at every level. Got {shapes}.")
        object.__setattr__(self, "levels", ordered)

    @property
    def reference(self) -> int:
        """The last level."""
        return list(self.levels)[-1]

    @property
    def design_shape(self) -> tuple[int, ...]:
        """Shape of one design."""
        return self.levels[self.reference].design_shape

    @cached_property
    def key(self) -> str:
        """SHA-256 of the content."""
        text = "".join(f"{level}:{data.key};" for level, data in self.levels.items())
        return hashlib.sha256(text.encode()).hexdigest()

    def append(self, level: int, data: LevelData) -> Dataset:
        """This data set with ``data`` added at ``level``."""
        known = self.levels.get(level)
        return Dataset({**self.levels, level: data if known is None else known.concat(data)})

    def concat(self, other: Dataset) -> Dataset:
        """This data set with every level of ``other`` appended."""
        both = self
        for level, data in other.levels.items():
            both = both.append(level, data)
        return both

    def save(self, path: Path) -> None:
        """Write an npz file (no pickle), whole or not at all."""
        flat = {f"{lv}/{name}": array for lv, data in self.levels.items() for name, array in data.arrays().items()}
        with atomic_path(path) as partial, partial.open("wb") as file:
            np.savez_compressed(file, **flat)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: Path) -> Dataset:
        """Read what ``save`` wrote; ``DataError`` if the file is damaged or something else."""
        levels: dict[int, dict[str, Array]] = {}
        content = io.BytesIO(Path(path).read_bytes())
        try:
            with np.load(content, allow_pickle=False) as file:
                for key in file.files:
                    level, _, name = key.partition("/")
                    levels.setdefault(int(level), {})[name] = file[key]
            return cls({level: LevelData.from_arrays(flat) for level, flat in levels.items()})
        except _DAMAGE as error:
            raise DataError(f"Expected a data set written by Dataset.save in {path}. Got {error!r}.") from error
