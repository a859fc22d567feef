"""Patterns that tests share."""

from __future__ import annotations

import numpy as np

from physics.kirigami import Sheet

PRISTINE = np.ones((3, 5))
SERPENTINE = np.array([[0, 0, 0, 0, 1], [1, 0, 0, 0, 0], [0, 0, 0, 0, 1]], dtype=float)
MIXED = np.array([[0, 1, 1, 1, 1], [0, 0, 0, 1, 0], [1, 1, 1, 1, 1]], dtype=float)

# Few nodes, and buckles.
TINY = Sheet((3, 5), (15.0, 8.0), 1 / 3, 0.0)
