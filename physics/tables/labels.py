"""Labels of sampled designs in one file: several levels, replicates, curves; read again as tables."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from physics.base import Array, Quantity
from physics.tables.table import TableSimulator

VERSION = 1


@dataclass(frozen=True, eq=False)
class LevelLabels:
    """What one level answered, ``n`` rows.

    Args:
        quantities: what it answers.
        rows: ``n`` numbers of designs.
        replicates: ``n`` numbers of replicates.
        cpu_seconds: ``n``.
        responses: name -> ``n x *quantity_shape``.
    """

    quantities: tuple[Quantity, ...]
    rows: NDArray[np.int64]
    replicates: NDArray[np.int64]
    cpu_seconds: Array
    responses: Mapping[str, Array]


@dataclass(frozen=True, eq=False)
class LabelSet:
    """Designs and what the levels of a simulator answered of them.

    Args:
        name: of the set.
        designs: densities ``n x *design_shape``.
        levels: name of the level -> labels.
        notes: how it was made, numbers and text.
    """

    name: str
    designs: Array
    levels: Mapping[str, LevelLabels]
    notes: Mapping[str, Any]

    def level(self, name: str) -> LevelLabels:
        """Labels of a level; ``KeyError`` for one that is not there."""
        if name not in self.levels:
            raise KeyError(f"Expected one of the levels {', '.join(self.levels)}. Got {name!r}.")
        return self.levels[name]

    def table(self, level: str) -> TableSimulator:
        """A level as a simulator that knows these designs alone; replicates in their order."""
        found = self.level(level)
        order = np.lexsort((found.replicates, found.rows))
        responses = {name: values[order] for name, values in found.responses.items()}
        return TableSimulator(self.name, self.designs[found.rows[order]], found.quantities, responses, level)

    def first(self, level: str, quantity: str) -> Array:
        """A quantity of replicate 0, ``n x *quantity_shape``, NaN where a design was not labelled."""
        found = self.level(level)
        if quantity not in found.responses:
            raise KeyError(f"Expected one of the quantities {', '.join(found.responses)}. Got {quantity!r}.")
        values = np.full(
            (len(self.designs), *found.responses[quantity].shape[1:]), np.nan, found.responses[quantity].dtype
        )
        chosen = found.replicates == 0
        values[found.rows[chosen]] = found.responses[quantity][chosen]
        return values

    def save(self, path: str | Path) -> None:
        """Writes the set as npz, numbers in single precision; the file is replaced only once it is whole."""
        arrays: dict[str, Array] = {"designs": _compact(self.designs)}
        levels = {}
        for name, found in self.levels.items():
            levels[name] = [
                [q.name, {axis: list(at) for axis, at in q.coords.items()}, q.unit, q.dtype.__name__]
                for q in found.quantities
            ]
            arrays[f"{name}/rows"] = found.rows.astype(np.int32)
            arrays[f"{name}/replicates"] = found.replicates.astype(np.int32)
            arrays[f"{name}/cpu_seconds"] = np.asarray(found.cpu_seconds, dtype=np.float32)
            for quantity in found.quantities:
                single = np.complex64 if quantity.dtype is complex else np.float32
                arrays[f"{name}/response/{quantity.name}"] = found.responses[quantity.name].astype(single)
        about = {"version": VERSION, "name": self.name, "levels": levels, "notes": dict(self.notes)}
        arrays["about"] = np.array(json.dumps(about))
        file = Path(path)
        temporary = file.with_name(file.name + ".new")
        with temporary.open("wb") as stream:
            np.savez_compressed(stream, allow_pickle=False, **arrays)
        temporary.replace(file)


def _compact(designs: Array) -> Array:
    whole = np.asarray(designs, dtype=np.float32)
    return whole.astype(np.uint8) if np.isin(whole, (0.0, 1.0)).all() else whole


def read_labels(path: str | Path) -> LabelSet:
    """A set that `LabelSet.save` wrote.

    Raises:
        FileNotFoundError: where there is no file.
        ValueError: where it is damaged, of a newer version, or something else.
    """
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"Expected a file of labels at {file}. There is none.")
    # Damage to an archive is told in many ways; RuntimeError of methods of compression that are not known.
    damage = (ValueError, KeyError, TypeError, OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)
    try:
        with np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        about = json.loads(str(arrays["about"]))
        if about["version"] > VERSION:
            raise ValueError(f"version {about['version']} is newer than {VERSION}, update invdesign")
        levels = {name: _level(name, told, arrays) for name, told in about["levels"].items()}
        designs = arrays["designs"].astype(np.float64)
        return LabelSet(str(about["name"]), designs, levels, about["notes"])
    except damage as error:
        raise ValueError(f"Expected labels as invdesign writes them in {file}. It does not read: {error}.") from error


def _level(name: str, told: list[Any], arrays: Mapping[str, Array]) -> LevelLabels:
    quantities = tuple(
        Quantity(q, {axis: tuple(at) for axis, at in coords.items()}, unit, {"complex": complex, "float": float}[dtype])
        for q, coords, unit, dtype in told
    )
    responses: dict[str, Array] = {q.name: arrays[f"{name}/response/{q.name}"].astype(q.dtype) for q in quantities}
    rows, replicates = (arrays[f"{name}/{what}"].astype(np.int64) for what in ("rows", "replicates"))
    return LevelLabels(quantities, rows, replicates, arrays[f"{name}/cpu_seconds"].astype(np.float64), responses)
