"""Elastic membranes that bend, and what a density between 0 and 1 means for their stiffness."""

from __future__ import annotations

import math
from dataclasses import dataclass

from physics.base import Array

# 1 eV/angstrom^2 in N/m, and 1 eV/angstrom^3 in GPa.
N_PER_M = 16.02176634
GPA = 160.2176634


@dataclass(frozen=True)
class Membrane:
    """An isotropic sheet.

    Args:
        modulus_n_per_m: two-dimensional Young's modulus.
        poisson_ratio: in the plane.
        bending_ev: bending rigidity D.

    Raises:
        ValueError: for values that are no stable material.
    """

    modulus_n_per_m: float
    poisson_ratio: float
    bending_ev: float

    def __post_init__(self) -> None:
        positive = (self.modulus_n_per_m, self.bending_ev)
        if not all(math.isfinite(v) and v > 0 for v in positive) or not -1 < self.poisson_ratio < 1:
            raise ValueError(
                f"Expected a modulus and a bending rigidity above 0 and a Poisson's ratio in (-1, 1). Got {self}."
            )

    @property
    def modulus_ev(self) -> float:
        """Two-dimensional Young's modulus in eV/angstrom^2."""
        return self.modulus_n_per_m / N_PER_M


# Lee et al., Science 321, 385 (2008); Kudin et al., Phys. Rev. B 64, 235406 (2001).
GRAPHENE = Membrane(340.0, 0.165, 1.4)
# Bertolazzi et al., ACS Nano 5, 9703 (2011) and Cooper et al., Phys. Rev. B 87, 035423 (2013); Jiang et al.,
# Nanotechnology 24, 435705 (2013).
MOS2 = Membrane(130.0, 0.29, 9.6)


def film(modulus_gpa: float, poisson_ratio: float, thickness_angstrom: float) -> Membrane:
    """A plate of a bulk material: ``E t`` and ``E t^3 / 12 (1 - nu^2)``."""
    bending = modulus_gpa / GPA * thickness_angstrom**3 / (12 * (1 - poisson_ratio**2))
    return Membrane(modulus_gpa / GPA * thickness_angstrom * N_PER_M, poisson_ratio, bending)


@dataclass(frozen=True)
class Interpolation:
    """Relative stiffness ``floor + (1 - floor) density^power``: SIMP.

    Bendsoe, Sigmund, Arch. Appl. Mech. 69, 635 (1999).

    Args:
        power: above 1 penalises densities between.
        floor: what is left of a cut; sheets as soft as this are stiffened by it.
    """

    power: float = 3.0
    floor: float = 1e-8

    def __post_init__(self) -> None:
        if not (1 <= self.power <= 10 and 0 <= self.floor <= 0.1):
            raise ValueError(f"Expected a power in [1, 10] and a floor in [0, 0.1]. Got {self.power}, {self.floor}.")

    def stiffness(self, density: Array) -> Array:
        """Relative stiffness, shaped like the density."""
        return self.floor + (1 - self.floor) * density**self.power

    def slope(self, density: Array) -> Array:
        """Its derivative."""
        return (1 - self.floor) * self.power * density ** (self.power - 1)
