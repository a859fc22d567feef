"""A silicon-on-insulator bend for quasi-TE light: designed on FDFD, verified and refined on MIT Meep, checked in 3D.

Run it with `invdesign run examples/bend_with_meep.py --out runs/bend_with_meep`; `invdesign doctor` says whether Meep
is there. The 220 nm layer of silicon in oxide is replaced by its effective index in two dimensions, where FDFD proposes
and Meep has the last word. What the effective index leaves out, a run of the finished design in three dimensions shows,
which takes many minutes: `python -m examples.bend_with_meep runs/bend_with_meep/report/design.npy`.
"""

import sys
from dataclasses import replace

import numpy as np

from invdesign import Border, Budget, DensitySpace, Problem, Target, adjoint, drawn, low_fidelity, relay
from physics.base import Array, Response
from physics.devices import quarter_ring, waveguide_bend
from physics.meep import MeepLadder

device = waveguide_bend(
    wavelength_um=(1.53, 1.55, 1.57),
    design_um=2.4,
    width_um=0.45,
    core_permittivity=12.09,  # silicon, and thermal oxide, at 1.55 um
    cladding_permittivity=2.085,
    polarization="Hz",  # quasi-TE
)
# Levels fdfd-40nm, fdfd-20nm and meep-2d-25nm, the reference.
simulator = MeepLadder(device, cells_um=(0.025,), slab_um=0.22)

problem = Problem(
    space=DensitySpace(
        simulator.design_shape,
        symmetry="diagonal",
        filter_radius_um=0.1,
        border=Border.of(simulator),
        minimum_width_um=0.08,
        minimum_spacing_um=0.08,
    ),
    simulator=simulator,
    targets=[Target("transmission", at={"port": "out"}, lower=0.98)],
)

strategies = {
    "quarter ring": drawn(quarter_ring(device)),
    "designed on FDFD": low_fidelity(optimizer="lbfgsb", starts=1),
    # FDFD's design, then a few steps along Meep's own gradients.
    "refined on Meep": relay(
        low_fidelity(optimizer="lbfgsb", starts=1), adjoint(betas=(64.0,), evaluations=8, starts=1)
    ),
}

budget = Budget(cpu_seconds=240)
seed = 0


def in_three_dimensions(design: Array, cell_um: float = 0.05) -> Response:
    """The response of a density in three dimensions, no effective index; some ten minutes at cells of 50 nm."""
    layered = replace(simulator, cells_um=(), slab_cells_um=(cell_um,))
    return layered.simulate(design, len(layered.fidelities) - 1)


if __name__ == "__main__":
    density = np.load(sys.argv[1], allow_pickle=False).astype(float)
    flat = simulator.simulate(density, len(simulator.fidelities) - 1)
    print("wavelength / um ", *device.wavelength_um)
    print("Meep, 2D        ", *flat["transmission"][0].round(4))
    print("Meep, 3D        ", *in_three_dimensions(density)["transmission"][0].round(4))
