"""Diffraction orders of a Bloch-periodic cell: sources and extractions of single plane waves, as ports are of modes.

In the uniform layers outside a grating the order m, exp(i q_m j) along the layer with q_m N = phase + 2 pi m, advances
by k from layer to layer, diagonal + 2 a cos(q) + 2 c cos(k) = 0 with couplings a within and c between the layers. As
A(phase)^T = A(-phase), the extraction carries the conjugate profile. With b and e of the form in
:mod:`physics.fdfd.ports`, scaled to unit flux, S_mn = e_m^T A^-1 b_n + own_m where m is n.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from physics.fdfd.grid import Complex
from physics.fdfd.ports import Layers, on_grid
from physics.fdfd.stencil import Stencil

UNIFORM = 1e-9  # relative difference of coefficients within a layer that counts as none


@dataclass(frozen=True, eq=False)
class FloquetOrder:
    """A propagating order on one side of a periodic cell; unit amplitude is unit flux in the stencil's units.

    Args:
        order: m.
        transverse: advance per cell along the layer in radians.
        phase: advance per cell across the layers in radians, above 0.
        source: ``nx x ny``, right-hand side of the order coming in with amplitude 1 at the front layer.
        extraction: ``nx x ny``; the outgoing amplitude there is the sum of extraction times field, plus ``own`` if this
            very order is the source.
        own: see ``extraction``.
    """

    order: int
    transverse: float
    phase: float
    source: Complex
    extraction: Complex
    own: complex

    @property
    def angle(self) -> float:
        """Between the wave vector and the normal of the layers, in radians."""
        return math.atan2(self.transverse, self.phase)


def floquet_orders(stencil: Stencil, side: str, layer: int) -> list[FloquetOrder]:
    """All propagating orders on a side, ascending in m.

    Args:
        stencil: operator of a cell that is periodic along the side.
        side: "west", "east", "south" or "north".
        layer: the front layer (towards the structure), counted from 0 at that side's boundary; it and the layer before
            it must be uniform, lossless and outside the PML.

    Raises:
        ValueError: if the cell is not periodic along that side, or the layers are not as they should be.
    """
    layers = Layers.of(stencil, side)
    count, n = layers.diagonal.shape
    if not 1 <= layer < count:
        raise ValueError(f"Expected a layer from 1 to {count - 1} seen from {side}. Got {layer}.")
    if not np.any(layers.across[layer, -1] != 0):
        raise ValueError(f"Expected a cell that is periodic along its {side} side. Got one that ends there.")
    diagonal, within, between = (complex(part[layer, 0]) for part in (layers.diagonal, layers.across, layers.along))
    uniform = (
        (layers.diagonal[layer - 1 : layer + 1], diagonal),
        (layers.across[layer - 1 : layer + 1], within),
        (layers.along[layer - 1 : layer + 1], between),
    )
    off = max(float(np.abs(part - value).max()) for part, value in uniform) / abs(diagonal)
    loss = max(abs(value.imag) for value in (diagonal, within, between)) / abs(diagonal)
    if max(off, loss) > UNIFORM:
        raise ValueError(
            f"Expected uniform lossless layers {layer - 1} and {layer} seen from {side}. Got coefficients that differ "
            f"by {off:.2g}, lossy by {loss:.2g}; choose a layer outside the structure and the PML."
        )
    mass = (diagonal + 2 * within + 2 * between).real
    phase = stencil.phase[0 if side in ("south", "north") else 1]
    found = []
    for m in range(-n, n + 1):
        transverse = (phase + 2 * math.pi * m) / n
        squared = (mass - 4 * within.real * math.sin(transverse / 2) ** 2) / (4 * between.real)
        if abs(transverse) <= math.pi and 0 < squared < 1:
            k = 2 * math.asin(math.sqrt(squared))
            found.append(_order(m, transverse, k, layers, layer, between.real, side))
    return found


def _order(m: int, transverse: float, k: float, layers: Layers, layer: int, between: float, side: str) -> FloquetOrder:
    n = layers.diagonal.shape[1]
    profile = np.exp(1j * transverse * (np.arange(n) - (n - 1) / 2)) * math.sqrt(between / n)

    def plane(values: Complex) -> Complex:
        rows = np.zeros(layers.diagonal.shape, dtype=np.complex128)
        rows[layer - 1], rows[layer] = values, -np.exp(-1j * k) * values
        return on_grid(side, rows)

    flux = math.sqrt(math.sin(k))
    own = complex(np.exp(-1j * k) / (2j * math.sin(k)))
    return FloquetOrder(m, transverse, k, plane(profile / flux), plane(profile.conj() / (2j * flux)), own)
