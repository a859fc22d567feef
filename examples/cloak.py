"""A dielectric coating that hides a silicon rod, 0.6 um across, from light at 1.50 to 1.60 um.

Run it with `invdesign run examples/cloak.py --out runs/cloak`. The rod and its coating are lossless, Ez, one direction
of incidence: what they take out of the wave they scatter, so one number a wavelength says how visible they are. The
goal is in dB: 10 dB is a tenth.
"""

import numpy as np

from invdesign import Budget, DensitySpace, Problem, Target, adjoint, drawn, low_fidelity
from physics.devices.open.library import cloak, cloak_void

simulator = cloak(wavelength_um=(1.50, 1.525, 1.55, 1.575, 1.60))

bare = np.zeros(simulator.design_shape)

problem = Problem(
    space=DensitySpace(
        simulator.design_shape,
        pixel_um=simulator.pixel_um,
        symmetry="mirror_y",
        filter_radius_um=0.1,
        void=cloak_void(simulator),
    ),
    simulator=simulator,
    targets=[Target("scattering_width_um", scale="db", goal="minimize")],
)

# From thin coating rather than half: dense grey scatters more than the rod, and a descent in dB then leads astray.
start = np.full(simulator.design_shape, 0.4)
stages = {"betas": (8.0, 16.0, 64.0), "evaluations": 60, "start": start}

strategies = {
    "bare rod": drawn(bare),
    "low fidelity": low_fidelity(**stages),
    "adjoint": adjoint(**stages),
}

budget = Budget(cpu_seconds=40)
seed = 0
