"""What strategies get to see: evaluations, verified designs, notes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from physics.base import Array


@dataclass(frozen=True)
class Record:
    """One evaluation as its asker sees it; exactly one of `response` and `error` is None."""

    key: str
    identity: str
    level: int
    replicate: int
    design: Array = field(repr=False)
    response: Mapping[str, Array] | None
    error: str | None
    cpu_seconds: float
    cotangents: Mapping[str, Array] | None = None
    gradient: Array | None = field(default=None, repr=False)
    group: int = 0


@dataclass(frozen=True)
class Candidate:
    """A verified design: binarised and simulated at the reference fidelity in every case.

    Args:
        key: of its designs in all cases.
        label: where it came from.
        theta: its parameters `(size,)`; None for a design that was handed over as a density.
        design: the binarised density of the nominal case, in the store's precision.
        responses: case -> response.
        loss, distance: of the targets over all cases; distance 0 means every band is met.
        cpu_seconds, reference_solves: what the run had cost when it was verified.
    """

    key: str
    label: str
    theta: Array | None = field(repr=False)
    design: Array = field(repr=False)
    responses: Mapping[str, Mapping[str, Array]]
    loss: float
    distance: float
    cpu_seconds: float
    reference_solves: int

    @property
    def response(self) -> Mapping[str, Array]:
        """Response of the nominal case."""
        return self.responses["nominal"]

    @property
    def rank(self) -> tuple[float, float]:
        """What candidates are ordered by: distance first, then loss."""
        return (self.distance, self.loss)


@dataclass(frozen=True)
class Note:
    """Something a strategy wants the report to show: a kind, when, and JSON-able content."""

    kind: str
    cpu_seconds: float
    content: Mapping[str, Any]
