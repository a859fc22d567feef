"""LAMMPS where it is installed."""

from tests.physics.kirigami.md.problems import lammps_there

__all__ = ["lammps_there"]
