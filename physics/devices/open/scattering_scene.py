"""A scatterer in free space on its mesh at one wavelength, lit by plane waves, read out by plane waves."""

from __future__ import annotations

import cmath
import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from physics.devices.open.covered_design import CoveredDesign, parts_of
from physics.devices.open.linear_device import LinearSystem
from physics.fdfd.blas import one_blas_thread
from physics.fdfd.exterior import condense
from physics.fdfd.geometry import Rectangle, Shape, area_weights, paint
from physics.fdfd.grid import Complex, Grid, Pml, Real
from physics.fdfd.kept import kept
from physics.fdfd.media import DesignMap
from physics.fdfd.monitors import Mask, far_field
from physics.fdfd.region import Region
from physics.fdfd.sources import PlaneWave, box, plane_wave, plane_wave_source


@dataclass(frozen=True)
class ScatteringScene:
    """Everything about one mesh and wavelength that does not depend on the density; hashable.

    The total-field region ends a third of the margin from the design, the contour of the far fields two thirds.

    Args:
        cell_um: side of a cell.
        wavelength_um: vacuum wavelength.
        polarization: "Ez" or "Hz".
        size_um: the design region, centred at the origin.
        pixels: pixels of the density along x and y.
        permittivity: of density 0 and density 1.
        background: permittivity of free space, real.
        shapes: static shapes of numeric permittivity below the design.
        frozen: shapes over the design.
        angle_deg: wave vectors of the incident waves, from x.
        far_field_deg: directions of the far fields, from x.
        margin_um: from the design region's edge to the PML.
        pml: absorbing layer on all four sides.
    """

    cell_um: float
    wavelength_um: float
    polarization: str
    size_um: tuple[float, float]
    pixels: tuple[int, int]
    permittivity: tuple[float | complex, float | complex]
    background: float
    shapes: tuple[Shape, ...]
    frozen: tuple[Shape, ...]
    angle_deg: tuple[float, ...]
    far_field_deg: tuple[float, ...]
    margin_um: float
    pml: Pml

    @cached_property
    def grid(self) -> Grid:
        """The mesh, aligned with the design region where that is a whole number of cells."""
        return Grid.around(self.size_um, self.cell_um, self.margin_um, self.pml)

    @cached_property
    def design(self) -> CoveredDesign:
        """The stencil as a function of the density."""
        (half_x, half_y), pixel = (size / 2 for size in self.size_um), self.size_um[0] / self.pixels[0]
        finer = parts_of(pixel, self.cell_um)
        media = DesignMap(
            self.grid, self.pml, 2 * math.pi / self.wavelength_um, self.polarization, self.background, self.shapes,
            (-half_x, half_x), (-half_y, half_y), (finer * self.pixels[0], finer * self.pixels[1]), self.permittivity,
        )  # fmt: skip
        return CoveredDesign.of(media, self.pixels, pixel, finer, self.frozen)

    @cached_property
    def waves(self) -> list[PlaneWave]:
        """The incident waves, then those of the far fields."""
        corner = (self.grid.x.low_pml + 1, self.grid.y.low_pml + 1)
        angles = (*self.angle_deg, *self.far_field_deg)
        return [plane_wave(self.design.media.static, corner, math.radians(angle)) for angle in angles]

    @property
    def loads(self) -> Complex:
        """``nx ny x k`` sources of the incident waves, of unit amplitude at the origin."""
        stencil, inside, count = self.design.media.static, self._within(1 / 3), len(self.angle_deg)
        return np.stack([plane_wave_source(stencil, self.grid, inside, w).ravel() for w in self.waves[:count]], axis=1)

    @property
    def incident(self) -> Complex:
        """``nx x ny x k`` incident field where only the scattered one is computed."""
        outside = ~self._within(1 / 3)
        return np.stack([outside * wave.field(self.grid) for wave in self.waves[: len(self.angle_deg)]], axis=-1)

    def build(self) -> LinearSystem:
        """Condenses the surroundings, or takes them from disk.

        Sources are waves of unit intensity. Receivers are those of the extinction widths, a forward amplitude each,
        then those of the far fields.
        """
        sources, receivers = self.loads / np.sqrt(self._intensities), self._receivers()
        both = np.concatenate([sources, receivers], axis=1)
        stencil, window, k = self.design.media.static, self.design.window, sources.shape[1]
        with one_blas_thread():
            joined = kept(lambda: condense(stencil, window, both), stencil, window, both)
        region = Region(
            window, joined.exterior, np.ascontiguousarray(joined.sources[:, :k]), joined.sources[:, k:],
            joined.constant[k:, :k],
        )  # fmt: skip
        return LinearSystem(self.design, region, np.zeros((receivers.shape[1], k)))

    def permittivity_of(self, density: Real) -> Real | Complex:
        """``nx x ny`` cell averages with a density, for pictures."""
        (half_x, half_y), low = (size / 2 for size in self.size_um), self.permittivity[0]
        parts = self.design.permittivity(density)
        x, y = (
            area_weights(axis.edges_um, (np.arange(n + 1) / n - 0.5) * size)
            for axis, n, size in zip((self.grid.x, self.grid.y), parts.shape, self.size_um, strict=True)
        )
        empty = Rectangle((-half_x, half_x), (-half_y, half_y), low)
        return paint(self.grid, self.background, (*self.shapes, empty)) + x @ (parts - low) @ y.T

    @property
    def _intensities(self) -> Real:
        """Power per um of the incident waves' fronts, which differ by the mesh's dispersion."""
        return np.array([wave.intensity(self.cell_um) for wave in self.waves[: len(self.angle_deg)]])

    def _receivers(self) -> Complex:
        """``nx ny x l``, in units of um (extinction) and um^(1/2) (far fields).

        On the mesh an amplitude a along the wave vector q (per cell) radiates abs(a)^2 q / (8 pi u) per radian, u the
        wave's flux along q: stationary phase in the lattice's Green function, abs(a)^2 / (8 pi c) without a mesh.
        """
        stencil, contour = self.design.media.static, self._within(2 / 3)
        columns: list[Complex] = []
        for i, wave in enumerate(self.waves):
            vector = far_field(stencil, self.grid, contour, wave).vector.ravel()
            if i < len(self.angle_deg):
                columns.append(vector / math.sqrt(wave.intensity(self.cell_um)))
                continue
            step = np.real(wave.step)
            radiated = float(step @ step / (8 * math.pi * (step @ wave.flux)))  # q / (8 pi u)
            columns.append(vector * cmath.exp(-0.75j * math.pi) * math.sqrt(radiated))
        return np.stack(columns, axis=1)

    def _within(self, share: float) -> Mask:
        """The cells within a share of the margin from the design."""
        x, y = (size / 2 + share * self.margin_um for size in self.size_um)
        return box(self.grid, (-x, x), (-y, y))
