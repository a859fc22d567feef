"""A table of all networks of a small space, trained once: searches are replayed on it for nothing."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from surrogates.architecture import Architecture
from surrogates.files import atomic_path
from surrogates.nas.cache import Entry
from surrogates.nas.lab import Rung, Shapes, Trial, chain
from surrogates.nas.ledger import Ledger
from surrogates.nas.live import LiveLab
from surrogates.nas.space import ArchitectureSpace

VERSION = 1


@dataclass(frozen=True, eq=False)
class SearchTable:
    """Every network of a space at every rung and seed.

    Args:
        name: of the problem.
        space: its space.
        rungs: ascending.
        architectures: ``n``.
        error: ``n x rungs x seeds``; infinite where training diverged.
        cpu_seconds: of the same shape, each since the rung below where it goes on from there.
        measures: name -> the same shape.
        curves: ``n x epochs x seeds``, of the training to the last rung; nan after training diverged.
        notes: how it was made.
        shapes: of the problem; None in tables of old, which did not keep them (``replace(table, shapes=...)``).
    """

    name: str
    space: ArchitectureSpace
    rungs: tuple[Rung, ...]
    architectures: tuple[Architecture, ...]
    error: NDArray[np.float64]
    cpu_seconds: NDArray[np.float64]
    measures: Mapping[str, NDArray[np.float64]]
    curves: NDArray[np.float64]
    notes: Mapping[str, Any] = field(default_factory=dict)
    shapes: Shapes | None = None

    @cached_property
    def number(self) -> dict[Architecture, int]:
        """Row of each network."""
        return {architecture: row for row, architecture in enumerate(self.architectures)}

    @property
    def seeds(self) -> int:
        """How often each was trained."""
        return self.error.shape[2]

    @property
    def final(self) -> NDArray[np.float64]:
        """Mean error over seeds at the last rung, ``n``: what a search is judged by."""
        return self.error[:, -1].mean(axis=1)

    def save(self, path: Path) -> None:
        """As npz, in single precision."""
        about = {
            "version": VERSION,
            "name": self.name,
            "rungs": [[r.epochs, r.share, r.level, r.resolution] for r in self.rungs],
            "architectures": [a.to_json() for a in self.architectures],
            "notes": dict(self.notes),
        }
        if self.shapes is not None:
            about["shapes"] = [self.shapes.design_shape, self.shapes.n_outputs]
        arrays = {"error": self.error, "cpu_seconds": self.cpu_seconds, "curves": self.curves}
        arrays |= {f"measures/{name}": values for name, values in self.measures.items()}
        single = {name: values.astype(np.float32) for name, values in arrays.items()}
        with atomic_path(path) as partial, partial.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, about=np.array(json.dumps(about)), **single)

    @classmethod
    def load(cls, path: Path, space: ArchitectureSpace) -> SearchTable:
        """What ``save`` wrote, of a space.

        Raises:
            ValueError: where the file is damaged, or holds another space.
        """
        try:
            with np.load(path, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
            about = json.loads(str(arrays["about"]))
            if about["version"] != VERSION:
                raise ValueError(f"version {about['version']}, not {VERSION}")
            architectures = tuple(Architecture.from_json(fields) for fields in about["architectures"])
            shapes = Shapes(tuple(about["shapes"][0]), about["shapes"][1]) if "shapes" in about else None
        except (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"Expected a table of trained networks in {path}. It does not read: {error}.") from error
        if set(architectures) != set(space.everything()):
            raise ValueError(f"Expected a table of the given space in {path}. Got {len(architectures)} other networks.")
        wide = {name: values.astype(np.float64) for name, values in arrays.items() if name != "about"}
        measures = {n.removeprefix("measures/"): values for n, values in wide.items() if n.startswith("measures/")}
        rungs = tuple(Rung(*rung) for rung in about["rungs"])
        return cls(
            about["name"], space, rungs, architectures, wide["error"], wide["cpu_seconds"], measures, wide["curves"],
            about["notes"], shapes,
        )  # fmt: skip


def tabulated(lab: LiveLab, name: str, seeds: int, notes: Mapping[str, Any]) -> SearchTable:
    """The table of a lab's whole space; what its cache has is not trained again.

    Its checkpoints are dropped as soon as nothing will go on from them.

    Raises:
        ValueError: for a lab that was asked before, which would charge the rungs differently.
    """
    if lab.trials:
        raise ValueError(f"Expected a lab that was asked nothing yet. Got {len(lab.trials)} trials; make a new one.")
    architectures = tuple(lab.space.everything())
    rungs = tuple(lab.rungs)
    shape = (len(architectures), len(rungs), seeds)
    error, cpu_seconds = np.full(shape, np.inf), np.zeros(shape)
    measures: dict[str, NDArray[np.float64]] = {}
    curves = np.full((len(architectures), rungs[-1].epochs, seeds), np.nan)
    for row, architecture in enumerate(architectures):
        for seed in range(seeds):
            for k in range(len(rungs)):
                trial = lab.ask(architecture, k, seed)
                error[row, k, seed], cpu_seconds[row, k, seed] = trial.error, trial.cpu_seconds
                for measure, value in trial.measures.items():
                    measures.setdefault(measure, np.full(shape, np.nan))[row, k, seed] = value
            curves[row, : len(trial.curve), seed] = trial.curve
            for k in range(len(rungs)):
                lab.cache.forget_checkpoint(lab.task.key(architecture, k, seed))
    return SearchTable(name, lab.space, rungs, architectures, error, cpu_seconds, measures, curves, notes, lab.shapes)


@dataclass(eq=False)
class TableLab(Ledger):
    """Answers from a table, charging what the training had cost.

    Args:
        table: of all networks of its space.
        budget_cpu_seconds: of the search.
        shift: added to every seed asked, round the table's seeds, so that replays differ in the networks' luck too;
            different seeds stay different trainings.
        watch: called with every trial that is entered in the record, in order.
    """

    table: SearchTable
    budget_cpu_seconds: float = float("inf")
    shift: int = 0
    trials: list[Trial] = field(default_factory=list)
    spent: float = 0.0
    watch: Callable[[Trial], None] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.space = self.table.space

    @property
    def rungs(self) -> tuple[Rung, ...]:
        """Of the table."""
        return self.table.rungs

    @property
    def shapes(self) -> Shapes | None:
        """Of the table's problem."""
        return self.table.shapes

    @property
    def seeds(self) -> int:
        """Of the table."""
        return self.table.seeds

    def ask(self, architecture: Architecture, rung: int = -1, seed: int = 0) -> Trial:
        """The trial of a network at a rung; see ``LiveLab.ask``. Its curve is empty off the last rung's training.

        Raises:
            BudgetSpent: if the budget was spent before.
            KeyError: for a network of another space.
            ValueError: for a seed beyond the table's, which holds no other training to answer with.
        """
        if not 0 <= seed < self.seeds:
            raise ValueError(f"Expected a seed from 0 to {self.seeds - 1}, as many as the table has. Got {seed}.")
        if architecture not in self.table.number:
            raise KeyError(f"Expected a network of the table's space. Got {architecture.key}.")
        return super().ask(architecture, rung, seed)

    def _entry(self, architecture: Architecture, rung: int, seed: int, owed: range) -> Entry:
        row, column = self.table.number[architecture], (seed + self.shift) % self.seeds
        # The table's curve is of the training to the last rung; one of other samples or resolution has another.
        epochs = self.rungs[rung].epochs if rung in chain(self.rungs, len(self.rungs) - 1) else 0
        return Entry(
            float(self.table.error[row, rung, column]),
            {name: float(values[row, rung, column]) for name, values in self.table.measures.items()},
            self.table.curves[row, :epochs, column],
            float(self.table.cpu_seconds[row, owed.start : owed.stop, column].sum()),
        )
