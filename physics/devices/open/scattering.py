"""An object in free space under plane waves, as a simulator with gradients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from physics.base import Array, Quantity
from physics.devices.example_densities import smooth_densities
from physics.devices.identity import content_hash
from physics.devices.open.checks import check_angles, check_common, check_lengths, normalise, shifted, whole_number
from physics.devices.open.linear_device import Answer, LinearDevice, LinearScene
from physics.devices.open.scattering_scene import ScatteringScene
from physics.fdfd.dispersion import ROOM_K, Medium, number
from physics.fdfd.geometry import Shape
from physics.fdfd.grid import Complex, Pml

SCATTERING_VERSION = "fdfd-scattering-2"


@dataclass(frozen=True)
class ScatteringDevice(LinearDevice):
    """A design region about a fixed object in free space: what it takes out of plane waves, and where that goes.

    Lengths are in micrometres, the origin is the centre of the design region, arrays are indexed ``[ix, iy]``, fields
    vary as exp(-i omega t), so that absorption is a positive imaginary permittivity. The incident field is
    exp(i k.r), Ez or Hz. The permittivity is interpolated linearly in the density.

    Answers, each incident angle x wavelength, ``extinction_width_um`` (power taken out of the wave over its intensity:
    linear in the field, by the optical theorem), ``absorption_width_um`` (absorbed in the design region with what is
    frozen into it) and ``scattering_width_um``, their difference; Bohren and Huffman, Absorption and Scattering of
    Light by Small Particles, section 8.4. With directions asked for also ``far_field`` (complex, um^(1/2); direction x
    angle x wavelength): the scattered field far away is far_field exp(i k r) / sqrt(r), and abs(far_field)^2 the
    scattering width per radian. Angles are those of wave vectors, anticlockwise from x.

    Args:
        name: of the device, part of its identity.
        size_um: design region along x and y, a whole number of pixels.
        pixel_um: side of a pixel of the density.
        permittivity: of density 0 and density 1; numbers, complex ones, or materials.
        wavelength_um: vacuum wavelengths.
        cells_um: sides of the cells, one a level, coarsest first.
        angle_deg: of the incident waves.
        far_field_deg: directions of the far fields, none by default.
        background: permittivity of free space, lossless.
        shapes: static lossless shapes below the design, later ones cover earlier ones; they may reach a third of the
            margin beyond it.
        frozen: shapes that cover the design, of any medium: there the density has no influence. They end with the
            design region.
        margin_um: from the design region to the PML.
        pml: absorbing layers.
        polarization: "Ez" or "Hz", the field out of the plane.
        temperature_k: at which materials are taken; a parameter for corners.
        wavelength_shift_um: added to every wavelength where media and fields are computed, while the response keeps its
            nominal coordinates; a parameter for corners.
        threads: wavelengths solved at once; not part of the identity, does not change a bit of the answer.

    Raises:
        ValueError: on construction, for anything that cannot be simulated soundly.
    """

    name: str
    size_um: tuple[float, float]
    pixel_um: float
    permittivity: tuple[Medium, Medium]
    wavelength_um: tuple[float, ...]
    cells_um: tuple[float, ...]
    angle_deg: tuple[float, ...] = (0.0,)
    far_field_deg: tuple[float, ...] = ()
    background: Medium = 1.0
    shapes: tuple[Shape, ...] = ()
    frozen: tuple[Shape, ...] = ()
    margin_um: float = 0.6
    pml: Pml = field(default_factory=Pml)
    polarization: str = "Ez"
    temperature_k: float = ROOM_K
    wavelength_shift_um: float = 0.0
    threads: int = field(default=4, compare=False)

    def __post_init__(self) -> None:
        numbers = ("pixel_um", "margin_um", "temperature_k", "wavelength_shift_um")
        tuples = {"size_um": 2, "wavelength_um": None, "cells_um": None, "angle_deg": None, "far_field_deg": None}
        normalise(self, tuples, numbers, ("background",))
        check_lengths("size_um", self.size_um, distinct=False)
        check_angles("far_field_deg", self.far_field_deg, empty=True)
        around = (self.background, *(shape.permittivity for shape in self.shapes))
        check_common(self, (*around, *self.permittivity, *(shape.permittivity for shape in self.frozen)))
        for size in self.size_um:
            whole_number("a design region", size, "pixels", self.pixel_um)
            if size / self.cells_um[0] < 4:
                raise ValueError(f"Expected a design of 4 or more cells a side. Got {size / self.cells_um[0]:.2g}.")
        for wavelength in shifted(self):
            if any(isinstance(number(value, wavelength, self.temperature_k), complex) for value in around):
                raise ValueError(
                    "Expected lossless shapes and background, or absorption outside the design would count as "
                    "scattering. Got a complex permittivity; enlarge the design and make the shape frozen."
                )
        for level in range(len(self.cells_um)):
            self._scene(level, int(np.argmin(self.wavelength_um))).loads  # noqa: B018  checks the boundary

    @property
    def design_shape(self) -> tuple[int, int]:
        """Pixels along x and y."""
        return round(self.size_um[0] / self.pixel_um), round(self.size_um[1] / self.pixel_um)

    @cached_property
    def identity(self) -> str:
        """SHA-256 of the solver version and of every parameter that changes an answer."""
        return content_hash(SCATTERING_VERSION, self, without=("threads",))

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
        """Widths, and far fields where directions are given."""
        coords = {"angle_deg": self.angle_deg, "wavelength_um": self.wavelength_um}
        names = ("extinction_width_um", "absorption_width_um", "scattering_width_um")
        found = [Quantity(name, coords, "um") for name in names]
        if self.far_field_deg:
            found.append(Quantity("far_field", {"direction_deg": self.far_field_deg, **coords}, "um^(1/2)", complex))
        return tuple(found)

    def scenes(self, level: int) -> tuple[LinearScene, ...]:
        """One a wavelength."""
        return tuple(self._scene(level, i) for i in range(len(self.wavelength_um)))

    def read(self, answers: Sequence[Answer]) -> dict[str, Array]:
        """Widths and far fields; extinction is minus the imaginary part of the forward amplitude."""
        count = len(self.angle_deg)
        extinction = -np.stack([np.diagonal(a.amplitudes[:count]).imag for a in answers], axis=-1)
        absorption = np.stack([a.absorbed for a in answers], axis=-1)
        response = {
            "extinction_width_um": extinction,
            "absorption_width_um": absorption,
            "scattering_width_um": extinction - absorption,
        }
        if self.far_field_deg:
            response["far_field"] = np.stack([a.amplitudes[count:] for a in answers], axis=-1)
        return response

    def seeds(self, cotangents: Mapping[str, Array], answers: Sequence[Answer]) -> list[Answer]:
        """One a wavelength."""
        count, found = len(self.angle_deg), []
        for i, answer in enumerate(answers):
            of = {name: cotangent[..., i] for name, cotangent in cotangents.items()}
            scattering = of.get("scattering_width_um", np.zeros(count)).real
            amplitudes = np.zeros_like(answer.amplitudes)
            extinct = scattering + of.get("extinction_width_um", np.zeros(count)).real
            amplitudes[np.arange(count), np.arange(count)] = -1j * extinct
            amplitudes[count:] = of.get("far_field", 0.0)
            found.append(Answer(amplitudes, of.get("absorption_width_um", np.zeros(count)).real - scattering))
        return found

    def shown(self, fields: Sequence[Complex]) -> tuple[Array, dict[str, Array]]:
        """One field an angle, total everywhere."""
        values = np.stack(fields)
        names = [f"{self.polarization}, {angle:g} deg" for angle in self.angle_deg]
        names = names if len(names) > 1 else [self.polarization]
        return np.asarray(self.wavelength_um), {name: values[..., k] for k, name in enumerate(names)}

    def example_designs(self, rng: np.random.Generator, n: int) -> Array:
        """Smooth random densities, alternately grey and nearly binary, ``n x *design_shape``."""
        return smooth_densities(rng, n, self.design_shape)

    def refined(self) -> ScatteringDevice:
        """The same device on one mesh of half the finest cells; PML and margins 1.5 times as wide."""
        return replace(
            self,
            cells_um=(self.cells_um[-1] / 2,),
            margin_um=1.5 * self.margin_um,
            pml=replace(self.pml, thickness_um=1.5 * self.pml.thickness_um),
        )

    def _scene(self, level: int, i: int) -> ScatteringScene:
        wavelength = self.wavelength_um[i] + self.wavelength_shift_um
        low, high, background = (
            number(value, wavelength, self.temperature_k) for value in (*self.permittivity, self.background)
        )
        shapes, frozen = (
            tuple(shape.resolved(wavelength, self.temperature_k) for shape in group)
            for group in (self.shapes, self.frozen)
        )
        assert not isinstance(background, complex)
        return ScatteringScene(
            self.cells_um[level], wavelength, self.polarization, self.size_um, self.design_shape, (low, high),
            background, shapes, frozen, self.angle_deg, self.far_field_deg, self.margin_um, self.pml,
        )  # fmt: skip
