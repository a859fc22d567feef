"""Kirigami: sheets with cuts, from graphene to film, pulled until they stretch, buckle and break."""

from physics.kirigami.ladder import KirigamiLadder
from physics.kirigami.lattice import LatticeLevel, imperfection_spread
from physics.kirigami.lattice_energy import Imperfection
from physics.kirigami.linear import LinearLevel
from physics.kirigami.membrane import GRAPHENE, MOS2, Interpolation, Membrane, film
from physics.kirigami.raster import material
from physics.kirigami.responses import curve_quantities
from physics.kirigami.shapes import Deformed
from physics.kirigami.sheet import (
    Sheet,
    binary_pattern,
    hanakata_sheet,
    mos2_sheet,
    row_cuts,
    small_graphene_sheet,
)
from physics.kirigami.validity import cut_distance, minimum_ligament, severed, without_loose

__all__ = [
    "GRAPHENE",
    "MOS2",
    "Deformed",
    "Imperfection",
    "Interpolation",
    "KirigamiLadder",
    "LatticeLevel",
    "LinearLevel",
    "Membrane",
    "Sheet",
    "binary_pattern",
    "curve_quantities",
    "cut_distance",
    "film",
    "hanakata_sheet",
    "imperfection_spread",
    "material",
    "minimum_ligament",
    "mos2_sheet",
    "row_cuts",
    "severed",
    "small_graphene_sheet",
    "without_loose",
]
