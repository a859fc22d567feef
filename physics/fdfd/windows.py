"""Stencil values of the cells that a design region reaches, as functions of its permittivity, with their adjoints."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from physics.fdfd.faces import FaceMap
from physics.fdfd.grid import Complex, Real
from physics.fdfd.operator import assemble

Values = tuple[Real | Complex, Real | Complex, Real | Complex]


def real_if_so(array: Real | Complex) -> Real | Complex:
    """A contiguous copy, real where no imaginary part differs from 0."""
    return np.array(array if np.imag(array).any() else np.real(array), order="C")


@dataclass(frozen=True, eq=False)
class EzWindow:
    """Ez: the permittivity's cell averages enter the diagonal alone.

    Args:
        diagonal, east, north: ``W x H`` values at permittivity ``low``.
        mass: ``W x H``, (omega cell_um)^2 s_x s_y.
        low: permittivity at which ``diagonal`` holds.
        x, y: ``W x pixels`` and ``H x pixels`` means over the cells.
    """

    diagonal: Real | Complex
    east: Real | Complex
    north: Real | Complex
    mass: Real | Complex
    low: float | complex
    x: Real
    y: Real

    def values(self, design: Real | Complex) -> Values:
        """(diagonal, east, north) for the permittivity of the pixels."""
        return self.diagonal + self.mass * (self.x @ (design - self.low) @ self.y.T), self.east, self.north

    def pull_back(self, design: Real | Complex, d_diagonal: Complex, d_east: Complex, d_north: Complex) -> Complex:
        """dL/d(eps of the pixels) for dL = sum(d * dA) over the three arrays."""
        return self.x.T @ (self.mass * d_diagonal) @ self.y

    def change(self, design: Real | Complex, direction: Real | Complex) -> Values:
        """Derivative of :meth:`values` along a direction of the pixels' permittivity."""
        nothing = np.zeros(self.mass.shape)
        return self.mass * (self.x @ direction @ self.y.T), nothing, nothing

    def pull_back_change(
        self, design: Real | Complex, direction: Real | Complex, d_diagonal: Complex, d_east: Complex, d_north: Complex
    ) -> Complex:
        """Derivative of :meth:`pull_back` along a direction: 0, as the values are linear."""
        return np.zeros_like(direction)


@dataclass(frozen=True, eq=False)
class FaceWindow:
    """Weights of the east faces around the cells of a window, those that the design reaches among them.

    Args:
        static: ``(W + 1) x H`` weights, factor / eps.
        factor: ``faces x cells`` factors of the faces that the design reaches.
        block: where these lie in ``static``.
        media: from the permittivity of the pixels to theirs.
    """

    static: Real | Complex
    factor: Real | Complex
    block: tuple[slice, slice]
    media: FaceMap

    def weights(self, design: Real | Complex) -> Real | Complex:
        """``(W + 1) x H`` for the permittivity of the pixels."""
        inside = self.factor / self.media.permittivity(design)[0]
        weights = self.static.astype(np.result_type(self.static, inside))
        weights[self.block] = inside
        return weights

    def pull_back(self, design: Real | Complex, derivative: Complex) -> Complex:
        """dL/d(eps of the pixels) from dL/d(weights)."""
        permittivity, harmonic = self.media.permittivity(design)
        on_faces = -derivative[self.block] * self.factor / permittivity**2
        return self.media.pull_back(design, harmonic, on_faces)

    def change(self, design: Real | Complex, direction: Real | Complex) -> Real | Complex:
        """Derivative of :meth:`weights` along a direction of the pixels' permittivity."""
        permittivity, harmonic = self.media.permittivity(design)
        inside = -self.factor / permittivity**2 * self.media.change(design, harmonic, direction)[0]
        weights = np.zeros(self.static.shape, dtype=np.result_type(self.static, inside))
        weights[self.block] = inside
        return weights

    def pull_back_change(self, design: Real | Complex, direction: Real | Complex, derivative: Complex) -> Complex:
        """Derivative of :meth:`pull_back` along a direction of the pixels' permittivity."""
        permittivity, harmonic = self.media.permittivity(design)
        d_permittivity, d_harmonic = self.media.change(design, harmonic, direction)
        on_faces = -derivative[self.block] * self.factor / permittivity**2
        d_on_faces = -2 * on_faces * d_permittivity / permittivity
        return self.media.pull_back_change(design, harmonic, on_faces, direction, d_harmonic, d_on_faces)


