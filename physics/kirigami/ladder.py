"""One sheet answered at several levels of theory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from typing import Protocol, runtime_checkable

import numpy as np

from physics.base import (
    Array,
    Cotangents,
    Fidelity,
    Quantity,
    Response,
    SimulationError,
    check_design,
    check_level,
)
from physics.devices.example_densities import smooth_densities
from physics.devices.identity import content_hash
from physics.kirigami.lattice import LatticeLevel
from physics.kirigami.linear import LinearLevel
from physics.kirigami.membrane import GRAPHENE, Membrane
from physics.kirigami.shapes import Deformed
from physics.kirigami.sheet import Sheet, hanakata_sheet

# Of the mechanics in this package; part of every identity.
VERSION = "kirigami-1"


class Level(Protocol):
    """One level of theory: a frozen dataclass of numbers, text and dataclasses of them."""

    @property
    def name(self) -> str: ...
    @property
    def cost(self) -> float: ...
    @property
    def stochastic(self) -> bool: ...
    def quantities(self, sheet: Sheet) -> tuple[Quantity, ...]: ...
    def simulate(self, sheet: Sheet, membrane: Membrane, design: Array, replicate: int = 0) -> Response: ...


@runtime_checkable
class GradedLevel(Level, Protocol):
    """A level with gradients."""

    def vjp(
        self, sheet: Sheet, membrane: Membrane, design: Array, cotangents: Cotangents, replicate: int = 0
    ) -> tuple[Response, Array]: ...


@runtime_checkable
class ShapedLevel(Level, Protocol):
    """A level that shows the deformed sheet."""

    def deformed(self, sheet: Sheet, membrane: Membrane, design: Array, strain: float | None = None) -> Deformed: ...


@runtime_checkable
class VersionedLevel(Level, Protocol):
    """A level answered by a program whose version matters."""

    @property
    def version(self) -> str: ...


@dataclass(frozen=True)
class KirigamiLadder:
    """A sheet with cuts as a simulator; designs are densities of ``sheet.cells``, 1 is material.

    Args:
        sheet: geometry and grips.
        membrane: its material, for the levels of continuum mechanics.
        levels: cheapest first; costs are relative to the first.

    Raises:
        ValueError: for no levels, or names that repeat.
    """

    sheet: Sheet = field(default_factory=hanakata_sheet)
    membrane: Membrane = GRAPHENE
    levels: tuple[Level, ...] = (LinearLevel(), LatticeLevel())

    def __post_init__(self) -> None:
        object.__setattr__(self, "levels", tuple(self.levels))  # frozen from here on
        names = [level.name for level in self.levels]
        if not names or len(set(names)) != len(names):
            raise ValueError(f"Expected one or more levels of distinct names. Got {names}.")
        costs = [level.cost for level in self.levels]
        if costs != sorted(costs) or costs[0] <= 0:
            raise ValueError(f"Expected levels of ascending cost, above 0. Got {costs}.")

    @cached_property
    def fidelities(self) -> tuple[Fidelity, ...]:
        """One a level."""
        first = self.levels[0].cost
        return tuple(
            Fidelity(level.name, level.cost / first, level.quantities(self.sheet), level.stochastic)
            for level in self.levels
        )

    @property
    def design_shape(self) -> tuple[int, ...]:
        """Rows, columns."""
        return self.sheet.cells

    @cached_property
    def identity(self) -> str:
        """SHA-256 of everything that changes an answer."""
        versions = [level.version for level in self.levels if isinstance(level, VersionedLevel)]
        return content_hash(" ".join([VERSION, *versions]), self)

    def simulate(self, design: Array, level: int, replicate: int = 0) -> Response:
        """All quantities of a level; ``ValueError`` for a bad design or level, ``SimulationError`` where it fails."""
        checked = self._checked(design, level)
        return self.levels[level].simulate(self.sheet, self.membrane, checked, replicate)

    def vjp(self, design: Array, level: int, cotangents: Cotangents, replicate: int = 0) -> tuple[Response, Array]:
        """Response and gradient; ``SimulationError`` at a level without gradients, or where there is none."""
        checked, chosen = self._checked(design, level), self.levels[level]
        if not isinstance(chosen, GradedLevel):
            raise SimulationError(f"Expected a level with gradients. Got {chosen.name!r}; use simulate there.")
        return chosen.vjp(self.sheet, self.membrane, checked, cotangents, replicate)

    def deformed(self, design: Array, level: int, strain: float | None = None) -> Deformed:
        """The sheet at a strain (the level's choice if not given); ``SimulationError`` at a level that shows none."""
        checked, chosen = self._checked(design, level), self.levels[level]
        if not isinstance(chosen, ShapedLevel):
            raise SimulationError(f"Expected a level that shows the deformed sheet. Got {chosen.name!r}.")
        return chosen.deformed(self.sheet, self.membrane, checked, strain)

    def example_designs(self, rng: np.random.Generator, n: int) -> Array:
        """Smooth densities between 0.3 and 1, ``n x *design_shape``; no level loses its sheet on them."""
        return 0.3 + 0.7 * smooth_densities(rng, n, self.sheet.cells)

    def provenance(self, level: int) -> Mapping[str, str]:
        """What answers."""
        check_level(level, self.fidelities)
        chosen = self.levels[level]
        solver = chosen.version if isinstance(chosen, VersionedLevel) else f"SciPy {version('scipy')}"
        spacing = getattr(chosen, "spacing_angstrom", None)
        return {
            "solver": chosen.name,
            "version": f"{VERSION}, {solver}",
            "resolution": "atoms" if spacing is None else f"{spacing:g} angstrom",
        }

    def _checked(self, design: Array, level: int) -> Array:
        check_level(level, self.fidelities)
        return check_design(design, self.sheet.cells)
