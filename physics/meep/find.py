"""Finds an interpreter that has MIT Meep, and says what is wrong where there is none.

Meep builds of Linux distributions need the distribution's own Python and a numpy older than ours, so Meep never runs in
this process. PyPI's package ``meep`` is unrelated and takes the same import name.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from physics.base import MissingSoftware

VARIABLE = "INVDESIGN_MEEP_PYTHON"
PROBE = Path(__file__).parent / "program" / "probe.py"
LIMIT_S = 120.0
INSTALL = (
    "install it with `make setup-meep` (Debian, Ubuntu) or `conda create -n meep -c conda-forge pymeep`, and name its "
    f"interpreter in {VARIABLE} where it is not found by itself"
)


@dataclass(frozen=True)
class Candidate:
    """An interpreter that may have Meep.

    Args:
        python: its path.
        origin: why it is looked at.
        usable: whether devices can be simulated with it.
        gradients: whether it has what gradients need.
        version: of Meep, where there is one.
        numpy: of the interpreter.
        trouble: what is missing, and what to do about it; empty where nothing is.
    """

    python: str
    origin: str
    usable: bool
    gradients: bool
    version: str | None
    numpy: str | None
    trouble: str

    def __str__(self) -> str:
        state = f"Meep {self.version}, numpy {self.numpy}" if self.version else "no Meep"
        return f"{self.python} ({self.origin}): {state}" + (f". {self.trouble}" if self.trouble else "")


def interpreters() -> Iterator[tuple[str, str]]:
    """(path, origin) of the interpreters to look at, in order, none twice.

    The one named in the variable alone, where it is set. Else the running one, the one that ``make setup-meep`` puts
    into the running environment, the system's.
    """
    named = os.environ.get(VARIABLE)
    if named:
        yield named, VARIABLE
        return
    made = Path(sys.prefix) / "meep" / "bin" / "python"
    found = [(sys.executable, "the running interpreter"), (str(made), "made by `make setup-meep`")]
    systems = ("/usr/bin/python3", shutil.which("python3", path=os.defpath))
    found += {os.path.realpath(path): (path, "the system's") for path in reversed(systems) if path}.values()
    seen: set[str] = set()
    for path, origin in found:
        if path not in seen and (path == sys.executable or os.access(path, os.X_OK)):
            seen.add(path)
            yield path, origin


@functools.cache
def candidates(named: str | None = None) -> tuple[Candidate, ...]:
    """What every interpreter has; looked at once a process for each value of the variable."""
    return tuple(examined(python, origin) for python, origin in interpreters())


def examined(python: str, origin: str) -> Candidate:
    """What one interpreter has of Meep."""
    if python == sys.executable and find_spec("meep") is None:
        return Candidate(python, origin, False, False, None, None, "")
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}
    environment |= {"MPLBACKEND": "Agg", "OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            [python, str(PROBE)],
            capture_output=True,
            timeout=LIMIT_S,
            env=environment,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Candidate(python, origin, False, False, None, None, f"It could not be run: {error}")
    lines = done.stdout.decode(errors="replace").strip().splitlines()
    try:
        facts = dict(json.loads(lines[-1]))
    except (IndexError, ValueError, TypeError):
        told = done.stderr.decode(errors="replace").strip()[-300:]
        told = told or "it printed nothing"
        return Candidate(python, origin, False, False, None, None, f"It ended with code {done.returncode}: {told}")
    return read(python, origin, facts)


def read(python: str, origin: str, facts: Mapping[str, Any]) -> Candidate:
    """A candidate from what the probe told."""
    version, numpy = facts.get("version"), facts.get("numpy")
    trouble = ""
    if facts.get("absent") or numpy is None:
        trouble = ""
    elif "error" in facts:
        trouble = f"Its Meep cannot be imported: {facts['error']}."
        if int(numpy.split(".")[0]) >= 2:
            trouble += f" Builds of Linux distributions need numpy 1; this interpreter has {numpy}: name another one."
    elif not facts["real"]:
        trouble = f"{facts['file']} is PyPI's task runner of that name, not MIT Meep: uninstall it there."
    elif not facts["mpb"]:
        build = "an MPI build without MPB (python3-meep-openmpi)" if facts.get("mpi") else "a build without MPB"
        trouble = f"It is {build}, which has no mode sources: install the serial one (python3-meep)."
    elif not facts["adjoint"]:
        trouble = (
            f"Gradients need the package autograd there ({facts['adjoint_error']}): "
            f"`{python} -m pip install autograd`, or `make setup-meep`."
        )
    usable = bool(version and facts.get("mpb"))
    return Candidate(python, origin, usable, usable and bool(facts.get("adjoint")), version, numpy, trouble)


def meep(gradients: bool = False) -> Candidate:
    """The first interpreter that has all, else the first that can at least simulate.

    Args:
        gradients: whether ``meep.adjoint`` is needed.

    Raises:
        MissingSoftware: saying what every interpreter lacks and what to do.
    """
    known = candidates(os.environ.get(VARIABLE))
    for candidate in sorted(known, key=lambda c: (not c.gradients, not c.usable)):
        if candidate.gradients or (candidate.usable and not gradients):
            return candidate
    wanted = "MIT Meep with meep.adjoint" if gradients else "MIT Meep"
    looked = "; ".join(map(str, known))
    raise MissingSoftware(f"Expected {wanted}. Got {looked or 'no interpreter to look at'}. To mend it, {INSTALL}.")
