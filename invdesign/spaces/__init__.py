"""Design spaces: from parameters to densities, with what can be made built in."""

from invdesign.spaces.border import Border, Mask
from invdesign.spaces.connectivity import enclosed_voids, floating_parts
from invdesign.spaces.constraints import Connected, MinimumFeature
from invdesign.spaces.families import Ellipse, Grating, Polygon
from invdesign.spaces.levelset import LevelSetSpace
from invdesign.spaces.repair import repair
from invdesign.spaces.shapes import ShapeSpace
from invdesign.spaces.space import DensitySpace, DesignSpace

__all__ = [
    "Border",
    "Connected",
    "DensitySpace",
    "DesignSpace",
    "Ellipse",
    "Grating",
    "LevelSetSpace",
    "Mask",
    "MinimumFeature",
    "Polygon",
    "ShapeSpace",
    "enclosed_voids",
    "floating_parts",
    "repair",
]
