"""The doctor: what is there of the optional parts, and a remedy for each that is not."""

from __future__ import annotations

import json
import sys

import pytest
from click.testing import CliRunner

from invdesign import doctor
from invdesign.cli import main
from physics import sealed
from physics.meep.find import Candidate, candidates


@pytest.fixture
def interpreters(monkeypatch):
    """Sets what the finder of Meep finds."""

    def found(*known: Candidate) -> None:
        monkeypatch.setattr(doctor, "candidates", lambda named=None: known)

    return found


GOOD = Candidate("/opt/good", "the system's", True, True, "1.25.0", "1.24.2", "")
POOR = Candidate("/opt/poor", "the system's", True, False, "1.25.0", "1.24.2", "Gradients need autograd.")
NONE = Candidate("/opt/none", "the running interpreter", False, False, None, "2.0.0", "")


def parts(name: str) -> list[doctor.Finding]:
    return [finding for finding in doctor.findings() if finding.part == name]


def test_a_complete_meep_is_all_that_is_told_of_it(interpreters) -> None:
    interpreters(NONE, POOR, GOOD)
    (meep,) = parts("Meep")
    assert meep.state == "there" and "1.25.0" in meep.found and "/opt/good" in meep.found and not meep.remedy


def test_what_is_missing_comes_with_its_own_remedy(interpreters) -> None:
    interpreters(NONE, POOR)
    (meep,) = parts("Meep")
    assert meep.state == "trouble" and meep.remedy == "Gradients need autograd."
    interpreters(NONE)
    (meep,) = parts("Meep")
    assert meep.state == "absent" and "make setup-meep" in meep.remedy


def test_packages_that_are_not_installed_are_absent(interpreters, monkeypatch) -> None:
    interpreters(GOOD)
    monkeypatch.setattr(doctor, "find_spec", lambda name: None)
    (torcwa,) = parts("torcwa")
    assert torcwa.state == "absent" and "pip install" in torcwa.remedy


def test_the_cache_says_where_it_is_and_whether_it_can_be_written(interpreters, monkeypatch, tmp_path) -> None:
    interpreters(GOOD)
    monkeypatch.setenv(sealed.FOLDER_VARIABLE, str(tmp_path / "new" / "folder"))
    (cache,) = parts("cache")
    assert cache.state == "there" and str(tmp_path) in cache.found
    monkeypatch.setenv(sealed.FOLDER_VARIABLE, "")
    (cache,) = parts("cache")
    assert cache.state == "absent" and sealed.FOLDER_VARIABLE in cache.remedy
    monkeypatch.setenv(sealed.FOLDER_VARIABLE, str(tmp_path / "locked"))
    monkeypatch.setattr(doctor.os, "access", lambda path, mode: False)
    (cache,) = parts("cache")
    assert cache.state == "trouble" and cache.remedy


def test_the_command_prints_it_and_as_json(interpreters) -> None:
    interpreters(POOR)
    plain = CliRunner().invoke(main, ["doctor"])
    assert plain.exit_code == 0
    assert sys.executable in plain.output and "Gradients need autograd." in plain.output
    told = CliRunner().invoke(main, ["doctor", "--json"])
    found = json.loads(told.output)
    assert {entry["part"] for entry in found} >= {"Python", "torch", "cache", "Meep", "torcwa"}
    assert all(entry["state"] in ("there", "absent", "trouble") for entry in found)


def test_what_an_interpreter_has_is_looked_at_once(monkeypatch) -> None:
    monkeypatch.setenv("INVDESIGN_MEEP_PYTHON", "/nonexistent/python")
    first = candidates("/nonexistent/python")
    assert first is candidates("/nonexistent/python")
    assert not first[0].usable and "could not be run" in first[0].trouble
