"""What is there of all that invdesign can use, and how to get the rest."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any, Literal

from physics import sealed
from physics.meep.find import INSTALL, candidates

State = Literal["there", "absent", "trouble"]


@dataclass(frozen=True)
class Finding:
    """One part.

    Args:
        part: its name.
        use: what it is for.
        state: "there", "absent", or "trouble" where it is there and cannot be used.
        found: versions and places.
        remedy: what to do where it is wanted and not there; empty else.
    """

    part: str
    use: str
    state: State
    found: str
    remedy: str = ""

    def described(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)


def findings() -> list[Finding]:
    """All parts; takes some seconds, since Meep is tried in every interpreter that may have it."""
    return [
        _python(),
        _torch(),
        _cache(),
        *_meep(),
        _package("torcwa", "gratings and meta-atoms by RCWA", "pip install 'invdesign[rcwa]'"),
        _package("distributed", "solves on a cluster, through Dask's executor", "pip install distributed"),
    ]


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "of unknown version"


def _python() -> Finding:
    cores = os.cpu_count() or 1
    found = f"{platform.python_version()} ({sys.executable}), {cores} cores, numpy {_version('numpy')}"
    return Finding("Python", "everything", "there", found)


def _torch() -> Finding:
    import torch

    devices = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    there = ", ".join(devices) if devices else "no GPU, which is never needed"
    return Finding("torch", "networks and design spaces", "there", f"{torch.__version__}, {there}")


def _cache() -> Finding:
    folder = sealed.folder()
    if folder is None:
        found, remedy = "none", f"name a folder in {sealed.FOLDER_VARIABLE} to keep set-ups between runs"
        return Finding("cache", "set-ups of solvers, kept between runs", "absent", found, remedy)
    nearest = next(place for place in (folder, *folder.parents) if place.exists())
    if not os.access(nearest, os.W_OK):
        remedy = f"name a folder you may write in {sealed.FOLDER_VARIABLE}"
        return Finding("cache", "set-ups of solvers, kept between runs", "trouble", f"{folder}, not writable", remedy)
    return Finding("cache", "set-ups of solvers, kept between runs", "there", str(folder))


def _meep() -> list[Finding]:
    """The interpreter that has all of it; else one line for each that has some, or one that says there is none."""
    use, lines = "MIT Meep's FDTD as a solver", []
    for candidate in candidates(os.environ.get("INVDESIGN_MEEP_PYTHON")):
        place = f"{candidate.python} ({candidate.origin})"
        if candidate.gradients:
            return [Finding("Meep", use, "there", f"{candidate.version}, numpy {candidate.numpy}, {place}")]
        if candidate.trouble:
            known = f"{candidate.version}, " if candidate.version else ""
            lines.append(Finding("Meep", use, "trouble", f"{known}{place}", candidate.trouble))
    return lines or [Finding("Meep", use, "absent", "in no interpreter", INSTALL)]


def _package(name: str, use: str, remedy: str) -> Finding:
    if find_spec(name) is None:
        return Finding(name, use, "absent", "not installed", remedy)
    return Finding(name, use, "there", _version(name))
