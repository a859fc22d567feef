"""Gaussian beams as ports: source and receiver on two layers of cells of a uniform medium.

A field between the outermost layers and the structure is a sum of plane waves exp(i q u) with the advance k of the
grid's own dispersion from layer to layer; the incoming beam has the amplitudes of a Gaussian's angular spectrum. As for
guides (:mod:`physics.fdfd.ports`) the source that lets the beam in, and nothing else, is

    b = a f_front on the layer behind, -a f_behind on the layer in front,

a the coupling between the layers, and the sum of b times the field is, by the Lorentz reciprocity of two solutions,
the overlap of what goes out with the beam's own reverse: 2 i sum sin(k) F(-q) G(q). Scaled by 1 / sqrt(2 i P), P the
beam's flux, |S|^2 is the power in the beam for unit power at the other port.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from physics.fdfd.grid import Complex, Grid, Real
from physics.fdfd.modes import GuidedMode
from physics.fdfd.ports import Layers, PortVector, on_grid
from physics.fdfd.stencil import Stencil

UNIFORM = 1e-9  # relative difference of coefficients that counts as none
PERIODS = 4  # the spectrum's period, in widths of the grid
HELD_SHARE = 0.999  # of the beam's power, at least, that must cross the grid between its absorbing layers
WAIST_WAVELENGTHS = 1.0  # narrowest waist radius, in wavelengths of the medium


@dataclass(frozen=True)
class Beam:
    """A Gaussian beam, uniform out of the plane.

    Args:
        waist_um: radius at which the field has fallen to 1 / e at the waist.
        angle_deg: of the beam that leaves, from the normal, positive towards +x; the incoming one is its reverse.
        x_um, y_um: centre of the waist.
    """

    waist_um: float
    angle_deg: float
    x_um: float
    y_um: float


def beam_vector(beam: Beam, grid: Grid, stencil: Stencil, side: str, layer: int) -> PortVector:
    """A beam that enters from the north or south through two layers of cells.

    The waist is that of the exact angular spectrum in the rotated frame, without the paraxial approximation; the beam
    need not have its waist at the layers.

    Args:
        beam: in the coordinates of the grid.
        grid: the grid.
        stencil: the operator on the grid.
        side: "north" or "south".
        layer: the layer in front (towards the structure), counted from 0 at that side's boundary; it and the layer
            behind it lie in a uniform, lossless medium outside the PML.

    Returns:
        The vector, its reflection constant, and as its mode the field on the front layer.

    Raises:
        ValueError: if the medium there is not uniform, the waist too narrow, the angle too flat, or the beam wider than
            the grid.
    """
    if side not in ("north", "south"):
        raise ValueError(f"Expected a beam from the north or south. Got {side!r}.")
    layers = Layers.of(stencil, side)
    columns = slice(grid.x.low_pml, grid.x.cells - grid.x.high_pml)
    medium = _medium(layers, layer, columns)
    h = grid.cell_um
    heights = grid.y.centres_um[::-1] if side == "north" else grid.y.centres_um
    depth = abs(heights[layer] - beam.y_um) / h * (1 if (heights[layer] < beam.y_um) == (side == "north") else -1)
    transverse, k, amplitude = _spectrum(beam, medium, h, grid.x.cells)
    shift = (grid.x.centres_um[columns] - beam.x_um) / h
    waves = np.exp(1j * np.outer(shift, transverse))
    front = waves @ (amplitude * np.exp(1j * k * depth))
    behind = waves @ (amplitude * np.exp(1j * k * (depth - 1)))
    coupling = medium[2]
    flux = coupling * float(np.vdot(behind, front).imag)
    period = PERIODS * grid.x.cells
    share = flux / (coupling * period * float((np.abs(amplitude) ** 2 * np.sin(k)).sum()))
    if share < HELD_SHARE:
        raise ValueError(
            f"Expected a beam that crosses the domain between its absorbing layers. Got {share:.4g} of its power "
            "there; widen the domain, narrow the beam or move it to the middle."
        )
    w = np.zeros(layers.diagonal.shape, dtype=np.complex128)
    scale = 1 / np.sqrt(2j * flux)
    w[layer - 1, columns], w[layer, columns] = coupling * scale * front, -coupling * scale * behind
    own = coupling * complex((front * behind).sum()) / (2j * flux)
    return PortVector(on_grid(side, w), own, GuidedMode(front, float(k[np.abs(amplitude).argmax()])))


def _medium(layers: Layers, layer: int, columns: slice) -> tuple[float, float, float]:
    """(diagonal, coupling within, coupling between) of the layers at the plane."""
    count = len(layers.diagonal)
    if not 1 <= layer < count - 1:
        raise ValueError(f"Expected a layer from 1 to {count - 2}. Got {layer}.")
    rows, inner = slice(layer - 1, layer + 1), slice(columns.start, columns.stop - 1)
    parts = (layers.diagonal[rows, columns], layers.across[rows, inner], layers.along[rows, columns])
    values = [complex(part[1, 0]) for part in parts]
    off = max(float(np.abs(part - value).max()) for part, value in zip(parts, values, strict=True)) / abs(values[0])
    loss = max(abs(value.imag) for value in values) / abs(values[0])
    if max(off, loss) > UNIFORM:
        raise ValueError(
            f"Expected a uniform lossless medium where a beam enters. Got coefficients that differ by {off:.2g}, lossy "
            f"by {loss:.2g}; keep structures and absorbing layers away from it."
        )
    diagonal, within, between = (value.real for value in values)
    return diagonal, within, between


def _spectrum(beam: Beam, medium: tuple[float, float, float], cell_um: float, cells: int) -> tuple[Real, Real, Complex]:
    """(advance along the layers, advance from layer to layer, amplitude) of the plane waves, in radians per cell."""
    diagonal, within, between = medium
    mass = diagonal + 2 * within + 2 * between
    theta = math.radians(beam.angle_deg)
    sine, cosine = math.sin(theta), math.cos(theta)
    wavenumber = math.sqrt(mass / between) / cell_um if mass / between > 0 else 0.0
    if not beam.waist_um * wavenumber >= 2 * math.pi * WAIST_WAVELENGTHS:
        raise ValueError(
            f"Expected a waist of {WAIST_WAVELENGTHS:g} wavelength in the medium or more, "
            f"{2 * math.pi * WAIST_WAVELENGTHS / max(wavenumber, 1e-9):.3g} um. Got {beam.waist_um} um."
        )
    # The slowest part of the spectrum that counts must still travel well away from the layers.
    if not abs(theta) + math.asin(min(1.0, 4 / (beam.waist_um * wavenumber))) < math.pi / 2:
        raise ValueError(f"Expected a steeper or wider beam. Got {beam.angle_deg} degrees, waist {beam.waist_um} um.")
    period = PERIODS * cells
    q = 2 * np.pi * np.arange(-(period // 2), period - period // 2) / period
    squared = (mass - 4 * within * np.sin(q / 2) ** 2) / (4 * between)
    travels = (squared > 0) & (squared < 1)
    q = q[travels]
    k = 2 * np.arcsin(np.sqrt(squared[travels]))
    across = (q * cosine + k * sine) / cell_um  # wave number across the axis; along it the beam goes (-sine, inwards)
    stretch = cosine - sine * np.sin(q) / np.sin(k)  # d(across) / dq
    along = k * cosine - q * sine
    amplitude = np.where((along > 0) & (stretch > 0), stretch * np.exp(-((across * beam.waist_um / 2) ** 2)), 0.0)
    kept = np.abs(amplitude) > 1e-14 * np.abs(amplitude).max()
    return q[kept], k[kept], amplitude[kept]
