"""Right-hand sides on the grid of a stencil: currents and plane waves.

In units of c = mu_0 = 1 and exp(-i omega t), A E = b with b = -i omega J cell_um^2 for a current density J along the
field (electric for Ez, magnetic for Hz), A the stencil times cell_um^2. Fluxes of the stencil
(:mod:`physics.fdfd.monitors`) divided by 2 omega are powers per length along z.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from physics.fdfd.grid import Axis, Complex, Grid, Real
from physics.fdfd.stencil import Stencil

UNIFORM = 1e-9  # relative difference of coefficients that counts as none


def point_current(
    grid: Grid, omega: float, position_um: tuple[float, float], amplitude: complex = 1.0, radius_um: float | None = None
) -> Complex:
    """A line current along z through a point.

    Args:
        grid: the grid.
        omega: angular frequency, 2 pi / wavelength_um.
        position_um: (x, y).
        amplitude: total current.
        radius_um: None for bilinear weights on the four cells about the point, else standard deviation of a Gaussian.

    Returns:
        ``nx x ny`` right-hand side.

    Raises:
        ValueError: if the point is not between centres of cells, or the radius is not above 0.
    """
    x, y = (_weights(a, p, radius_um) for a, p in zip((grid.x, grid.y), position_um, strict=True))
    return -1j * omega * amplitude * np.outer(x, y)


def line_current(grid: Grid, omega: float, along: str, position_um: float, profile: Complex) -> Complex:
    """A sheet current along x or y, of any profile (a Gaussian beam's, say); it radiates to both sides.

    Args:
        grid: the grid.
        omega: angular frequency, 2 pi / wavelength_um.
        along: "x" or "y".
        position_um: of the sheet on the other axis.
        profile: current per um at the centres of the cells along the sheet.

    Returns:
        ``nx x ny`` right-hand side.
    """
    if along not in ("x", "y"):
        raise ValueError(f"Expected a sheet along x or y. Got {along!r}.")
    axis, other = (grid.x, grid.y) if along == "x" else (grid.y, grid.x)
    if np.shape(profile) != (axis.cells,):
        raise ValueError(f"Expected one value a cell along {along}, {axis.cells} in all. Got {np.shape(profile)}.")
    load = -1j * omega * grid.cell_um * np.outer(profile, _weights(other, position_um, None))
    return load if along == "x" else np.ascontiguousarray(load.T)


def _weights(axis: Axis, position_um: float, radius_um: float | None) -> Real:
    """Weights of sum 1 on the cells of an axis."""
    centres = axis.centres_um
    if not centres[0] <= position_um <= centres[-1]:
        raise ValueError(f"Expected a source within {centres[0]:g} and {centres[-1]:g} um. Got {position_um}.")
    if radius_um is None:
        return np.clip(1 - np.abs(centres - position_um) / axis.cell_um, 0.0, None)
    if not radius_um > 0:
        raise ValueError(f"Expected a radius_um above 0. Got {radius_um}.")
    weights = np.exp(-0.5 * ((centres - position_um) / radius_um) ** 2)
    return weights / weights.sum()


@dataclass(frozen=True)
class PlaneWave:
    """A plane wave of unit amplitude at the grid's centre that solves a stencil's equations in a uniform medium.

    Args:
        diagonal, east, north: coefficients of the medium.
        step: advance per cell along x and y in radians, ``(k_x cell_um, k_y cell_um)``.
    """

    diagonal: complex
    east: complex
    north: complex
    step: tuple[complex, complex]

    @property
    def flux(self) -> tuple[float, float]:
        """Power through a cell's face to the east and to the north, in the stencil's units."""
        return float(np.real(self.east * np.sin(self.step[0]))), float(np.real(self.north * np.sin(self.step[1])))

    def intensity(self, cell_um: float) -> float:
        """Power per um of wavefront, in the stencil's units; a power over this is a cross-section in um."""
        return float(np.hypot(*self.flux)) / cell_um

    def field(self, grid: Grid) -> Complex:
        """``nx x ny`` field."""
        x, y = (
            np.exp(1j * step * axis.centres_um / grid.cell_um)
            for step, axis in zip(self.step, (grid.x, grid.y), strict=True)
        )
        return np.outer(x, y)


def plane_wave(stencil: Stencil, cell: tuple[int, int], angle: float) -> PlaneWave:
    """The plane wave in the uniform medium about a cell, by the grid's own dispersion.

    diagonal + 2 east cos(k_x) + 2 north cos(k_y) = 0, solved for k along the direction.

    Args:
        stencil: the operator.
        cell: index of a cell of that medium, outside the PML and not in the last row or column.
        angle: direction of the wave vector from the x axis, in radians.

    Raises:
        ValueError: if no wave propagates in that medium.
    """
    diagonal, east, north = (complex(a[cell]) for a in (stencil.diagonal, stencil.east, stencil.north))
    mass, c, s = diagonal + 2 * east + 2 * north, float(np.cos(angle)), float(np.sin(angle))
    with np.errstate(divide="ignore", invalid="ignore"):
        k = complex(np.sqrt(np.complex128(mass) / (east * c**2 + north * s**2)))
    for _ in range(30):
        value = mass - 4 * east * np.sin(k * c / 2) ** 2 - 4 * north * np.sin(k * s / 2) ** 2
        slope = 2 * east * c * np.sin(k * c) + 2 * north * s * np.sin(k * s)
        if not (np.isfinite(k) and abs(slope) > 0):
            break
        change = complex(value / slope)
        k += change
        if abs(change) < 1e-15 * abs(k):
            break
    if not (np.isfinite(k) and k.real > 0 and abs(k.imag) < k.real and abs(change) < 1e-12 * abs(k)):
        raise ValueError(f"Expected a medium at cell {cell} in which waves propagate. Got coefficients {diagonal:.6g}.")
    if mass.imag == east.imag == north.imag == 0:
        return PlaneWave(diagonal, east, north, (k.real * c, k.real * s))
    return PlaneWave(diagonal, east, north, (k * c, k * s))


def total_field_source(stencil: Stencil, inside: NDArray[np.bool_], incident: Complex) -> Complex:
    """b = (A Q - Q A) f: the total field appears within a region, the scattered field outside it.

    Q keeps the cells of the region. Only the couplings across its boundary matter, so the region may hold any structure
    and ``incident`` need solve the equations of the surroundings (A f = 0) near the boundary alone.

    Args:
        stencil: the operator, with the scatterers.
        inside: ``nx x ny`` mask of the total-field region.
        incident: ``nx x ny`` field f.

    Returns:
        ``nx x ny`` right-hand side.
    """
    _check_mask(stencil, inside)
    load = np.zeros(stencil.shape, dtype=np.complex128)
    for axis, (coupling, phase) in enumerate(zip((stencil.east, stencil.north), stencil.phase, strict=True)):
        advance = np.ones(stencil.shape, dtype=np.complex128)
        advance[(slice(None),) * axis + (-1,)] = np.exp(1j * phase)
        jump = coupling * (np.roll(inside, -1, axis).astype(float) - inside)
        load += jump * advance * np.roll(incident, -1, axis)
        load -= np.roll(jump * incident / advance, 1, axis)
    return load


def plane_wave_source(stencil: Stencil, grid: Grid, inside: NDArray[np.bool_], wave: PlaneWave) -> Complex:
    """:func:`total_field_source` of a plane wave; the medium about the region's boundary must be the wave's own.

    In a Bloch-periodic cell the region is a half-space: a full period wide, and up to the far end of the grid.

    Raises:
        ValueError: if the medium is another one on the boundary, or the wave does not have the period's phase.
    """
    _check_mask(stencil, inside)
    cells = np.zeros(stencil.shape, dtype=bool)
    for axis, (coupling, phase) in enumerate(zip((stencil.east, stencil.north), stencil.phase, strict=True)):
        crossing = (np.roll(inside, -1, axis) != inside) & (coupling != 0)
        cells |= crossing | np.roll(crossing, 1, axis)
        periodic = np.any(np.take(coupling, -1, axis) != 0)
        if periodic and abs(np.exp(1j * (wave.step[axis] * stencil.shape[axis] - phase)) - 1) > UNIFORM:
            raise ValueError(
                f"Expected a wave with the phase {phase:.6g} of the period along {'xy'[axis]}. "
                f"Got {complex(wave.step[axis]).real * stencil.shape[axis]:.6g}; choose the grid's phase to match."
            )
    neighbours = [(a, w) for a, w in ((stencil.east, wave.east), (stencil.north, wave.north))]
    neighbours += [(np.roll(a, 1, axis), w) for axis, (a, w) in enumerate(neighbours)]
    scale = abs(wave.diagonal)
    for array, wanted in ((stencil.diagonal, wave.diagonal), *neighbours):
        off = np.abs(array[cells] - wanted).max(initial=0.0) / scale
        if off > UNIFORM:
            raise ValueError(
                f"Expected the wave's own medium on the boundary of the total-field region. Got coefficients off by "
                f"{off:.2g}; keep the boundary clear of structures and PML."
            )
    return total_field_source(stencil, inside, wave.field(grid))


def box(grid: Grid, x_um: tuple[float, float], y_um: tuple[float, float]) -> NDArray[np.bool_]:
    """``nx x ny`` mask of the cells whose centres lie in a rectangle."""
    x, y = (
        (low <= axis.centres_um) & (axis.centres_um <= high)
        for (low, high), axis in zip((x_um, y_um), (grid.x, grid.y), strict=True)
    )
    return np.outer(x, y)


def _check_mask(stencil: Stencil, inside: NDArray[np.bool_]) -> None:
    if np.shape(inside) != stencil.shape or inside.dtype != np.bool_:
        raise ValueError(f"Expected a boolean mask of shape {stencil.shape}. Got {inside.dtype}, {np.shape(inside)}.")
