"""Grids of square cells and the stretched-coordinate absorbing layers (PML) around them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from physics.fdfd.values import real, whole

Real = NDArray[Any]  # of float64
Complex = NDArray[Any]  # of complex128
Sparse = Any  # scipy.sparse.csc_array of complex128; its stubs do not follow through arithmetic and slicing


@dataclass(frozen=True)
class Pml:
    """A perfectly matched layer: sigma(u) = sigma_max (u / d)^order, sigma_max = -(order + 1) log_reflection / (2 d).

    ``log_reflection`` is the natural log of the reflected amplitude (nominal: continuum, normal incidence, vacuum);
    Shin and Fan, J. Comput. Phys. 231, 3406 (2012), eq. 5 in units of c = 1.
    """

    thickness_um: float = 0.6
    order: float = 3.0
    log_reflection: float = -16.0

    def __post_init__(self) -> None:
        for name in ("thickness_um", "order", "log_reflection"):
            object.__setattr__(self, name, real(f"the PML's {name}", getattr(self, name)))
        if not (math.isfinite(self.thickness_um) and self.thickness_um > 0):
            raise ValueError(f"Expected a PML thickness above 0 um. Got {self.thickness_um}.")
        if not (math.isfinite(self.order) and self.order >= 1 and -math.inf < self.log_reflection < 0):
            raise ValueError(
                "Expected a finite PML order of 1 or more and a finite negative log_reflection. "
                f"Got {self.order} and {self.log_reflection}."
            )


@dataclass(frozen=True)
class Axis:
    """``cells`` cells of side ``cell_um``, symmetric about 0.

    Args:
        cells: number of cells.
        cell_um: side of a cell.
        pml_cells: absorbing cells at each end, or (at the low end, at the high end); one int once they are equal.
        phase: None for an axis that ends, else the axis is one period and f(u + period) = exp(i phase) f(u); 0 is
            plainly periodic.
    """

    cells: int
    cell_um: float
    pml_cells: int | tuple[int, int] = 0
    phase: float | None = None

    def __post_init__(self) -> None:
        ends = self.pml_cells if isinstance(self.pml_cells, (tuple, list)) else (self.pml_cells,) * 2
        if len(ends) != 2:
            raise ValueError(f"Expected pml_cells as one number or (low, high). Got {self.pml_cells!r}.")
        low, high = (whole("pml_cells", n) for n in ends)
        if min(low, high) < 0 or low + high > self.cells:
            raise ValueError(f"Expected 0 to {self.cells} absorbing cells along an axis. Got {self.pml_cells!r}.")
        object.__setattr__(self, "pml_cells", low if low == high else (low, high))
        if self.phase is None:
            return
        object.__setattr__(self, "phase", real("an axis's phase", self.phase))
        if not math.isfinite(self.phase):
            raise ValueError(f"Expected a finite phase across the period. Got {self.phase}.")
        if low or high:
            raise ValueError(f"Expected no PML on a periodic axis. Got pml_cells={self.pml_cells!r}; drop one of them.")

    @property
    def low_pml(self) -> int:
        """Absorbing cells at the low end."""
        return self.pml_cells if isinstance(self.pml_cells, int) else self.pml_cells[0]

    @property
    def high_pml(self) -> int:
        """Absorbing cells at the high end."""
        return self.pml_cells if isinstance(self.pml_cells, int) else self.pml_cells[1]

    @property
    def periodic(self) -> bool:
        """Whether the last cell is the first one's neighbour."""
        return self.phase is not None

    @property
    def edges_um(self) -> Real:
        """Cell boundaries, ``cells + 1`` long."""
        return (np.arange(self.cells + 1) - self.cells / 2) * self.cell_um

    @property
    def centres_um(self) -> Real:
        """Cell centres, ``cells`` long."""
        return (np.arange(self.cells) + 0.5 - self.cells / 2) * self.cell_um

    def stretch(self, omega: float, pml: Pml) -> Stretch:
        """Complex stretch s = 1 + i sigma / omega (time convention exp(-i omega t)) at cell centres and cell edges."""

        def at(position: Real) -> Complex:
            s = np.ones(len(position), dtype=np.complex128)
            for layers, outward in ((self.low_pml, -position), (self.high_pml, position)):
                if layers:
                    thickness = layers * self.cell_um
                    depth = np.clip((outward - (self.cells / 2 * self.cell_um - thickness)) / thickness, 0.0, None)
                    peak = -(pml.order + 1) * pml.log_reflection / (2 * thickness)
                    s += 1j * peak / omega * depth**pml.order
            return s

        return Stretch(at(self.centres_um), at(self.edges_um))


@dataclass(frozen=True, eq=False)
class Stretch:
    """Complex coordinate stretch of one axis: ``centre`` of length n, ``edge`` of length n + 1."""

    centre: Complex
    edge: Complex


@dataclass(frozen=True)
class Grid:
    """A rectangular grid of square cells; arrays on it are indexed ``[ix, iy]``."""

    x: Axis
    y: Axis

    def __post_init__(self) -> None:
        if self.x.cell_um != self.y.cell_um:
            raise ValueError(f"Expected square cells. Got sides {self.x.cell_um} and {self.y.cell_um} um.")

    @classmethod
    def around(cls, size_um: tuple[float, float], cell_um: float, margin_um: float, pml: Pml) -> Grid:
        """The grid of a centred design region, its margins and absorbing layers on all sides.

        Aligned with the region where that is a whole number of cells; all widths are rounded up to cells.
        """
        outside, layers = (math.ceil(width / cell_um - 1e-6) for width in (margin_um, pml.thickness_um))
        x, y = (Axis(math.ceil(size / cell_um - 1e-6) + 2 * (outside + layers), cell_um, layers) for size in size_um)
        return cls(x, y)

    @property
    def cell_um(self) -> float:
        """Side of a cell."""
        return self.x.cell_um

    @property
    def shape(self) -> tuple[int, int]:
        """Cells along x and y."""
        return self.x.cells, self.y.cells

    @property
    def phases(self) -> tuple[float | None, float | None]:
        """Advance across the period along x and y, None where an axis ends."""
        return self.x.phase, self.y.phase
