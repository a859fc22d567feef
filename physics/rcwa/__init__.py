"""Diffraction gratings and meta-atoms: a density layer between two half-spaces, by rigorous coupled-wave analysis."""

from physics.rcwa.library import (
    lamellar_grating,
    meta_atom,
    metagrating,
    rectangular_pillar,
)
from physics.rcwa.metagrating import SOLVER_VERSION, Metagrating

__all__ = [
    "SOLVER_VERSION",
    "Metagrating",
    "lamellar_grating",
    "meta_atom",
    "metagrating",
    "rectangular_pillar",
]
