"""Devices ready to be designed."""

from physics.devices.coupler_library import grating_coupler, uniform_grating
from physics.devices.grating_coupler import GratingCoupler
from physics.devices.junctions import channel_name, demultiplexer, mode_converter, waveguide_crossing
from physics.devices.library import (
    beam_splitter,
    quarter_ring,
    straight_guide,
    straight_waveguide,
    waveguide_bend,
)
from physics.devices.port_device import SOLVER_VERSION, PortDevice

__all__ = [
    "SOLVER_VERSION",
    "GratingCoupler",
    "PortDevice",
    "beam_splitter",
    "channel_name",
    "demultiplexer",
    "grating_coupler",
    "mode_converter",
    "quarter_ring",
    "straight_guide",
    "straight_waveguide",
    "uniform_grating",
    "waveguide_bend",
    "waveguide_crossing",
]
