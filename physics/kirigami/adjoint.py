"""What equilibria of a lattice answer, and its gradient: each load by one back-solve with its own tangent."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from physics.base import Array, Response, SimulationError
from physics.kirigami.elements import triangle_energy
from physics.kirigami.equilibrium import State, smallest_eigenvalue
from physics.kirigami.lattice_energy import Lattice
from physics.kirigami.membrane import GPA, Membrane
from physics.kirigami.readout import Estimates, estimates
from physics.kirigami.sheet import Sheet


@dataclass(frozen=True, eq=False)
class Curve:
    """A sheet followed along its strains.

    Args:
        lattice, sheet, membrane: of the sheet.
        design: density, ``rows x columns``.
        relative: relative stiffness of each triangle.
        unloaded, early: equilibria at strain 0 and at the modulus' strain.
        curve: equilibria on the grid.
        failure_strain, power: as of the level.
        density_power: stiffness is the density to this power.
        limit: as of the level.
    """

    lattice: Lattice
    sheet: Sheet
    membrane: Membrane
    design: Array
    relative: Array
    unloaded: State
    early: State
    curve: tuple[State, ...]
    failure_strain: float
    power: float
    density_power: float
    limit: float

    @cached_property
    def response(self) -> Response:
        """All quantities."""
        values = {
            "stress": self.stress,
            "local_strain": np.array([self.mean_local(state) for state in self.curve]),
            "modulus": self.early.force * self.scale / self.early.strain,
            **self.estimates.values,
        }
        if not self.sheet.periodic_y:
            values["poisson_ratio"] = -self._contraction(self.early)[0]
        return {name: np.asarray(value, dtype=float) for name, value in values.items()}

    @property
    def scale(self) -> float:
        """GPa of nominal stress per eV of energy and unit strain."""
        volume = self.sheet.length_angstrom * self.sheet.width_angstrom * self.sheet.thickness_angstrom
        return GPA / volume

    @property
    def stress(self) -> Array:
        """On the grid, GPa."""
        return np.array([state.force for state in self.curve]) * self.scale

    @cached_property
    def estimates(self) -> Estimates:
        """Proxies of failure."""
        strain = np.array([state.strain for state in self.curve])
        local = np.array([self.mean_local(state) for state in self.curve])
        return estimates(strain, self.stress, local, self.failure_strain)

    def local(self, state: State) -> Array:
        """Strain of each triangle, ``sqrt(2 energy / E area)``: the strain itself in uniaxial stress."""
        shared = self.lattice
        energy, _ = triangle_energy(shared.edges(state.u), shared.rest_length, shared.forms)
        return np.sqrt(2 * np.maximum(energy, 0) / (self.membrane.modulus_ev * shared.mesh.area))

    @property
    def counted(self) -> float:
        """Power of the relative stiffness by which local strain counts.

        On a raster of pixels many triangles are cut in part, and what is left of them strains with the open cut: there
        local strain counts times the root of the relative stiffness, as stresses do in Bruggi, Struct. Multidisc.
        Optim. 36, 125 (2008).
        """
        return 1.0 if self.sheet.cut_share < 1 else self.power / 2

    def mean_local(self, state: State) -> float:
        """p-mean of the local strain over the material."""
        local, area = self.local(state), self.lattice.mesh.area
        top, weight = local.max(), self.relative**self.counted * area
        total = (self.relative * area).sum()
        return float(top * ((weight * (local / top) ** self.power).sum() / total) ** (1 / self.power))

    def local_slopes(self, state: State) -> tuple[Array, Array]:
        """Derivatives of the p-mean in the displacements, ``3n``, and in the relative stiffness, ``m``."""
        shared, p = self.lattice, self.power
        mean, area = self.mean_local(state), shared.mesh.area
        ratio, total = self.local(state) / mean, (self.relative * area).sum()
        _, push = triangle_energy(shared.edges(state.u), shared.rest_length, shared.forms)
        factor = self.relative**self.counted * ratio ** (p - 2) / (total * mean * self.membrane.modulus_ev)
        by_u = np.bincount(shared.stretch_dofs.ravel(), (factor[:, None] * push).ravel(), minlength=state.u.size)
        own = self.counted * self.relative ** (self.counted - 1) * ratio**p
        return by_u, mean / p * area / total * (own - 1)

    def _contraction(self, state: State) -> tuple[float, Array, Array]:
        """Slope of the transverse displacement over y, per strain, with its derivatives like ``local_slopes``."""
        mesh = self.lattice.mesh
        y, v = mesh.rest[mesh.triangles, 1].mean(axis=1), state.u[mesh.triangles, 1].mean(axis=1)
        weight = self.relative * mesh.area
        y, v = y - (weight * y).sum() / weight.sum(), v - (weight * v).sum() / weight.sum()
        inertia = (weight * y * y).sum() * state.strain
        slope = float((weight * y * v).sum() / inertia)
        by_u = np.bincount(
            3 * mesh.triangles.ravel() + 1, np.repeat(weight * y / inertia / 3, 3), minlength=state.u.size
        )
        return slope, by_u, mesh.area * y * (v - slope * state.strain * y) / inertia

    def contraction_slopes(self, state: State) -> tuple[Array, Array]:
        """Derivatives of Poisson's ratio in the displacements and in the relative stiffness."""
        _, by_u, by_relative = self._contraction(state)
        return -by_u, -by_relative


