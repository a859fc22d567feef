"""From the density of a design region to the stencil of the domain, and back: media on a mesh.

The permittivity is interpolated linearly in the density, eps = low + density (high - low), for both polarisations, on
the pixels of the density; pixels need not divide cells. Ez then sees the mean over a cell, Hz the means of
:mod:`physics.fdfd.faces`. Between a dielectric and a metal a linear interpolation passes near eps = 0 on the way.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from physics.fdfd.dispersion import Material, medium
from physics.fdfd.faces import face_map, paint_faces
from physics.fdfd.geometry import Rectangle, Shape, area_weights, paint
from physics.fdfd.grid import Axis, Complex, Grid, Pml, Real
from physics.fdfd.operator import ez_stencil, face_factors, hz_stencil, mass_factors
from physics.fdfd.stencil import Stencil
from physics.fdfd.values import real, reals, whole
from physics.fdfd.windows import EzWindow, HzWindow, Values, face_window, real_if_so

POLARIZATIONS = ("Ez", "Hz")


@dataclass(frozen=True)
class DesignMap:
    """The stencil of a domain as a function of the density of its design region, at one frequency.

    Args:
        grid: the mesh.
        pml: absorbing layers of the axes that have any.
        omega: angular frequency, 2 pi / wavelength_um.
        polarization: "Ez" or "Hz", the field out of the plane.
        background: permittivity outside all shapes.
        shapes: static shapes of numeric permittivity, later ones cover earlier ones; the design covers all.
        x_um, y_um: the design region, inside the domain; periodic axes it may span.
        pixels: pixels of the density along x and y.
        permittivity: of density 0 and density 1.
    """

    grid: Grid
    pml: Pml
    omega: float
    polarization: str
    background: float | complex
    shapes: tuple[Shape, ...]
    x_um: tuple[float, float]
    y_um: tuple[float, float]
    pixels: tuple[int, int]
    permittivity: tuple[float | complex, float | complex]

    def __post_init__(self) -> None:
        x_um, y_um = reals("the design's x_um", self.x_um, 2), reals("the design's y_um", self.y_um, 2)
        omega = real("omega", self.omega)
        low, high = (_number("the design's permittivity", v) for v in self.permittivity)
        nx, ny = (whole("the design's pixels", n) for n in self.pixels)
        values = {
            "omega": omega,
            "background": _number("background", self.background),
            "shapes": tuple(self.shapes),
            "x_um": x_um,
            "y_um": y_um,
            "pixels": (nx, ny),
            "permittivity": (low, high),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)
        if self.polarization not in POLARIZATIONS:
            raise ValueError(f"Expected a polarization among {', '.join(POLARIZATIONS)}. Got {self.polarization!r}.")
        if not (math.isfinite(omega) and omega > 0):
            raise ValueError(f"Expected a finite omega above 0. Got {omega}.")
        if min(nx, ny) < 1:
            raise ValueError(f"Expected one pixel or more along x and y. Got {self.pixels}.")
        for name, (lower, upper), axis in (("x_um", x_um, self.grid.x), ("y_um", y_um, self.grid.y)):
            slack = 1e-9 * axis.cell_um
            if not (axis.edges_um[0] - slack <= lower < upper <= axis.edges_um[-1] + slack):
                raise ValueError(
                    f"Expected a design region inside the domain, {axis.edges_um[0]:.6g} to {axis.edges_um[-1]:.6g} "
                    f"um. Got {name}=({lower}, {upper}); enlarge the domain."
                )

    @cached_property
    def window(self) -> tuple[int, int, int, int]:
        """Cells ``[i0:i1, j0:j1]`` outside which no density changes the stencil.

        The cells that the design touches; for Hz with one more layer around them, as far as the domain goes, and all
        cells along a periodic axis that this layer would wrap around.
        """
        x, y = self._weights
        spans = [_window(w.sum(axis=1) > 0, a, self.polarization) for w, a in ((x, self.grid.x), (y, self.grid.y))]
        return (*spans[0], *spans[1])

    @cached_property
    def static(self) -> Stencil:
        """The stencil of the whole domain at density 0."""
        if self.polarization == "Ez":
            return ez_stencil(self.grid, self.pml, self.omega, paint(self.grid, self.background, self._shapes))
        faces = paint_faces(self.grid, self.background, self._shapes)
        stencil = hz_stencil(self.grid, self.pml, self.omega, *faces)
        i0, i1, j0, j1 = self.window
        window = slice(i0, i1), slice(j0, j1)
        at_zero = self.values(np.zeros(self.pixels))  # the painted one to rounding
        stencil.diagonal[window], stencil.east[window], stencil.north[window] = at_zero
        return stencil

    def values(self, density: Real) -> Values:
        """(diagonal, east, north) of the stencil inside the window, ``W x H`` each, slices of a :class:`Stencil`.

        ``east[-1]`` and ``north[:, -1]`` couple to the next cell outside the window and do not depend on the density,
        unless the window spans a period: there they hold the coupling across it. Real where nothing in the window is
        complex.

        Raises:
            ValueError: for a density of other than ``pixels`` shape.
        """
        return self._core.values(self._design(density))

    def pull_back(self, density: Real, d_diagonal: Complex, d_east: Complex, d_north: Complex) -> Real:
        """The exact adjoint of :meth:`values`: dL/d(density), of ``pixels`` shape.

        Args:
            density: where the derivative is taken.
            d_diagonal, d_east, d_north: ``W x H``, such that dL = Re sum(d * dA) over the three arrays; where the
                coupling to cells outside the window does not depend on the density its derivative does not count.
        """
        low, high = self.permittivity
        design = self._design(density)
        return np.real((high - low) * self._core.pull_back(design, d_diagonal, d_east, d_north))

    def change(self, density: Real, direction: Real) -> Values:
        """Derivative of :meth:`values` along a direction of ``pixels`` shape, linear in it."""
        low, high = self.permittivity
        return self._core.change(self._design(density), (high - low) * direction)

    def pull_back_change(
        self, density: Real, direction: Real, d_diagonal: Complex, d_east: Complex, d_north: Complex
    ) -> Real:
        """Derivative of :meth:`pull_back` along a direction of the density, the three arrays held; 0 for Ez."""
        low, high = self.permittivity
        design, along = self._design(density), (high - low) * direction
        return np.real((high - low) * self._core.pull_back_change(design, along, d_diagonal, d_east, d_north))

    def _design(self, density: Real) -> Real | Complex:
        """Permittivity of the pixels."""
        if np.shape(density) != self.pixels:
            raise ValueError(f"Expected a density of shape {self.pixels}. Got {np.shape(density)}.")
        low, high = self.permittivity
        return low + (high - low) * density

    @property
    def _shapes(self) -> tuple[Shape, ...]:
        """All shapes, with the empty design on top."""
        return (*self.shapes, Rectangle(self.x_um, self.y_um, self.permittivity[0]))

    @cached_property
    def _pixel_lines(self) -> tuple[Real, Real]:
        (x0, x1), (y0, y1), (nx, ny) = self.x_um, self.y_um, self.pixels
        x = (np.arange(nx + 1) / nx - 0.5) * (x1 - x0) + (x0 + x1) / 2
        y = (np.arange(ny + 1) / ny - 0.5) * (y1 - y0) + (y0 + y1) / 2
        return x, y

    @cached_property
    def _weights(self) -> tuple[Real, Real]:
        """R_x and R_y: the mean over the cells of a function of the pixels is ``R_x f R_y^T``."""
        x, y = self._pixel_lines
        return area_weights(self.grid.x.edges_um, x), area_weights(self.grid.y.edges_um, y)

    @cached_property
    def _core(self) -> EzWindow | HzWindow:
        i0, i1, j0, j1 = self.window
        cells = slice(i0, i1), slice(j0, j1)
        stretches = self.grid.x.stretch(self.omega, self.pml), self.grid.y.stretch(self.omega, self.pml)
        mass = real_if_so(mass_factors(*stretches, self.grid.cell_um, self.omega)[cells])
        if self.polarization == "Ez":
            static, (x, y) = self.static, self._weights
            diagonal, east, north = (real_if_so(a[cells]) for a in (static.diagonal, static.east, static.north))
            return EzWindow(diagonal, east, north, mass, self.permittivity[0], x[cells[0]], y[cells[1]])
        (x_axis, y_axis), (x, y) = (self.grid.x, self.grid.y), self._pixel_lines
        x_factor, y_factor = face_factors(*stretches)
        east, north = paint_faces(self.grid, self.background, self._shapes)
        transposed = [shape.transposed for shape in self.shapes]
        x_media = face_map(x_axis, y_axis, x, y, self.background, self.shapes)
        y_media = face_map(y_axis, x_axis, y, x, self.background, transposed)
        return HzWindow(
            face_window(x_factor, east, x_media, *cells),
            face_window(y_factor.T, north.T, y_media, *cells[::-1]),
            mass,
            (i1 == x_axis.cells and not x_axis.periodic, j1 == y_axis.cells and not y_axis.periodic),
        )


def _window(touched: NDArray[np.bool_], axis: Axis, polarization: str) -> tuple[int, int]:
    """First cell and one past the last that a design which touches some cells of an axis reaches."""
    inside = np.flatnonzero(touched)
    first, stop = int(inside[0]), int(inside[-1]) + 1
    if polarization == "Hz":
        first, stop = first - 1, stop + 1
        if axis.periodic and (first < 0 or stop > axis.cells):
            return 0, axis.cells
    return max(first, 0), min(stop, axis.cells)


def _number(name: str, value: Any) -> float | complex:
    """``value`` as a float where it is real, else complex; ``ValueError`` for materials too."""
    checked = medium(name, value)
    if isinstance(checked, Material):
        raise ValueError(f"Expected {name} as a number. Got {value}; take its permittivity at the wavelength.")
    return checked
