"""A planar photonic device between ports, as a simulator with gradients."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from physics.base import (
    Array,
    Cotangents,
    Fidelity,
    Fields,
    Quantity,
    Response,
    SimulationError,
    check_design,
    check_level,
    resolve_cotangents,
)
from physics.devices.checks import check_device, normalise
from physics.fdfd.blas import one_blas_thread
from physics.fdfd.geometry import Rectangle, unbounded
from physics.fdfd.grid import Complex, Pml, Real
from physics.fdfd.lanes import Lanes
from physics.fdfd.linear import Factor
from physics.fdfd.ports import Port
from physics.fdfd.scene import ReducedSystem, Scene, reduced_system

SOLVER_VERSION = "fdfd-ez-1"


@dataclass(frozen=True)
class PortDevice:
    """Static guides, a design region between them, and ports: 2D Maxwell for Ez at one mesh a level.

    The permittivity is interpolated linearly in the density. Lengths are in micrometres, the origin is the centre of
    the design region, arrays are indexed ``[ix, iy]``, fields vary as exp(-i omega t). Phases of ``s`` are referred to
    the edges of the design region.

    Answers ``s`` (complex; every port, the source's own is its reflection, x wavelength), ``transmission`` (abs(s)^2 of
    the other ports) and ``reflection`` (abs(s)^2 of the source's).

    Args:
        name: of the device, part of its identity.
        size_um: design region along x and y, a whole number of pixels.
        pixel_um: side of a pixel of the density.
        permittivity: of density 0 and density 1.
        background: permittivity outside all shapes.
        shapes: static shapes, later ones cover earlier ones; the design region covers all.
        ports: at least two, names distinct.
        source: name of the port that is excited with unit power.
        wavelength_um: vacuum wavelengths.
        cells_um: sides of the cells, one a level, coarsest first.
        margin_um: from the design region to the PML.
        pml: absorbing layers.
        threads: wavelengths solved at once, at most the machine's cores; not part of the identity, does not change
            a bit of the answer.

    Raises:
        ValueError: on construction, for anything that cannot be simulated soundly.
    """

    name: str
    size_um: tuple[float, float]
    pixel_um: float
    permittivity: tuple[float, float]
    background: float
    shapes: tuple[Rectangle, ...]
    ports: tuple[Port, ...]
    source: str
    wavelength_um: tuple[float, ...]
    cells_um: tuple[float, ...]
    margin_um: float = 0.8
    pml: Pml = field(default_factory=Pml)
    threads: int = field(default=4, compare=False)

    def __post_init__(self) -> None:
        normalise(self)
        check_device(self)
        for wavelength in (min(self.wavelength_um), max(self.wavelength_um)):
            for level in range(len(self.cells_um)):
                self.scene(level).port_vectors(wavelength)

    @property
    def design_shape(self) -> tuple[int, int]:
        """Pixels along x and y."""
        return round(self.size_um[0] / self.pixel_um), round(self.size_um[1] / self.pixel_um)

    @cached_property
    def fidelities(self) -> tuple[Fidelity, ...]:
        """One a cell size; cost grows as the unknowns of the design region to the power 1.25 (measured)."""
        names = tuple(port.name for port in self.ports)
        others = tuple(name for name in names if name != self.source)
        response = (
            Quantity("s", {"port": names, "wavelength_um": self.wavelength_um}, dtype=complex),
            Quantity("transmission", {"port": others, "wavelength_um": self.wavelength_um}),
            Quantity("reflection", {"wavelength_um": self.wavelength_um}),
        )
        return tuple(
            Fidelity(f"fdfd-{1000 * cell:g}nm", (self.cells_um[0] / cell) ** 2.5, response) for cell in self.cells_um
        )

    @cached_property
    def identity(self) -> str:
        """SHA-256 of the solver version and of every parameter that changes an answer."""
        parameters = {key: value for key, value in asdict(self).items() if key != "threads"}
        text = json.dumps([SOLVER_VERSION, _canonical(parameters)], sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @one_blas_thread()
    def prepare(self, level: int) -> None:
        """Condenses the surroundings at every wavelength, which later solves of this process share."""
        check_level(level, self.fidelities)
        scene = self.scene(level)
        with self._lanes() as lanes:
            lanes.each(lambda i: self._system(scene, i) is None)

    @one_blas_thread()
    def simulate(self, design: Array, level: int, replicate: int = 0) -> Response:
        """Scattering parameters of a density; deterministic, ``replicate`` changes nothing."""
        density = self._density(design, level)
        with self._lanes() as lanes:
            s = lanes.each(lambda i: self._forward(density, level, i).scattering())
        return self._response(np.stack(s, axis=1))

    @one_blas_thread()
    def vjp(self, design: Array, level: int, cotangents: Cotangents, replicate: int = 0) -> tuple[Response, Array]:
        """Response and gradient with respect to the density; one factorisation a wavelength serves both."""
        density = self._density(design, level)
        scene = self.scene(level)
        solutions: dict[int, Solution] = {}

        def forward(i: int) -> Complex:
            solutions[i] = self._forward(density, level, i)
            return solutions[i].scattering()

        with self._lanes() as lanes:
            try:
                response = self._response(np.stack(lanes.each(forward), axis=1))
                seed = self._seed(resolve_cotangents(cotangents, response), response)
                gradients = lanes.each(lambda i: solutions[i].gradient(seed[:, i]))
                cells = [solutions[i].system.condensed.cells for i in range(len(gradients))]
            finally:
                lanes.each(lambda i: solutions.pop(i, None) is None)
        total = np.zeros(scene.grid.shape)
        for index, gradient in zip(cells, gradients, strict=True):
            total.ravel()[index] += gradient
        gradient = scene.pull_back(total)
        if not np.isfinite(gradient).all():
            raise SimulationError("Expected a finite gradient. Got NaN or infinity; check the cotangents.")
        return response, gradient

    @one_blas_thread()
    def fields(self, design: Array, level: int) -> Fields:
        """Ez on the whole grid for a source mode of unit power, phase 0 at the edge of the design region.

        Power is Im(Ez* dEz/dn) / (2 omega) integrated across, with c = 1. Behind the source's plane the field is the
        outgoing one alone.
        """
        density = self._density(design, level)
        scene, source = self.scene(level), self._source

        def solve(i: int) -> Complex:
            wavelength = self.wavelength_um[i]
            loads = scene.port_vectors(wavelength)[source].w.reshape(-1, 1)
            unit_power = 2 * np.sqrt(2j * math.pi / wavelength)
            return unit_power * scene.solve_fully(density, wavelength, loads).reshape(scene.grid.shape)

        with self._lanes() as lanes:
            values = np.stack(lanes.each(solve))
        return Fields(
            scene.grid.x.centres_um,
            scene.grid.y.centres_um,
            np.asarray(self.wavelength_um),
            scene.static_permittivity + scene.added_permittivity(density),
            {"Ez": values},
        )

    def example_designs(self, rng: np.random.Generator, n: int) -> Array:
        """Smooth random densities, alternately grey and nearly binary, ``n x *design_shape``."""
        x, y = (np.linspace(0, np.pi, pixels) for pixels in self.design_shape)
        modes = np.arange(5)
        coefficients = rng.standard_normal((n, 5, 5))
        waves = np.einsum("nab,ai,bj->nij", coefficients, np.cos(np.outer(modes, x)), np.cos(np.outer(modes, y)))
        sharpness = np.where(np.arange(n) % 2 == 0, 0.3, 5.0)[:, None, None]
        return 0.5 + 0.5 * np.tanh(sharpness * waves)

    def refined(self) -> PortDevice:
        """The same device on one mesh of half the finest cells; PML, margins and ports' distances 1.5 times as wide.

        Shapes that reach the end of the domain go on to the end of the wider one.
        """
        half_x, half_y = (size / 2 + self.margin_um + self.pml.thickness_um for size in self.size_um)
        return replace(
            self,
            cells_um=(self.cells_um[-1] / 2,),
            margin_um=1.5 * self.margin_um,
            pml=replace(self.pml, thickness_um=1.5 * self.pml.thickness_um),
            shapes=unbounded(self.shapes, (half_x, half_y)),
            ports=tuple(replace(port, distance_um=1.5 * port.distance_um) for port in self.ports),
        )

    def scene(self, level: int) -> Scene:
        """The device on the mesh of a level."""
        return Scene(
            self.cells_um[level], self.size_um, self.design_shape, self.permittivity, self.background, self.shapes,
            self.ports, self.margin_um, self.pml,
        )  # fmt: skip

    @property
    def _source(self) -> int:
        return [port.name for port in self.ports].index(self.source)

    def _density(self, design: Array, level: int) -> Real:
        check_level(level, self.fidelities)
        return check_design(design, self.design_shape)

    def _system(self, scene: Scene, i: int) -> ReducedSystem:
        return reduced_system(scene, self.wavelength_um[i], self.wavelength_um)

    def _forward(self, density: Real, level: int, i: int) -> Solution:
        scene = self.scene(level)
        system = self._system(scene, i)
        change = system.mass * scene.added_permittivity(density).ravel()[system.condensed.cells]
        factor = system.condensed.factor(change)
        load = system.condensed.loads[:, self._source]
        return Solution(system, factor, self._source, factor.solve(load))

    def _response(self, s: Complex) -> dict[str, Array]:
        if not np.isfinite(s).all():
            raise SimulationError("Expected finite scattering parameters. Got NaN or infinity.")
        power = np.abs(s) ** 2
        return {"s": s, "transmission": np.delete(power, self._source, axis=0), "reflection": power[self._source]}

    def _seed(self, cotangents: dict[str, Array], response: Response) -> Complex:
        """Cotangent of ``s`` from those of all quantities: abs(s)^2 contributes 2 s times its own."""
        weight: Real = np.zeros(response["s"].shape)
        others = np.arange(len(self.ports)) != self._source
        if "transmission" in cotangents:
            weight[others] = cotangents["transmission"].real
        if "reflection" in cotangents:
            weight[self._source] = cotangents["reflection"].real
        return cotangents.get("s", 0.0) + 2 * weight * response["s"]

    def _lanes(self) -> Lanes:
        return Lanes(len(self.wavelength_um), self.threads)


@dataclass(frozen=True, eq=False)
class Solution:
    """The reduced field at one wavelength and the factorisation it came from."""

    system: ReducedSystem
    factor: Factor
    source: int
    field: Complex

    def scattering(self) -> Complex:
        """Scattering parameters into every port."""
        return self.system.scattering(self.source, self.field)

    def gradient(self, cotangent: Complex) -> Real:
        """Derivative of the loss by the permittivity of each design cell, in reduced order.

        s_i = w_i^T A^-1 w_source and A = A^T give ds_i = -E_i E_source dA, so one solve with the loads weighted by the
        conjugate cotangents is the adjoint field.
        """
        adjoint = self.factor.solve(self.system.condensed.loads @ np.conj(cotangent))
        return -self.system.mass * np.real(adjoint * self.field)


def _canonical(value: Any) -> Any:
    """Nested parameters with every number as a float, so that 2 and 2.0, 0.0 and -0.0 are one device."""
    if isinstance(value, dict):
        return {key: _canonical(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_canonical(item) for item in value]
    return value if isinstance(value, str) else float(value) + 0.0
