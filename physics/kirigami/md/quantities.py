"""What a noisy stress-strain curve says about a sheet."""

from __future__ import annotations

import numpy as np

from physics.base import Array
from physics.kirigami.md.run import Curve
from physics.kirigami.responses import curve_quantities

# A maximum counts as yield when the stress falls by that much before it rises above: what falls less is thermal noise.
DROP_GPA, DROP_SHARE = 1.0, 0.15


def yield_index(stress: Array) -> int:
    """Index of the first local maximum of the stress that is not noise, else of the last point that bears load.

    Hanakata et al., Phys. Rev. Lett. 121, 255304 (2018), take the first local maximum above a small threshold. Here the
    threshold is on the fall after it: 1 GPa, or 15 % of the maximum if that is more.
    """
    peak = 0
    for index, value in enumerate(stress):
        if value > stress[peak]:
            peak = index
        elif stress[peak] - value > max(DROP_GPA, DROP_SHARE * stress[peak]):
            return peak
    return int(np.flatnonzero(stress)[-1]) if np.any(stress) else len(stress) - 1


def quantities(curve: Curve) -> dict[str, Array]:
    """The quantities of molecular dynamics, each a float64 array.

    "stress" on the curve's grid, "modulus", "strength" and "toughness" in GPa, "yield_strain", "rupture_strain".
    Toughness is the integral of the stress over the strain up to yield.
    """
    strain, stress = np.append(0.0, curve.strain), np.append(0.0, curve.stress_gpa)
    at_yield = yield_index(stress)
    scalars = {
        "modulus": curve_quantities(strain, stress)["modulus"],
        "yield_strain": strain[at_yield],
        "rupture_strain": curve.rupture_strain,
        "strength": stress.max(),
        "toughness": np.trapezoid(stress[: at_yield + 1], strain[: at_yield + 1]),
    }
    return {"stress": curve.stress_gpa.copy()} | {name: np.array(float(value)) for name, value in scalars.items()}
