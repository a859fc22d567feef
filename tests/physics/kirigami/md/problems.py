"""Sheets of a hundred atoms, quick protocols, and LAMMPS: ``pytestmark = needs_md`` for tests that run it."""

from __future__ import annotations

import os

import numpy as np
import pytest

from physics.base import MissingSoftware
from physics.kirigami.md import Installation, MdSettings, lammps
from physics.kirigami.md.run import Curve
from physics.kirigami.sheet import GRAPHENE_CELL_ANGSTROM, Sheet

REQUIRED = "INVDESIGN_REQUIRE_MD"
needs_md = pytest.mark.usefixtures("lammps_there")
X, Y = GRAPHENE_CELL_ANGSTROM
WHOLE = np.ones((2, 3))
CUT = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])


@pytest.fixture(scope="session")
def lammps_there() -> Installation:
    """What is installed. Without it tests are skipped; where the variable is 1 they fail."""
    try:
        return lammps()
    except MissingSoftware as error:
        if os.environ.get(REQUIRED) == "1":
            pytest.fail(f"{REQUIRED}=1, but: {error}", pytrace=False)
        pytest.skip(str(error))


def tiny(**given) -> Sheet:
    """2 x 3 coarse cells of 2 x 2 atoms' cells, 144 atoms with the grips."""
    return Sheet(**({"cells": (2, 3), "cell_angstrom": (2 * X, 2 * Y), "cut_share": 0.5, "grip_angstrom": X} | given))


def quick(potential="tersoff", **given) -> MdSettings:
    """Three thousand steps."""
    return MdSettings(potential, **({"rate_per_ps": 0.2, "strain_max": 0.6, "equilibration_ps": 0.1} | given))


def curve(stress, rupture_strain=1.0, step=0.01) -> Curve:
    """A curve made by hand."""
    stress = np.asarray(stress, dtype=float)
    strain = step * np.arange(1, len(stress) + 1)
    return Curve(strain, stress, stress, stress, 0 * stress, rupture_strain, True, 0, 100, 0.0)
