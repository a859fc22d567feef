"""Plane waves in layered media: transfer matrices, and the same measured on a mesh one period wide."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse.linalg as spla

from physics.fdfd import Axis, Grid, Pml


def transfer(polarization, omega, kx, layers, outside):
    """Reflected and transmitted amplitude of the field out of the plane, referred to the stack's two faces.

    Born and Wolf, Principles of Optics, section 1.6. ``layers`` are (thickness_um, permittivity) from the incident
    side, ``outside`` the permittivities on both sides.
    """

    def wave(eps):
        k = np.sqrt(omega**2 * eps - kx**2 + 0j)
        return k, k / (1 if polarization == "Ez" else eps)

    total = np.eye(2, dtype=complex)
    for thickness, eps in layers:
        k, y = wave(eps)
        c, s = np.cos(k * thickness), np.sin(k * thickness)
        total = total @ np.array([[c, -1j * s / y], [-1j * y * s, c]])
    (_, first), (_, last) = wave(outside[0]), wave(outside[1])
    u, v = total @ np.array([1, last])
    return (u - v / first) / (u + v / first), 2 / (u + v / first)


@dataclass(frozen=True)
class Column:
    """A mesh of ``cells`` cells, ``width`` wide and Bloch-periodic, PML at both ends; the layers run across y.

    With ``turned`` the layers run across x instead. Indices count along the layers' normal.
    """

    cells: int
    cell_um: float
    pml_cells: int | tuple[int, int]
    kx: float
    width: int = 1
    turned: bool = False

    @property
    def grid(self):
        across = Axis(self.width, self.cell_um, phase=self.kx * self.cell_um * self.width)
        along = Axis(self.cells, self.cell_um, self.pml_cells)
        return Grid(along, across) if self.turned else Grid(across, along)

    def solve(self, stencil, source):
        """The field (``cells x width``) of a sheet of sources at cell ``source`` with the phase of the plane wave."""
        load = np.zeros((self.cells, self.width), dtype=complex)
        load[source] = np.exp(1j * self.kx * self.cell_um * np.arange(self.width))
        load = load if self.turned else load.T
        field = spla.spsolve(stencil.matrix().tocsc(), load.ravel()).reshape(load.shape)
        return field if self.turned else field.T

    def waves(self, field, cells, omega, eps, at_um):
        """Amplitudes at ``at_um`` of the waves up and down that make up the field on some cells of a uniform medium."""
        h = self.cell_um
        squared = (omega * h) ** 2 * eps - 4 * np.sin(self.kx * h / 2) ** 2
        phase = 2 * np.arcsin(np.sqrt(squared + 0j) / 2)
        y = ((cells + 0.5 - self.cells / 2) * h - at_um) / h
        basis = np.stack([np.exp(1j * phase * y), np.exp(-1j * phase * y)], axis=1)
        (up, down), misfit, *_ = np.linalg.lstsq(basis, field[cells, 0], rcond=None)
        assert misfit < 1e-18 * np.abs(field).max() ** 2
        return up, down


PML = Pml(1.0, log_reflection=-25.0)
