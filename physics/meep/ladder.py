"""A planar device on a ladder of solvers: FDFD, Meep in two dimensions, and for a layered device Meep in three."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from physics.base import (
    Array,
    Cotangents,
    Fidelity,
    Fields,
    Response,
    SimulationError,
    check_design,
    check_level,
    resolve_cotangents,
)
from physics.devices.identity import content_hash
from physics.devices.port_device import PortDevice
from physics.fdfd.geometry import Shape
from physics.fdfd.grid import Complex, Real
from physics.fdfd.ports import Port
from physics.fdfd.values import real, reals
from physics.meep.checks import check_ladder
from physics.meep.description import Mesh, groups, run_steps
from physics.meep.find import meep
from physics.meep.session import Session, session
from physics.meep.slab import effective_device

ADAPTER_VERSION = "meep-1"
# CPU seconds, measured: a step of a cell in Meep; FDFD of one wavelength per unknown of the design to the power 1.25.
STEP_SECONDS, FDFD_SECONDS = 8e-9, 4e-7


@dataclass(frozen=True)
class MeepLadder:
    """One photonic problem on FDFD and on MIT Meep; the last level is the reference.

    Levels: those of the device ("fdfd-40nm", ...), then Meep's in two dimensions ("meep-2d-25nm"), then, for a device
    with a thickness, in three ("meep-3d-50nm"). All give the device's response, see :class:`PortDevice`, in the same
    phases. Wavelengths share a run of Meep where no medium changes over them and none absorbs; else each has its own.

    Meep runs in an interpreter of its own, see :func:`physics.meep.find.meep`, one thread a run. Gradients come from
    meep.adjoint, with one adjoint run a source of the device.

    Args:
        device: geometry, materials, ports. With ``slab_um`` its permittivities are those of a layer in its background,
            and the levels in two dimensions take effective ones, see :func:`physics.meep.slab.effective_device`.
        cells_um: sides of Meep's cells in two dimensions, coarsest first; may be empty with ``slab_um``.
        slab_um: thickness of the layer, or None for a device of two dimensions.
        slab_cells_um: sides of Meep's cells in three dimensions, coarsest first.
        pml_um: thickness of Meep's PML.
        transits: a run goes on after its sources have ended for the time that light needs to cross the design region so
            often in the densest material. Longer for resonant devices.
        gap_um: above and below the layer to the PML.
        time_limit_s: of a call to Meep, after which it is killed; not part of the identity.

    Raises:
        ValueError: on construction, for what cannot be simulated soundly.
    """

    device: PortDevice
    cells_um: tuple[float, ...] = (0.02,)
    slab_um: float | None = None
    slab_cells_um: tuple[float, ...] = ()
    pml_um: float = 1.0
    transits: float = 25.0
    gap_um: float = 0.7
    time_limit_s: float = field(default=3600.0, compare=False)

    def __post_init__(self) -> None:
        for name in ("cells_um", "slab_cells_um"):
            given = getattr(self, name)
            object.__setattr__(self, name, reals(name, given) if np.size(given) else ())
        for name in ("pml_um", "transits", "gap_um", "time_limit_s"):
            object.__setattr__(self, name, real(name, getattr(self, name)))
        if self.slab_um is not None:
            object.__setattr__(self, "slab_um", real("slab_um", self.slab_um))
        check_ladder(self)

    @cached_property
    def planar(self) -> PortDevice:
        """The device in two dimensions."""
        return self.device if self.slab_um is None else effective_device(self.device, self.slab_um)

    @cached_property
    def meshes(self) -> tuple[Mesh, ...]:
        """Of Meep's levels."""
        flat = (Mesh(cell, self.pml_um, self.transits) for cell in self.cells_um)
        solid = (Mesh(cell, self.pml_um, self.transits, self.slab_um, self.gap_um) for cell in self.slab_cells_um)
        return (*flat, *solid)

    @property
    def design_shape(self) -> tuple[int, int]:
        """Pixels along x and y."""
        return self.device.design_shape

    @property
    def size_um(self) -> tuple[float, float]:
        """Of the design region, along x and y."""
        return self.device.size_um

    @property
    def pixel_um(self) -> float:
        """Side of a pixel of the density."""
        return self.device.pixel_um

    @property
    def ports(self) -> tuple[Port, ...]:
        """Of the device."""
        return self.device.ports

    @property
    def source(self) -> str | tuple[str, ...]:
        """Name of the port that is excited, or several."""
        return self.device.source

    @property
    def shapes(self) -> tuple[Shape, ...]:
        """Static shapes, with their true permittivities."""
        return self.device.shapes

    @property
    def parameters(self) -> Mapping[str, tuple[float, float]]:
        """Parameters that corners may set, with their bounds."""
        return self.device.parameters

    def with_parameters(self, **values: float) -> MeepLadder:
        """The same ladder with other parameters of the device."""
        return replace(self, device=self.device.with_parameters(**values))

    @cached_property
    def fidelities(self) -> tuple[Fidelity, ...]:
        """The device's own, then Meep's; costs as measured on one core, see :meth:`_cost`."""
        known = self.planar.fidelities
        names = (f"meep-{'2d' if m.thickness_um is None else '3d'}-{1000 * m.cell_um:g}nm" for m in self.meshes)
        costs: list[float] = [known[-1].cost]
        for mesh in self.meshes:
            costs.append(max(costs[-1], self._cost(mesh)))
        more = (Fidelity(name, cost, known[-1].response) for name, cost in zip(names, costs[1:], strict=True))
        return (*known, *more)

    @cached_property
    def identity(self) -> str:
        """SHA-256 of the versions of both solvers and of every parameter that changes an answer.

        Raises:
            MissingSoftware: where there is no Meep to ask for its version.
        """
        version = f"{ADAPTER_VERSION}, {meep().version}, {self.device.identity}"
        return content_hash(version, self, without=("device", "time_limit_s"))

    def provenance(self, level: int) -> Mapping[str, str]:
        """Solver, version and resolution of a level."""
        check_level(level, self.fidelities)
        mesh = self._mesh(level)
        if mesh is None:
            return self.planar.provenance(level)
        dimensions = "2D" if mesh.thickness_um is None else "3D"
        resolution = f"{1 / mesh.cell_um:g} cells per um ({1000 * mesh.cell_um:g} nm), {dimensions}"
        return {"solver": "MIT Meep (FDTD)", "version": str(meep().version), "resolution": resolution}

    def prepare(self, level: int) -> None:
        """Condenses the surroundings for FDFD, or calibrates the source ports in Meep; both are kept on disk."""
        check_level(level, self.fidelities)
        mesh = self._mesh(level)
        if mesh is None:
            self.planar.prepare(level)
        else:
            with self._session(mesh) as at:
                at.prepare()

    def simulate(self, design: Array, level: int, replicate: int = 0) -> Response:
        """Scattering parameters of a density; deterministic, ``replicate`` changes nothing."""
        density, mesh = self._density(design, level), self._mesh(level)
        if mesh is None:
            return self.planar.simulate(density, level)
        with self._session(mesh) as at:
            return self.device.response_of(at.simulate(density))

    def vjp(self, design: Array, level: int, cotangents: Cotangents, replicate: int = 0) -> tuple[Response, Array]:
        """Response and gradient with respect to the density; one forward and one adjoint run a source and group."""
        density, mesh = self._density(design, level), self._mesh(level)
        if mesh is None:
            return self.planar.vjp(density, level, cotangents)
        with self._session(mesh, gradients=True) as at:
            response = self.device.response_of(at.forward(density))
            seed: Complex = self.device.seed_of(resolve_cotangents(cotangents, response), response)
            gradient = at.backward(density, seed)
        if not np.isfinite(gradient).all():
            raise SimulationError("Expected a finite gradient. Got NaN or infinity; check the cotangents.")
        return response, gradient

    def fields(self, design: Array, level: int) -> Fields:
        """The field out of the plane, in three dimensions in the middle of the layer; units of :class:`PortDevice`."""
        density, mesh = self._density(design, level), self._mesh(level)
        if mesh is None:
            return self.planar.fields(density, level)
        with self._session(mesh) as at:
            return at.fields(density)

    def refined(self) -> MeepLadder:
        """The reference alone, with a stricter mesh, and PML, run time and gap 1.5 times as large.

        In two dimensions cells of half the side, in three of 4/5: halving them there costs 16 times as much.
        """
        wider: dict[str, Any] = {
            "pml_um": 1.5 * self.pml_um,
            "transits": 1.5 * self.transits,
            "gap_um": 1.5 * self.gap_um,
        }
        if self.slab_cells_um:
            return replace(self, cells_um=(), slab_cells_um=(0.8 * self.slab_cells_um[-1],), **wider)
        return replace(self, cells_um=(0.5 * self.cells_um[-1],), **wider)

    def surroundings(self, margin_px: int = 1) -> Array:
        """What lies around the design, see :meth:`PortDevice.surroundings`."""
        return self.device.surroundings(margin_px)

    def example_designs(self, rng: np.random.Generator, n: int) -> Array:
        """Smooth random densities, ``n x *design_shape``."""
        return self.device.example_designs(rng, n)

    def _mesh(self, level: int) -> Mesh | None:
        number = level - len(self.planar.fidelities)
        return self.meshes[number] if number >= 0 else None

    def _session(self, mesh: Mesh, gradients: bool = False) -> AbstractContextManager[Session]:
        device = self.device if mesh.thickness_um is not None else self.planar
        return session(device, mesh, meep(gradients), self.time_limit_s)

    def _cost(self, mesh: Mesh) -> float:
        """Of a forward run of all sources and groups, in units of the cheapest level's."""
        device = self.planar
        steps = sum(run_steps(device, mesh, wavelengths) for wavelengths in groups(device))
        unknowns = math.prod(size / device.cells_um[0] for size in device.size_um)
        cheapest = FDFD_SECONDS * unknowns**1.25 * len(device.wavelength_um)
        return STEP_SECONDS * steps * len(device.source_numbers) / cheapest

    def _density(self, design: Array, level: int) -> Real:
        check_level(level, self.fidelities)
        return check_design(design, self.design_shape)