def face_window(
    factor: Real | Complex, permittivity: Real | Complex, media: FaceMap, cells_x: slice, cells_y: slice
) -> FaceWindow:
    """The faces of a window of cells, from factors and static permittivities of the whole domain's east faces."""
    window = slice(cells_x.start, cells_x.stop + 1), cells_y
    faces, cells = media.faces, media.cells
    block = (
        slice(faces.start - cells_x.start, faces.stop - cells_x.start),
        slice(cells.start - cells_y.start, cells.stop - cells_y.start),
    )
    return FaceWindow(real_if_so(factor[window] / permittivity[window]), real_if_so(factor[faces, cells]), block, media)


@dataclass(frozen=True, eq=False)
class HzWindow:
    """Hz: the permittivity enters through the faces.

    Args:
        x_faces: the faces between cells along x.
        y_faces: those along y, with x and y exchanged.
        mass: ``W x H``, (omega cell_um)^2 s_x s_y.
        ends: whether the window's last cells along x and y are the domain's, with nothing beyond.
    """

    x_faces: FaceWindow
    y_faces: FaceWindow
    mass: Real | Complex
    ends: tuple[bool, bool]

    def values(self, design: Real | Complex) -> Values:
        """(diagonal, east, north) for the permittivity of the pixels."""
        return self._assembled(self.x_faces.weights(design), self.y_faces.weights(design.T).T, self.mass)

    def pull_back(self, design: Real | Complex, d_diagonal: Complex, d_east: Complex, d_north: Complex) -> Complex:
        """dL/d(eps of the pixels) for dL = sum(d * dA) over the three arrays."""
        x, y = self._to_weights(d_diagonal, d_east, d_north)
        return self.x_faces.pull_back(design, x) + self.y_faces.pull_back(design.T, y).T

    def change(self, design: Real | Complex, direction: Real | Complex) -> Values:
        """Derivative of :meth:`values` along a direction of the pixels' permittivity."""
        x, y = self.x_faces.change(design, direction), self.y_faces.change(design.T, direction.T).T
        return self._assembled(x, y, np.zeros(self.mass.shape))

    def pull_back_change(
        self, design: Real | Complex, direction: Real | Complex, d_diagonal: Complex, d_east: Complex, d_north: Complex
    ) -> Complex:
        """Derivative of :meth:`pull_back` along a direction of the pixels' permittivity."""
        x, y = self._to_weights(d_diagonal, d_east, d_north)
        along_x = self.x_faces.pull_back_change(design, direction, x)
        return along_x + self.y_faces.pull_back_change(design.T, direction.T, y).T

    def _assembled(self, x: Real | Complex, y: Real | Complex, mass: Real | Complex) -> Values:
        """From weights of the faces, which this is linear in, and the mass."""
        stencil = assemble(x, y, mass, (None if self.ends[0] else 0.0, None if self.ends[1] else 0.0))
        return stencil.diagonal, stencil.east, stencil.north

    def _to_weights(self, d_diagonal: Complex, d_east: Complex, d_north: Complex) -> tuple[Complex, Complex]:
        """dL/d(weights) of the faces along x, and of those along y with x and y exchanged."""

        def one(d_coupling: Complex, d_diagonal: Complex, end: bool) -> Complex:
            d = np.concatenate([np.zeros_like(d_diagonal[:1]), d_coupling - d_diagonal])
            d[:-1] -= d_diagonal
            if end:
                d[-1] = -d_diagonal[-1]
            return d

        return one(d_east, d_diagonal, self.ends[0]), one(d_north.T, d_diagonal.T, self.ends[1])
