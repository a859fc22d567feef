"""Ports: one vector serves as directional source and as extraction of the outgoing amplitude.

Across the plane between two neighbouring layers of cells, behind (towards the boundary) and front (towards the device),
a field a_front = f + g, a_behind = f exp(-i k) + g exp(i k) has an incoming amplitude f and an outgoing amplitude g (k
is the mode's phase per cell). The source of f alone, by the equivalence of total and scattered field, is

    b = C phi on the layer behind, -exp(-i k) C phi on the layer in front,

C the couplings between the two layers and phi^T C phi = 1, and the outgoing amplitude is g = b^T E / (2 i sin k): the
same vector. With flux normalisation sin k, S = w^T A^-1 w + diag(exp(-i k) / (2 i sin k)), w = b / sqrt(2 i sin k),
symmetric to rounding like A. In a lossy guide k is complex and amplitudes are those of the unconjugated norm.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from physics.fdfd.grid import Axis, Complex, Grid, Real
from physics.fdfd.modes import GuidedMode, guided_mode
from physics.fdfd.stencil import Stencil
from physics.fdfd.values import real, whole

SIDES = ("west", "east", "south", "north")
STRAIGHT = 1e-11  # relative change of the coefficients along a guide that counts as none
GUIDED_SHARE = 0.99  # of a mode's power, at least, in the port's own guide and the cladding next to it


@dataclass(frozen=True)
class Port:
    """A guide's cross-section on one side of the design region.

    Args:
        name: key of the port in a response.
        side: "west", "east", "south" or "north".
        centre_um: position along that side (y for west and east, x for south and north), on the guide's core.
        distance_um: from the design region's edge outwards to the plane where amplitudes are taken.
        mode: 0 for the fundamental; every mode of a guide is a port of its own.
        span_um: width of the cross-section about ``centre_um``; infinite for all up to the PML, shared midway with the
            ports next to it.
    """

    name: str
    side: str
    centre_um: float = 0.0
    distance_um: float = 0.4
    mode: int = 0
    span_um: float = math.inf

    def __post_init__(self) -> None:
        object.__setattr__(self, "centre_um", real(f"centre_um of port {self.name!r}", self.centre_um))
        object.__setattr__(self, "distance_um", real(f"distance_um of port {self.name!r}", self.distance_um))
        object.__setattr__(self, "mode", whole(f"the mode of port {self.name!r}", self.mode))
        object.__setattr__(self, "span_um", real(f"span_um of port {self.name!r}", self.span_um))
        if self.side not in SIDES:
            raise ValueError(f"Expected a side among {', '.join(SIDES)}. Got {self.side!r} for port {self.name!r}.")
        if not (math.isfinite(self.distance_um) and self.distance_um > 0 and math.isfinite(self.centre_um)):
            raise ValueError(f"Expected port {self.name!r} at a finite position outside the design region. Got {self}.")
        if not self.span_um > 0:
            raise ValueError(f"Expected a span_um above 0 for port {self.name!r}. Got {self.span_um}.")
        if self.mode < 0:
            raise ValueError(f"Expected mode 0, 1, ... for port {self.name!r}. Got {self.mode}.")


@dataclass(frozen=True, eq=False)
class PortVector:
    """A port on a grid: ``w`` (``nx x ny``), the constant of its own reflection, and its mode.

    The field A^-1 w comes in with a flux of 1/2 in the units of :mod:`physics.fdfd.monitors` (lossless guides).
    """

    w: Complex
    own: complex
    mode: GuidedMode


@dataclass(frozen=True, eq=False)
class Layers:
    """A stencil seen from one side; layer 0 is the outermost.

    Args:
        diagonal: ``layers x n``.
        along: ``layers x n``; ``along[l]`` couples layer l with l + 1.
        across: ``layers x n``; ``across[:, j]`` couples j with j + 1.
    """

    diagonal: Complex
    along: Complex
    across: Complex

    @staticmethod
    def of(stencil: Stencil, side: str) -> Layers:
        """The layers of a stencil seen from ``side``."""
        vertical, far = side in ("south", "north"), side in ("east", "north")
        along, across = (stencil.north, stencil.east) if vertical else (stencil.east, stencil.north)
        return Layers(
            seen_from(side, stencil.diagonal),
            seen_from(side, np.roll(along, 1, axis=1 if vertical else 0) if far else along),
            seen_from(side, across),
        )


def seen_from(side: str, array: Complex) -> Complex:
    """``nx x ny`` to ``layers x n``, layer 0 the outermost on that side."""
    rows = array.T if side in ("south", "north") else array
    return rows[::-1] if side in ("east", "north") else rows


def on_grid(side: str, rows: Complex) -> Complex:
    """The inverse of :func:`seen_from`."""
    rows = rows[::-1] if side in ("east", "north") else rows
    return np.ascontiguousarray(rows.T if side in ("south", "north") else rows)


def stencil_port(
    port: Port, others: Sequence[Port], grid: Grid, stencil: Stencil, half_size_um: tuple[float, float]
) -> PortVector:
    """The normalised vector of one port, its phase referred to the edge of the design region.

    Args:
        port: the port.
        others: all ports of the device; those on the same side share it midway.
        grid: the grid.
        stencil: the operator on the grid; the guide must run straight from the plane to the boundary, and only the
            stretch along the guide may vary there.
        half_size_um: half the design region's size along x and y.

    Raises:
        ValueError: if there is no straight guide at the port that carries its mode alone.
    """
    vertical = port.side in ("south", "north")
    along, across = (grid.y, grid.x) if vertical else (grid.x, grid.y)
    layers = Layers.of(stencil, port.side)
    half = half_size_um[1 if vertical else 0]
    front = round((along.cells / 2) - (half + port.distance_um) / grid.cell_um - 0.5)
    absorbing = along.high_pml if port.side in ("east", "north") else along.low_pml
    if along.periodic:
        raise ValueError(f"Expected port {port.name!r} on a side where the grid ends. Got a periodic axis; end it.")
    if front - 1 < absorbing:
        raise ValueError(
            f"Expected port {port.name!r} between the design region and the PML. Got a plane {port.distance_um} um "
            f"from the design's edge; widen margin_um or shorten the distance."
        )
    window = _window(port, others, across)
    _check_straight(port, layers, front, window)
    section = Layers(*(part[front, window] for part in (layers.diagonal, layers.along, layers.across)))
    mode = guided_mode(section.diagonal, section.across[:-1], section.along, port.mode)
    _check_guide(port, mode, section, across.centres_um[window])
    plane = (along.cells / 2 - front - 0.5) * grid.cell_um
    delay = cmath.exp(-1j * mode.phase * (plane - half) / grid.cell_um)
    norm = 2j * cmath.sin(mode.phase)
    w = np.zeros(layers.diagonal.shape, dtype=np.complex128)
    w[front - 1, window] = section.along * mode.profile
    w[front, window] = -cmath.exp(-1j * mode.phase) * section.along * mode.profile
    w *= delay / cmath.sqrt(norm)
    return PortVector(on_grid(port.side, w), delay**2 * cmath.exp(-1j * mode.phase) / norm, mode)


def port_vector(
    port: Port, others: Sequence[Port], grid: Grid, permittivity: Real, omega: float, half_size_um: tuple[float, float]
) -> PortVector:
    """:func:`stencil_port` of an ``nx x ny`` permittivity in Ez, 2 pi / wavelength_um = ``omega``."""
    ones = np.ones(grid.shape, dtype=np.complex128)
    stencil = Stencil((omega * grid.cell_um) ** 2 * permittivity - 4 * ones, ones, ones)
    return stencil_port(port, others, grid, stencil, half_size_um)


def _check_straight(port: Port, layers: Layers, front: int, window: slice) -> None:
    """``ValueError`` unless the layers from the front one to the boundary differ by a stretch along the guide alone.

    A stretch multiplies the couplings within a layer, and the diagonal plus the couplings to the layers beside it, by
    one number; those to the next layer by another.
    """
    along, across = layers.along[: front + 1, window], layers.across[: front + 1, window][:, :-1]
    within = layers.diagonal[: front + 1, window] + along
    within[1:] += along[:-1]
    pivot = np.abs(across[front]).argmax()
    stretch = across[:, pivot] / across[front, pivot]
    within = within - stretch[:, None] * within[front]
    within[0] /= along[front]  # short of the coupling beyond the boundary
    within[0] -= within[0].mean()
    step = along / along[front]
    changes = (within, across - stretch[:, None] * across[front], step - step.mean(axis=1, keepdims=True))
    scale = np.abs(stretch).max() * max(np.abs(within[front]).max(), np.abs(layers.diagonal[front, window]).max())
    if max(float(np.abs(change).max()) for change in changes) > STRAIGHT * scale:
        raise ValueError(f"Expected a straight guide from port {port.name!r} to the boundary. Got one that changes.")


def _check_guide(port: Port, mode: GuidedMode, section: Layers, centres: Real) -> None:
    """``ValueError`` unless the mode is that of the guide at ``centre_um``.

    Cores are the runs of cells in which the mode oscillates (of a mode that does so nowhere, the cells above half its
    peak); its power must lie nearer to the port's own than to any other.
    """
    faces = np.pad(section.across[:-1], 1, mode="edge")
    core = np.real(section.diagonal + faces[1:] + faces[:-1] + 2 * np.cos(mode.phase) * section.along) > 0
    if not core.any():
        core = np.abs(mode.profile) > 0.5 * np.abs(mode.profile).max()
    reach = (centres[1] - centres[0]) / 2 * (1 + 1e-6)
    at_port = np.flatnonzero(core & (np.abs(centres - port.centre_um) <= reach))
    if not len(at_port):
        peak = centres[np.abs(mode.profile).argmax()]
        raise ValueError(
            f"Expected port {port.name!r} on the core of a guide that carries its mode. "
            f"Got centre_um={port.centre_um} and a mode near {peak:.3g} um; move the port or the guide."
        )
    inside, run = np.flatnonzero(core), np.cumsum(~core)  # run is constant within a core
    nearest = inside[np.abs(np.arange(len(core))[:, None] - inside).argmin(axis=1)]
    power = np.abs(section.along * mode.profile**2)
    share = float(power[run[nearest] == run[at_port[0]]].sum() / power.sum())
    if share < GUIDED_SHARE:
        raise ValueError(
            f"Expected mode {port.mode} in the guide at port {port.name!r}. Got one with {share:.3g} of its power "
            "there, the rest in another guide on that side; give every guide a port, or move them apart."
        )


def _window(port: Port, others: Sequence[Port], axis: Axis) -> slice:
    """Cells of a port's cross-section: its span, else from PML to PML, shared midway with neighbours on its side."""
    centres = axis.centres_um
    lower, upper = centres[axis.low_pml], centres[-1 - axis.high_pml]
    lower, upper = max(lower, port.centre_um - port.span_um / 2), min(upper, port.centre_um + port.span_um / 2)
    for other in others if math.isinf(port.span_um) else ():
        middle = (other.centre_um + port.centre_um) / 2
        if other.side != port.side or other.centre_um == port.centre_um:
            continue
        lower, upper = (max(lower, middle), upper) if other.centre_um < port.centre_um else (lower, min(upper, middle))
    inside = np.flatnonzero((centres >= lower - 1e-9) & (centres <= upper + 1e-9))
    if len(inside) < 5:
        raise ValueError(f"Expected room for port {port.name!r}. Got {len(inside)} cells across; move the ports apart.")
    return slice(int(inside[0]), int(inside[-1]) + 1)
