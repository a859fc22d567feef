"""Geometric nested dissection of the cells of a mask."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def nested_dissection(mask: NDArray[np.bool_], leaf: int = 4) -> NDArray[np.int64]:
    """Elimination order of the true cells of a mask: halves first, the line that separates them last.

    George, SIAM J. Numer. Anal. 10, 345 (1973).

    Args:
        mask: ``nx x ny``.
        leaf: blocks of at most ``leaf x leaf`` cells are not divided further.

    Returns:
        Flat indices ``ix * ny + iy``, as many as true cells.
    """
    ny = mask.shape[1]
    order: list[NDArray[np.int64]] = []

    def visit(i0: int, i1: int, j0: int, j1: int) -> None:
        block = mask[i0:i1, j0:j1]
        if not block.any():
            return
        if i1 - i0 <= leaf and j1 - j0 <= leaf:
            i, j = np.nonzero(block)
            order.append((i + i0) * ny + j + j0)
        elif i1 - i0 >= j1 - j0:
            middle = (i0 + i1) // 2
            visit(i0, middle, j0, j1)
            visit(middle + 1, i1, j0, j1)
            order.append(middle * ny + j0 + np.flatnonzero(mask[middle, j0:j1]))
        else:
            middle = (j0 + j1) // 2
            visit(i0, i1, j0, middle)
            visit(i0, i1, middle + 1, j1)
            order.append((i0 + np.flatnonzero(mask[i0:i1, middle])) * ny + middle)

    visit(0, mask.shape[0], 0, mask.shape[1])
    return np.concatenate(order) if order else np.zeros(0, dtype=np.int64)
