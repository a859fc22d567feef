"""One level of a device on its mesh at one wavelength: media, ports, and the cached reduced systems."""

from __future__ import annotations

import math
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, TypeVar

import numpy as np

from physics.fdfd.blas import one_blas_thread
from physics.fdfd.exterior import Exterior, condense
from physics.fdfd.geometry import Rectangle, Shape, area_weights, paint
from physics.fdfd.grid import Complex, Grid, Pml, Real
from physics.fdfd.kept import kept
from physics.fdfd.linear import Factor
from physics.fdfd.media import DesignMap
from physics.fdfd.ports import Port, PortVector, stencil_port
from physics.fdfd.region import Coefficients, Region, RegionFactor
from physics.fdfd.stencil import Stencil

CACHE_VARIABLE = "FDFD_CACHE_MB"
CACHE_BYTES = 10**9  # of reduced systems kept in a process, unless the environment says otherwise


@dataclass(frozen=True)
class Scene:
    """Everything about one mesh and wavelength that does not depend on the density; hashable.

    Args:
        cell_um: side of a cell.
        wavelength_um: vacuum wavelength.
        polarization: "Ez" or "Hz".
        size_um: the design region, centred at the origin.
        pixels: pixels of the density along x and y.
        permittivity: of density 0 and density 1, interpolated linearly between.
        background: permittivity outside all shapes.
        shapes: static shapes of numeric permittivity, later ones cover earlier ones; the design region covers all.
        ports: amplitudes are taken here.
        margin_um: from the design region's edge to the PML.
        pml: absorbing layer on all four sides.
    """

    cell_um: float
    wavelength_um: float
    polarization: str
    size_um: tuple[float, float]
    pixels: tuple[int, int]
    permittivity: tuple[float | complex, float | complex]
    background: float | complex
    shapes: tuple[Shape, ...]
    ports: tuple[Port, ...]
    margin_um: float
    pml: Pml

    @cached_property
    def grid(self) -> Grid:
        """The mesh, aligned with the design region where that is a whole number of cells."""
        return Grid.around(self.size_um, self.cell_um, self.margin_um, self.pml)

    @cached_property
    def media(self) -> DesignMap:
        """The stencil as a function of the density."""
        half_x, half_y = (size / 2 for size in self.size_um)
        return DesignMap(
            self.grid, self.pml, 2 * math.pi / self.wavelength_um, self.polarization, self.background, self.shapes,
            (-half_x, half_x), (-half_y, half_y), self.pixels, self.permittivity,
        )  # fmt: skip

    def permittivity_of(self, density: Real) -> Real | Complex:
        """``nx x ny`` cell averages with a density, for pictures."""
        (half_x, half_y), (low, high) = (s / 2 for s in self.size_um), self.permittivity
        empty = Rectangle((-half_x, half_x), (-half_y, half_y), low)
        x, y = (
            area_weights(axis.edges_um, (np.arange(n + 1) / n - 0.5) * size)
            for axis, n, size in zip((self.grid.x, self.grid.y), self.pixels, self.size_um, strict=True)
        )
        return paint(self.grid, self.background, (*self.shapes, empty)) + (high - low) * (x @ density @ y.T)

    def port_vectors(self) -> list[PortVector]:
        """The ports on this mesh.

        Raises:
            ValueError: where there is no straight guide that carries the mode, or the design changes a port's cells.
        """
        half = (self.size_um[0] / 2, self.size_um[1] / 2)
        vectors = [stencil_port(port, self.ports, self.grid, self.media.static, half) for port in self.ports]
        i0, i1, j0, j1 = self.media.window
        for port, vector in zip(self.ports, vectors, strict=True):
            if vector.w[i0:i1, j0:j1].any():
                raise ValueError(
                    f"Expected port {port.name!r} clear of all cells that the design changes. Got a plane "
                    f"{port.distance_um} um from the design's edge; put it {2 * self.cell_um:g} um, two cells, away."
                )
        return vectors

    def stencil(self, density: Real) -> Stencil:
        """The operator of the whole domain with a density."""
        static, (i0, i1, j0, j1) = self.media.static, self.media.window
        parts = [np.array(part) for part in (static.diagonal, static.east, static.north)]
        for part, values in zip(parts, self.media.values(density), strict=True):
            part[i0:i1, j0:j1] = values
        diagonal, east, north = parts
        return Stencil(diagonal, east, north, static.phase)

    def everywhere(self, density: Real, loads: Complex) -> Complex:
        """The field on the whole grid for loads, both ``nx ny x k``."""
        stencil, window = self.stencil(density), self.media.window
        try:
            outer = Exterior(stencil, window, loads, loads)
        except np.linalg.LinAlgError:
            outer = None
        if outer is None or not outer.sound():
            return Factor(stencil.matrix(), ordered=False).solve(loads)
        cells = _cells_of(self.grid.shape, window)
        region = Region.of(stencil, window, outer, loads, loads)
        inside = RegionFactor(region, Coefficients(*self.media.values(density))).solve(region.sources)
        field = outer.field(inside[region.ring])
        field[cells] = inside
        return field


