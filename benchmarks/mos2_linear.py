"""Linear plane stress of the MoS2 table's sheets: all patterns of four rows of cuts at once, by substructuring.

Each option of a row is a strip of bilinear elements, condensed once to its two borders; a sheet is a chain of four such
strips between clamped grips. The lower and the upper pair of strips are condensed once for all pairs, so that a sheet
costs one dense solve for its middle border. The sides are free; a cut is an element of 1e-4 of the stiffness.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from invdesign.evaluator import Evaluator
from invdesign.problem import Problem
from invdesign.spaces.discrete import Codes
from physics.base import Array
from physics.tables import Mos2Sheet, mos2_sheet

Real = NDArray[np.float64]
POISSON, VOID, GRIPS = 0.25, 1e-4, 0.5
# Cells of a ligament-sized patch over which stresses are averaged: 16 of 25 square angstrom.
PATCH = 16


def bilinear(side_x: float, side_y: float) -> tuple[Real, Real, Real]:
    """Stiffness `(8, 8)` of a rectangular element of unit modulus and thickness, strains at its centre `(3, 8)`, law.

    Two-point Gauss quadrature; Bathe, Finite Element Procedures (1996), 5.3.
    """
    law = np.array([[1, POISSON, 0], [POISSON, 1, 0], [0, 0, (1 - POISSON) / 2]]) / (1 - POISSON**2)
    corner_x, corner_y = np.array([-1, 1, 1, -1]), np.array([-1, -1, 1, 1])

    def strains(x: float, y: float) -> Real:
        along, across = corner_x * (1 + y * corner_y) / (2 * side_x), corner_y * (1 + x * corner_x) / (2 * side_y)
        matrix = np.zeros((3, 8))
        matrix[0, 0::2], matrix[1, 1::2] = along, across
        matrix[2, 0::2], matrix[2, 1::2] = across, along
        return matrix

    points = np.array([-1, 1]) / np.sqrt(3)
    parts = [strains(x, y).T @ law @ strains(x, y) for x in points for y in points]
    return np.sum(parts, axis=0) * side_x * side_y / 4, strains(0, 0), law


def element_nodes(nx: int, ny: int) -> NDArray[np.int64]:
    """Degrees of freedom `(nx ny, 8)` of the elements of a grid; nodes count across first."""
    x, y = (index.ravel() for index in np.meshgrid(np.arange(nx), np.arange(ny), indexing="ij"))
    nodes = np.stack([(x + dx) * (ny + 1) + y + dy for dx, dy in ((0, 0), (1, 0), (1, 1), (0, 1))], axis=1)
    return np.stack([2 * nodes, 2 * nodes + 1], axis=2).reshape(len(nodes), 8)


def strip_material(sheet: Mos2Sheet, nx: int, ny: int) -> Real:
    """Share of material in the elements of a strip, `(options, nx, ny)`, with cuts as long as they are."""
    edges = np.linspace(0, sheet.width_angstrom, ny + 1)
    centre = (np.arange(nx) + 0.5) * sheet.pitch_angstrom / nx
    cut_rows = np.abs(centre - sheet.pitch_angstrom / 2) < sheet.cut_angstrom / 2
    share = np.ones((len(sheet.options), nx, ny))
    for option, (start, length) in enumerate(sheet.options):
        for low, high in ((start, start + length), (0.0, start + length - sheet.width_angstrom)):
            overlap = np.minimum(edges[1:], min(high, sheet.width_angstrom)) - np.maximum(edges[:-1], low)
            share[option][cut_rows] -= np.clip(overlap * ny / sheet.width_angstrom, 0, 1)
    return share


@dataclass(frozen=True, eq=False)
class Strips:
    """Condensed strips: stiffness of the borders `(options, 2b, 2b)`, element strains `(options, e, 3, 2b)` of them."""

    stiffness: Real
    strains: Real
    modulus: Real
    solid: NDArray[np.bool_]
    law: Real
    area: float


def condensed_strips(sheet: Mos2Sheet, nx: int = 10, ny: int = 40) -> Strips:
    """Every option of a row as a strip of `nx x ny` elements."""
    side_x, side_y = sheet.pitch_angstrom / nx, sheet.width_angstrom / ny
    element, centre, law = bilinear(side_x, side_y)
    dofs, material = element_nodes(nx, ny), strip_material(sheet, nx, ny).reshape(len(sheet.options), -1)
    modulus = VOID + (1 - VOID) * material**3
    size, border = 2 * (nx + 1) * (ny + 1), 2 * (ny + 1)
    outer = np.r_[:border, size - border : size]
    inner = np.arange(border, size - border)
    stiffness, strains = [], []
    for each in modulus:
        full = np.zeros((size, size))
        np.add.at(full, (dofs[:, :, None], dofs[:, None, :]), each[:, None, None] * element)
        answer = -np.linalg.solve(full[np.ix_(inner, inner)], full[np.ix_(inner, outer)])
        stiffness.append(full[np.ix_(outer, outer)] + full[np.ix_(outer, inner)] @ answer)
        moved = np.zeros((size, 2 * border))
        moved[outer, np.arange(2 * border)] = 1
        moved[inner] = answer
        strains.append(np.einsum("ij,ejk->eik", centre, moved[dofs]))
    return Strips(np.array(stiffness), np.array(strains), modulus, material > 0.99, law, side_x * side_y)


def chain(strips: Strips) -> tuple[Codes, list[tuple[Array, Array]]]:
    """All sheets of four strips up to mirror images: codes `(n, 4)`, and a row each its options and borders `(n, 2b)`.

    The grips move by -1/2 and +1/2 along the load and are clamped across; strips are symmetric about their cut, so the
    upper pair is the mirror image of a lower one.
    """
    options, border = len(strips.stiffness), strips.stiffness.shape[1] // 2
    below, across, above = (
        strips.stiffness[:, :border, :border],
        strips.stiffness[:, :border, border:],
        strips.stiffness[:, border:, border:],
    )
    grip = np.zeros(border)
    grip[0::2] = -GRIPS
    mirror = np.ones(border)
    mirror[0::2] = -1
    outer, inner = (index.ravel() for index in np.meshgrid(np.arange(options), np.arange(options), indexing="ij"))
    pulled = across[outer].transpose(0, 2, 1) @ grip
    solved = np.linalg.solve(above[outer] + below[inner], np.concatenate([across[inner], pulled[:, :, None]], axis=2))
    back = across[inner].transpose(0, 2, 1)
    stiffness, force = above[inner] - back @ solved[:, :, :-1], -(back @ solved[:, :, -1:])[:, :, 0]
    codes: list[Array] = []
    rows: list[list[tuple[Array, Array]]] = [[], [], [], []]
    for low in range(len(outer)):
        high = np.arange(low, len(outer))
        total = stiffness[low] + mirror[:, None] * stiffness[high] * mirror
        middle = -np.linalg.solve(total, (force[low] + mirror * force[high])[..., None])[..., 0]
        mirrored = middle * mirror
        first = -middle @ solved[low, :, :-1].T - solved[low, :, -1]
        last = -np.einsum("nij,nj->ni", solved[high, :, :-1], mirrored) - solved[high, :, -1]
        gripped = np.broadcast_to(grip, middle.shape)
        same = np.full(len(high), low)
        for row, (option, lower, upper) in enumerate(
            [
                (outer[same], gripped, first),
                (inner[same], first, middle),
                (inner[high], last, mirrored),
                (outer[high], gripped, last),
            ]
        ):
            rows[row].append((option, np.concatenate([lower, upper], axis=1)))
        codes.append(np.stack([outer[same], inner[same], inner[high], outer[high]], axis=1))
    joined = [(np.concatenate([o for o, _ in parts]), np.concatenate([u for _, u in parts])) for parts in rows]
    return np.concatenate(codes), joined


def row_stresses(strips: Strips, options: Array, borders: Array) -> Real:
    """What a row bears, `(n, 5)`: energy, largest principal stress of a patch, its 4-norm, and compression's share.

    Stresses of solid elements at their centres, per unit mean strain and modulus. The fifth is shear.
    """
    found = np.empty((len(options), 5))
    for option in np.unique(options):
        rows = np.flatnonzero(options == option)
        strains = np.einsum("nb,eib->nei", borders[rows], strips.strains[option], optimize=True)
        stress = strains @ strips.law
        energy = ((strains * stress).sum(-1) * strips.modulus[option]).sum(-1) * strips.area
        bearing = stress[:, strips.solid[option]]
        mean, half = (bearing[..., 0] + bearing[..., 1]) / 2, (bearing[..., 0] - bearing[..., 1]) / 2
        radius = np.hypot(half, bearing[..., 2])
        largest, least = mean + radius, np.minimum(mean - radius, 0)
        patch = np.sort(largest, axis=1)[:, -PATCH:].mean(1)
        shape = [patch, (largest**4).mean(1) ** 0.25, (least**2).mean(1) / (largest**2).mean(1)]
        found[rows] = np.stack([energy, *shape, (bearing[..., 2] ** 2).mean(1)], axis=1)
    return found


def all_sheets(sheet: Mos2Sheet, nx: int = 10, ny: int = 40) -> tuple[Codes, Real]:
    """Codes `(n, 4)` of all sheets up to mirror images, and `row_stresses` of their rows, `(n, 4, 5)`."""
    strips = condensed_strips(sheet, nx, ny)
    codes, rows = chain(strips)
    return codes, np.stack([row_stresses(strips, options, borders) for options, borders in rows], axis=1)


def sheet_features(rows: Real) -> Real:
    """Of `row_stresses` `(n, 4, 5)`: logarithms of sums, maxima and sorted values, `(n, 18)`; images have the same."""
    logs = [rows.sum(1), rows.max(1), np.sort(rows[:, :, 0], 1), np.sort(rows[:, :, 1], 1)]
    return np.concatenate([np.log(values) for values in logs], axis=1)


@dataclass(frozen=True)
class LinearElastic:
    """Features of the MoS2 table's patterns from one linear-elastic solve each, and the guess "least stressed first".

    All patterns are solved when the first are asked for; that is charged to the run and kept in its store.
    """

    sheet: Mos2Sheet = field(default_factory=mos2_sheet)
    nx: int = 10
    ny: int = 40

    def values(self, problem: Problem, evaluator: Evaluator, codes: Codes) -> Real:
        """Logarithms of sums, maxima and sorted values of what the rows bear, `(n, k)`; mirror images have the same."""
        return sheet_features(self._rows(evaluator, codes))

    def guess(self, problem: Problem, evaluator: Evaluator, codes: Codes) -> Real:
        """Stress of the most stressed patch at a given elongation: a sheet tears late where that is small."""
        return self._rows(evaluator, codes)[:, :, 1].max(1)

    def _rows(self, evaluator: Evaluator, codes: Codes) -> Real:
        def solve() -> dict[str, Array]:
            solved, rows = all_sheets(self.sheet, self.nx, self.ny)
            return {"codes": solved, "rows": rows.astype(np.float32)}

        kept = evaluator.memo("linear-elastic", {"method": "substructuring-1", "by": self}, solve)
        count = len(self.sheet.options)
        place = np.zeros(count**4, dtype=np.int64)
        for image in (kept["codes"], kept["codes"][:, ::-1]):
            place[np.ravel_multi_index(tuple(image.T), (count,) * 4)] = np.arange(len(image))
        return kept["rows"][place[np.ravel_multi_index(tuple(codes.T), (count,) * 4)]].astype(np.float64)
