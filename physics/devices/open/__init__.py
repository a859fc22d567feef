"""Devices in the open: structures that scatter plane waves, and periodic cells under them."""

from physics.devices.open.library import cloak, cloak_void, enhancement, ray_limit, single_pass, solar_texture
from physics.devices.open.periodic import PeriodicDevice
from physics.devices.open.scattering import ScatteringDevice

__all__ = [
    "PeriodicDevice",
    "ScatteringDevice",
    "cloak",
    "cloak_void",
    "enhancement",
    "ray_limit",
    "single_pass",
    "solar_texture",
]
