"""A periodic cell under plane waves, as a simulator with gradients."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from physics.base import Array, Quantity
from physics.devices.example_densities import smooth_densities
from physics.devices.identity import content_hash
from physics.devices.open.absorbers import HalfSpace, deepened
from physics.devices.open.checks import check_common, check_lengths, normalise, shifted, whole_number
from physics.devices.open.linear_device import Answer, LinearDevice, LinearScene
from physics.devices.open.periodic_scene import PeriodicScene
from physics.fdfd.dispersion import ROOM_K, Medium, number
from physics.fdfd.geometry import Shape
from physics.fdfd.grid import Complex, Pml, Real
from physics.fdfd.values import whole

PERIODIC_VERSION = "fdfd-periodic-2"
SIDES = ("reflected", "transmitted")


@dataclass(frozen=True)
class PeriodicDevice(LinearDevice):
    """One period of a grating, meta-surface or textured film between two half-spaces, lit from above.

    Lengths are in micrometres; the period runs along x, light comes down along -y; the origin is the centre of the
    design region, which is one period wide. Arrays are indexed ``[ix, iy]``, fields vary as exp(-i omega t), so that
    absorption is a positive imaginary permittivity. The permittivity is interpolated linearly in the density.

    Answers ``amplitude`` (complex; side x order x angle x wavelength), whose squared magnitude is the power of a
    diffraction order over the incident power, and ``efficiency``, that square. Order m has the transverse wave number
    k_x + 2 pi m / period. Amplitudes are those of Ez (or Hz), phases referred to the design's upper face for what comes
    in and what is reflected, to its lower face for what is transmitted, x = 0. Where an order does not propagate, and
    below where the substrate absorbs, both are 0. Also, angle x wavelength, ``absorption`` (1 minus all efficiencies:
    what design, shapes and substrate absorb) and ``design_absorption`` (in the design region alone, with what is frozen
    into it; from the field there).

    Args:
        name: of the device, part of its identity.
        period_um: of the cell, a whole number of pixels, and of cells at every level.
        thickness_um: of the design region, a whole number of pixels.
        pixel_um: side of a pixel of the density.
        permittivity: of density 0 and density 1; numbers, complex ones, or materials.
        wavelength_um: vacuum wavelengths.
        cells_um: sides of the cells, one a level, coarsest first.
        angle_deg: of incidence in the superstrate, -90 to 90 without the ends; positive where the wave goes towards +x.
        superstrate: permittivity above, lossless.
        substrate: permittivity below. Light leaves through one without losses; one that absorbs, a metal say, takes it
            up; None is a perfect electric conductor, at the face of a design a whole number of cells thick.
        shapes: static shapes below the design, later ones cover earlier ones; layers have infinite sides.
        frozen: shapes that cover the design, of any medium: there the density has no influence.
        margin_um: from the design region to the PML; its outer half must be free of shapes.
        pml: absorbing layers above and below; deeper, up to ten wavelengths, where an order runs nearly along them.
            Within about two parts in a thousand of a wavelength at which one runs along them that is not enough.
        polarization: "Ez" or "Hz", the field out of the plane.
        orders: diffraction orders of the answer; by default all that propagate anywhere.
        temperature_k: at which materials are taken; a parameter for corners.
        wavelength_shift_um: added to every wavelength where media and fields are computed, while the response keeps its
            nominal coordinates; a parameter for corners.
        threads: systems solved at once; not part of the identity, does not change a bit of the answer.

    Raises:
        ValueError: on construction, for anything that cannot be simulated soundly.
    """

    name: str
    period_um: float
    thickness_um: float
    pixel_um: float
    permittivity: tuple[Medium, Medium]
    wavelength_um: tuple[float, ...]
    cells_um: tuple[float, ...]
    angle_deg: tuple[float, ...] = (0.0,)
    superstrate: Medium = 1.0
    substrate: Medium | None = 1.0
    shapes: tuple[Shape, ...] = ()
    frozen: tuple[Shape, ...] = ()
    margin_um: float = 0.4
    pml: Pml = field(default_factory=lambda: Pml(1.0, log_reflection=-25.0))
    polarization: str = "Ez"
    orders: tuple[int, ...] | None = None
    temperature_k: float = ROOM_K
    wavelength_shift_um: float = 0.0
    threads: int = field(default=4, compare=False)

    def __post_init__(self) -> None:
        numbers = ("period_um", "thickness_um", "pixel_um", "margin_um", "temperature_k", "wavelength_shift_um")
        tuples = {"wavelength_um": None, "cells_um": None, "angle_deg": None}
        normalise(self, tuples, numbers, ("superstrate",) if self.substrate is None else ("superstrate", "substrate"))
        check_lengths("period_um and thickness_um", (self.period_um, self.thickness_um), distinct=False)
        below = () if self.substrate is None else (self.substrate,)
        media = (self.superstrate, *below, *self.permittivity)
        check_common(self, (*media, *(shape.permittivity for shape in (*self.shapes, *self.frozen))))
        whole_number("a period", self.period_um, "pixels", self.pixel_um)
        whole_number("a design", self.thickness_um, "pixels", self.pixel_um)
        for cell in self.cells_um:
            whole_number("a period", self.period_um, "cells", cell, least=4)
            if self.substrate is None:
                whole_number("a design on a perfect mirror", self.thickness_um, "cells", cell)
        if self.thickness_um < 4 * self.cells_um[0]:
            raise ValueError(
                f"Expected a design 4 or more cells thick. Got {self.thickness_um / self.cells_um[0]:.2g}."
            )
        if not all(-90 < angle < 90 for angle in self.angle_deg):
            raise ValueError(f"Expected angles of incidence between -90 and 90 degrees. Got {self.angle_deg}.")
        for wavelength in shifted(self):
            if isinstance(number(self.superstrate, wavelength, self.temperature_k), complex):
                raise ValueError("Expected a lossless superstrate. Got a complex permittivity.")
        reach = (self.thickness_um + self.margin_um) / 2
        for shape in self.shapes:
            low, high = shape.bounds_um[1]
            if low < -reach or high > reach:
                raise ValueError(
                    f"Expected shapes within {reach:g} um of the middle, where only half the margin is left. "
                    f"Got one from {low:g} to {high:g} um; widen margin_um, or make it the substrate."
                )
        if self.orders is None:
            object.__setattr__(self, "orders", self._propagating())
        else:
            given = tuple(whole("orders", m) for m in self.orders)
            missing = sorted({*self._propagating()} - {*given})
            if missing or len(set(given)) != len(given):
                raise ValueError(
                    f"Expected all orders that propagate, each once. Got {given}, without {missing}; add those that "
                    "any corner of wavelength and temperature needs, or leave `orders` out."
                )
            object.__setattr__(self, "orders", given)
        steepest = max(range(len(self.angle_deg)), key=lambda a: abs(self.angle_deg[a]))
        for level in range(len(self.cells_um)):
            scene = self._scene(level, steepest, int(np.argmin(self.wavelength_um)))
            scene.above, scene.below  # noqa: B018  checks the layers where they are read

    @property
    def design_shape(self) -> tuple[int, int]:
        """Pixels along x and y."""
        return round(self.period_um / self.pixel_um), round(self.thickness_um / self.pixel_um)

    @property
    def size_um(self) -> tuple[float, float]:
        """Design region along x and y."""
        return self.period_um, self.thickness_um

    @cached_property
    def identity(self) -> str:
        """SHA-256 of the solver version and of every parameter that changes an answer."""
        return content_hash(PERIODIC_VERSION, self, without=("threads",))

    @property
    def meshes_um(self) -> tuple[float, ...]:
        """``cells_um``."""
        return self.cells_um

    @property
    def most_threads(self) -> int:
        """``threads``."""
        return self.threads

    @property
    def quantities(self) -> tuple[Quantity, ...]:
        """Orders and absorption."""
        sources = {"angle_deg": self.angle_deg, "wavelength_um": self.wavelength_um}
        coords = {"side": SIDES, "order": self._orders, **sources}
        return (
            Quantity("amplitude", coords, dtype=complex),
            Quantity("efficiency", coords),
            Quantity("absorption", sources),
            Quantity("design_absorption", sources),
        )

    def scenes(self, level: int) -> tuple[LinearScene, ...]:
        """One an angle and wavelength, wavelengths the faster."""
        pairs = np.ndindex(len(self.angle_deg), len(self.wavelength_um))
        return tuple(self._scene(level, a, i) for a, i in pairs)

    def read(self, answers: Sequence[Answer]) -> dict[str, Array]:
        """Orders and absorption."""
        sources = (len(self.angle_deg), len(self.wavelength_um))
        columns = np.stack([a.amplitudes[:, 0] for a in answers], axis=-1)
        amplitude = columns.reshape(len(SIDES), len(self._orders), *sources)
        efficiency = np.abs(amplitude) ** 2
        return {
            "amplitude": amplitude,
            "efficiency": efficiency,
            "absorption": 1 - efficiency.sum(axis=(0, 1)),
            "design_absorption": np.array([a.absorbed[0] for a in answers]).reshape(sources),
        }

    def seeds(self, cotangents: Mapping[str, Array], answers: Sequence[Answer]) -> list[Answer]:
        """One a scene; abs(amplitude)^2 contributes 2 amplitude times its own cotangent."""
        sources = (len(self.angle_deg), len(self.wavelength_um))
        weight: Real = cotangents.get("efficiency", np.zeros((len(SIDES), len(self._orders), *sources))).real
        weight = weight - cotangents.get("absorption", np.zeros(sources)).real
        flat = weight.reshape(-1, len(answers))
        given = np.reshape(cotangents.get("amplitude", np.zeros(weight.shape)), flat.shape)
        absorbed = np.ravel(cotangents.get("design_absorption", np.zeros(sources))).real
        return [
            Answer(given[:, [i]] + 2 * flat[:, [i]] * answer.amplitudes, absorbed[[i]])
            for i, answer in enumerate(answers)
        ]

    def shown(self, fields: Sequence[Complex]) -> tuple[Array, dict[str, Array]]:
        """One field an angle."""
        values = np.stack([f[..., 0] for f in fields])
        values = values.reshape(len(self.angle_deg), len(self.wavelength_um), *values.shape[1:])
        names = [f"{self.polarization}, {angle:g} deg" for angle in self.angle_deg]
        names = names if len(names) > 1 else [self.polarization]
        return np.asarray(self.wavelength_um), dict(zip(names, values, strict=True))

    def example_designs(self, rng: np.random.Generator, n: int) -> Array:
        """Smooth periodic random densities, alternately grey and nearly binary, ``n x *design_shape``."""
        return smooth_densities(rng, n, self.design_shape, periodic_x=True)

    def refined(self) -> PeriodicDevice:
        """The same device on one mesh of half the finest cells; PML and margins 1.5 times as wide."""
        return replace(
            self,
            cells_um=(self.cells_um[-1] / 2,),
            margin_um=1.5 * self.margin_um,
            pml=replace(self.pml, thickness_um=1.5 * self.pml.thickness_um),
        )

    @property
    def _orders(self) -> tuple[int, ...]:
        assert self.orders is not None
        return self.orders

    def _propagating(self) -> tuple[int, ...]:
        """Orders that propagate for some angle and wavelength; more do on a mesh than without, most on the coarsest."""
        found, cell = {0}, self.cells_um[0]
        for half in self._half_spaces():
            if isinstance(half.permittivity, complex):
                continue
            most = math.ceil(self.period_um / cell / 2)
            for m in range(-most, most + 1):
                q = (half.transverse + 2 * math.pi * m / self.period_um) * cell
                k = 2 * math.pi / half.wavelength_um * cell
                if abs(q) <= math.pi and 4 * math.sin(q / 2) ** 2 < half.permittivity * k**2:
                    found.add(m)
        return tuple(sorted(found))

    def _half_spaces(self) -> Iterator[HalfSpace]:
        """What lies beyond the cell, for every wavelength and angle."""
        for wavelength in shifted(self):
            both = [value for value in (self.superstrate, self.substrate) if value is not None]
            media = [number(value, wavelength, self.temperature_k) for value in both]
            index = math.sqrt(complex(media[0]).real)
            for angle in self.angle_deg:
                kx = 2 * math.pi / wavelength * index * math.sin(math.radians(angle))
                for permittivity in media:
                    yield HalfSpace(wavelength, permittivity, kx)

    def _absorber(self, level: int) -> Pml:
        """The absorbing layers of a level, the same for all its scenes, whose fields share a grid."""
        beyond = self._half_spaces()
        return deepened(self.pml, self.period_um, self.cells_um[level], self.margin_um / 2, beyond)

    def _scene(self, level: int, a: int, i: int) -> PeriodicScene:
        wavelength = self.wavelength_um[i] + self.wavelength_shift_um
        low, high, above = (
            number(value, wavelength, self.temperature_k) for value in (*self.permittivity, self.superstrate)
        )
        below = None if self.substrate is None else number(self.substrate, wavelength, self.temperature_k)
        shapes, frozen = (
            tuple(shape.resolved(wavelength, self.temperature_k) for shape in group)
            for group in (self.shapes, self.frozen)
        )
        assert not isinstance(above, complex)
        return PeriodicScene(
            self.cells_um[level], wavelength, self.angle_deg[a], self.polarization, self.size_um, self.design_shape,
            (low, high), above, below, shapes, frozen, self._orders, self.margin_um, self._absorber(level),
        )  # fmt: skip
