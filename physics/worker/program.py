"""What to run: an interpreter, a script, its packages and environment."""

from __future__ import annotations

import os
from dataclasses import dataclass

# One thread a worker: as many workers as cores run at once. A program may set these otherwise.
ALWAYS = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "MPLBACKEND": "Agg",
    "PYTHONWARNINGS": "ignore",
}
# They would lead the other interpreter to this one's packages, or hide its script's.
CLEARED = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PYTHONSAFEPATH", "PYTHONEXECUTABLE", "PYTHONPLATLIBDIR")


@dataclass(frozen=True)
class Program:
    """A program for another interpreter.

    Args:
        name: for messages and logs, e.g. ``"meep"``.
        python: the interpreter.
        script: a Python file with ``handlers() -> {operation: f(header, arrays) -> (header, arrays)}``.
        packages: folders put on the interpreter's path, beside its own.
        environment: more variables, as pairs.
    """

    name: str
    python: str
    script: str
    packages: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()

    def variables(self) -> dict[str, str]:
        """The environment it runs in."""
        kept = {name: value for name, value in os.environ.items() if name not in CLEARED}
        path = {"PYTHONPATH": os.pathsep.join(self.packages)} if self.packages else {}
        return kept | ALWAYS | path | dict(self.environment)
