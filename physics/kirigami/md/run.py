"""One pull of one sheet by molecular dynamics, in a worker process."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from physics.base import Array
from physics.fdfd.values import whole
from physics.kirigami.md.atoms import graphene
from physics.kirigami.md.find import lammps
from physics.kirigami.md.settings import BOND_ANGSTROM, MdSettings
from physics.kirigami.sheet import Sheet
from physics.worker import borrow

GPA = 160.2176634  # eV per cubic angstrom
FLOOR_GPA = 0.5  # a stress that counts as load when a sheet is judged torn
LARGEST_SEED = 2**63 - 1


@dataclass(frozen=True, eq=False)
class Curve:
    """What one pull gave, on the settings' grid of ``n`` strains; zero once the sheet is torn.

    Args:
        strain: of the length between the grips.
        stress_gpa: mean of the two grips' forces per area of the uncut sheet.
        left_gpa, right_gpa: of either grip.
        temperature_k: of the free atoms across the load; zero where nothing was simulated.
        rupture_strain: the first strain of the grid at which the sheet was torn; the last one where it held to the end.
        torn: whether it was torn.
        seed: of the imperfection and the bath.
        atoms: of the sheet.
        cpu_seconds: of the worker.
    """

    strain: Array
    stress_gpa: Array
    left_gpa: Array
    right_gpa: Array
    temperature_k: Array
    rupture_strain: float
    torn: bool
    seed: int
    atoms: int
    cpu_seconds: float

    @property
    def imbalance(self) -> float:
        """Root mean square difference of the grips' forces over that of the stress: inertia and drag of the sheet."""
        load = float(np.sqrt(np.mean(self.stress_gpa**2)))
        return float(np.sqrt(np.mean((self.left_gpa - self.right_gpa) ** 2))) / load if load > 0 else 0.0


def run_md(
    pattern: Array, sheet: Sheet, settings: MdSettings, seed: int = 0, time_limit_s: float | None = None
) -> Curve:
    """Pulls a graphene sheet until it is torn; the same seed gives the same numbers.

    Args:
        pattern: of shape ``sheet.cells``, 1 = keep, 0 = cut.
        sheet: see :func:`physics.kirigami.md.atoms.graphene`.
        settings: the protocol.
        seed: replicates differ in it.
        time_limit_s: after which LAMMPS is killed; None for no limit.

    Raises:
        ValueError: for a pattern, sheet or seed that cannot be simulated.
        MissingSoftware: without LAMMPS.
        SimulationError: where LAMMPS fails, with its message, dies, or outlives the limit.
    """
    number = whole("seed", seed)
    if not 0 <= number <= LARGEST_SEED:
        raise ValueError(f"Expected a seed from 0 to {LARGEST_SEED}. Got {seed!r}.")
    atoms = graphene(pattern, sheet, BOND_ANGSTROM[settings.potential])
    # Lengths scale with the potential's bond; the thickness is a convention and does not.
    area = atoms.width_angstrom * sheet.thickness_angstrom
    protocol = {f.name: getattr(settings, f.name) for f in fields(settings)}
    protocol["bond_range_angstrom"] = settings.bond_range
    with borrow(lammps().program) as worker:
        reply = worker.call(
            "pull",
            {"positions": atoms.positions, "types": atoms.types},
            time_limit_s=time_limit_s,
            **protocol,
            bond_end_angstrom=settings.bond_range[1],
            points=settings.points,
            gauge_angstrom=atoms.gauge_angstrom,
            floor=FLOOR_GPA / GPA * area,
            seed=number,
        )
    held, torn = int(reply.header["held"]), bool(reply.header["torn"])
    left, right, temperature = (np.zeros(settings.points) for _ in range(3))
    for padded, name in ((left, "left"), (right, "right"), (temperature, "temperature")):
        padded[:held] = reply.arrays[name][:held]
    left, right = left / area * GPA, right / area * GPA
    grid = settings.strain
    rupture = float(grid[min(held, len(grid) - 1)])
    return Curve(
        grid, (left + right) / 2, left, right, temperature, rupture, torn, number, len(atoms.types), reply.cpu_seconds
    )
