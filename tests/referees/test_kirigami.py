"""Cut sheets against scikit-fem: plane stress with quadratic triangles, buckling with Morley's plate."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
import scipy.sparse.linalg as spl

from physics.kirigami import GRAPHENE, Imperfection, KirigamiLadder, LatticeLevel, LinearLevel, Sheet
from physics.kirigami.equilibrium import follow, smallest_eigenvalue
from physics.kirigami.lattice_energy import lattice
from physics.kirigami.membrane import GPA

skfem = pytest.importorskip("skfem")
from skfem.helpers import dd, ddot, grad, sym_grad, trace  # noqa: E402

# 1 - cos of the angle between triangles bends a sheet of rigidity D into two curvatures as a plate of this ratio does
# (Schmidt, Fraternali, J. Mech. Phys. Solids 60, 172 (2012): Gaussian rigidity -4/3 D).
BENDING_POISSON = -1 / 3
NU = GRAPHENE.poisson_ratio
SLIT = Sheet((15, 12), (4.0, 5.0), 1.0, 0.0)


def slit_pattern():
    pattern = np.ones(SLIT.cells)
    pattern[7, 3:9] = 0
    return pattern


@lru_cache(maxsize=4)
def mesh_of(sheet: Sheet, pattern: tuple[tuple[float, ...], ...], per_cell: int):
    """Triangles of the material alone; pixels are cut wholly."""
    keep = np.array(pattern) > 0.5
    lines = [np.linspace(0, n * d, n * per_cell + 1) for n, d in zip(sheet.cells, sheet.cell_angstrom, strict=True)]
    mesh = skfem.MeshTri.init_tensor(*lines)
    centre = mesh.p[:, mesh.t].mean(axis=1)
    cell = tuple((centre[k] // sheet.cell_angstrom[k]).astype(int) for k in (0, 1))
    return mesh.restrict(np.flatnonzero(keep[cell]))


def plane_stress(sheet: Sheet, pattern, per_cell: int):
    """Membrane forces per unit strain and two-dimensional modulus, for unit Young's modulus."""
    mesh = mesh_of(sheet, tuple(map(tuple, pattern)), per_cell)
    basis = skfem.Basis(mesh, skfem.ElementVector(skfem.ElementTriP2()))

    def force(gradient):
        strain = 0.5 * (gradient + gradient.transpose((1, 0, *range(2, gradient.ndim))))
        unit = np.eye(2).reshape(2, 2, *[1] * (gradient.ndim - 2))
        return ((1 - NU) * strain + NU * (strain[0, 0] + strain[1, 1]) * unit) / (1 - NU**2)

    @skfem.BilinearForm
    def stiffness(u, v, _):
        return ddot(force(np.asarray(grad(u))), sym_grad(v))

    matrix = stiffness.assemble(basis)
    length, width = sheet.length_angstrom, sheet.width_angstrom
    left, right = (basis.get_dofs(lambda x, at=at: np.isclose(x[0], at)) for at in (0.0, length))
    u = basis.zeros()
    u[right.all(["u^1"])] = length
    u = skfem.solve(*skfem.condense(matrix, x=u, D=np.concatenate([left.all(), right.all()])))
    return mesh, basis, u, float(u @ matrix @ u) / (length * width), force


def buckling_strain(sheet: Sheet, pattern, per_cell: int, poisson: float) -> float:
    """Smallest tensile strain at which the flat sheet bifurcates."""
    mesh, flat, u, _, force = plane_stress(sheet, pattern, per_cell)
    plate = skfem.Basis(mesh, skfem.ElementTriMorley(), intorder=4)
    membrane = skfem.Basis(mesh, flat.elem, intorder=4)
    forces = GRAPHENE.modulus_ev * force(np.asarray(membrane.interpolate(u).grad))

    @skfem.BilinearForm
    def bending(w, v, _):
        a, b = dd(w), dd(v)
        return GRAPHENE.bending_ev * ((1 - poisson) * ddot(a, b) + poisson * trace(a) * trace(b))

    @skfem.BilinearForm
    def stressed(w, v, p):
        return np.einsum("i...,ij...,j...->...", grad(w), p.n, grad(v))

    stiff = bending.assemble(plate)
    stress = stressed.assemble(plate, n=forces)
    held = plate.get_dofs(lambda x: np.isclose(x[0], 0) | np.isclose(x[0], sheet.length_angstrom)).all()
    free = np.setdiff1d(np.arange(plate.N), held)
    k, g = stiff[free][:, free].tocsc(), stress[free][:, free].tocsc()
    inverse = spl.LinearOperator(k.shape, matvec=spl.splu(k).solve, dtype=float)
    start = np.random.default_rng(0).standard_normal(len(free))
    top = spl.eigsh(-g, 1, k, Minv=inverse, which="LA", v0=start, return_eigenvectors=False)
    return 1 / float(top[0])


def lattice_buckling_strain(sheet: Sheet, pattern, spacing: float, about: float) -> float:
    """Strain at which the tangent of the flat lattice loses its definiteness."""
    shared = lattice(sheet, GRAPHENE, spacing, 1e-7, Imperfection(0.0))
    relative = np.clip(1 - shared.mesh.cover @ (1 - pattern.ravel()), 0, 1)
    strains = about * np.linspace(0.8, 1.4, 7)
    states = follow(shared, relative, strains)
    lowest = np.array([smallest_eigenvalue(shared, state, relative) for state in states])
    after = int(np.argmax(lowest < 0))
    assert after > 0
    return float(np.interp(0.0, -lowest[after - 1 : after + 1], strains[after - 1 : after + 1]))


def test_modulus_of_a_cut_sheet():
    sheet = Sheet((10, 10), (10.0, 8.0), 1.0, 0.0)
    pattern = np.ones(sheet.cells)
    pattern[3, :6], pattern[6, 4:], pattern[8, 2:4] = 0, 0, 0
    reference = plane_stress(sheet, pattern, 8)[3] * GRAPHENE.modulus_ev * GPA / sheet.thickness_angstrom
    errors = []
    for spacing in (4.0, 2.0, 1.0):
        ladder = KirigamiLadder(sheet, levels=(LinearLevel(spacing_angstrom=spacing),))
        errors.append(abs(float(ladder.simulate(pattern, 0)["modulus"]) / reference - 1))
    print(errors)
    assert errors[0] < 0.1 and errors[2] < 0.02
    assert errors[0] > errors[1] > errors[2]


def test_lattice_before_buckling_has_the_same_modulus():
    pattern = slit_pattern()
    reference = plane_stress(SLIT, pattern, 4)[3] * GRAPHENE.modulus_ev * GPA / SLIT.thickness_angstrom
    errors = []
    for spacing in (5.0, 2.5, 1.25):
        level = LatticeLevel(spacing, strain=(0.02,), imperfection=Imperfection(0.0))
        errors.append(abs(float(level.simulate(SLIT, GRAPHENE, pattern)["modulus"]) / reference - 1))
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.02


def test_a_slit_buckles_where_a_plate_does():
    pattern = slit_pattern()
    reference = buckling_strain(SLIT, pattern, 4, BENDING_POISSON)
    assert lattice_buckling_strain(SLIT, pattern, 2.5, reference) == pytest.approx(reference, rel=0.05)
