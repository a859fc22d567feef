"""What the worker with LAMMPS answers; numpy and LAMMPS alone."""

import numpy as np
from crystal import relaxed_bond, stretched
from engine import version
from pull import pull


def about(header, arrays):
    """Versions."""
    return {"lammps": version(), "numpy": np.__version__}, {}


def handlers():
    """Operation's name -> function."""
    return {"pull": pull, "relaxed_bond": relaxed_bond, "stretched": stretched, "version": about}
