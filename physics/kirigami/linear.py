"""Small-strain plane stress of a cut sheet between rigid grips, with its adjoint: one factorisation for both."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import scipy.sparse as sp

from physics.base import Array, Cotangents, Quantity, Response, SimulationError, resolve_cotangents
from physics.kirigami.factor import Factor, factorise
from physics.kirigami.membrane import GPA, Interpolation, Membrane
from physics.kirigami.quads import QuadMesh, plane_stress, quad_mesh
from physics.kirigami.responses import scalar
from physics.kirigami.shapes import Deformed
from physics.kirigami.sheet import Sheet


@dataclass(frozen=True)
class LinearLevel:
    """Plane stress, small strains, no buckling: milliseconds.

    Answers "modulus" (grip force over area and strain), "poisson_ratio" (minus the slope of the transverse
    displacement over y, fitted over the material, per strain; not on a periodic sheet, whose width is held) and two
    proxies: "yield_strain_estimate", the strain at which the p-mean of local strain reaches ``failure_strain``, and
    "strength_estimate", the modulus times that. Local strain is ``sqrt(strain . C . strain / E)``, which is the strain
    itself in uniaxial stress; at a cut's tip it grows without bound as the mesh is refined, so the proxies rank designs
    on one mesh and no more.

    Args:
        spacing_angstrom: side of an element, about.
        failure_strain: local strain at which material gives.
        power: p of the p-mean of local strain over the material's area.
        interpolation: stiffness of densities between 0 and 1.
    """

    spacing_angstrom: float = 4.2
    failure_strain: float = 0.15
    power: float = 16.0
    interpolation: Interpolation = field(default_factory=Interpolation)
    name: str = "linear"
    cost: float = 1.0
    stochastic: bool = False

    def __post_init__(self) -> None:
        if not (self.spacing_angstrom > 0 and self.failure_strain > 0 and self.power >= 2):
            raise ValueError(
                "Expected spacing_angstrom and failure_strain above 0 and a power of 2 or more. "
                f"Got {self.spacing_angstrom}, {self.failure_strain}, {self.power}."
            )

    def quantities(self, sheet: Sheet) -> tuple[Quantity, ...]:
        """What it answers for a sheet."""
        names = ("modulus", "poisson_ratio", "yield_strain_estimate", "strength_estimate")
        return tuple(scalar(name) for name in names if not (sheet.periodic_y and name == "poisson_ratio"))

    def simulate(self, sheet: Sheet, membrane: Membrane, design: Array, replicate: int = 0) -> Response:
        """The response of a checked density."""
        return solve(self, sheet, membrane, design).response

    def vjp(
        self, sheet: Sheet, membrane: Membrane, design: Array, cotangents: Cotangents, replicate: int = 0
    ) -> tuple[Response, Array]:
        """The response and the gradient by the adjoint."""
        solution = solve(self, sheet, membrane, design)
        return solution.response, solution.gradient(resolve_cotangents(cotangents, solution.response))

    def deformed(self, sheet: Sheet, membrane: Membrane, design: Array, strain: float | None = None) -> Deformed:
        """The sheet at a strain, 0.05 if not given, linearly scaled."""
        solution = solve(self, sheet, membrane, design)
        mesh, scale = solution.mesh, 0.05 if strain is None else strain
        u = solution.displacement.reshape(-1, 2)
        rest = np.column_stack([mesh.x, mesh.y, np.zeros(len(mesh.x))])
        moved = rest + scale * np.column_stack([u, np.zeros(len(u))])
        # Rectangles across the joined sides would be drawn across the sheet.
        drawn = np.ptp(mesh.y[mesh.nodes], axis=1) < 1.5 * mesh.size[:, 1]
        corners = mesh.nodes[drawn]
        pairs = np.stack([corners[:, [0, 1, 2]], corners[:, [0, 2, 3]]], axis=1).reshape(-1, 3)
        local, relative = (np.repeat(values[drawn], 2) for values in (scale * solution.local, solution.relative))
        return Deformed(rest, moved, pairs, local, relative, scale)


@dataclass(frozen=True, eq=False)
class Solution:
    """A solved sheet at unit strain, ready for adjoints."""

    level: LinearLevel
    sheet: Sheet
    mesh: QuadMesh
    design: Array
    elasticity: Array
    relative: Array
    displacement: Array
    free: Array
    factor: Factor
    scale: float

    @property
    def local(self) -> Array:
        """Local strain of each element per unit strain."""
        strain = self._strain()
        return np.sqrt(np.einsum("mi,ij,mj->m", strain, self.elasticity, strain))

    @property
    def response(self) -> Response:
        """All quantities."""
        modulus = self.scale * float(self.displacement @ self._internal(self.displacement))
        estimate = self.level.failure_strain / self._peak()
        values = {"modulus": modulus, "yield_strain_estimate": estimate, "strength_estimate": modulus * estimate}
        if not self.sheet.periodic_y:
            numerator, denominator = self._fit()
            values["poisson_ratio"] = -numerator / denominator
        return {name: np.array(value) for name, value in values.items()}

    def gradient(self, cotangents: Response) -> Array:
        """Gradient of the paired response in the design."""
        mesh, u = self.mesh, self.displacement
        response = self.response
        weight = {name: float(cotangents.get(name, 0.0)) for name in response}
        by_element, by_u = np.zeros(len(mesh.nodes)), np.zeros(len(u))
        local = u[mesh.dofs]
        # The modulus is an energy: stationary in u, so it needs no adjoint.
        by_modulus = weight["modulus"] + weight["strength_estimate"] * float(response["yield_strain_estimate"])
        by_element += by_modulus * self.scale * np.einsum("mi,mij,mj->m", local, mesh.stiffness, local)
        by_estimate = weight["yield_strain_estimate"] + weight["strength_estimate"] * float(response["modulus"])
        by_peak = -by_estimate * float(response["yield_strain_estimate"]) / self._peak()
        self._add_peak(by_peak, by_element, by_u)
        if weight.get("poisson_ratio"):
            self._add_poisson(weight["poisson_ratio"], by_element, by_u)
        if by_u.any():
            adjoint = np.zeros(len(u))
            adjoint[self.free] = self.factor.solve(by_u[self.free])
            by_element -= np.einsum("mi,mij,mj->m", adjoint[mesh.dofs], mesh.stiffness, local)
        cut = mesh.cell >= 0
        by_cell = np.bincount(mesh.cell[cut], by_element[cut], minlength=self.design.size).reshape(self.design.shape)
        return by_cell * self.level.interpolation.slope(self.design)

    def _internal(self, u: Array) -> Array:
        forces = np.einsum("m,mij,mj->mi", self.relative, self.mesh.stiffness, u[self.mesh.dofs])
        return np.bincount(self.mesh.dofs.ravel(), forces.ravel(), minlength=len(u))

    def _strain(self) -> Array:
        return np.einsum("mij,mj->mi", self.mesh.centre, self.displacement[self.mesh.dofs])

    def _area(self) -> Array:
        return self.mesh.size.prod(axis=1)

    def _peak(self) -> float:
        p, weight = self.level.power, self.relative * self._area()
        top = self.local.max()
        return float(top * ((weight * (self.local / top) ** p).sum() / weight.sum()) ** (1 / p))

    def _add_peak(self, cotangent: float, by_element: Array, by_u: Array) -> None:
        """Adds the partial derivatives of the p-mean."""
        p, area, peak, strain = self.level.power, self._area(), self._peak(), self._strain()
        total = (self.relative * area).sum()
        ratio = self.local / peak
        by_element += cotangent * peak / p * area / total * (ratio**p - 1)
        # d(local) = strain . C . d(strain) / local
        push = cotangent * self.relative * area / total * ratio ** (p - 2) / peak
        forces = np.einsum("m,mi,ij,mjk->mk", push, strain, self.elasticity, self.mesh.centre)
        np.add.at(by_u, self.mesh.dofs.ravel(), forces.ravel())

    def _fit(self) -> tuple[float, float]:
        """Moments of y with the transverse displacement, and with itself, over the material; about its middle."""
        y, v, weight = self._transverse()
        middle = (weight * y).sum() / weight.sum()
        return float((weight * (y - middle) * v).sum()), float((weight * (y - middle) * y).sum())

    def _transverse(self) -> tuple[Array, Array, Array]:
        nodes = self.mesh.nodes
        return (
            self.mesh.y[nodes].mean(axis=1),
            self.displacement[2 * nodes + 1].mean(axis=1),
            self.relative * self._area(),
        )

    def _add_poisson(self, cotangent: float, by_element: Array, by_u: Array) -> None:
        y, v, weight = self._transverse()
        middle, mean = ((weight * a).sum() / weight.sum() for a in (y, v))
        numerator, denominator = self._fit()
        slope = numerator / denominator
        by_element -= cotangent * self._area() * (y - middle) * ((v - mean) - slope * (y - middle)) / denominator
        push = -cotangent * weight * (y - middle) / denominator / 4
        np.add.at(by_u, (2 * self.mesh.nodes + 1).ravel(), np.repeat(push, 4))


def solve(level: LinearLevel, sheet: Sheet, membrane: Membrane, design: Array) -> Solution:
    """Solves for unit strain; ``SimulationError`` if the stiffness matrix is singular."""
    mesh = quad_mesh(sheet, level.spacing_angstrom, membrane.poisson_ratio)
    stiffness = level.interpolation.stiffness(design).ravel()
    relative = np.where(mesh.cell >= 0, stiffness[mesh.cell], 1.0)
    matrix = mesh.matrix(relative)
    count = 2 * len(mesh.x)
    held = np.concatenate([2 * mesh.left, 2 * mesh.left + 1, 2 * mesh.right, 2 * mesh.right + 1])
    free = np.setdiff1d(np.arange(count), held)
    displacement = np.zeros(count)
    displacement[2 * mesh.right] = sheet.length_angstrom
    rows = matrix[free]
    factor = factorise(sp.csc_matrix(rows[:, free]))
    if factor is None:
        raise SimulationError(
            "The stiffness matrix is singular: the pattern is severed; give the interpolation a floor above 0."
        )
    displacement[free] = factor.solve(-(rows @ displacement))
    length, width = sheet.length_angstrom, sheet.width_angstrom
    scale = membrane.modulus_ev * GPA / (sheet.thickness_angstrom * length * width)
    return Solution(
        level, sheet, mesh, design, plane_stress(membrane.poisson_ratio), relative, displacement, free, factor, scale
    )
