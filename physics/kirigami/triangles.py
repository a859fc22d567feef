"""A triangular lattice between the grips of a sheet, rows along the width, its rows on the edges of all cuts."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.sparse as sp

from physics.base import Array
from physics.kirigami.raster import Lines, cut_lines
from physics.kirigami.sheet import Sheet

# Height of a row over the distance of nodes in it; at 1/2 a hinge would need a negative stiffness.
FLATTEST = 0.6


@dataclass(frozen=True, eq=False)
class TriangleMesh:
    """Nodes, triangles and the hinges between them.

    Args:
        rest: ``n x 3`` nodes at rest, in angstrom; one row lies in either grip, which clamps slopes.
        triangles: ``m x 3`` nodes.
        edges: ``m x 3 x 3`` rest vectors first to second, second to third, third to first node.
        area: ``m``, in angstrom^2.
        hinges: ``h x 4`` nodes: the two shared, then the one of either triangle.
        slant: ``h``, weight of each hinge besides ``L^2 / (A_s + A_t)``, 1 for equilateral triangles. Of triangles of
            base b and height H, hinges along the base need 1, the others ``(1 - b^4 / 16 H^4) 2 H^4 / L^4``, so that
            the lattice bends alike about both axes.
        spokes: ``h x 3 x 3`` rest vectors from the first node to the others.
        sides: ``h x 2`` triangles of each hinge.
        cover: sparse ``m x cells``: share of each triangle that each cell's cut removes.
        free: ``n``, whether a node is free.
        pulled: ``n``, whether a node is in the grip that moves.
    """

    rest: Array
    triangles: Array
    edges: Array
    area: Array
    hinges: Array
    slant: Array
    spokes: Array
    sides: Array
    cover: sp.csr_matrix
    free: Array
    pulled: Array


@lru_cache(maxsize=8)
def triangle_mesh(sheet: Sheet, spacing_angstrom: float) -> TriangleMesh:
    """The lattice of a sheet, nodes about ``spacing_angstrom`` apart, closer where the edges of cuts force close rows.

    Sides are straight: every other row ends in halves of triangles.

    Raises:
        ValueError: where a quarter of the spacing is still too wide for these rows.
    """
    wide = sheet.width_angstrom
    count, lines = _spaced(sheet, spacing_angstrom)
    base = wide / count
    x = lines.x_angstrom
    x = np.concatenate([[2 * x[0] - x[1]], x, [2 * x[-1] - x[-2]]])
    strip_row = np.concatenate([[-1], lines.row, [-1]])
    rows, nodes = _rows(x, count, wide, sheet.periodic_y)
    triangles, strip = _strips(rows, count, sheet.periodic_y)
    period = wide if sheet.periodic_y else math.inf
    corners = nodes[triangles]
    edges = np.roll(corners, -1, axis=1) - corners
    edges[..., 1] = _nearest(edges[..., 1], period)
    area = 0.5 * (edges[:, 2, 0] * edges[:, 0, 1] - edges[:, 0, 0] * edges[:, 2, 1])
    low = corners[:, 0, 1]
    heights = np.stack([low, low + edges[:, 0, 1], low - edges[:, 2, 1]], axis=1)
    cover = _cover(heights, strip_row[strip], sheet)
    hinges, sides = _hinges(triangles)
    spokes = nodes[hinges[:, 1:]] - nodes[hinges[:, :1]]
    spokes[..., 1] = _nearest(spokes[..., 1], period)
    along = np.abs(spokes[:, 0])
    height = np.where(along[:, 0] > 1e-9 * base, along[:, 0], base * math.sqrt(3) / 2)
    corrected = (1 - base**4 / (16 * height**4)) * 2 * height**4 / (height**2 + base**2 / 4) ** 2
    slant = np.where(along[:, 0] > 1e-9 * base, corrected, 1.0)
    line = np.repeat(np.arange(len(x)), [len(row) for row in rows])
    free = (line > 1) & (line < len(x) - 2)
    return TriangleMesh(nodes, triangles, edges, area, hinges, slant, spokes, sides, cover, free, line >= len(x) - 2)


def _spaced(sheet: Sheet, spacing_angstrom: float) -> tuple[int, Lines]:
    """How many spacings the width has, and the rows."""
    cell = sheet.cell_angstrom[1]
    for share in np.linspace(1, 0.25, 16):
        spacing = share * spacing_angstrom
        # Nodes on the cells' borders where a cell is wide enough.
        per_cell = sheet.cells[1] * max(1, round(cell / spacing))
        count = per_cell if cell >= spacing else max(3, round(sheet.width_angstrom / spacing))
        base = sheet.width_angstrom / count
        lines = cut_lines(sheet, base * math.sqrt(3) / 2)
        if np.diff(lines.x_angstrom).min() >= FLATTEST * base:
            return count, lines
    closest = float(np.diff(lines.x_angstrom).min())
    closest = float(np.diff(lines.x_angstrom).min())
    raise ValueError(
        f"Expected rows no closer than {FLATTEST} of the nodes in a row. Got edges of cuts {closest:.3g} angstrom "
        f"apart; use a spacing_angstrom of {closest / FLATTEST:.3g} or less."
    )


def _rows(x: Array, count: int, wide: float, periodic: bool) -> tuple[list[Array], Array]:
    """Indices of the nodes of every row, and all nodes."""
    step, rows, nodes, total = wide / count, [], [], 0
    for index, place in enumerate(x):
        odd = index % 2 == 1
        y = (np.arange(count) + (0.5 if odd else 0.0)) * step
        if not periodic:
            y = np.concatenate([[0.0], y, [wide]]) if odd else np.append(y, wide)
        rows.append(total + np.arange(len(y)))
        nodes.append(np.column_stack([np.full(len(y), place), y, np.zeros(len(y))]))
        total += len(y)
    return rows, np.concatenate(nodes)


def _strips(rows: list[Array], count: int, periodic: bool) -> tuple[Array, Array]:
    """Triangles, counter-clockwise, and the strip that each lies in."""
    triangles, strip = [], []
    j = np.arange(count)
    for index, (low, high) in enumerate(itertools.pairwise(rows)):
        even, odd = (low, high) if index % 2 == 0 else (high, low)
        if periodic:
            wide = np.stack([even[j], even[(j + 1) % count], odd[j]], axis=1)
            narrow = np.stack([odd[j - 1], odd[j], even[j]], axis=1)
        else:
            k = np.arange(count + 1)
            wide = np.stack([even[j], even[j + 1], odd[j + 1]], axis=1)
            narrow = np.stack([odd[k], odd[k + 1], even[k]], axis=1)
        # A row's next node lies at higher y; its strip is to the right of the lower row, to the left of the higher.
        if index % 2 == 0:
            wide = wide[:, [1, 0, 2]]
        else:
            narrow = narrow[:, [1, 0, 2]]
        triangles += [wide, narrow]
        strip += [index] * (len(wide) + len(narrow))
    return np.concatenate(triangles), np.array(strip)


def _nearest(y: Array, period: float) -> Array:
    return y if math.isinf(period) else y - period * np.round(y / period)


def _cover(heights: Array, row: Array, sheet: Sheet) -> sp.csr_matrix:
    """Share of each triangle in each cell's cut: a strip lies wholly in or out of a cut along x, so y alone decides."""
    columns, wide = sheet.cells[1], sheet.cell_angstrom[1]
    inside = np.flatnonzero(row >= 0)
    a, b, c = np.sort(heights[inside], axis=1).T
    shares = []
    for column in range(columns):
        share = np.zeros(len(inside))
        for shift in (-1, 0, 1) if sheet.periodic_y else (0,):
            start = column * wide + shift * sheet.width_angstrom
            share += _below(start + wide, a, b, c) - _below(start, a, b, c)
        shares.append(share)
    share = np.stack(shares, axis=1)
    which, cell = np.nonzero(share > 1e-12)
    place = row[inside[which]] * columns + cell
    return sp.csr_matrix((share[which, cell], (inside[which], place)), (len(row), sheet.cells[0] * columns))


def _below(y: float, a: Array, b: Array, c: Array) -> Array:
    """Share of the area of triangles of heights a <= b <= c that lies below y."""
    with np.errstate(divide="ignore", invalid="ignore"):
        rise = (y - a) ** 2 / ((b - a) * (c - a))
        fall = 1 - (c - y) ** 2 / ((c - b) * (c - a))
    return np.where(y <= a, 0.0, np.where(y >= c, 1.0, np.where(y < b, rise, fall)))


def _hinges(triangles: Array) -> tuple[Array, Array]:
    """Hinges and their triangles; the first triangle runs through the shared edge forwards."""
    start, end, apex = (np.roll(triangles, -k, axis=1).ravel() for k in range(3))
    owner = np.repeat(np.arange(len(triangles)), 3)
    key = np.minimum(start, end) * (triangles.max() + 1) + np.maximum(start, end)
    order = np.argsort(key, kind="stable")
    pairs = np.flatnonzero(key[order][1:] == key[order][:-1])
    first, second = order[pairs], order[pairs + 1]
    return np.stack([start[first], end[first], apex[first], apex[second]], axis=1), np.stack(
        [owner[first], owner[second]], axis=1
    )
