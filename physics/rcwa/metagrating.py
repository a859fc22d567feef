"""A periodic density layer between two half-spaces, as a simulator with gradients."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from physics.base import (
    Array,
    Cotangents,
    Fidelity,
    Quantity,
    Response,
    SimulationError,
    check_design,
    check_level,
    resolve_cotangents,
)
from physics.rcwa.checks import check_grating, normalise, pixels
from physics.rcwa.orders import Incidence, Pair, box, propagating

if TYPE_CHECKING:
    from torch import Tensor

SOLVER_VERSION = "rcwa-torcwa-0.1.4.2-1"
SIDES = ("transmitted", "reflected")


@dataclass(frozen=True)
class Metagrating:
    """One cell of a grating or meta-surface: pixels in a layer, a plane wave, diffraction orders out.

    The permittivity is interpolated linearly in the density; pixels are exact rectangles, whatever their number.
    Lengths are in micrometres, fields vary as exp(-i omega t) (loss is a positive imaginary permittivity), arrays are
    indexed ``[ix, iy]``, the origin is the outer corner of pixel [0, 0]. Needs the package torcwa.

    Answers ``amplitude`` (complex; side x order x polarisation x angle_deg x wavelength_um), whose squared magnitude is
    the power in that polarisation of an order over the incident power, and ``efficiency`` (side x order x angle_deg x
    wavelength_um), their sum over polarisations. Sides are "transmitted" and "reflected". Orders are those that
    propagate for some wavelength and angle on either side, ``1`` in a cell of one period, ``"1,0"`` in one of two;
    where one does not propagate, and in a half-space that absorbs, both are 0.

    TE has its electric field across, TM along, the plane through the surface normal and the in-plane wave vector of
    the order (of the incident wave, where the order has none). An amplitude's sign and phase are those of its
    tangential field at the layer's face: for TM along that wave vector, turned to point forward in the plane of
    incidence; for TE a quarter turn on from there, from x towards y.

    Args:
        name: of the grating, part of its identity.
        period_um: of the cell, one (lines along y, uniform) or two.
        pixel_um: largest side of a pixel; each period is divided into the fewest equal pixels no larger, and what the
            largest then measures is kept. Pixels are square where this length divides both periods.
        thickness_um: of the layer.
        permittivity: of density 0 and density 1.
        wavelength_um: vacuum wavelengths.
        superstrate, substrate: permittivity of the half-spaces.
        incident: "substrate" or "superstrate", where the light comes from.
        angle_deg: polar angles of incidence in that medium.
        azimuth_deg: of the plane of incidence, from x.
        polarisation: of the incident wave, "TE" or "TM", for a cell of one period at azimuth 0 also "Ez" or "Hz" (of
            2D solvers whose z runs along the lines).
        harmonics: highest Fourier order, one a level, fewest first: an integer (along the longest period, along the
            other in proportion) or one for each period.

    Raises:
        ValueError: on construction, for anything that cannot be simulated soundly.
    """

    name: str
    period_um: tuple[float, ...]
    pixel_um: float
    thickness_um: float
    permittivity: tuple[complex, complex]
    wavelength_um: tuple[float, ...]
    superstrate: complex = 1.0
    substrate: complex = 2.1025
    incident: str = "substrate"
    angle_deg: tuple[float, ...] = (0.0,)
    azimuth_deg: float = 0.0
    polarisation: str = "TM"
    harmonics: tuple[Any, ...] = (5, 10)

    def __post_init__(self) -> None:
        normalise(self)
        check_grating(self)

    @property
    def design_shape(self) -> tuple[int, int]:
        """Pixels along x and y; 1 along the lines of a cell of one period."""
        counts = (*pixels(self.period_um, self.pixel_um), 1)
        return counts[0], counts[1]

    @property
    def front(self) -> complex:
        """Permittivity of the half-space the light comes from."""
        return self.substrate if self.incident == "substrate" else self.superstrate

    @property
    def back(self) -> complex:
        """Permittivity of the half-space the light goes to."""
        return self.superstrate if self.incident == "substrate" else self.substrate

    @cached_property
    def orders(self) -> tuple[Pair, ...]:
        """Orders (along x, along y) that propagate for some wavelength and angle in either half-space."""
        reach = [math.sqrt(abs(p)) for p in (self.front, self.back)]
        longest = (*(math.ceil(2 * max(reach) * p / min(self.wavelength_um)) for p in self.period_um), 0)
        listed = box((longest[0], longest[1]))
        seen = np.zeros(len(listed), dtype=bool)
        for incidence in self.incidences():
            transverse = incidence.transverse(self.front.real, self.period_um, listed)
            seen |= propagating(self.front, transverse) | propagating(self.back, transverse)
        return tuple((int(m), int(n)) for m, n in listed[seen])

    @cached_property
    def fidelities(self) -> tuple[Fidelity, ...]:
        """One a number of harmonics; cost grows as its cube."""
        one = len(self.period_um) == 1
        labels = tuple(m if one else f"{m},{n}" for m, n in self.orders)
        sources = {"angle_deg": self.angle_deg, "wavelength_um": self.wavelength_um}
        places = {"side": SIDES, "order": labels}
        response = (
            Quantity("amplitude", {**places, "polarisation": self.polarisations, **sources}, dtype=complex),
            Quantity("efficiency", {**places, **sources}),
        )
        counts = [(2 * mx + 1) * (2 * my + 1) for mx, my in self.harmonics]
        names = [f"rcwa-{mx}" if one else f"rcwa-{mx}x{my}" for mx, my in self.harmonics]
        return tuple(
            Fidelity(name, (count / counts[0]) ** 3, response) for name, count in zip(names, counts, strict=True)
        )

    @property
    def polarisations(self) -> tuple[str, ...]:
        """Of the orders: that of the incident wave alone where lines along y cannot turn it, else both."""
        planar = len(self.period_um) == 1 and self.azimuth_deg == 0
        return (self.polarisation,) if planar else ("TE", "TM")

    @cached_property
    def identity(self) -> str:
        """SHA-256 of the solver version and of every parameter that changes an answer."""
        text = json.dumps([SOLVER_VERSION, _canonical(asdict(self))], sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def simulate(self, design: Array, level: int, replicate: int = 0) -> Response:
        """Amplitudes and efficiencies of a density; deterministic, ``replicate`` changes nothing."""
        import torch

        with torch.no_grad():
            return _arrays(self._answer(torch.from_numpy(self._density(design, level)), level))

    def vjp(self, design: Array, level: int, cotangents: Cotangents, replicate: int = 0) -> tuple[Response, Array]:
        """Response and gradient with respect to the density; one eigendecomposition each wave serves both."""
        import torch

        density = torch.from_numpy(self._density(design, level)).requires_grad_()
        with torch.enable_grad():
            answer = self._answer(density, level)
        response = _arrays(answer)
        seeds = resolve_cotangents(cotangents, response)
        if not seeds:
            return response, np.zeros(self.design_shape)
        torch.autograd.backward(
            [answer[name] for name in seeds],
            [torch.as_tensor(np.array(seed)).to(answer[name].dtype) for name, seed in seeds.items()],
        )
        assert density.grad is not None
        gradient = density.grad.numpy()
        if not np.isfinite(gradient).all():
            raise SimulationError("Expected a finite gradient. Got NaN or infinity; check the cotangents.")
        return response, gradient

    def example_designs(self, rng: np.random.Generator, n: int) -> Array:
        """Smooth periodic random densities, alternately grey and nearly binary, ``n x *design_shape``."""
        phases = [2 * np.pi * (np.arange(count) + 0.5) / count for count in self.design_shape]
        modes = [np.arange(-2, 3) if count > 1 else np.zeros(1) for count in self.design_shape]
        coefficients = rng.standard_normal((n, len(modes[0]), len(modes[1]), 2)) @ np.array([1, 1j])
        along = [np.exp(1j * np.outer(mode, phase)) for mode, phase in zip(modes, phases, strict=True)]
        waves = np.einsum("nab,ai,bj->nij", coefficients, *along).real
        sharpness = np.where(np.arange(n) % 2 == 0, 0.3, 5.0)[:, None, None]
        return 0.5 + 0.5 * np.tanh(sharpness * waves)

    def refined(self) -> Metagrating:
        """The same grating with half as many harmonics again as the finest level has."""
        mx, my = self.harmonics[-1]
        more = (math.ceil(1.5 * mx), math.ceil(1.5 * my))
        return replace(self, harmonics=(more[: len(self.period_um)],))

    def incidences(self) -> Iterator[Incidence]:
        """Every angle and wavelength, wavelengths the faster."""
        for angle in self.angle_deg:
            for wavelength in self.wavelength_um:
                yield Incidence(wavelength, angle, self.azimuth_deg)

    def _density(self, design: Array, level: int) -> Array:
        check_level(level, self.fidelities)
        return check_design(design, self.design_shape)

    def _answer(self, density: Tensor, level: int) -> dict[str, Tensor]:
        import torch

        from physics.rcwa.amplitudes import order_amplitudes

        void, solid = (torch.tensor(p, dtype=torch.complex128) for p in self.permittivity)
        permittivity = void + (solid - void) * density
        solved = [order_amplitudes(self, permittivity, self.harmonics[level], each) for each in self.incidences()]
        amplitude = torch.stack(solved, dim=-1).unflatten(-1, (len(self.angle_deg), len(self.wavelength_um)))
        efficiency = (amplitude.real**2 + amplitude.imag**2).sum(dim=2)
        kept = [("TE", "TM").index(name) for name in self.polarisations]
        return {"amplitude": amplitude[:, :, kept], "efficiency": efficiency}


def _arrays(answer: dict[str, Tensor]) -> dict[str, Array]:
    response = {name: value.detach().numpy().copy() for name, value in answer.items()}
    if not np.isfinite(response["amplitude"]).all():
        raise SimulationError("Expected finite amplitudes. Got NaN or infinity; is a mode of the layer at cut-off?")
    return response


def _canonical(value: Any) -> Any:
    """Nested parameters with every number as two floats, so that 2, 2.0 and 2 + 0i are one grating."""
    if isinstance(value, dict):
        return {key: _canonical(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_canonical(item) for item in value]
    return value if isinstance(value, str) else [complex(value).real + 0.0, complex(value).imag + 0.0]
