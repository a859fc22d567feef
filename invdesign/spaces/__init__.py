"""Design spaces: from parameters to densities, with what can be made built in."""

from invdesign.spaces.border import Border, Mask
from invdesign.spaces.connectivity import enclosed_voids, floating_parts
from invdesign.spaces.constraints import Connected, MinimumFeature
from invdesign.spaces.cut_grid import CutGrid
from invdesign.spaces.discrete import DiscreteSpace
from invdesign.spaces.families import Ellipse, Grating, Polygon
from invdesign.spaces.levelset import LevelSetSpace
from invdesign.spaces.line_cuts import LineCuts
from invdesign.spaces.listed import Listed
from invdesign.spaces.near import Near
from invdesign.spaces.one_hot import OneHot
from invdesign.spaces.repair import repair
from invdesign.spaces.row_cuts import RowCuts
from invdesign.spaces.shapes import ShapeSpace
from invdesign.spaces.space import DensitySpace, DesignSpace

__all__ = [
    "Border",
    "Connected",
    "CutGrid",
    "DensitySpace",
    "DesignSpace",
    "DiscreteSpace",
    "Ellipse",
    "Grating",
    "LevelSetSpace",
    "LineCuts",
    "Listed",
    "Mask",
    "MinimumFeature",
    "Near",
    "OneHot",
    "Polygon",
    "RowCuts",
    "ShapeSpace",
    "enclosed_voids",
    "floating_parts",
    "repair",
]
