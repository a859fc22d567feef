"""How a sheet is pulled."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from physics.base import Array
from physics.fdfd.values import real, reals

# Bond of the stress-free crystal of each potential, in angstrom, whatever the range in which bonds end.
BOND_ANGSTROM = {"tersoff": 1.460601, "rebo": 1.420390, "airebo": 1.396751}
# Where bonds are switched off: in the files as they come, and at once at the end of that range.
SHIPPED_ANGSTROM = {"tersoff": (1.8, 2.1), "rebo": (1.7, 2.0), "airebo": (1.7, 2.0)}
SOUND_ANGSTROM = {"tersoff": (2.1, 2.1), "rebo": (2.0, 2.0), "airebo": (2.0, 2.0)}
POSITIVE = ("temperature_k", "rate_per_ps", "timestep_ps", "damping_ps", "equilibration_ps", "strain_step")


@dataclass(frozen=True)
class MdSettings:
    """The protocol: relax, bring to temperature, pull both grips apart at a steady rate until the sheet is torn.

    A potential ends its bonds by a function that falls from one to zero over a range of lengths. Within it the force on
    a bond is the function's, not chemistry's, and a sheet hardens where it should tear. As the files come, the perfect
    crystal, pulled along its armchair direction at rest, softens from 99 (AIREBO), 91 (REBO) and 95 GPa (Tersoff) at a
    strain of 0.18, then hardens up to 159, 141 and 190 GPa. For AIREBO the remedy is usual: an onset between 1.92 and
    2.0 angstrom, the end of the range (Shenderova et al., Phys. Rev. B 61, 3877 (2000); Zhao, Min and Aluru, Nano Lett.
    9, 3012 (2009)). A narrow range is still a wall of bond energy over width, which a sheet may lean on (a plateau of
    stress up to a strain of 0.3) and which throws atoms out. ``SOUND_ANGSTROM`` therefore has no range: a bond acts as
    it should up to its end, and not at all beyond. The energy left in it is lost to the balance.

    A grip that starts sends a wave through the sheet, of 4.8 GPa for each angstrom per picosecond of its speed, in a
    sheet without cuts. ``rate_per_ps`` times half the length between the grips is that speed: take a lower rate for a
    longer sheet, and compare with a tenth of it. The serpentine of 816 atoms (Tersoff) yields at strains of 0.58, 0.63,
    0.66 and 0.69 at rates of 0.05, 0.02, 0.01 and 0.005 per picosecond, at 5.6, 4.9, 4.9 and 5.5 GPa.

    Args:
        potential: "tersoff" (Phys. Rev. B 39, 5566), "rebo" (J. Phys.: Condens. Matter 14, 783) or "airebo" (J. Chem.
            Phys. 112, 6472), from the cheapest to the dearest.
        bond_range_angstrom: lengths between which a bond is switched off; None for those of ``SOUND_ANGSTROM``.
        temperature_k: of the bath, which acts across the load, and along it before the pull.
        rate_per_ps: strain per picosecond, of the length between the grips.
        timestep_ps: of the integration.
        damping_ps: relaxation time of the bath.
        equilibration_ps: at temperature before the pull.
        strain_step, strain_max: the grid of the curve: its multiples up to the last, where the pull ends at the latest.
        imperfection_angstrom: standard deviation of the seeded displacement out of the plane.
        thermostat: directions on which the bath acts during the pull: "yz"; "xyz" only to show how it then drags.

    Raises:
        ValueError: for what is none of these, or cannot be integrated.
    """

    potential: str = "airebo"
    bond_range_angstrom: tuple[float, float] | None = None
    temperature_k: float = 4.2
    rate_per_ps: float = 0.01
    timestep_ps: float = 0.001
    damping_ps: float = 0.1
    equilibration_ps: float = 0.5
    strain_step: float = 0.01
    strain_max: float = 1.5
    imperfection_angstrom: float = 0.01
    thermostat: str = "yz"

    def __post_init__(self) -> None:
        if self.potential not in BOND_ANGSTROM:
            raise ValueError(f"Expected a potential among {', '.join(BOND_ANGSTROM)}. Got {self.potential!r}.")
        if self.thermostat not in ("yz", "xyz"):
            raise ValueError(f"Expected the thermostat on 'yz' or 'xyz'. Got {self.thermostat!r}.")
        names = [*POSITIVE, "strain_max", "imperfection_angstrom"]
        if self.bond_range_angstrom is not None:
            onset, end = reals("bond_range_angstrom", self.bond_range_angstrom, 2)
            object.__setattr__(self, "bond_range_angstrom", (onset, end))
        for name in names:
            object.__setattr__(self, name, real(name, getattr(self, name)))  # frozen from here on
        for name in POSITIVE:
            if not 0 < getattr(self, name) < np.inf:
                raise ValueError(f"Expected {name} > 0. Got {getattr(self, name)!r}.")
        if not 0 <= self.imperfection_angstrom <= 0.5:
            raise ValueError(f"Expected imperfection_angstrom between 0 and 0.5. Got {self.imperfection_angstrom!r}.")
        if not self.strain_step <= self.strain_max <= 10:
            raise ValueError(f"Expected strain_max from strain_step to 10. Got {self.strain_max!r}.")
        self._check_integration()

    def _check_integration(self) -> None:
        onset, end = self.bond_range
        if not 1.5 <= onset <= end <= 2.45:
            raise ValueError(
                "Expected bond_range_angstrom ascending from 1.5 to 2.45, below second neighbours. "
                f"Got {self.bond_range_angstrom!r}."
            )
        if self.timestep_ps > 0.002:
            raise ValueError(f"Expected timestep_ps of at most 0.002 for carbon. Got {self.timestep_ps!r}.")
        if self.strain_step / 2 < self.rate_per_ps * self.timestep_ps:
            raise ValueError(
                f"Expected two time steps or more for each strain_step. Got {self.strain_step!r} at "
                f"{self.rate_per_ps!r} per ps; lower the rate or take longer steps of strain."
            )

    @property
    def bond_range(self) -> tuple[float, float]:
        """Lengths in angstrom between which a bond is switched off."""
        return self.bond_range_angstrom or SOUND_ANGSTROM[self.potential]

    @property
    def points(self) -> int:
        """How many strains the grid has."""
        return int(self.strain_max / self.strain_step + 1e-9)

    @property
    def strain(self) -> Array:
        """The grid: multiples of the step, without zero."""
        return np.round(self.strain_step * np.arange(1, self.points + 1), 12)
