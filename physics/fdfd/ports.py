"""Ports: one vector serves as directional source and as extraction of the outgoing amplitude.

Across the plane between two neighbouring layers of cells, behind (towards the boundary) and front (towards the device),
a field a_front = f + g, a_behind = f exp(-i k) + g exp(i k) has an incoming amplitude f and an outgoing amplitude g (k
is the mode's phase per cell). The source of f alone, by the equivalence of total and scattered field, is

    b = phi on the layer behind, -exp(-i k) phi on the layer in front,

and the outgoing amplitude is g = b^T E / (2 i sin k): the same vector. With flux normalisation sin k,
S = w^T A^-1 w + diag(exp(-i k) / (2 i sin k)), w = b / sqrt(2 i sin k), symmetric to rounding like A.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from physics.fdfd.grid import Complex, Grid, Real
from physics.fdfd.modes import SlabMode, slab_mode
from physics.fdfd.values import real, whole

SIDES = ("west", "east", "south", "north")
GUIDED_SHARE = 0.99  # of a mode's power, at least, in the port's own guide and the cladding next to it


@dataclass(frozen=True)
class Port:
    """A guide's cross-section on one side of the design region.

    Args:
        name: key of the port in a response.
        side: "west", "east", "south" or "north".
        centre_um: position along that side (y for west and east, x for south and north), on the guide's core.
        distance_um: from the design region's edge outwards to the plane where amplitudes are taken.
        mode: 0 for the fundamental.
    """

    name: str
    side: str
    centre_um: float = 0.0
    distance_um: float = 0.4
    mode: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "centre_um", real(f"centre_um of port {self.name!r}", self.centre_um))
        object.__setattr__(self, "distance_um", real(f"distance_um of port {self.name!r}", self.distance_um))
        object.__setattr__(self, "mode", whole(f"the mode of port {self.name!r}", self.mode))
        if self.side not in SIDES:
            raise ValueError(f"Expected a side among {', '.join(SIDES)}. Got {self.side!r} for port {self.name!r}.")
        if not (math.isfinite(self.distance_um) and self.distance_um > 0 and math.isfinite(self.centre_um)):
            raise ValueError(f"Expected port {self.name!r} at a finite position outside the design region. Got {self}.")
        if self.mode < 0:
            raise ValueError(f"Expected mode 0, 1, ... for port {self.name!r}. Got {self.mode}.")


@dataclass(frozen=True, eq=False)
class PortVector:
    """A port on a grid: ``w`` (``nx x ny``), the constant of its own reflection, and its mode."""

    w: Complex
    own: complex
    mode: SlabMode


def port_vector(
    port: Port, others: Sequence[Port], grid: Grid, permittivity: Real, omega: float, half_size_um: tuple[float, float]
) -> PortVector:
    """The normalised vector of one port, its phase referred to the edge of the design region.

    Args:
        port: the port.
        others: all ports of the device; those on the same side share it midway.
        grid: the grid.
        permittivity: ``nx x ny``; the guide must run straight from the plane to the boundary.
        omega: angular frequency, 2 pi / wavelength_um.
        half_size_um: half the design region's size along x and y.

    Raises:
        ValueError: if there is no straight guide at the port that carries its mode alone.
    """
    vertical = port.side in ("south", "north")
    along, across = (grid.y, grid.x) if vertical else (grid.x, grid.y)
    # Seen from the side at which the port lies, layer 0 is the outermost one.
    rows = permittivity.T if vertical else permittivity
    rows = rows[::-1] if port.side in ("east", "north") else rows
    half = half_size_um[1 if vertical else 0]
    front = round((along.cells / 2) - (half + port.distance_um) / grid.cell_um - 0.5)
    if front - 1 < along.pml_cells:
        raise ValueError(
            f"Expected port {port.name!r} between the design region and the PML. Got a plane {port.distance_um} um "
            f"from the design's edge; widen margin_um or shorten the distance."
        )
    window = _window(port, others, across.centres_um, across.pml_cells)
    section = rows[front, window]
    if np.ptp(rows[: front + 1, window], axis=0).max() > 1e-9:
        raise ValueError(f"Expected a straight guide from port {port.name!r} to the boundary. Got one that changes.")
    mode = slab_mode(section, grid.cell_um, omega, port.mode)
    _check_guide(port, mode, section, across.centres_um[window], omega * grid.cell_um)
    plane = (along.cells / 2 - front - 0.5) * grid.cell_um
    delay = np.exp(-1j * mode.phase * (plane - half) / grid.cell_um)
    norm = 2j * math.sin(mode.phase)
    w = np.zeros(rows.shape, dtype=np.complex128)
    w[front - 1, window] = mode.profile
    w[front, window] = -np.exp(-1j * mode.phase) * mode.profile
    w *= delay / np.sqrt(norm)
    w = w[::-1] if port.side in ("east", "north") else w
    own = complex(delay**2 * np.exp(-1j * mode.phase) / norm)
    return PortVector(np.ascontiguousarray(w.T if vertical else w), own, mode)


def _check_guide(port: Port, mode: SlabMode, section: Real, centres: Real, cell_phase: float) -> None:
    """``ValueError`` unless the mode is that of the guide at ``centre_um``.

    Cores are the runs of cells in which the mode oscillates; its power must lie nearer to the port's own than to any
    other. ``cell_phase`` is omega times the cell's side.
    """
    core = cell_phase**2 * section > (2 * math.sin(mode.phase / 2)) ** 2
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
    share = float((mode.profile[run[nearest] == run[at_port[0]]] ** 2).sum())
    if share < GUIDED_SHARE:
        raise ValueError(
            f"Expected mode {port.mode} in the guide at port {port.name!r}. Got one with {share:.3g} of its power "
            "there, the rest in another guide on that side; give every guide a port, or move them apart."
        )


def _window(port: Port, others: Sequence[Port], centres: Real, pml_cells: int) -> slice:
    """Cells of a port's cross-section: from PML to PML, shared midway with neighbours on the same side."""
    lower, upper = centres[pml_cells], centres[-1 - pml_cells]
    for other in others:
        middle = (other.centre_um + port.centre_um) / 2
        if other.side != port.side or other.centre_um == port.centre_um:
            continue
        lower, upper = (max(lower, middle), upper) if other.centre_um < port.centre_um else (lower, min(upper, middle))
    inside = np.flatnonzero((centres >= lower - 1e-9) & (centres <= upper + 1e-9))
    if len(inside) < 5:
        raise ValueError(f"Expected room for port {port.name!r}. Got {len(inside)} cells across; move the ports apart.")
    return slice(int(inside[0]), int(inside[-1]) + 1)
