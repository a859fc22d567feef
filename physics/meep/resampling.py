"""A density on the half cells of a mesh, by area averages, in a ring of its surroundings; the way back for gradients.

Meep interpolates bilinearly between the centres of the values it is given, and field components lie on corners of half
cells. So between averages over half cells each component sees the average over the whole cell about it; on the edge of
the design region too, given the ring.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from physics.devices.port_device import PortDevice, surrounding_density
from physics.fdfd.geometry import area_weights
from physics.fdfd.grid import Axis, Real


@dataclass(frozen=True)
class Resampling:
    """From pixels to averages over half cells, exactly so where the region is a whole number of them.

    Args:
        shape: pixels along x and y.
        size_um: of the design region.
        cell_um: side of a cell of the solver.
    """

    shape: tuple[int, int]
    size_um: tuple[float, float]
    cell_um: float

    @cached_property
    def values(self) -> tuple[int, int]:
        """Values along x and y, without the ring."""
        along_x, along_y = (max(1, round(2 * size / self.cell_um)) for size in self.size_um)
        return along_x, along_y

    @cached_property
    def ringed_um(self) -> tuple[float, float]:
        """Size of the region with its ring of one value."""
        x, y = (size * (count + 2) / count for size, count in zip(self.size_um, self.values, strict=True))
        return x, y

    @cached_property
    def _weights(self) -> tuple[Real, Real]:
        x, y = (
            area_weights(np.linspace(0, 1, count + 1), np.linspace(0, 1, pixels + 1))
            for count, pixels in zip(self.values, self.shape, strict=True)
        )
        return x, y

    def ring(self, device: PortDevice, i: int) -> Real:
        """The surroundings of a device at its wavelength number ``i``, on the values with their ring."""
        x, y = (Axis(n + 2, size / n) for n, size in zip(self.values, self.size_um, strict=True))
        return surrounding_density(device, x, y, i)

    def down(self, density: Real, ring: Real) -> Real:
        """``nx x ny`` pixels to values, ring included."""
        along_x, along_y = self._weights
        values = np.array(ring)
        values[1:-1, 1:-1] = np.clip(along_x @ density @ along_y.T, 0.0, 1.0)
        return values

    def up(self, gradient: Real) -> Real:
        """Gradient in the values, ring included, to that in the pixels."""
        along_x, along_y = self._weights
        return along_x.T @ gradient[1:-1, 1:-1] @ along_y
