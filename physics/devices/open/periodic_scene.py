"""A periodic cell on its mesh at one wavelength and angle, lit from above, read out in diffraction orders."""

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
from physics.fdfd.grid import Axis, Complex, Grid, Pml, Real
from physics.fdfd.kept import kept
from physics.fdfd.media import DesignMap
from physics.fdfd.orders import FloquetOrder, floquet_orders

CLEAR_CELLS = 2  # from the absorbing layer to the layers at which orders are read
CONDUCTOR = -1e6 + 1j  # lets in a millionth of a wavelength and less of the field


@dataclass(frozen=True)
class PeriodicScene:
    """Everything about one mesh, wavelength and angle that does not depend on the density; hashable.

    Args:
        cell_um: side of a cell.
        wavelength_um: vacuum wavelength.
        angle_deg: of incidence in the superstrate; positive where the wave travels towards +x, and always down.
        polarization: "Ez" or "Hz".
        size_um: the design region: one period along x, its thickness along y, centred at the origin.
        pixels: pixels of the density along x and y.
        permittivity: of density 0 and density 1.
        superstrate: permittivity above, real.
        substrate: permittivity below the design; light leaves through it where it is real; None for a perfect mirror.
        shapes: static shapes of numeric permittivity below the design.
        frozen: shapes over the design.
        orders: diffraction orders of the answer.
        margin_um: from the design region's edge to the PML.
        pml: absorbing layer above and below.
    """

    cell_um: float
    wavelength_um: float
    angle_deg: float
    polarization: str
    size_um: tuple[float, float]
    pixels: tuple[int, int]
    permittivity: tuple[float | complex, float | complex]
    superstrate: float
    substrate: float | complex | None
    shapes: tuple[Shape, ...]
    frozen: tuple[Shape, ...]
    orders: tuple[int, ...]
    margin_um: float
    pml: Pml

    @cached_property
    def grid(self) -> Grid:
        """The mesh, aligned with the design's thickness where that is a whole number of cells."""
        period, thickness = self.size_um
        outside = math.ceil(self.margin_um / self.cell_um - 1e-6)
        layers = math.ceil(self.pml.thickness_um / self.cell_um - 1e-6)
        inside = math.ceil(thickness / self.cell_um - 1e-6)
        k = 2 * math.pi / self.wavelength_um * math.sqrt(self.superstrate) * math.sin(math.radians(self.angle_deg))
        x = Axis(round(period / self.cell_um), self.cell_um, phase=k * period)
        return Grid(x, Axis(inside + 2 * (outside + layers), self.cell_um, layers))

    @cached_property
    def design(self) -> CoveredDesign:
        """The stencil as a function of the density."""
        (half_x, half_y), pixel = (size / 2 for size in self.size_um), self.size_um[0] / self.pixels[0]
        finer = parts_of(pixel, self.cell_um)
        media = DesignMap(
            self.grid, self.pml, 2 * math.pi / self.wavelength_um, self.polarization, self.superstrate, self._static,
            (-half_x, half_x), (-half_y, half_y), (finer * self.pixels[0], finer * self.pixels[1]), self.permittivity,
        )  # fmt: skip
        return CoveredDesign.of(media, self.pixels, pixel, finer, self.frozen)

    @cached_property
    def above(self) -> dict[int, FloquetOrder]:
        """The orders that propagate above."""
        return self._propagating("north")

    @cached_property
    def below(self) -> dict[int, FloquetOrder]:
        """The orders that propagate below, none in a substrate that absorbs."""
        return {} if self.substrate is None or isinstance(self.substrate, complex) else self._propagating("south")

    @property
    def loads(self) -> Complex:
        """``nx ny x 1``, order 0 coming in from above with unit power a period."""
        return self.above[0].source.reshape(-1, 1)

    @property
    def incident(self) -> Complex:
        """Nothing: the field is the total one, but for the outgoing one alone above the source."""
        return np.zeros((*self.grid.shape, 1), dtype=np.complex128)

    def build(self) -> LinearSystem:
        """Condenses the surroundings.

        Receivers are all orders of the answer above, then all below; they and ``own`` are zero where an order does not
        propagate. Phases are moved from the layers where orders are read to the faces of the design.
        """
        count, cells = len(self.orders), math.prod(self.grid.shape)
        receivers, own = np.zeros((cells, 2 * count), dtype=np.complex128), np.zeros((2 * count, 1), np.complex128)
        depth = self._depth / self.cell_um
        for half, side in enumerate((self.above, self.below)):
            for place, m in enumerate(self.orders, start=half * count):
                if m in side:
                    turn = cmath.exp(-1j * depth * (side[m].phase + self.above[0].phase))
                    receivers[:, place] = turn * side[m].extraction.ravel()
                    own[place] = turn * side[m].own if half == 0 and m == 0 else 0.0
        with one_blas_thread():
            stencil, window, loads = self.design.media.static, self.design.window, self.loads
            region = kept(lambda: condense(stencil, window, loads, receivers), stencil, window, loads, receivers)
        return LinearSystem(self.design, region, own)

    def permittivity_of(self, density: Real) -> Real | Complex:
        """``nx x ny`` cell averages with a density, for pictures."""
        (half_x, half_y), low = (size / 2 for size in self.size_um), self.permittivity[0]
        parts = self.design.permittivity(density)
        x, y = (
            area_weights(axis.edges_um, (np.arange(n + 1) / n - 0.5) * size)
            for axis, n, size in zip((self.grid.x, self.grid.y), parts.shape, self.size_um, strict=True)
        )
        empty = Rectangle((-half_x, half_x), (-half_y, half_y), low)
        return paint(self.grid, self.superstrate, (*self._static, empty)) + x @ (parts - low) @ y.T

    @property
    def _static(self) -> tuple[Shape, ...]:
        """The substrate, then the shapes."""
        everywhere, face = (-math.inf, math.inf), -self.size_um[1] / 2
        if self.substrate is not None:
            return (Rectangle(everywhere, (-math.inf, face), self.substrate), *self.shapes)
        conductor = Rectangle(everywhere, (-math.inf, face), CONDUCTOR)
        if self.polarization == "Hz":
            return (conductor, *self.shapes)
        # Ez = 0 belongs on the face, half a cell above the first centre within: with (omega h)^2 eps = 3 there and
        # nothing below, f' + f'' - 2 f + 3 f = 0 makes f minus its neighbour f' above, to second order.
        omega_h = 2 * math.pi / self.wavelength_um * self.cell_um
        return (conductor, Rectangle(everywhere, (face - self.cell_um, face), 3 / omega_h**2), *self.shapes)

    @property
    def _layer(self) -> int:
        """Layer of cells at which orders are read, counted from either end."""
        return self.grid.y.low_pml + CLEAR_CELLS

    @property
    def _depth(self) -> float:
        """From that layer to the design, in um."""
        y = self.grid.y
        return float(y.centres_um[-1 - self._layer]) - self.size_um[1] / 2

    def _propagating(self, side: str) -> dict[int, FloquetOrder]:
        found = floquet_orders(self.design.media.static, side, self._layer)
        return {order.order: order for order in found}
