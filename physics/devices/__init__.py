"""Devices ready to be designed."""

from physics.devices.couplers import Beam, GratingCoupler, grating_coupler, uniform_grating
from physics.devices.junctions import channel_name, demultiplexer, mode_converter, waveguide_crossing
from physics.devices.library import (
    beam_splitter,
    quarter_ring,
    straight_guide,
    straight_waveguide,
    waveguide_bend,
)
from physics.devices.open import PeriodicDevice, ScatteringDevice, cloak, solar_texture
from physics.devices.port_device import SOLVER_VERSION, PortDevice

__all__ = [
    "SOLVER_VERSION",
    "Beam",
    "GratingCoupler",
    "PeriodicDevice",
    "PortDevice",
    "ScatteringDevice",
    "beam_splitter",
    "channel_name",
    "cloak",
    "demultiplexer",
    "grating_coupler",
    "mode_converter",
    "quarter_ring",
    "solar_texture",
    "straight_guide",
    "straight_waveguide",
    "uniform_grating",
    "waveguide_bend",
    "waveguide_crossing",
]
