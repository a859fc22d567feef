"""The cross-section of a chip under a beam, on its mesh at one wavelength."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from physics.devices.couplers.beams import Beam, beam_vector
from physics.fdfd.grid import Axis, Grid
from physics.fdfd.ports import PortVector, stencil_port
from physics.fdfd.scene import Scene


@dataclass(frozen=True)
class CouplerScene(Scene):
    """A :class:`Scene` whose last port is a beam from the north.

    Args:
        beam: in the scene's coordinates.
        plane_um: height at which it enters.
        outside_um: from the design region to the PML, along x and y.
    """

    beam: Beam
    plane_um: float
    outside_um: tuple[float, float]

    @cached_property
    def grid(self) -> Grid:
        """The mesh; a device layer of a whole number of cells begins and ends with cells."""

        def axis(inside_um: float, outside_um: float) -> Axis:
            inside, outside = (math.ceil(v / self.cell_um - 1e-6) for v in (inside_um, outside_um))
            return Axis(inside + 2 * (outside + layers), self.cell_um, layers)

        layers = math.ceil(self.pml.thickness_um / self.cell_um - 1e-6)
        x, y = (axis(inside, outside) for inside, outside in zip(self.size_um, self.outside_um, strict=True))
        return Grid(x, y)

    def port_vectors(self) -> list[PortVector]:
        """The guides', then the beam's, whose phase is referred to its waist."""
        half, static = (self.size_um[0] / 2, self.size_um[1] / 2), self.media.static
        vectors = [stencil_port(port, self.ports, self.grid, static, half) for port in self.ports]
        layer = int(np.searchsorted(-self.grid.y.centres_um[::-1], -self.plane_um))
        return [*vectors, beam_vector(self.beam, self.grid, static, "north", layer)]
