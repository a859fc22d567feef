"""A table of designs and their labels as a simulator: exact lookup, an error for what is absent."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from physics.base import Array, Fidelity, Quantity, Response, SimulationError, check_design, check_level


@dataclass(frozen=True)
class Label:
    """A quantity and the columns of a table that hold it, in the order of its flattened array."""

    quantity: Quantity
    columns: tuple[str, ...]

    @classmethod
    def scalar(cls, column: str, unit: str = "1", name: str | None = None) -> Label:
        """One column as a quantity without axes, called as the column unless a name is given."""
        return cls(Quantity(name or column, {}, unit), (column,))


@dataclass(frozen=True, eq=False)
class TableSimulator:
    """Answers the designs of a table and no others; several rows of one design are its replicates, in their order.

    Designs are told apart in single precision.

    Args:
        name: of the table, part of its identity.
        designs: densities `(n, *design_shape)` in [0, 1].
        quantities: what the table answers.
        responses: name -> `(n, *quantity_shape)`.
        fidelity: name of the one level.

    Raises:
        ValueError: for an empty table, other shapes, or labels that are not finite.
    """

    name: str
    designs: Array = field(repr=False)
    quantities: tuple[Quantity, ...] = field(repr=False)
    responses: Mapping[str, Array] = field(repr=False)
    fidelity: str = "table"

    def __post_init__(self) -> None:
        designs = np.asarray(self.designs)
        if designs.ndim < 2 or not len(designs):
            raise ValueError(f"Expected designs as a non-empty n x *design_shape array. Got shape {designs.shape}.")
        check_design(designs, designs.shape)
        object.__setattr__(self, "designs", np.ascontiguousarray(designs, dtype=np.float32))
        if set(self.responses) != {quantity.name for quantity in self.quantities}:
            raise ValueError(
                f"Expected labels of {', '.join(q.name for q in self.quantities)}. Got {', '.join(self.responses)}."
            )
        labels = {}
        for quantity in self.quantities:
            values = np.asarray(self.responses[quantity.name], dtype=complex if quantity.dtype is complex else float)
            if values.shape != (len(designs), *quantity.shape):
                raise ValueError(
                    f"Expected {quantity.name!r} of shape {(len(designs), *quantity.shape)}. Got {values.shape}."
                )
            if not np.isfinite(values).all():
                raise ValueError(f"Expected finite labels of {quantity.name!r}. Got NaN or infinity; drop such rows.")
            labels[quantity.name] = values
        object.__setattr__(self, "responses", labels)

    @property
    def design_shape(self) -> tuple[int, ...]:
        """Of one design."""
        return tuple(self.designs.shape[1:])

    @cached_property
    def fidelities(self) -> tuple[Fidelity, ...]:
        """The one level; stochastic if a design has several rows."""
        return (Fidelity(self.fidelity, 1.0, self.quantities, len(self._rows) < len(self.designs)),)

    @cached_property
    def identity(self) -> str:
        """Hash of the table's content."""
        digest = hashlib.sha256(f"table {self.name} {self.fidelity} {self.designs.shape}".encode())
        digest.update(self.designs.tobytes())
        for quantity in self.quantities:
            digest.update(f"{quantity!r}".encode())
            digest.update(np.ascontiguousarray(self.responses[quantity.name]).tobytes())
        return digest.hexdigest()

    @cached_property
    def _rows(self) -> dict[bytes, list[int]]:
        rows: dict[bytes, list[int]] = {}
        for row, design in enumerate(self.designs):
            rows.setdefault(_key(design), []).append(row)
        return rows

    def rows_of(self, design: Array) -> list[int]:
        """Rows of the table that hold a design; none where it is absent."""
        return list(self._rows.get(_key(check_design(design, self.design_shape)), []))

    def simulate(self, design: Array, level: int, replicate: int = 0) -> Response:
        """The labels of a design.

        Raises:
            SimulationError: for a design or a replicate that the table does not hold.
        """
        check_level(level, self.fidelities)
        rows = self.rows_of(design)
        if not rows:
            raise SimulationError(
                f"Expected one of the {len(self._rows)} designs of the table {self.name!r}. Got another; restrict the "
                "design space to them (spaces.Listed)."
            )
        if not 0 <= replicate < len(rows):
            raise SimulationError(
                f"Expected a replicate from 0 to {len(rows) - 1} of this design in {self.name!r}. Got {replicate}."
            )
        return {name: values[rows[replicate]].copy() for name, values in self.responses.items()}

    def example_designs(self, rng: np.random.Generator, n: int) -> NDArray[np.float64]:
        """`n` rows at random, `(n, *design_shape)`."""
        return self.designs[rng.integers(len(self.designs), size=n)].astype(np.float64)

    def provenance(self, level: int) -> Mapping[str, str]:
        """What answers: the table and how many rows it has."""
        check_level(level, self.fidelities)
        return {
            "solver": f"table {self.name}",
            "version": self.identity[:12],
            "resolution": f"{len(self.designs)} rows",
        }


def _key(design: Array) -> bytes:
    # Adding zero makes -0 and 0 one design.
    return (np.asarray(design, dtype=np.float32) + np.float32(0)).tobytes()


def read_csv(path: str | Path, columns: Sequence[str]) -> NDArray[np.float64]:
    """Named columns of a CSV file with a header, `(rows, columns)`.

    Raises:
        FileNotFoundError: where there is no such file.
        ValueError: for a missing column, or an entry that is no number.
    """
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"Expected a CSV file at {file}. There is none.")
    with file.open(newline="") as stream:
        reader = csv.reader(stream)
        header = [name.strip() for name in next(reader, [])]
        missing = [name for name in columns if name not in header]
        if missing:
            raise ValueError(f"Expected the columns {missing} in {file.name}. It has {header}.")
        chosen = [header.index(name) for name in columns]
        rows: list[list[float]] = []
        for number, row in enumerate(reader, start=2):
            if not row:
                continue
            try:
                rows.append([float(row[index]) for index in chosen])
            except (ValueError, IndexError) as error:
                raise ValueError(f"Expected numbers in line {number} of {file.name}. Got {row}.") from error
    return np.array(rows, dtype=np.float64).reshape(len(rows), len(columns))


def table_from_csv(
    path: str | Path,
    design_columns: Sequence[str],
    labels: Sequence[Label],
    *,
    design_shape: tuple[int, ...] | None = None,
    decode: Callable[[NDArray[np.float64]], Array] | None = None,
    name: str | None = None,
    fidelity: str = "table",
) -> TableSimulator:
    """A CSV file as a simulator.

    Args:
        path: the file, with a header.
        design_columns: columns that say what the design is.
        labels: which columns hold what it answers.
        design_shape: of the densities that the design columns hold, flattened; one axis if None.
        decode: instead, a function from the design columns `(n, columns)` to densities `(n, *design_shape)`.
        name, fidelity: of the table and its level; the file's stem by default.
    """
    label_columns = [column for label in labels for column in label.columns]
    values = read_csv(path, [*design_columns, *label_columns])
    parameters, rest = values[:, : len(design_columns)], values[:, len(design_columns) :]
    if decode is not None:
        designs = np.asarray(decode(parameters))
    else:
        designs = parameters.reshape(len(parameters), *(design_shape or (len(design_columns),)))
    responses, start = {}, 0
    for label in labels:
        stop = start + len(label.columns)
        responses[label.quantity.name] = rest[:, start:stop].reshape(len(rest), *label.quantity.shape)
        start = stop
    quantities = tuple(label.quantity for label in labels)
    return TableSimulator(name or Path(path).stem, designs, quantities, responses, fidelity)
