"""What a run gives: verified designs, costs, the convergence check, provenance."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from invdesign.budget import Budget
from invdesign.manufacture import FeatureCheck, feature_checks
from invdesign.problem import Problem
from invdesign.records import Candidate, Note, Record
from physics.base import Array, HasProvenance, Response, Simulator

# Largest change of any magnitude in the response, from the reference to the refined solver, that counts as converged.
DRIFT_TOLERANCE = 0.01


@dataclass(frozen=True)
class ConvergenceCheck:
    """The best design on a stricter solver: finer mesh, thicker absorber, wider margins.

    Args:
        fidelity: name of the stricter solver's level.
        response: its answer.
        drift: largest change of |quantity| against the reference.
        distance: of the targets on the stricter solver.
        cpu_seconds: what the check cost.
    """

    fidelity: str
    response: Response
    drift: float
    distance: float
    cpu_seconds: float

    @property
    def converged(self) -> bool:
        """Whether the drift is within `DRIFT_TOLERANCE`."""
        return self.drift <= DRIFT_TOLERANCE


@dataclass(frozen=True)
class Costs:
    """What a run cost; `setup_cpu_seconds` is the solver's one-off set-up in this process, shared and not charged."""

    cpu_seconds: float
    cpu_seconds_by_phase: Mapping[str, float]
    solves: int
    reference_solves: int
    solves_by_fidelity: Mapping[str, int]
    setup_cpu_seconds: float = 0.0


@dataclass(frozen=True)
class Result:
    """A run's outcome. `best` is binarised and simulated at the reference; None where nothing could be verified.

    Args:
        problem, strategy, seed, budget: what was run.
        run: key of the run in the store.
        candidates: every verified design, in order.
        check: the best one on the refined simulator; None where there is none.
        costs: by phase and fidelity.
        notes: what the strategy left for the report; `noted(kind)` gives those of a kind.
        records: every evaluation the run asked for, in order.
        provenance: versions, machine, identity, store.
    """

    problem: Problem = field(repr=False)
    strategy: str
    run: str
    seed: int
    budget: Budget
    candidates: tuple[Candidate, ...] = field(repr=False)
    check: ConvergenceCheck | None
    costs: Costs
    notes: tuple[Note, ...] = field(repr=False)
    records: tuple[Record, ...] = field(repr=False)
    provenance: Mapping[str, Any] = field(repr=False)

    @property
    def best(self) -> Candidate | None:
        """The verified design nearest to its targets."""
        return min(self.candidates, key=lambda c: c.rank, default=None)

    @cached_property
    def features(self) -> tuple[FeatureCheck, ...]:
        """Width and spacing of the best design, as constrained and as measured; empty where there is none."""
        return () if self.best is None else feature_checks(self.problem, self.best)

    def best_within(self, cpu_seconds: float) -> Candidate | None:
        """The best verified design that the run had after so many CPU seconds."""
        early = [c for c in self.candidates if c.cpu_seconds <= cpu_seconds]
        return min(early, key=lambda c: c.rank, default=None)

    def noted(self, kind: str) -> list[Mapping[str, Any]]:
        """Contents of the notes of a kind, in order."""
        return [note.content for note in self.notes if note.kind == kind]

    def report(self, folder: str | Path, others: Sequence[Result] = ()) -> Path:
        """Writes `report.html`, its figures and the best design (npy, GDSII) to a folder; gives the page's path."""
        from invdesign.report import write_report

        return write_report([self, *others], folder)


def drift(reference: Response, refined: Response) -> float:
    """Largest change of the magnitude of any quantity that both responses have in the same shape.

    Of quantities beyond 1 (stresses, say) as a share of their largest value, else as it is.
    """
    shared = [k for k in reference if k in refined and reference[k].shape == refined[k].shape]
    changes = [
        np.abs(np.abs(reference[k]) - np.abs(refined[k])).max(initial=0.0) / np.abs(reference[k]).max(initial=1.0)
        for k in shared
    ]
    return float(max(changes, default=float("nan")))


def solvers(simulators: Sequence[Simulator]) -> dict[str, str]:
    """Level's name -> solver, version and resolution in words, of simulators that say so."""
    words = {}
    for simulator in simulators:
        for level, fidelity in enumerate(simulator.fidelities if isinstance(simulator, HasProvenance) else ()):
            told = simulator.provenance(level) if isinstance(simulator, HasProvenance) else {}
            words[fidelity.name] = f"{told.get('solver', '')} {told.get('version', '')}, {told.get('resolution', '')}"
    return words


def solver_words(result: Result, fidelity: str) -> str:
    """A level's name, with solver, version and resolution where they are known."""
    told = result.provenance.get("solvers", {}).get(fidelity)
    return f"{fidelity} ({told})" if told else fidelity


def provenance() -> dict[str, Any]:
    """Versions and machine, for the record."""
    packages = ("invdesign", "numpy", "scipy", "torch", "optuna", "nlopt", "scikit-learn")
    versions = {}
    for name in packages:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    return {
        "versions": versions,
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "system": platform.system(),
    }


def as_array(response: Response, quantity: str) -> Array:
    """One quantity of a response, or `KeyError` with the known names."""
    if quantity not in response:
        raise KeyError(f"Expected a quantity among {', '.join(response)}. Got {quantity!r}.")
    return response[quantity]
