"""Corners of a fabrication process as scenarios."""

from __future__ import annotations

from invdesign.problem import Scenario
from invdesign.spaces.constraints import Filtered
from invdesign.spaces.lengthscale import edge_shift_threshold
from invdesign.spaces.space import DesignSpace


def fabrication_corners(delta_um: float, space: DesignSpace) -> tuple[Scenario, Scenario]:
    """Overetching and underetching by an edge placement error: every edge `delta_um` further in, or out.

    The shift of the threshold is that of a straight edge under the space's conic filter, see
    `lengthscale.edge_shift_threshold`. An edge of radius of curvature r moves by that only where r is large beside the
    filter radius; narrow features may vanish, which is what the corners are for.

    Args:
        delta_um: shift of the edges; must be less than the filter radius.
        space: with a conic filter of its own.

    Raises:
        TypeError: if the space has no such filter.
        ValueError: for a shift that the filter cannot express.
    """
    if not isinstance(space, Filtered):
        raise TypeError(f"Expected a space with a conic filter, such as DensitySpace. Got {type(space).__name__}.")
    if not 0 < delta_um < space.filter_radius_um:
        raise ValueError(
            f"Expected an edge shift above 0 and below the filter radius of {space.filter_radius_um} um. "
            f"Got {delta_um} um; widen the filter."
        )
    shift = edge_shift_threshold(delta_um, space.filter_radius_um)
    name = f"{1000 * delta_um:g} nm"
    return Scenario(f"eroded {name}", erosion=shift), Scenario(f"dilated {name}", erosion=-shift)
