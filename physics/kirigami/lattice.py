"""The sheet as a lattice that stretches, bends and buckles out of its plane: stress-strain curves with gradients."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from physics.base import Array, Cotangents, Quantity, Response, resolve_cotangents
from physics.kirigami.adjoint import Curve, gradient
from physics.kirigami.equilibrium import follow
from physics.kirigami.lattice_energy import Imperfection, Lattice, lattice
from physics.kirigami.membrane import Interpolation, Membrane
from physics.kirigami.responses import MODULUS_STRAIN, curve, scalar
from physics.kirigami.shapes import Deformed
from physics.kirigami.sheet import Sheet

STRAIN = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4)


@dataclass(frozen=True)
class LatticeLevel:
    """Quasi-static stretching of an elastic lattice in three dimensions, with buckling; it never breaks.

    Answers "stress" (GPa, elastic) and "local_strain" (its p-mean over the material) on the grid of strains; "modulus"
    and "poisson_ratio" at a strain of 0.01; and proxies of failure, where local strain reaches ``failure_strain``:
    "yield_strain_estimate", "strength_estimate", "toughness_estimate".

    Args:
        spacing_angstrom: between nodes, about.
        strain: ascending, above 0.
        failure_strain: local strain at which material gives.
        power: p of the p-mean of local strain over the material's area.
        interpolation: stretching stiffness is ``density^power``, bending its square; ``floor`` times Young's modulus
            are the springs, linear in three dimensions, that hold what hangs in a cut.
        imperfection: from flatness.
        limit: gradients are refused where the tangent's smallest eigenvalue is below this share of the unloaded
            sheet's.
    """

    spacing_angstrom: float = 7.0
    strain: tuple[float, ...] = STRAIN
    failure_strain: float = 0.15
    power: float = 16.0
    interpolation: Interpolation = field(default_factory=Interpolation)
    imperfection: Imperfection = field(default_factory=Imperfection)
    limit: float = 1e-3
    name: str = "lattice"
    cost: float = 200.0
    stochastic: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "strain", tuple(float(value) for value in self.strain))  # frozen from here on
        rising = all(a < b for a, b in zip((0.0, *self.strain), self.strain, strict=False))
        if not self.strain or not rising or not math.isfinite(self.strain[-1]):
            raise ValueError(f"Expected finite strains that ascend from above 0. Got {self.strain}.")
        if not (self.spacing_angstrom > 0 and self.failure_strain > 0 and self.power >= 2 and self.limit >= 0):
            raise ValueError(
                "Expected spacing_angstrom and failure_strain above 0, a power of 2 or more, a limit of 0 or more. "
                f"Got {self.spacing_angstrom}, {self.failure_strain}, {self.power}, {self.limit}."
            )
        if self.interpolation.floor <= 0:
            raise ValueError("Expected an interpolation with a floor above 0: nodes in a cut hang on it. Got 0.")

    def quantities(self, sheet: Sheet) -> tuple[Quantity, ...]:
        """What it answers for a sheet; the width of a periodic sheet is held, which leaves no Poisson's ratio."""
        names = ("modulus", "poisson_ratio", "yield_strain_estimate", "strength_estimate", "toughness_estimate")
        curves = (curve("stress", self.strain), curve("local_strain", self.strain, "1"))
        return curves + tuple(scalar(name) for name in names if not (sheet.periodic_y and name == "poisson_ratio"))

    def simulate(self, sheet: Sheet, membrane: Membrane, design: Array, replicate: int = 0) -> Response:
        """The response of a checked density; ``SimulationError`` where no equilibrium is found."""
        return self.stretched(sheet, membrane, design).response

    def vjp(
        self, sheet: Sheet, membrane: Membrane, design: Array, cotangents: Cotangents, replicate: int = 0
    ) -> tuple[Response, Array]:
        """Response and gradient by the implicit function theorem; ``SimulationError`` at limit points."""
        stretched = self.stretched(sheet, membrane, design)
        response = stretched.response
        return response, gradient(stretched, resolve_cotangents(cotangents, response))

    def deformed(self, sheet: Sheet, membrane: Membrane, design: Array, strain: float | None = None) -> Deformed:
        """The sheet at a strain, the last of the grid if not given."""
        last = self.strain[-1] if strain is None else strain
        on_the_way = tuple(value for value in self.strain if value < last)
        stretched = replace(self, strain=(*on_the_way, last)).stretched(sheet, membrane, design)
        state, mesh = stretched.curve[-1], stretched.lattice.mesh
        # Triangles across the joined sides would be drawn across the sheet.
        drawn = np.ptp(mesh.rest[mesh.triangles][..., 1], axis=1) < 0.5 * sheet.width_angstrom
        return Deformed(
            mesh.rest,
            mesh.rest + state.u,
            mesh.triangles[drawn],
            stretched.local(state)[drawn],
            stretched.relative[drawn],
            state.strain,
        )

    def stretched(self, sheet: Sheet, membrane: Membrane, design: Array) -> Curve:
        """Equilibria unloaded, at the modulus' strain and on the grid."""
        shared = self._lattice(sheet, membrane)
        density = design.ravel()
        relative = np.clip(1 - shared.mesh.cover @ (1 - density**self.interpolation.power), 0.0, 1.0)
        strains = sorted({0.0, MODULUS_STRAIN, *self.strain})
        states = dict(zip(strains, follow(shared, relative, strains), strict=True))
        return Curve(
            shared,
            sheet,
            membrane,
            design,
            relative,
            states[0.0],
            states[MODULUS_STRAIN],
            tuple(states[value] for value in self.strain),
            self.failure_strain,
            self.power,
            self.interpolation.power,
            self.limit,
        )

    def _lattice(self, sheet: Sheet, membrane: Membrane) -> Lattice:
        return lattice(sheet, membrane, self.spacing_angstrom, self.interpolation.floor, self.imperfection)


def imperfection_spread(
    level: LatticeLevel, sheet: Sheet, membrane: Membrane, design: Array, seeds: Sequence[int] = (0, 1)
) -> tuple[Array, float]:
    """Stress under several imperfections, each of either sign: whether the path depends on them.

    Returns:
        stresses in GPa, ``2 seeds x strains``, and their largest range as a share of the highest stress.
    """
    stresses = []
    for seed in seeds:
        for sign in (1, -1):
            changed = replace(level, imperfection=replace(level.imperfection, seed=seed, sign=sign))
            stresses.append(changed.simulate(sheet, membrane, design)["stress"])
    table = np.array(stresses)
    return table, float(np.ptp(table, axis=0).max() / np.abs(table).max())
