"""A 90-degree silicon waveguide bend, 1.6 um on a side, that transmits at least 97 % over 1.53 to 1.57 um.

Run it with `invdesign run examples/waveguide_bend.py --out runs/bend`. Every strategy gets the same CPU seconds, all
counted: solves, training, architecture search, verification. The quarter ring is what a person would draw.
"""

from invdesign import (
    Border,
    Budget,
    DensitySpace,
    Problem,
    Target,
    adjoint,
    drawn,
    hybrid,
    low_fidelity,
    search,
    surrogate,
)
from physics.devices import quarter_ring, waveguide_bend
from surrogates import TrainingConfig

simulator = waveguide_bend(wavelength_um=(1.53, 1.55, 1.57), design_um=1.6, width_um=0.4)

problem = Problem(
    space=DensitySpace(
        simulator.design_shape,
        symmetry="diagonal",
        filter_radius_um=0.08,
        border=Border.of(simulator),  # the guides where they meet the design, cladding elsewhere
        minimum_width_um=0.06,
        minimum_spacing_um=0.06,
    ),
    simulator=simulator,
    targets=[Target("transmission", at={"port": "out"}, lower=0.97)],
)

# Small trainings: at some hundredths of a second a solve, time spent on networks is dear.
architectures = search(
    trials=8, epochs=12, pretraining_epochs=6, members=3, config=TrainingConfig(epochs=24, pretraining_epochs=12)
)

strategies = {
    "quarter ring": drawn(quarter_ring(simulator)),
    "adjoint": adjoint(optimizer="lbfgsb"),
    "low fidelity": low_fidelity(optimizer="lbfgsb"),
    "surrogate": surrogate(architectures),
    "hybrid": hybrid(surrogate=architectures),
    # The same loop with its cheap model held fixed: does the network earn its keep?
    "hybrid on the network": hybrid(surrogate=architectures, step_on="surrogate"),
    "hybrid on the low fidelity": hybrid(step_on="low_fidelity"),
    "hybrid on the mean gradient": hybrid(step_on="mean_gradient"),
}

budget = Budget(cpu_seconds=40)
seed = 0
