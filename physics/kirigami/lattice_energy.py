"""Energy of a stretched, bent lattice with its gradient and Hessian, assembled.

Energy = sum of r_t (stretching of triangle t) + sum of r_s r_t k (1 - cos - f.u) over hinges + floor / 2 u.Lu, where r
is the relative stiffness of triangles, k = D L^2 / (A_s + A_t) (D the bending rigidity; Seung, Nelson, Phys. Rev. A 38,
1005 (1988)), L the graph Laplacian that holds what hangs in a cut without buckling itself, and f the small moments that
bend a flat sheet into the imperfection: to first order the energy is least there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.sparse as sp

from physics.base import Array
from physics.kirigami.elements import hinge_energy, hinge_hessian, triangle_energy, triangle_forms, triangle_hessian
from physics.kirigami.membrane import Membrane
from physics.kirigami.quads import plane_stress
from physics.kirigami.sheet import Sheet
from physics.kirigami.triangles import TriangleMesh, triangle_mesh


@dataclass(frozen=True)
class Imperfection:
    """A smooth seeded deviation from flatness.

    Args:
        amplitude_angstrom: its largest height.
        seed: of its shape.
        sign: 1 or -1, for its mirror image.
    """

    amplitude_angstrom: float = 0.2
    seed: int = 0
    sign: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.amplitude_angstrom < math.inf or self.sign not in (-1, 1) or self.seed < 0:
            raise ValueError(f"Expected an amplitude and a seed of 0 or more and a sign of 1 or -1. Got {self}.")

    def heights(self, mesh: TriangleMesh, sheet: Sheet) -> Array:
        """Height of each node, flat at the grips; ``n``."""
        rng = np.random.default_rng(self.seed)
        x, y = mesh.rest[:, 0] / sheet.length_angstrom, mesh.rest[:, 1] / sheet.width_angstrom
        inside = np.clip(x, 0, 1)
        heights = np.zeros(len(x))
        for m in range(1, 5):
            for n in range(4):
                weight, phase = rng.standard_normal() / math.hypot(m, n), rng.uniform(0, 2 * math.pi)
                turn = 2 * math.pi * n if sheet.periodic_y else math.pi * n
                heights += weight * np.sin(math.pi * inside) * np.sin(m * math.pi * inside) * np.cos(turn * y + phase)
        return self.sign * self.amplitude_angstrom * heights / np.abs(heights).max()


@dataclass(frozen=True, eq=False)
class Lattice:
    """What all designs on one sheet share: forms, and where each entry of the Hessian goes.

    Args:
        mesh: the lattice.
        forms: ``m x 3 x 3`` of triangles in eV.
        rest_length: ``m x 3``.
        bending: ``h``, k of each hinge in eV.
        laplacian: ``3n x 3n``, floor times Young's modulus times the graph Laplacian.
        moments: ``h x 12``, f of each hinge in 1/angstrom.
        pull: ``n x 3``, displacement of the grips at unit strain.
        free: indices of free degrees of freedom.
        place: entry of all element Hessians in turn -> place in ``pattern``'s data, or its end if not free.
        pattern: the Hessian over free degrees of freedom, without values.
        mass: of free degrees of freedom, for modes.
    """

    mesh: TriangleMesh
    forms: Array
    rest_length: Array
    bending: Array
    laplacian: sp.csr_matrix
    moments: Array
    pull: Array
    free: Array
    place: Array
    pattern: sp.csc_matrix
    stretch_dofs: Array
    hinge_dofs: Array

    def energy(self, u: Array, relative: Array) -> tuple[float, Array]:
        """Energy in eV of displacements ``n x 3`` and its gradient, ``n x 3``."""
        stretch, by_triangle = triangle_energy(self.edges(u), self.rest_length, self.forms)
        bend, by_hinge = self._bent(u)
        stiff = self.hinge_stiffness(relative)
        floor = (self.laplacian @ u.ravel()).reshape(u.shape)
        total = (relative * stretch).sum() + (stiff * bend).sum() + 0.5 * (u * floor).sum()
        gradient = np.bincount(self.stretch_dofs.ravel(), (relative[:, None] * by_triangle).ravel(), minlength=u.size)
        gradient += np.bincount(self.hinge_dofs.ravel(), (stiff[:, None] * by_hinge).ravel(), minlength=u.size)
        return float(total), gradient.reshape(u.shape) + floor

    def hessian(self, u: Array, relative: Array) -> tuple[sp.csc_matrix, Array]:
        """Second derivatives over free degrees of freedom, and their products with ``pull``."""
        stretch = relative[:, None, None] * triangle_hessian(self.edges(u), self.rest_length, self.forms)
        bend = self.hinge_stiffness(relative)[:, None, None] * hinge_hessian(self.spokes(u))
        values = np.concatenate([stretch.ravel(), bend.ravel(), self.laplacian.data])
        data = np.bincount(self.place, values, minlength=self.pattern.nnz + 1)[:-1]
        matrix = sp.csc_matrix((data, self.pattern.indices, self.pattern.indptr), self.pattern.shape)
        pull = self.pull.ravel()
        by_strain = self.laplacian @ pull
        for dofs, blocks in ((self.stretch_dofs, stretch), (self.hinge_dofs, bend)):
            # Only elements at the grip see its motion.
            near = np.flatnonzero(pull[dofs].any(axis=1))
            forces = np.einsum("mij,mj->mi", blocks[near], pull[dofs[near]])
            by_strain += np.bincount(dofs[near].ravel(), forces.ravel(), minlength=len(pull))
        return matrix, by_strain

    def by_stiffness(self, u: Array, relative: Array, adjoint: Array) -> Array:
        """Derivative of ``adjoint . gradient`` in the relative stiffness, ``m``; ``adjoint`` is ``n x 3``."""
        flat = adjoint.ravel()
        _, by_triangle = triangle_energy(self.edges(u), self.rest_length, self.forms)
        _, by_hinge = self._bent(u)
        result = (by_triangle * flat[self.stretch_dofs]).sum(axis=1)
        work = self.bending * (by_hinge * flat[self.hinge_dofs]).sum(axis=1)
        first, second = self.mesh.sides.T
        result += np.bincount(first, work * relative[second], minlength=len(result))
        return result + np.bincount(second, work * relative[first], minlength=len(result))

    def hinge_stiffness(self, relative: Array) -> Array:
        """In eV: a hinge bends as stiffly as both its triangles let it."""
        return self.bending * relative[self.mesh.sides].prod(axis=1)

    def _bent(self, u: Array) -> tuple[Array, Array]:
        """Energies of hinges of unit stiffness and their gradients."""
        bend, by_hinge = hinge_energy(self.spokes(u))
        return bend - (self.moments * u.ravel()[self.hinge_dofs]).sum(axis=1), by_hinge - self.moments

    def edges(self, u: Array) -> Array:
        """Edge vectors of triangles, ``m x 3 x 3``."""
        moved = u[self.mesh.triangles]
        return self.mesh.edges + np.roll(moved, -1, axis=1) - moved

    def spokes(self, u: Array) -> Array:
        """Spokes of hinges, ``h x 3 x 3``."""
        return self.mesh.spokes + u[self.mesh.hinges[:, 1:]] - u[self.mesh.hinges[:, :1]]

    def masses(self, relative: Array) -> Array:
        """Lumped area of material at free degrees of freedom; next to none in a cut, whose motions are then no
        modes.
        """
        share = np.repeat(self.mesh.area / 3 * np.maximum(relative, 1e-8), 3)
        node = np.bincount(self.mesh.triangles.ravel(), share, minlength=len(self.mesh.rest))
        return np.repeat(node, 3)[self.free]


@lru_cache(maxsize=8)
def lattice(
    sheet: Sheet, membrane: Membrane, spacing_angstrom: float, floor: float, imperfection: Imperfection
) -> Lattice:
    """The lattice of a sheet."""
    mesh = triangle_mesh(sheet, spacing_angstrom)
    forms = triangle_forms(mesh.edges, mesh.area, membrane.modulus_ev * plane_stress(membrane.poisson_ratio))
    shared = (mesh.spokes[:, 0] ** 2).sum(axis=1)
    # What a grip holds does not bend: the hinges along it have the first strip's triangles alone.
    bendable = np.where(mesh.free[mesh.triangles].any(axis=1), mesh.area, 0.0)
    held = ~bendable[mesh.sides].any(axis=1)
    bending = membrane.bending_ev * mesh.slant * shared / np.where(held, np.inf, bendable[mesh.sides].sum(axis=1))
    stretch_dofs = (3 * mesh.triangles[:, :, None] + np.arange(3)).reshape(-1, 9)
    hinge_dofs = (3 * mesh.hinges[:, :, None] + np.arange(3)).reshape(-1, 12)
    count = 3 * len(mesh.rest)
    ends = np.concatenate([mesh.triangles, np.roll(mesh.triangles, -1, axis=1)], axis=0).reshape(2, -1)
    graph = sp.csr_matrix((np.ones(ends.shape[1]), tuple(ends)), (len(mesh.rest), len(mesh.rest)))
    graph = ((graph + graph.T) > 0).astype(float)
    plain = sp.diags(np.asarray(graph.sum(axis=1)).ravel()) - graph
    laplacian = sp.csr_matrix(sp.kron(floor * membrane.modulus_ev * plain, sp.eye(3)))
    laplacian.sum_duplicates()
    free = np.flatnonzero(np.repeat(mesh.free, 3))
    place, pattern = _places(stretch_dofs, hinge_dofs, laplacian, free, count)
    pull = np.zeros((len(mesh.rest), 3))
    pull[mesh.pulled, 0] = sheet.length_angstrom
    heights = np.zeros((len(mesh.rest), 3))
    heights[:, 2] = imperfection.heights(mesh, sheet)
    moments = np.einsum("mij,mj->mi", hinge_hessian(mesh.spokes), heights.ravel()[hinge_dofs])
    length = np.sqrt((mesh.edges**2).sum(axis=2))
    return Lattice(
        mesh, forms, length, bending, laplacian, moments, pull, free, place, pattern, stretch_dofs, hinge_dofs
    )


def _places(
    stretch_dofs: Array, hinge_dofs: Array, laplacian: sp.csr_matrix, free: Array, count: int
) -> tuple[Array, sp.csc_matrix]:
    """Where each value goes in the data of the Hessian over free degrees of freedom."""
    rows, columns = [], []
    for dofs in (stretch_dofs, hinge_dofs):
        rows.append(np.repeat(dofs, dofs.shape[1], axis=1).ravel())
        columns.append(np.tile(dofs, (1, dofs.shape[1])).ravel())
    rest = laplacian.tocoo()
    row, column = np.concatenate([*rows, rest.row]), np.concatenate([*columns, rest.col])
    new = np.full(count, -1)
    new[free] = np.arange(len(free))
    row, column = new[row].astype(np.int64), new[column].astype(np.int64)
    inside = (row >= 0) & (column >= 0)
    keys, where = np.unique(column[inside] * len(free) + row[inside], return_inverse=True)
    place = np.full(len(row), len(keys))
    place[inside] = where.ravel()
    pointers = np.searchsorted(keys, np.arange(len(free) + 1) * len(free))
    pattern = sp.csc_matrix((np.zeros(len(keys)), keys % len(free), pointers), (len(free), len(free)))
    return place, pattern