@dataclass(frozen=True, eq=False)
class ReducedSystem:
    """The design region of a scene with what its surroundings and ports do to it.

    Args:
        media: from the density to the region's coefficients.
        region: the window, the ports its sources and receivers.
        own: constants of the ports' own reflection, one a port.
    """

    media: DesignMap
    region: Region
    own: Complex

    def factor(self, density: Real) -> RegionFactor:
        """The region with a density, factored."""
        return RegionFactor(self.region, Coefficients(*self.media.values(density)))

    def scattering(self, fields: Complex, sources: Sequence[int]) -> Complex:
        """Columns ``sources`` of the scattering matrix from the reduced fields of those ports' loads."""
        s = self.region.constant[:, sources] + self.region.receivers.T @ fields
        s[sources, np.arange(len(sources))] += self.own[sources]
        return s

    def pull_back(self, density: Real, adjoint: Complex, field: Complex) -> Real:
        """Derivative by the density of Re sum(r^T M^-1 b) over columns, from ``n x k`` a = M^-T r and f = M^-1 b."""
        d = self.region.derivative(adjoint, field)
        return self.media.pull_back(density, d.diagonal, d.east, d.north)

    def change(self, density: Real, direction: Real) -> Stencil:
        """Derivative of the region's operator along a direction of the density."""
        return self.region.stencil(Coefficients(*self.media.change(density, direction)))

    def pull_back_change(self, density: Real, direction: Real, adjoint: Complex, field: Complex) -> Real:
        """Derivative of :meth:`pull_back` along a direction of the density, both fields held."""
        d = self.region.derivative(adjoint, field)
        return self.media.pull_back_change(density, direction, d.diagonal, d.east, d.north)


class Reduced(Protocol):
    """A system with a region that takes memory."""

    @property
    def region(self) -> Region: ...


Key = TypeVar("Key")
System = TypeVar("System", bound=Reduced)
_systems: OrderedDict[Scene, ReducedSystem] = OrderedDict()
_lock = threading.Lock()


def cache_bytes() -> float:
    """Bound of the cache of reduced systems; ``ValueError`` if the environment variable is not a number."""
    text = os.environ.get(CACHE_VARIABLE)
    try:
        return CACHE_BYTES if text is None else 1e6 * float(text)
    except ValueError:
        raise ValueError(f"Expected {CACHE_VARIABLE} as a number of megabytes. Got {text!r}.") from None


def reduced_system(scene: Scene, together: Sequence[Scene] = ()) -> ReducedSystem:
    """The reduced system of a scene, from a cache in this process, else from the one on disk.

    The least recently used are dropped while the cache is larger than :func:`cache_bytes`, but never those of
    ``together``, which the caller uses in turn.
    """
    return remembered(_systems, scene, together, _build)


def remembered(
    systems: OrderedDict[Key, System], scene: Key, together: Sequence[Key], build: Callable[[Key], System]
) -> System:
    """What is kept of a scene in ``systems``, else built and kept there, see :func:`reduced_system`."""
    with _lock:
        if scene in systems:
            systems.move_to_end(scene)
            return systems[scene]
    built = build(scene)
    with _lock:
        system = systems.setdefault(scene, built)
        excess = sum(held.region.nbytes for held in systems.values()) - cache_bytes()
        for old in list(systems):
            if excess > 0 and old != scene and old not in together:
                excess -= systems.pop(old).region.nbytes
    return system


@one_blas_thread()
def _build(scene: Scene) -> ReducedSystem:
    ports = scene.port_vectors()
    loads = np.stack([p.w.ravel() for p in ports], axis=1)
    stencil, window = scene.media.static, scene.media.window
    region = kept(lambda: condense(stencil, window, loads), stencil, window, loads)
    return ReducedSystem(scene.media, region, np.array([p.own for p in ports]))


def _cells_of(shape: tuple[int, int], window: tuple[int, int, int, int]) -> np.ndarray:
    i0, i1, j0, j1 = window
    return np.arange(shape[0] * shape[1]).reshape(shape)[i0:i1, j0:j1].ravel()
