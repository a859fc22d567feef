"""A grating coupler in its vertical cross-section, between a slab guide and a fibre's beam, with gradients."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
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
from physics.devices.couplers.beams import Beam
from physics.devices.couplers.checks import check_coupler, normalise_coupler
from physics.devices.couplers.scene import CouplerScene
from physics.devices.identity import content_hash
from physics.devices.library import GLASS, SILICON
from physics.devices.parameters import CORNERS, with_values
from physics.fdfd.blas import one_blas_thread
from physics.fdfd.dispersion import ROOM_K, Medium, number
from physics.fdfd.geometry import Rectangle, area_weights
from physics.fdfd.grid import Complex, Pml, Real
from physics.fdfd.lanes import Lanes
from physics.fdfd.ports import Port
from physics.fdfd.scene import ReducedSystem, reduced_system

SOLVER_VERSION = "coupler-1"
PORTS = ("guide", "beam")
PARAMETERS = CORNERS | {"angle_deg": (-45.0, 45.0), "beam_x_um": (-20.0, 20.0)}
GUIDE_SHARE = 0.9  # of the oxide that the cross-section of the guide takes in, short of the substrate
REACH_RADII = 2.0  # from the beam's axis to the absorbing layers, at least; holds 0.9999 of its power
MOST_ROWS = 64  # into which the device layer is divided so that the etch ends between two


@dataclass(frozen=True)
class GratingCoupler:
    """A slab guide from the west, a design region etched into it, and a Gaussian beam above: 2D Maxwell in x and y.

    x runs along the chip and y upwards; the origin is the middle of the design region's length and of the device
    layer's thickness. From below: substrate, buried oxide, device layer, cladding, the first and last without end. The
    density is that of the device layer's material along x, the same through the depth of the etch, and the permittivity
    is linear in it.
    Lengths are in micrometres, fields vary as exp(-i omega t).

    It answers ``s`` (complex; port x source x wavelength, ports "guide" and "beam"), ``efficiency`` (abs(s)^2 between
    guide and beam, the same in both directions) and ``reflection`` (abs(s)^2 of each port into itself). |s|^2 is power
    over power; the phase of the beam is referred to its waist, that of the guide to the edge of the design region.

    Args:
        length_um: design region along the chip, a whole number of pixels.
        pixel_um: of the density, along the chip.
        wavelength_um: vacuum wavelengths.
        waist_um: radius of the beam at which the field has fallen to 1 / e.
        angle_deg: of the beam from the vertical, in the cladding; positive where light from the guide leaves forwards.
        beam_x_um: where the beam's axis meets the top of the device layer.
        beam_height_um: of the waist above the device layer.
        core_um: thickness of the device layer.
        etch_um: depth of the etch from its top, at most all of it.
        box_um: thickness of the buried oxide.
        core, cladding, box, substrate: permittivities, numbers or materials.
        slab_beyond: whether the device layer goes on behind the design region, or ends there.
        polarization: "Ez" (the field along the grooves: TE of the slab) or "Hz" (TM).
        cells_um: sides of the cells, one a level, coarsest first.
        margin_um: from the design region, and from the oxide, to the PML at least.
        pml: absorbing layers.
        temperature_k, wavelength_shift_um: as for :class:`~physics.devices.PortDevice`.
        threads: wavelengths solved at once; not part of the identity.

    Raises:
        ValueError: on construction, for anything that cannot be simulated soundly.
    """

    length_um: float = 12.0
    pixel_um: float = 0.02
    wavelength_um: tuple[float, ...] = (1.55,)
    waist_um: float = 5.2
    angle_deg: float = 10.0
    beam_x_um: float = 0.0
    beam_height_um: float = 0.0
    core_um: float = 0.22
    etch_um: float = 0.07
    box_um: float = 2.0
    core: Medium = SILICON
    cladding: Medium = GLASS
    box: Medium = GLASS
    substrate: Medium = SILICON
    slab_beyond: bool = True
    polarization: str = "Ez"
    cells_um: tuple[float, ...] = (0.04, 0.02)
    margin_um: float = 0.8
    pml: Pml = field(default_factory=Pml)
    temperature_k: float = ROOM_K
    wavelength_shift_um: float = 0.0
    threads: int = field(default=4, compare=False)

    def __post_init__(self) -> None:
        normalise_coupler(self)
        check_coupler(self)
        ends = {int(np.argmin(self.wavelength_um)), int(np.argmax(self.wavelength_um))}
        for level in range(len(self.cells_um)):
            for i in ends:
                self.scene(level, i).port_vectors()

    @property
    def design_shape(self) -> tuple[int, int]:
        """Pixels along the chip, and one."""
        return round(self.length_um / self.pixel_um), 1

    @property
    def parameters(self) -> Mapping[str, tuple[float, float]]:
        """Parameters that corners may set, with their bounds: the fibre's alignment among them."""
        return PARAMETERS

    def with_parameters(self, **values: float) -> GratingCoupler:
        """The same device with other parameters; ``ValueError`` for unknown ones and values out of bounds."""
        return with_values(self, PARAMETERS, values)

    @cached_property
    def fidelities(self) -> tuple[Fidelity, ...]:
        """One a cell size; cost grows with the cube of the cells along the design, whose ring is dense."""
        wavelengths = {"wavelength_um": self.wavelength_um}
        response = (
            Quantity("s", {"port": PORTS, "source": PORTS, **wavelengths}, dtype=complex),
            Quantity("efficiency", wavelengths),
            Quantity("reflection", {"port": PORTS, **wavelengths}),
        )
        cells = self.cells_um
        return tuple(Fidelity(f"fdfd-{1000 * cell:g}nm", (cells[0] / cell) ** 3, response) for cell in cells)

    @cached_property
    def identity(self) -> str:
        """SHA-256 of the solver version and of every parameter that changes an answer."""
        return content_hash(SOLVER_VERSION, self, without=("threads",))

    @one_blas_thread()
    def prepare(self, level: int) -> None:
        """Condenses the surroundings at every wavelength, which later solves share."""
        check_level(level, self.fidelities)
        with self._lanes() as lanes:
            lanes.each(lambda i: self._system(level, i) is None)

    @one_blas_thread()
    def simulate(self, design: Array, level: int, replicate: int = 0) -> Response:
        """Scattering between guide and beam; deterministic, ``replicate`` changes nothing."""
        rows = self._rows(design, level)

        def forward(i: int) -> Complex:
            system = self._system(level, i)
            return system.scattering(system.factor(rows).solve(system.region.sources), range(len(PORTS)))

        with self._lanes() as lanes:
            return _response(np.stack(lanes.each(forward), axis=-1))

    @one_blas_thread()
    def vjp(self, design: Array, level: int, cotangents: Cotangents, replicate: int = 0) -> tuple[Response, Array]:
        """Response and gradient with respect to the density; one factorisation and one solve a wavelength."""
        rows = self._rows(design, level)
        fields: dict[int, Complex] = {}

        def forward(i: int) -> Complex:
            system = self._system(level, i)
            fields[i] = system.factor(rows).solve(system.region.sources)
            return system.scattering(fields[i], range(len(PORTS)))

        def backward(i: int, seed: Complex) -> Real:
            return self._system(level, i).pull_back(rows, fields[i] @ np.conj(seed), fields[i])

        with self._lanes() as lanes:
            response = _response(np.stack(lanes.each(forward), axis=-1))
            seed = _seed(resolve_cotangents(cotangents, response), response["s"])
            by_rows = np.sum(lanes.each(lambda i: backward(i, seed[..., i])), axis=0)
        gradient = by_rows @ self._etched[:, None]
        if not np.isfinite(gradient).all():
            raise SimulationError("Expected a finite gradient. Got NaN or infinity; check the cotangents.")
        return response, gradient

    @one_blas_thread()
    def fields(self, design: Array, level: int) -> Fields:
        """The field out of the plane for unit power from the guide and from the beam, as of ``PortDevice.fields``.

        Above the plane where the beam enters, as behind the guide's, the field is the outgoing one alone.
        """
        rows = self._rows(design, level)

        def solve(i: int) -> Complex:
            scene = self.scene(level, i)
            loads = np.stack([vector.w.ravel() for vector in scene.port_vectors()], axis=1)
            unit_power = 2 * np.sqrt(2j * math.pi / scene.wavelength_um)
            return unit_power * scene.everywhere(rows, loads).reshape(*scene.grid.shape, -1)

        with self._lanes() as lanes:
            values = np.stack(lanes.each(solve))
        scene = self.scene(level, 0)
        return Fields(
            scene.grid.x.centres_um,
            scene.grid.y.centres_um,
            np.asarray(self.wavelength_um),
            np.real(scene.permittivity_of(rows)),
            {f"{self.polarization}, {name}": values[..., k] for k, name in enumerate(PORTS)},
        )

    def example_designs(self, rng: np.random.Generator, n: int) -> Array:
        """Chirped gratings, alternately smooth and nearly binary, ``n x *design_shape``."""
        x = np.linspace(0, 1, self.design_shape[0])
        first, last = self.length_um / rng.uniform(0.5, 0.8, (2, n, 1))
        phase = 2 * np.pi * (first * x + (last - first) * x**2 / 2 + rng.random((n, 1)))
        sharpness = np.where(np.arange(n) % 2 == 0, 0.5, 5.0)[:, None]
        return (0.5 + 0.5 * np.tanh(sharpness * np.sin(phase)))[..., None]

    def refined(self) -> GratingCoupler:
        """The same device on one mesh of half the finest cells, PML and margins 1.5 times as wide."""
        return replace(
            self,
            cells_um=(self.cells_um[-1] / 2,),
            margin_um=1.5 * self.margin_um,
            pml=replace(self.pml, thickness_um=1.5 * self.pml.thickness_um),
        )

    def scene(self, level: int, i: int = 0) -> CouplerScene:
        """The device on the mesh of a level at its wavelength number ``i``."""
        wavelength = self.wavelength_um[i] + self.wavelength_shift_um
        core, cladding, box, substrate = (
            number(value, wavelength, self.temperature_k)
            for value in (self.core, self.cladding, self.box, self.substrate)
        )
        everywhere, half = (-math.inf, math.inf), self.core_um / 2
        shapes = [
            Rectangle(everywhere, (-math.inf, -half), box),
            Rectangle(everywhere, (-math.inf, -half - self.box_um), substrate),
            Rectangle((-math.inf, 0.0), (-half, half), core),
        ]
        if self.slab_beyond:
            shapes.append(Rectangle((0.0, math.inf), (-half, half), core))
        waist_x = self.beam_x_um + self.beam_height_um * math.tan(math.radians(self.angle_deg))
        port = Port("guide", "west", 0.0, self.margin_um / 2, span_um=self.core_um + 2 * GUIDE_SHARE * self.box_um)
        return CouplerScene(
            self.cells_um[level], wavelength, self.polarization, (self.length_um, self.core_um),
            (self.design_shape[0], len(self._etched)), (cladding, core), cladding, tuple(shapes), (port,),
            self.margin_um, self.pml, Beam(self.waist_um, self.angle_deg, waist_x, half + self.beam_height_um),
            self._plane_um, self._outside_um,
        )  # fmt: skip

    @property
    def _plane_um(self) -> float:
        """Height at which the beam enters: half-way between the device layer and the PML."""
        return (self.core_um + self.box_um + self.margin_um) / 2

    @cached_property
    def _outside_um(self) -> tuple[float, float]:
        """From the design region to the PML, along x as far as the widest beam asks."""
        angle, radius = math.radians(self.angle_deg), 0.0
        distance = abs(self._plane_um - self.core_um / 2 - self.beam_height_um) / math.cos(angle)
        for nominal in self.wavelength_um:
            wavelength = nominal + self.wavelength_shift_um
            index = math.sqrt(abs(number(self.cladding, wavelength, self.temperature_k)))
            radius = max(radius, math.hypot(self.waist_um, distance * wavelength / (math.pi * index * self.waist_um)))
        above = self.beam_x_um + (self._plane_um - self.core_um / 2) * math.tan(angle)
        reach = max(abs(self.beam_x_um), abs(above)) + REACH_RADII * radius / math.cos(angle)
        return max(self.margin_um, reach - self.length_um / 2), self.box_um + self.margin_um

    @cached_property
    def _etched(self) -> Real:
        """Share of each row of the device layer, lowest first, that the etch removes where the density is 0."""
        count = max(1, Fraction(self.etch_um / self.core_um).limit_denominator(MOST_ROWS).denominator)
        edges = np.linspace(0.0, self.core_um, count + 1)
        return area_weights(edges, np.array([self.core_um - self.etch_um, self.core_um]))[:, 0]

    def _rows(self, design: Array, level: int) -> Real:
        """The density of the device layer, ``nx x rows``."""
        check_level(level, self.fidelities)
        density = check_design(design, self.design_shape)
        return np.asarray(1 - self._etched * (1 - density))

    def _system(self, level: int, i: int) -> ReducedSystem:
        return reduced_system(self._scenes(level)[i], self._scenes(level))

    def _scenes(self, level: int) -> tuple[CouplerScene, ...]:
        if level not in self._kept_scenes:
            self._kept_scenes[level] = tuple(self.scene(level, i) for i in range(len(self.wavelength_um)))
        return self._kept_scenes[level]

    @cached_property
    def _kept_scenes(self) -> dict[int, tuple[CouplerScene, ...]]:
        return {}

    def _lanes(self) -> Lanes:
        return Lanes(len(self.wavelength_um), self.threads)

    def __getstate__(self) -> dict[str, Any]:
        """Only the fields travel to other processes."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def _response(s: Complex) -> dict[str, Array]:
    """From ``ports x sources x wavelengths``."""
    if not np.isfinite(s).all():
        raise SimulationError("Expected finite scattering parameters. Got NaN or infinity.")
    power = np.abs(s) ** 2
    return {"s": s, "efficiency": power[1, 0], "reflection": power[[0, 1], [0, 1]]}


def _seed(cotangents: Mapping[str, Array], s: Complex) -> Complex:
    """Cotangent of ``s``: abs(s)^2 contributes 2 s times its own."""
    weight: Real = np.zeros(s.shape)
    if "efficiency" in cotangents:
        weight[1, 0] = cotangents["efficiency"].real
    if "reflection" in cotangents:
        weight[[0, 1], [0, 1]] = cotangents["reflection"].real
    return np.asarray(cotangents.get("s", 0.0) + 2 * weight * s)
