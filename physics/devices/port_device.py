"""A planar photonic device between ports, as a simulator with gradients."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from physics.base import (
    Array,
    Cotangents,
    CurvedCotangents,
    Fidelity,
    Fields,
    Quantity,
    Response,
    SimulationError,
    check_design,
    check_direction,
    check_level,
    resolve_cotangents,
)
from physics.devices.checks import check_device, normalise
from physics.devices.curvature import hessian_product
from physics.devices.identity import content_hash
from physics.devices.parameters import CORNERS, with_values
from physics.fdfd.blas import one_blas_thread
from physics.fdfd.curvature import Solved, factors
from physics.fdfd.dispersion import ROOM_K, Medium, number
from physics.fdfd.geometry import Shape, paint_between, unbounded
from physics.fdfd.grid import Axis, Complex, Pml, Real
from physics.fdfd.lanes import Lanes
from physics.fdfd.ports import Port
from physics.fdfd.scene import ReducedSystem, Scene, reduced_system

SOLVER_VERSION = "fdfd-2"


@dataclass(frozen=True)
class PortDevice:
    """Static guides, a design region between them, and ports: 2D Maxwell for Ez or Hz at one mesh a level.

    The permittivity is interpolated linearly in the density. Lengths are in micrometres, the origin is the centre of
    the design region, arrays are indexed ``[ix, iy]``, fields vary as exp(-i omega t), so that absorption is a positive
    imaginary permittivity. Phases of ``s`` are referred to the edges of the design region.

    With one source it answers ``s`` (complex; every port, the source's own is its reflection, x wavelength),
    ``transmission`` (abs(s)^2 of the other ports) and ``reflection`` (abs(s)^2 of the source's). With a tuple of
    sources it answers ``s`` and ``power`` (abs(s)^2), each port x source x wavelength; all from one factorisation a
    wavelength.

    Args:
        name: of the device, part of its identity.
        size_um: design region along x and y, a whole number of pixels.
        pixel_um: side of a pixel of the density.
        permittivity: of density 0 and density 1; numbers, complex ones, or materials.
        background: permittivity outside all shapes.
        shapes: static shapes, later ones cover earlier ones; the design region covers all.
        ports: at least two, names distinct; each mode of a guide is a port of its own.
        source: name of the port that is excited with unit power, or several, each by itself.
        wavelength_um: vacuum wavelengths.
        cells_um: sides of the cells, one a level, coarsest first.
        margin_um: from the design region to the PML.
        pml: absorbing layers.
        polarization: "Ez" or "Hz", the field out of the plane.
        temperature_k: at which materials are taken; a parameter for corners.
        wavelength_shift_um: added to every wavelength where media and fields are computed, while the response keeps its
            nominal coordinates; a parameter for corners.
        threads: wavelengths solved at once, at most the machine's cores; not part of the identity, does not change
            a bit of the answer.

    Raises:
        ValueError: on construction, for anything that cannot be simulated soundly.
    """

    name: str
    size_um: tuple[float, float]
    pixel_um: float
    permittivity: tuple[Medium, Medium]
    background: Medium
    shapes: tuple[Shape, ...]
    ports: tuple[Port, ...]
    source: str | tuple[str, ...]
    wavelength_um: tuple[float, ...]
    cells_um: tuple[float, ...]
    margin_um: float = 0.8
    pml: Pml = field(default_factory=Pml)
    polarization: str = "Ez"
    temperature_k: float = ROOM_K
    wavelength_shift_um: float = 0.0
    threads: int = field(default=4, compare=False)

    def __post_init__(self) -> None:
        normalise(self)
        check_device(self)
        ends = {int(np.argmin(self.wavelength_um)), int(np.argmax(self.wavelength_um))}
        for level in range(len(self.cells_um)):
            for i in ends:
                self.scene(level, i).port_vectors()

    @property
    def design_shape(self) -> tuple[int, int]:
        """Pixels along x and y."""
        return round(self.size_um[0] / self.pixel_um), round(self.size_um[1] / self.pixel_um)

    @property
    def parameters(self) -> Mapping[str, tuple[float, float]]:
        """Parameters that corners may set, with their bounds."""
        return CORNERS

    def with_parameters(self, **values: float) -> PortDevice:
        """The same device with other parameters; ``ValueError`` for unknown ones and values out of bounds."""
        return with_values(self, CORNERS, values)

    @cached_property
    def fidelities(self) -> tuple[Fidelity, ...]:
        """One a cell size; cost grows as the unknowns of the design region to the power 1.25 (measured)."""
        names, wavelengths = tuple(port.name for port in self.ports), self.wavelength_um
        response: tuple[Quantity, ...]
        if isinstance(self.source, str):
            others = tuple(name for name in names if name != self.source)
            response = (
                Quantity("s", {"port": names, "wavelength_um": wavelengths}, dtype=complex),
                Quantity("transmission", {"port": others, "wavelength_um": wavelengths}),
                Quantity("reflection", {"wavelength_um": wavelengths}),
            )
        else:
            coords = {"port": names, "source": self.source, "wavelength_um": wavelengths}
            response = (Quantity("s", coords, dtype=complex), Quantity("power", coords))
        return tuple(
            Fidelity(f"fdfd-{1000 * cell:g}nm", (self.cells_um[0] / cell) ** 2.5, response) for cell in self.cells_um
        )

    @cached_property
    def identity(self) -> str:
        """SHA-256 of the solver version and of every parameter that changes an answer."""
        return content_hash(SOLVER_VERSION, self, without=("threads",))

    def provenance(self, level: int) -> Mapping[str, str]:
        """Solver, version and resolution of a level."""
        check_level(level, self.fidelities)
        cell = f"{1000 * self.cells_um[level]:g} nm cells, 2D"
        return {"solver": "FDFD of this package", "version": SOLVER_VERSION, "resolution": cell}

    @one_blas_thread()
    def prepare(self, level: int) -> None:
        """Condenses the surroundings at every wavelength, which later solves share, in other processes too."""
        check_level(level, self.fidelities)
        with self._lanes() as lanes:
            lanes.each(lambda i: self._system(level, i) is None)

    @one_blas_thread()
    def simulate(self, design: Array, level: int, replicate: int = 0) -> Response:
        """Scattering parameters of a density; deterministic, ``replicate`` changes nothing."""
        density = self._density(design, level)

        def forward(i: int) -> Complex:
            system = self._system(level, i)
            loads = system.region.sources[:, self.source_numbers]
            return system.scattering(system.factor(density).solve(loads), self.source_numbers)

        with self._lanes() as lanes:
            s = lanes.each(forward)
        return self.response_of(np.stack(s, axis=-1))

    @one_blas_thread()
    def vjp(self, design: Array, level: int, cotangents: Cotangents, replicate: int = 0) -> tuple[Response, Array]:
        """Response and gradient with respect to the density.

        One factorisation a wavelength and one solve for all ports: by reciprocity the adjoint field of any S-parameter
        is the field of the port that receives it.
        """
        density = self._density(design, level)
        fields: dict[int, Complex] = {}

        def forward(i: int) -> Complex:
            system = self._system(level, i)
            solved = Solved.of(system, density)
            fields[i] = solved.field
            factors.give(self._scenes(level)[i], density, solved)
            return system.scattering(fields[i][:, self.source_numbers], self.source_numbers)

        def backward(i: int, seed: Complex) -> Real:
            adjoint = fields[i] @ np.conj(seed)
            return self._system(level, i).pull_back(density, adjoint, fields[i][:, self.source_numbers])

        with self._lanes() as lanes:
            response = self.response_of(np.stack(lanes.each(forward), axis=-1))
            seed = self.seed_of(resolve_cotangents(cotangents, response), response)
            gradients = lanes.each(lambda i: backward(i, seed[..., i]))
        gradient = np.sum(gradients, axis=0)
        if not np.isfinite(gradient).all():
            raise SimulationError("Expected a finite gradient. Got NaN or infinity; check the cotangents.")
        return response, gradient

    @one_blas_thread()
    def hvp(
        self,
        design: Array,
        level: int,
        cotangents: Mapping[str, Array] | CurvedCotangents,
        direction: Array,
        replicate: int = 0,
    ) -> tuple[Response, Array]:
        """Response, and the derivative of the gradient along a direction, see :mod:`physics.devices.curvature`.

        One back-solve a wavelength, on the factorisation of the last ``vjp`` or ``hvp`` at this density where it is
        still kept. From the first product on, a process keeps up to ``$FDFD_FACTORS_MB`` (128) megabytes of them.
        """
        density = self._density(design, level)
        return hessian_product(self, density, level, cotangents, check_direction(direction, self.design_shape))

    @one_blas_thread()
    def fields(self, design: Array, level: int) -> Fields:
        """The field out of the plane on the whole grid, for a source mode of unit power, phase 0 at the design's edge.

        Power is Im(Ez* dEz/dn) / (2 omega), or Im(Hz* dHz/dn) / (2 omega eps), integrated across, with c = 1. Behind
        the source's plane the field is the outgoing one alone. With several sources each has a field, named after it.
        """
        density = self._density(design, level)

        def solve(i: int) -> Complex:
            scene = self.scene(level, i)
            loads = np.stack([scene.port_vectors()[source].w.ravel() for source in self.source_numbers], axis=1)
            unit_power = 2 * np.sqrt(2j * math.pi / scene.wavelength_um)
            return unit_power * scene.everywhere(density, loads).reshape(*scene.grid.shape, -1)

        with self._lanes() as lanes:
            values = np.stack(lanes.each(solve))
        scene, single = self.scene(level, 0), isinstance(self.source, str)
        names = [self.polarization] if single else [f"{self.polarization}, {name}" for name in self.source]
        return Fields(
            scene.grid.x.centres_um,
            scene.grid.y.centres_um,
            np.asarray(self.wavelength_um),
            np.real(scene.permittivity_of(density)),
            {name: values[..., k] for k, name in enumerate(names)},
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

    def surroundings(self, margin_px: int = 1) -> Array:
        """What lies around the design, as densities ``(nx + 2 margin_px) x (ny + 2 margin_px)`` on its pixels.

        Permittivities at the first wavelength, as shares of the way from density 0 to density 1, clipped to [0, 1].

        Raises:
            ValueError: where both are the same.
        """
        x, y = (Axis(pixels + 2 * margin_px, self.pixel_um) for pixels in self.design_shape)
        return surrounding_density(self, x, y)

    def scene(self, level: int, i: int = 0) -> Scene:
        """The device on the mesh of a level at its wavelength number ``i``."""
        wavelength = self.wavelength_um[i] + self.wavelength_shift_um
        low, high, background = (
            number(value, wavelength, self.temperature_k) for value in (*self.permittivity, self.background)
        )
        shapes = tuple(shape.resolved(wavelength, self.temperature_k) for shape in self.shapes)
        return Scene(
            self.cells_um[level], wavelength, self.polarization, self.size_um, self.design_shape, (low, high),
            background, shapes, self.ports, self.margin_um, self.pml,
        )  # fmt: skip

    @cached_property
    def source_numbers(self) -> list[int]:
        """Numbers among the ports of those that are excited."""
        names = [port.name for port in self.ports]
        return [names.index(name) for name in ((self.source,) if isinstance(self.source, str) else self.source)]

    def _density(self, design: Array, level: int) -> Real:
        check_level(level, self.fidelities)
        return check_design(design, self.design_shape)

    def _system(self, level: int, i: int) -> ReducedSystem:
        return reduced_system(self._scenes(level)[i], self._scenes(level))

    def _scenes(self, level: int) -> tuple[Scene, ...]:
        if level not in self._kept_scenes:
            self._kept_scenes[level] = tuple(self.scene(level, i) for i in range(len(self.wavelength_um)))
        return self._kept_scenes[level]

    @cached_property
    def _kept_scenes(self) -> dict[int, tuple[Scene, ...]]:
        return {}

    def response_of(self, s: Complex) -> dict[str, Array]:
        """The response of scattering parameters ``ports x sources x wavelengths``.

        Raises:
            SimulationError: for NaN or infinity.
        """
        if not np.isfinite(s).all():
            raise SimulationError("Expected finite scattering parameters. Got NaN or infinity.")
        return self.named(s, np.abs(s) ** 2)

    def named(self, s: Complex, power: Real) -> dict[str, Array]:
        """The response's quantities from those of all ports and sources."""
        if not isinstance(self.source, str):
            return {"s": s, "power": power}
        s, power, own = np.ascontiguousarray(s[:, 0]), power[:, 0], self.source_numbers[0]
        return {"s": s, "transmission": np.delete(power, own, axis=0), "reflection": power[own]}

    def seed_of(self, cotangents: dict[str, Array], response: Response) -> Complex:
        """Cotangent of ``s`` (ports x sources x wavelengths): abs(s)^2 contributes 2 s times its own."""
        s = response["s"]
        weight: Real = np.zeros(s.shape)
        others = np.arange(len(self.ports)) != self.source_numbers[0]
        if "power" in cotangents:
            weight = cotangents["power"].real
        if "transmission" in cotangents:
            weight[others] = cotangents["transmission"].real
        if "reflection" in cotangents:
            weight[~others] = cotangents["reflection"].real
        seed = cotangents.get("s", 0.0) + 2 * weight * s
        return seed[:, None] if isinstance(self.source, str) else seed

    def _lanes(self) -> Lanes:
        return Lanes(len(self.wavelength_um), self.threads)

    def __getstate__(self) -> dict[str, Any]:
        """Only the fields travel to other processes."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def surrounding_density(device: PortDevice, x: Axis, y: Axis, i: int = 0) -> Real:
    """What lies around a device's design, as densities on the cells of two axes; see :meth:`PortDevice.surroundings`.

    Args:
        device: whose shapes and background.
        x, y: axes, centred on the design region.
        i: number of the wavelength.

    Raises:
        ValueError: where density 0 and 1 have the same permittivity.
    """
    scene = device.scene(0, i)
    low, high = scene.permittivity
    if low == high:
        raise ValueError(f"Expected two different permittivities of the design. Got {low} and {high}.")
    share = np.real((paint_between(x, y, scene.background, scene.shapes) - low) / (high - low))
    return np.clip(share, 0.0, 1.0)
