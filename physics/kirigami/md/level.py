"""Molecular dynamics as a level of :class:`physics.kirigami.ladder.KirigamiLadder`."""

from __future__ import annotations

from dataclasses import dataclass, field

from physics.base import Array, Quantity, Response
from physics.kirigami.md.find import lammps
from physics.kirigami.md.quantities import quantities
from physics.kirigami.md.run import run_md
from physics.kirigami.md.settings import MdSettings
from physics.kirigami.md.simulator import answers, seconds_per_atom
from physics.kirigami.membrane import Membrane
from physics.kirigami.sheet import Sheet

# Of a solve at the level of cost 1, and atoms of a small sheet.
UNIT_SECONDS, ATOMS = 0.01, 1000


@dataclass(frozen=True)
class MdLevel:
    """One protocol; a replicate is a seed. Answers what :class:`physics.kirigami.md.GrapheneMd` does.

    Args:
        settings: the protocol.
    """

    settings: MdSettings = field(default_factory=MdSettings)
    stochastic: bool = True

    @property
    def name(self) -> str:
        """E.g. "md-airebo"."""
        return f"md-{self.settings.potential}"

    @property
    def cost(self) -> float:
        """Of a sheet of a thousand atoms, in solves of ten milliseconds."""
        return seconds_per_atom(self.settings) * ATOMS / UNIT_SECONDS

    @property
    def version(self) -> str:
        """Of LAMMPS; ``MissingSoftware`` without it."""
        return f"LAMMPS {lammps().version}"

    def quantities(self, sheet: Sheet) -> tuple[Quantity, ...]:
        """What it answers."""
        return answers(self.settings)

    def simulate(self, sheet: Sheet, membrane: Membrane, design: Array, replicate: int = 0) -> Response:
        """One pull of a pattern of 0 and 1; atoms know no membrane."""
        return quantities(run_md(design, sheet, self.settings, replicate))
