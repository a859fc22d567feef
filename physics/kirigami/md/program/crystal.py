"""The perfect crystal of a potential."""

from contextlib import contextmanager

import numpy as np
from engine import engine, setup

REPEATS = (4, 7)
HEIGHT_ANGSTROM = 40.0
GPA = 1e-4  # a bar


def relaxed_bond(header, arrays):
    """Length of a bond of flat, stress-free, endless graphene, from that given as a start."""
    with crystal(header) as lammps:
        lammps.commands_list(["fix box all box/relax x 0.0 y 0.0", RELAX])
        return {"bond_angstrom": length(lammps, 0) / (3 * REPEATS[0])}, {}


def stretched(header, arrays):
    """Stress in GPa along x at the given strains of the endless, flat crystal at rest, free to contract along y.

    Per area of the undeformed sheet of the given thickness. It stays uniform, so it bears load beyond the strain at
    which a real sheet tears; a rise after the first maximum is the cutoff function's doing.
    """
    stress = []
    with crystal(header) as lammps:
        lammps.command("fix box all box/relax y 0.0")
        lammps.command(RELAX)
        at_rest = [length(lammps, axis) for axis in (0, 1)]
        area = at_rest[1] * header["thickness_angstrom"]
        for strain in arrays["strain"]:
            side = float(at_rest[0] * (1 + strain))
            lammps.commands_list([f"change_box all x final 0.0 {side!r} remap units box", RELAX])
            pressure = lammps.get_thermo("pxx") * GPA
            stress.append(-pressure * length(lammps, 1) * HEIGHT_ANGSTROM / area)
    return {}, {"stress": np.array(stress)}


RELAX = "minimize 1e-15 1e-8 1000 2000"


@contextmanager
def crystal(header):
    """LAMMPS with a periodic piece of graphene of the given bond length."""
    bond = header["bond_angstrom"]
    cell = np.array([3 * bond, np.sqrt(3) * bond])
    basis = np.array([[0, 0.5], [1 / 6, 0], [0.5, 0], [2 / 3, 0.5]])
    corners = np.argwhere(np.ones(REPEATS))
    flat = ((corners[:, None] + basis) * cell).reshape(-1, 2)
    positions = np.c_[flat, np.zeros(len(flat))]
    sides = [(0.0, float(side)) for side in cell * REPEATS]
    with engine() as (lammps, scratch):
        height = (-HEIGHT_ANGSTROM / 2, HEIGHT_ANGSTROM / 2)
        setup(lammps, scratch, header, positions, np.ones(len(flat), int), [*sides, height], "p p p")
        lammps.commands_list(["thermo_style custom step pxx pyy", "min_modify line quadratic"])
        yield lammps


def length(lammps, axis):
    """Of the box."""
    low, high = lammps.extract_box()[:2]
    return high[axis] - low[axis]
