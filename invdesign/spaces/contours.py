"""Smooth outlines of a density: the polygons of its half contour."""

from __future__ import annotations

from itertools import pairwise

import gdstk
import numpy as np
from contourpy import FillType, contour_generator

from physics.base import Array


def contour_polygons(density: Array, level: float = 0.5) -> list[gdstk.Polygon]:
    """Polygons, in pixels, of what exceeds `level` in a density `(nx, ny)`, bilinear between the pixels' centres.

    Up to the design's border the density is continued by its outermost pixels. Holes are cut open by slits. Of the area
    fractions of a smooth shape the contour is that shape's to second order; of a binary density it cuts
    pixels' corners off, so that a checkerboard falls apart.
    """
    values = np.pad(np.asarray(density, dtype=np.float64), 1, mode="edge")
    x, y = (np.concatenate([[0.0], np.arange(n) + 0.5, [n]]) for n in np.shape(density))
    # The generator's arrays are [y, x].
    generator = contour_generator(x, y, values.T, fill_type=FillType.OuterOffset)
    pieces: list[gdstk.Polygon] = []
    for points, offsets in zip(*generator.filled(level, np.inf), strict=True):
        rings = [points[a:b] for a, b in pairwise(offsets)]
        outer, holes = [gdstk.Polygon(rings[0])], [gdstk.Polygon(ring) for ring in rings[1:]]
        pieces += gdstk.boolean(outer, holes, "not", precision=2.0**-14) if holes else outer
    return pieces
