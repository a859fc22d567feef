"""Deformed sheets, for figures."""

from __future__ import annotations

from dataclasses import dataclass

from physics.base import Array


@dataclass(frozen=True, eq=False)
class Deformed:
    """A sheet at a strain, as triangles.

    Args:
        rest: ``n x 3`` nodes before loading, in angstrom.
        moved: ``n x 3`` nodes at the strain.
        triangles: ``m x 3`` indices of nodes.
        local_strain: ``m``, the local strain.
        material: ``m``, relative stiffness, from about 0 (cut) to 1.
        strain: of the sheet.
    """

    rest: Array
    moved: Array
    triangles: Array
    local_strain: Array
    material: Array
    strain: float
