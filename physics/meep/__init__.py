"""MIT Meep's FDTD as a simulator, in an interpreter of its own: forward and adjoint, in two and three dimensions."""

from physics.meep.find import Candidate, candidates, meep
from physics.meep.ladder import MeepLadder
from physics.meep.slab import effective_device, effective_permittivity

__all__ = ["Candidate", "MeepLadder", "candidates", "effective_device", "effective_permittivity", "meep"]
