"""A demultiplexer, 2.8 um on a side: 1.47 um to the lower guide, 1.60 um to the upper one, -13 dB in the wrong one.

Run it with `invdesign run examples/demultiplexer.py --out runs/demultiplexer`. `routed` writes the targets for any
number of channels: in its own guide each channel's light is to be much, in all others little.
"""

from collections.abc import Sequence

from invdesign import Budget, DensitySpace, Problem, Target, adjoint, low_fidelity
from physics.devices import channel_name, demultiplexer


def routed(channels_um: Sequence[float], at_least: float, at_most: float) -> list[Target]:
    """Targets for a demultiplexer simulated at its channels.

    Args:
        channels_um: vacuum wavelengths of the channels.
        at_least: power in the channel's own guide.
        at_most: power in each other guide.
    """
    targets = []
    for channel in channels_um:
        others = [channel_name(other) for other in channels_um if other != channel]
        own = {"port": channel_name(channel), "wavelength_um": channel}
        targets += [
            Target("transmission", at=own, lower=at_least),
            Target("transmission", at={"port": others, "wavelength_um": channel}, upper=at_most),
        ]
    return targets


channels_um = (1.47, 1.60)
simulator = demultiplexer(channels_um)

problem = Problem(
    space=DensitySpace(simulator.design_shape, filter_radius_um=0.1),
    simulator=simulator,
    targets=routed(channels_um, at_least=0.80, at_most=0.05),
)

strategies = {
    "low fidelity": low_fidelity(optimizer="lbfgsb"),
    "adjoint": adjoint(optimizer="lbfgsb"),
}

budget = Budget(cpu_seconds=60)
seed = 0
