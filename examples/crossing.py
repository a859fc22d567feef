"""A waveguide crossing, 2 um on a side: at least 95 % go straight on, at most 1 % (-20 dB) to either side.

Run it with `invdesign run examples/crossing.py --out runs/crossing`. A plain crossing of the two guides passes 82 %.
The design has all symmetries of the square, so that both guides are served alike.
"""

import numpy as np

from invdesign import Budget, DensitySpace, Problem, Target, adjoint, drawn, low_fidelity
from physics.devices import straight_guide, straight_waveguide, waveguide_crossing

simulator = waveguide_crossing(wavelength_um=(1.53, 1.55, 1.57), design_um=2.0)

# What a person would draw: one guide over the other.
one_guide = straight_guide(straight_waveguide(1.55, length_um=2.0, breadth_um=2.0))
plain = np.maximum(one_guide, one_guide.T)

problem = Problem(
    space=DensitySpace(simulator.design_shape, symmetry=("rotation90", "mirror_y"), filter_radius_um=0.1),
    simulator=simulator,
    targets=[
        Target("transmission", at={"port": "through"}, lower=0.95),
        Target("transmission", at={"port": ["north", "south"]}, upper=0.01),
        Target("reflection", upper=0.01),
    ],
)

strategies = {
    "plain crossing": drawn(plain),
    "low fidelity": low_fidelity(optimizer="lbfgsb", start=plain),
    "adjoint": adjoint(optimizer="lbfgsb", start=plain),
}

budget = Budget(cpu_seconds=30)
seed = 0
