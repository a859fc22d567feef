"""Devices ready to be designed."""

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
    "PortDevice",
    "beam_splitter",
    "quarter_ring",
    "straight_guide",
    "straight_waveguide",
    "waveguide_bend",
]
