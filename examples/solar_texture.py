"""A film of 0.3 um on a mirror, textured to absorb what it absorbs weakly: 0.75 to 0.855 um, up to 30 degrees.

Run it with `invdesign run examples/solar_texture.py --out runs/solar`. The film's index is 3.5, a single pass absorbs
one to two per cent. What counts is the absorption in the film, averaged over wavelengths and angles, Ez. The texture is
a mirror image of itself, so that angles to either side count alike, and all of it rests on the film.
"""

import numpy as np

from invdesign import Budget, DensitySpace, Problem, Target, adjoint, drawn, low_fidelity
from invdesign.spaces.border import Border
from invdesign.spaces.constraints import Connected
from physics.devices.open.library import solar_texture

simulator = solar_texture()

flat = np.ones(simulator.design_shape)
base = np.zeros(simulator.design_shape, dtype=bool)
base[:, :2] = True  # 40 nm of film at least

problem = Problem(
    space=DensitySpace(
        simulator.design_shape,
        pixel_um=simulator.pixel_um,
        symmetry=("mirror_x", "periodic_x"),
        filter_radius_um=0.06,
        border=Border(bottom="solid", top="void"),
        solid=base,
        minimum_width_um=0.06,
        minimum_spacing_um=0.06,
    ),
    simulator=simulator,
    targets=[Target("design_absorption", goal="maximize")],
    constraints=[Connected()],
)

stages = {"betas": (4.0, 16.0, 64.0), "evaluations": 40}

strategies = {
    "flat film": drawn(flat),
    "low fidelity": low_fidelity(**stages),
    "adjoint": adjoint(**stages),
}

budget = Budget(cpu_seconds=30)
seed = 0
