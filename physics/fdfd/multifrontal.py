"""Elimination of all cells of a box by dense fronts, in batches (Duff and Reid, ACM TOMS 9, 302 (1983)).

For a front with own cells 1 and boundary 2,

    G = -F11^-1 (pivoted LU within the front),    X = G F12,    S = F22 + F12^T X,

and S is what the parents assemble. Symmetry is used by forming F12 alone; real coefficients stay real, which costs a
quarter of complex ones. Nothing guards against a resonance of a box, where F11 is singular: see
:mod:`physics.fdfd.region`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from physics.fdfd.boxes import Front, dissect
from physics.fdfd.grid import Complex


@dataclass(frozen=True, eq=False)
class Moved:
    """Loads in elimination.

    Args:
        own: a front, ``N x n1 x m``: loads on its own cells once its children are eliminated.
        onto: ``n2 x m`` additions to the loads around the box, in the order of its boundary.
    """

    own: tuple[Complex, ...]
    onto: Complex

    def columns(self, chosen: slice) -> Moved:
        """Some of the loads."""
        return Moved(tuple(own[..., chosen] for own in self.own), self.onto[:, chosen])


class Elimination:
    """A box eliminated onto the ring of cells around it.

    Args:
        diagonal, east, north: ``(w + 2) x (h + 2)`` coefficients of a symmetric five-point operator on the box and the
            layer around it, as in :class:`physics.fdfd.stencil.Stencil`; 0 couples nothing. All real, or complex.

    Raises:
        numpy.linalg.LinAlgError: if a front is exactly singular.

    The Schur complement ``schur`` (``n2 x n2``, in the order of ``boundary``) holds what the box adds to its
    surroundings; coefficients among the cells around the box are not in it.
    """

    def __init__(self, diagonal: Complex, east: Complex, north: Complex) -> None:
        self.cells_x, self.cells_y = diagonal.shape
        self._fronts = dissect(self.cells_x - 2, self.cells_y - 2)
        self.dtype = np.result_type(diagonal, east, north)
        self._inverses: list[Complex] = []
        self._columns: list[Complex] = []
        schurs: list[Complex] = []
        flat = diagonal.ravel(), east.ravel(), north.ravel()
        for front in self._fronts:
            inverse, columns, schur = (
                _split(front, self.cells_y, schurs, *flat) if front.children else self._leaf(front, *flat)
            )
            self._inverses.append(inverse)
            self._columns.append(columns)
            schurs.append(schur)
        self.schur = schurs[-1][0]

    @property
    def boundary(self) -> np.ndarray:
        """``n2`` flat indices of the cells around the box, ``ix * (h + 2) + iy``."""
        return self._fronts[-1].boundary[0]

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self.schur.nbytes + sum(a.nbytes for a in (*self._inverses, *self._columns))

    def eliminate(self, loads: Complex) -> Moved:
        """Moves the loads of the box's cells onto those around it.

        Args:
            loads: ``((w + 2) (h + 2)) x m``; rows around the box do not count.
        """
        own_loads: list[Complex] = []
        updates: list[Complex] = []
        for front, columns in zip(self._fronts, self._columns, strict=True):
            own = loads[front.own]
            update = np.zeros((*front.boundary.shape, loads.shape[1]), dtype=np.result_type(self.dtype, loads))
            for child in front.children:
                part = updates[child.front][child.boxes]
                own = own + part[:, child.separator]
                for ours, theirs in child.runs:
                    update[:, theirs] = part[:, ours]
            update += columns.transpose(0, 2, 1) @ own
            own_loads.append(own)
            updates.append(update)
        return Moved(tuple(own_loads), updates[-1][0])

    def energy(self, moved: Moved) -> Complex:
        """``m x m``: loads^T A^-1 loads of the box alone, with zero field around it."""
        terms = [
            np.einsum("nim,nik->mk", own, inverse @ own) for own, inverse in zip(moved.own, self._inverses, strict=True)
        ]
        return -np.sum(terms, axis=0)

    def substitute(self, field: Complex, moved: Moved | None = None) -> None:
        """Fills the box's rows of ``field`` (``((w + 2) (h + 2)) x m``) from those around it, in place.

        Args:
            field: holds the solution on the cells around the box.
            moved: the loads, as :meth:`eliminate` gave them; None if the box has none.
        """
        for number in reversed(range(len(self._fronts))):
            front = self._fronts[number]
            inner = self._columns[number] @ field[front.boundary]
            if moved is not None:
                inner -= self._inverses[number] @ moved.own[number]
            field[front.own] = inner

    def _leaf(self, front: Front, diagonal: Complex, east: Complex, north: Complex) -> tuple[Complex, Complex, Complex]:
        """(G, X, S) of boxes without children: F12 has one entry a column, so X and S are scaled parts of G."""
        (w, h), stride = front.shape, self.cells_y
        boxes, n = front.own.shape
        number = np.arange(n)
        local = number.reshape(w, h)
        matrix = np.zeros((boxes, n, n), dtype=self.dtype)
        matrix[:, number, number] = -diagonal[front.own]
        for values, lower, upper in ((east, local[:-1], local[1:]), (north, local[:, :-1], local[:, 1:])):
            p, q = lower.ravel(), upper.ravel()
            matrix[:, p, q] = matrix[:, q, p] = -values[front.own[:, p]]
        inverse = np.linalg.inv(matrix)
        south, west, top, right = np.split(front.boundary, np.cumsum([w, h, w]), axis=1)
        coupling = np.concatenate([north[south], east[west], north[top - 1], east[right - stride]], axis=1)
        inner = np.concatenate([local[::-1, 0], local[0], local[:, -1], local[-1, ::-1]])
        columns = inverse[:, :, inner] * coupling[:, None]
        return inverse, columns, columns[:, inner] * coupling[:, :, None]


def _split(
    front: Front, stride: int, schurs: list[Complex], diagonal: Complex, east: Complex, north: Complex
) -> tuple[Complex, Complex, Complex]:
    """(G, X, S) of boxes with two halves, from the Schur complements of the fronts before."""
    own = front.own
    along, beyond = (north, 1) if front.vertical else (east, stride)
    halves = [(child, schurs[child.front][child.boxes]) for child in front.children]
    (one, first), (two, second) = halves
    f11 = -(first[:, one.separator, one.separator] + second[:, two.separator, two.separator])
    number = np.arange(own.shape[1])
    f11[:, number, number] -= diagonal[own]
    link = along[own[:, :-1]]
    f11[:, number[:-1], number[1:]] -= link
    f11[:, number[1:], number[:-1]] -= link
    f12 = np.empty((*own.shape, front.boundary.shape[1]), dtype=f11.dtype)
    low, high = front.ends
    f12[:, :, [low, high]] = 0.0
    f12[:, 0, low], f12[:, -1, high] = along[own[:, 0] - beyond], along[own[:, -1]]
    for child, schur in halves:
        for ours, theirs in child.runs:
            f12[:, :, theirs] = schur[:, child.separator, ours]
    inverse = np.linalg.inv(f11)
    columns = inverse @ f12
    total = f12.transpose(0, 2, 1) @ columns
    for child, schur in halves:
        for ours, theirs in child.runs:
            for ours_2, theirs_2 in child.runs:
                total[:, theirs, theirs_2] += schur[:, ours, ours_2]
    return inverse, columns, total
