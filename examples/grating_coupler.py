"""A grating coupler from a 220 nm silicon slab to a fibre at 10 degrees, 57 % of the light; grooves 70 nm deep.

Run it with `invdesign run examples/grating_coupler.py --out runs/coupler`. Equal grooves radiate an exponential, which
is not what a fibre takes; narrow first grooves bring the two closer. The parameters are the widths of grooves and
teeth, so every design is binary and nothing is narrower than 100 nm.
"""

import numpy as np

from invdesign import Budget, Problem, Target, adjoint, drawn
from invdesign.spaces.shapes import Grating, ShapeSpace
from physics.base import Array
from physics.devices import grating_coupler, uniform_grating

WAVELENGTH_UM, ANGLE_DEG, GROOVES = 1.55, 10.0, 20
START_UM, GROOVE_UM, TOOTH_UM = (-6.4, -4.0), (0.1, 0.45), (0.1, 0.65)
SLAB_INDEX, ETCHED_INDEX, FIBRE_INDEX = 2.85, 2.57, 1.449

simulator = grating_coupler(WAVELENGTH_UM, length_um=13.0, angle_deg=ANGLE_DEG)

half_um = simulator.pixel_um / 2  # of the one row of pixels, which the grooves cut right through
grooves = Grating(START_UM, (GROOVE_UM,) * GROOVES, (TOOTH_UM,) * (GROOVES - 1), (-half_um, half_um), solid=False)
space = ShapeSpace(simulator.design_shape, (grooves,), pixel_um=simulator.pixel_um, background=1.0)


def apodised(first: float, last: float, over: int = 10, start_um: float = -5.0) -> Array:
    """Parameters of grooves that take a growing share of a period, which follows the grating equation.

    Args:
        first, last: share of the first groove, and from groove ``over`` on.
        over: grooves until the last share is reached.
        start_um: of the first groove.
    """
    share = first + (last - first) * np.minimum(np.arange(GROOVES) / over, 1.0)
    index = SLAB_INDEX + share * (ETCHED_INDEX - SLAB_INDEX)
    period = WAVELENGTH_UM / (index - FIBRE_INDEX * np.sin(np.radians(ANGLE_DEG)))
    values = np.concatenate([[start_um], share * period, ((1 - share) * period)[:-1]])
    bounds = np.array([START_UM] + [GROOVE_UM] * GROOVES + [TOOTH_UM] * (GROOVES - 1))
    return np.clip((values - bounds[:, 0]) / (bounds[:, 1] - bounds[:, 0]), 0.0, 1.0)


problem = Problem(space=space, simulator=simulator, targets=[Target("efficiency", lower=0.57)])

settings = {"optimizer": "lbfgsb", "start": apodised(0.17, 0.4), "betas": (64.0,), "evaluations": 60, "starts": 1}
strategies = {
    "equal grooves": drawn(uniform_grating(simulator, 0.63, 0.5, 0.4)),
    "low fidelity": adjoint(level=0, name="low fidelity", **settings),
    "adjoint": adjoint(**settings),
}

budget = Budget(cpu_seconds=30)
seed = 0
