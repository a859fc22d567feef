"""Molecular dynamics of graphene sheets with cuts, by LAMMPS in a process of its own.

>>> curve = run_md(pattern, small_graphene_sheet(), MdSettings("tersoff"), seed=0)
>>> curve.stress_gpa.max(), curve.rupture_strain
"""

from physics.kirigami.md.atoms import Atoms, graphene
from physics.kirigami.md.find import Installation, lammps
from physics.kirigami.md.level import MdLevel
from physics.kirigami.md.quantities import quantities
from physics.kirigami.md.run import Curve, run_md
from physics.kirigami.md.settings import MdSettings
from physics.kirigami.md.simulator import GrapheneMd, graphene_levels

__all__ = [
    "Atoms",
    "Curve",
    "GrapheneMd",
    "Installation",
    "MdLevel",
    "MdSettings",
    "graphene",
    "graphene_levels",
    "lammps",
    "quantities",
    "run_md",
]