def gradient(curve: Curve, cotangents: Response) -> Array:
    """Gradient of the paired response in the design, shaped like it.

    At an equilibrium g(u, r) = 0, d/dr of a function J(u, r) is J_r - J_u K^-1 g_r with the tangent K = g_u.

    Raises:
        SimulationError: where K is singular, or nearly: at limit points the path jumps and has no gradient.
    """
    by_stress = np.array(cotangents.get("stress", np.zeros(len(curve.curve))), dtype=float)
    by_local = np.array(cotangents.get("local_strain", np.zeros(len(curve.curve))), dtype=float)
    for name in curve.estimates.values:
        weight = float(cotangents.get(name, 0.0))
        by_stress += weight * curve.estimates.by_stress[name]
        by_local += weight * curve.estimates.by_local[name]
    early = float(cotangents.get("modulus", 0.0)) / curve.early.strain
    poisson = float(cotangents.get("poisson_ratio", 0.0))
    by_relative = np.zeros(len(curve.relative))
    for state, stress, local in zip(curve.curve, by_stress, by_local, strict=True):
        by_relative += _of_load(curve, state, stress, local, 0.0)
    by_relative += _of_load(curve, curve.early, early, 0.0, poisson)
    by_density = curve.lattice.mesh.cover.T @ by_relative
    slope = curve.density_power * curve.design.ravel() ** (curve.density_power - 1)
    return (by_density * slope).reshape(curve.design.shape)


def _of_load(curve: Curve, state: State, stress: float, local: float, poisson: float) -> Array:
    """Gradient in the relative stiffness of what one equilibrium answers."""
    if not (stress or local or poisson):
        return np.zeros(len(curve.relative))
    _refuse_limits(curve, state)
    shared = curve.lattice
    by_u, by_relative = stress * curve.scale * state.by_strain, np.zeros(len(curve.relative))
    if local:
        push, direct = curve.local_slopes(state)
        by_u, by_relative = by_u + local * push, by_relative + local * direct
    if poisson:
        push, direct = curve.contraction_slopes(state)
        by_u, by_relative = by_u + poisson * push, by_relative + poisson * direct
    adjoint = stress * curve.scale * shared.pull.ravel()
    adjoint[shared.free] -= state.factor.solve(by_u[shared.free])
    return by_relative + shared.by_stiffness(state.u, curve.relative, adjoint.reshape(state.u.shape))


def _refuse_limits(curve: Curve, state: State) -> None:
    reference = smallest_eigenvalue(curve.lattice, curve.unloaded, curve.relative)
    found = smallest_eigenvalue(curve.lattice, state, curve.relative)
    if state.factor.negative or found <= curve.limit * reference:
        raise SimulationError(
            f"No gradient at a strain of {state.strain:g}: a limit or bifurcation point, where the path jumps or "
            f"branches. The tangent's smallest eigenvalue is {found:.3g} eV/angstrom^4, of {reference:.3g} unloaded; "
            "leave this strain out of the target, or use a larger imperfection."
        )
