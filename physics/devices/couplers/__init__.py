"""Couplers between a guide on a chip and a beam above it."""

from physics.devices.couplers.beams import Beam
from physics.devices.couplers.grating_coupler import GratingCoupler
from physics.devices.couplers.library import grating_coupler, uniform_grating

__all__ = ["Beam", "GratingCoupler", "grating_coupler", "uniform_grating"]
