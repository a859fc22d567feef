"""2D Maxwell solver for Ez in the frequency domain, condensed onto the design region."""

from physics.fdfd.condense import Condensed, condense
from physics.fdfd.geometry import Rectangle, area_weights, paint
from physics.fdfd.grid import Axis, Grid, Pml, Stretch
from physics.fdfd.linear import Factor
from physics.fdfd.modes import SlabMode, analytic_slab_index, slab_mode
from physics.fdfd.operator import grid_operator, helmholtz
from physics.fdfd.ports import Port, PortVector, port_vector
from physics.fdfd.scene import ReducedSystem, Scene, reduced_system

__all__ = [
    "Axis",
    "Condensed",
    "Factor",
    "Grid",
    "Pml",
    "Port",
    "PortVector",
    "Rectangle",
    "ReducedSystem",
    "Scene",
    "SlabMode",
    "Stretch",
    "analytic_slab_index",
    "area_weights",
    "condense",
    "grid_operator",
    "helmholtz",
    "paint",
    "port_vector",
    "reduced_system",
    "slab_mode",
]
