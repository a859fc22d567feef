"""One level of a device on its mesh: static permittivity, design map, ports, and the cached reduced systems."""

from __future__ import annotations

import math
import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from physics.fdfd.blas import one_blas_thread
from physics.fdfd.condense import Condensed, condense
from physics.fdfd.geometry import Rectangle, area_weights, paint
from physics.fdfd.grid import Axis, Complex, Grid, Pml, Real
from physics.fdfd.linear import Factor
from physics.fdfd.operator import grid_operator
from physics.fdfd.ports import Port, PortVector, port_vector

CACHE_VARIABLE = "FDFD_CACHE_MB"
CACHE_BYTES = 10**9  # of reduced systems kept in a process, unless the environment says otherwise


@dataclass(frozen=True)
class Scene:
    """Everything about one mesh that does not depend on the density; hashable.

    Args:
        cell_um: side of a cell.
        size_um: the design region, centred at the origin.
        pixels: pixels of the density along x and y.
        permittivity: of density 0 and density 1, interpolated linearly between.
        background: permittivity outside all shapes.
        shapes: static shapes, later ones cover earlier ones; the design region covers all.
        ports: amplitudes are taken here.
        margin_um: from the design region's edge to the PML.
        pml: absorbing layer on all four sides.
    """

    cell_um: float
    size_um: tuple[float, float]
    pixels: tuple[int, int]
    permittivity: tuple[float, float]
    background: float
    shapes: tuple[Rectangle, ...]
    ports: tuple[Port, ...]
    margin_um: float
    pml: Pml

    @cached_property
    def grid(self) -> Grid:
        """The mesh, aligned with the design region where that is a whole number of cells."""
        outside = math.ceil(self.margin_um / self.cell_um - 1e-6)
        layers = math.ceil(self.pml.thickness_um / self.cell_um - 1e-6)
        x, y = (
            Axis(math.ceil(size / self.cell_um - 1e-6) + 2 * (outside + layers), self.cell_um, layers)
            for size in self.size_um
        )
        return Grid(x, y)

    @cached_property
    def weights(self) -> tuple[Real, Real]:
        """R_x and R_y: the density averaged over the cells of the mesh is ``R_x rho R_y^T``."""
        x, y = (
            area_weights(axis.edges_um, (np.arange(n + 1) / n - 0.5) * size)
            for axis, n, size in zip((self.grid.x, self.grid.y), self.pixels, self.size_um, strict=True)
        )
        return x, y

    @cached_property
    def design_mask(self) -> NDArray[np.bool_]:
        """``nx x ny``: cells that the design region touches."""
        x, y = self.weights
        return np.outer(x.sum(axis=1) > 0, y.sum(axis=1) > 0)

    @cached_property
    def static_permittivity(self) -> Real:
        """``nx x ny`` permittivity of the device with density 0 everywhere."""
        (half_x, half_y), low = (s / 2 for s in self.size_um), self.permittivity[0]
        empty = Rectangle((-half_x, half_x), (-half_y, half_y), low)
        return paint(self.grid, self.background, (*self.shapes, empty))

    def added_permittivity(self, density: Real) -> Real:
        """``nx x ny`` permittivity that a density adds: contrast times ``R_x rho R_y^T``."""
        x, y = self.weights
        return (self.permittivity[1] - self.permittivity[0]) * (x @ density @ y.T)

    def pull_back(self, gradient: Real) -> Real:
        """Adjoint of :meth:`added_permittivity`: from ``nx x ny`` to the pixels of the density."""
        x, y = self.weights
        return (self.permittivity[1] - self.permittivity[0]) * (x.T @ gradient @ y)

    def port_vectors(self, wavelength_um: float) -> list[PortVector]:
        """The ports on this mesh at one wavelength."""
        omega = 2 * math.pi / wavelength_um
        half = (self.size_um[0] / 2, self.size_um[1] / 2)
        return [port_vector(p, self.ports, self.grid, self.static_permittivity, omega, half) for p in self.ports]

    def solve_fully(self, density: Real, wavelength_um: float, loads: Complex) -> Complex:
        """The field on the whole grid without condensation, ``nx ny x m`` for loads of that shape."""
        omega = 2 * math.pi / wavelength_um
        permittivity = self.static_permittivity + self.added_permittivity(density)
        return Factor(grid_operator(self.grid, self.pml, omega, permittivity), ordered=False).solve(loads)


@dataclass(frozen=True, eq=False)
class ReducedSystem:
    """The condensed Maxwell operator of a scene at one wavelength, with its ports.

    Args:
        condensed: the reduced system of density 0.
        own: constants of the ports' own reflection, one a port.
        mass: change of the diagonal per unit of permittivity, ``(omega cell_um)^2``.
    """

    condensed: Condensed
    own: Complex
    mass: float

    def scattering(self, source: int, field: Complex) -> Complex:
        """Column ``source`` of the scattering matrix from the reduced field of that port's load."""
        s = self.condensed.constant[:, source] + self.condensed.loads.T @ field
        s[source] += self.own[source]
        return s


_systems: OrderedDict[tuple[Scene, float], ReducedSystem] = OrderedDict()
_lock = threading.Lock()


def cache_bytes() -> float:
    """Bound of the cache of reduced systems; ``ValueError`` if the environment variable is not a number."""
    text = os.environ.get(CACHE_VARIABLE)
    try:
        return CACHE_BYTES if text is None else 1e6 * float(text)
    except ValueError:
        raise ValueError(f"Expected {CACHE_VARIABLE} as a number of megabytes. Got {text!r}.") from None


def reduced_system(scene: Scene, wavelength_um: float, together_um: Sequence[float] = ()) -> ReducedSystem:
    """The reduced system of a scene, from a cache in this process.

    The least recently used are dropped while the cache is larger than :func:`cache_bytes`, but never those of this
    scene at the wavelengths ``together_um``, which the caller uses in turn.
    """
    key = (scene, wavelength_um)
    with _lock:
        if key in _systems:
            _systems.move_to_end(key)
            return _systems[key]
    system = _build(scene, wavelength_um)
    with _lock:
        system = _systems.setdefault(key, system)
        excess = sum(held.condensed.nbytes for held in _systems.values()) - cache_bytes()
        for old in list(_systems):
            if excess > 0 and old != key and not (old[0] == scene and old[1] in together_um):
                excess -= _systems.pop(old).condensed.nbytes
    return system


@one_blas_thread()
def _build(scene: Scene, wavelength_um: float) -> ReducedSystem:
    omega = 2 * math.pi / wavelength_um
    ports = scene.port_vectors(wavelength_um)
    operator = grid_operator(scene.grid, scene.pml, omega, scene.static_permittivity)
    loads = np.stack([p.w.ravel() for p in ports], axis=1)
    return ReducedSystem(
        condense(operator, scene.design_mask, loads),
        np.array([p.own for p in ports]),
        (omega * scene.cell_um) ** 2,
    )
