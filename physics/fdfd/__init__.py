"""2D Maxwell solver in the frequency domain, Ez or Hz, condensed onto the region a design changes."""

from physics.fdfd.dispersion import Constant, Material, Sellmeier, Table
from physics.fdfd.exterior import Exterior, condense
from physics.fdfd.geometry import Circle, Polygon, Rectangle, Shape, area_weights, paint
from physics.fdfd.grid import Axis, Grid, Pml, Stretch
from physics.fdfd.linear import Factor
from physics.fdfd.media import DesignMap
from physics.fdfd.modes import SlabMode, analytic_slab_index, slab_mode
from physics.fdfd.operator import ez_stencil, grid_operator, helmholtz, hz_stencil
from physics.fdfd.ports import Port, PortVector, port_vector, stencil_port
from physics.fdfd.region import Coefficients, Region, RegionFactor
from physics.fdfd.scene import ReducedSystem, Scene, reduced_system
from physics.fdfd.stencil import Stencil

__all__ = [
    "Axis",
    "Circle",
    "Coefficients",
    "Constant",
    "DesignMap",
    "Exterior",
    "Factor",
    "Grid",
    "Material",
    "Pml",
    "Polygon",
    "Port",
    "PortVector",
    "Rectangle",
    "ReducedSystem",
    "Region",
    "RegionFactor",
    "Scene",
    "Sellmeier",
    "Shape",
    "SlabMode",
    "Stencil",
    "Stretch",
    "Table",
    "analytic_slab_index",
    "area_weights",
    "condense",
    "ez_stencil",
    "grid_operator",
    "helmholtz",
    "hz_stencil",
    "paint",
    "port_vector",
    "reduced_system",
    "slab_mode",
    "stencil_port",
]
