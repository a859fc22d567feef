"""What is found, and what is told, where interpreters have Meep, something of that name, or nothing."""

from __future__ import annotations

import json
import re
import stat
import sys

import pytest

from physics.base import MissingSoftware
from physics.meep import candidates, find, meep

# Of a Meep and numpy that seem complete; a test takes parts away.
COMPLETE = {
    "numpy/__init__.py": "__version__ = '1.24.2'",
    "meep/__init__.py": """
__version__ = "1.25.0"
X = 0
class Any:
    def __init__(self, *given, **more): pass
    def init_sim(self): pass
    def get_eigenmode(self, *given): pass
Simulation = MaterialGrid = Vector3 = Medium = Volume = Any
def with_mpi(): return False
def verbosity(level): print("Meep says hello")
""",
    "meep/adjoint/__init__.py": "",
}
NO_MPB = COMPLETE["meep/__init__.py"].replace(
    "def get_eigenmode(self, *given): pass", "def get_eigenmode(self, *given): raise RuntimeError('no MPB')"
)
ABORTS = COMPLETE["meep/__init__.py"].replace(
    "def get_eigenmode(self, *given): pass",
    "def get_eigenmode(self, *given):\n        import os, signal\n        os.kill(os.getpid(), signal.SIGABRT)",
)
MPI = NO_MPB.replace("return False", "return True")
REAL = {"version": "1.25.0", "numpy": "1.24.2", "real": True, "mpi": False, "mpb": True, "adjoint": True}


@pytest.fixture(autouse=True)
def looked_at_anew(monkeypatch):
    """Nothing found before, or here, is remembered."""
    monkeypatch.delenv(find.VARIABLE, raising=False)
    candidates.cache_clear()
    yield
    candidates.cache_clear()


@pytest.fixture
def interpreter(tmp_path):
    """`interpreter(files)`: this Python with packages of those files and no others."""

    def made(files, name="python"):
        folder = tmp_path / f"{name}-packages"
        for path, text in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
        # -S: no site packages, thus neither the real numpy nor the real Meep.
        return script(tmp_path / name, f'PYTHONPATH="{folder}" exec "{sys.executable}" -S "$@"')

    return made


def script(path, command):
    """An executable file of one command."""
    path.write_text(f"#!/bin/sh\n{command}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_complete(interpreter):
    found = find.examined(interpreter(COMPLETE), "a test")
    assert (found.usable, found.gradients, found.trouble) == (True, True, "")
    assert (found.version, found.numpy) == ("1.25.0", "1.24.2")
    assert "a test" in str(found) and "Meep 1.25.0" in str(found)


@pytest.mark.parametrize(
    ("changed", "usable", "told"),
    [
        (
            {"meep/__init__.py": "def task(): pass"},
            False,
            "PyPI's task runner of that name, not MIT Meep: uninstall it",
        ),
        (
            {
                "numpy/__init__.py": "__version__ = '2.1.0'",
                "meep/__init__.py": "raise ImportError('_ARRAY_API')",
            },
            False,
            "_ARRAY_API.*need numpy 1; this interpreter has 2.1.0",
        ),
        ({"meep/__init__.py": "raise OSError('libmeep.so.31 missing')"}, False, "libmeep.so.31 missing"),
        ({"meep/__init__.py": "import nlopt_of_ours"}, False, "No module named 'nlopt_of_ours'"),
        ({"meep/__init__.py": NO_MPB}, False, r"a build without MPB.*install the serial one \(python3-meep\)"),
        ({"meep/__init__.py": ABORTS}, False, "a build without MPB"),
        ({"meep/__init__.py": MPI}, False, "an MPI build without MPB"),
        (
            {"meep/adjoint/__init__.py": "import autograd"},
            True,
            "Gradients need the package autograd.*No module named 'autograd'.*pip install autograd.*make setup-meep",
        ),
    ],
    ids=["impostor", "numpy 2", "broken", "dependency", "no MPB", "MPB aborts", "MPI", "no autograd"],
)
def test_trouble_is_told(interpreter, changed, usable, told):
    found = find.examined(interpreter(COMPLETE | changed), "a test")
    assert (found.usable, found.gradients) == (usable, False)
    assert re.search(f"(?s){told}", found.trouble), found.trouble


def test_absence_is_no_trouble(interpreter):
    bare = interpreter({"numpy/__init__.py": COMPLETE["numpy/__init__.py"]})
    for python in (bare, interpreter({}, "barest")):
        found = find.examined(python, "a test")
        assert (found.usable, found.version, found.trouble) == (False, None, "")
        assert "no Meep" in str(found)


def test_crashing_silent_and_babbling_interpreters(tmp_path):
    crashing = find.examined(script(tmp_path / "crash", "echo broken libc >&2; exit 3"), "a test")
    assert "ended with code 3: broken libc" in crashing.trouble
    babbling = find.examined(script(tmp_path / "babble", "echo hello"), "a test")
    assert "ended with code 0" in babbling.trouble
    nothing = find.examined(str(tmp_path / "nowhere"), "a test")
    assert "could not be run" in nothing.trouble
    assert not any(found.usable for found in (crashing, babbling, nothing))


@pytest.mark.parametrize("words", ["3", "null", '"meep"', "[1]"])
def test_json_of_another_kind_is_no_meep(tmp_path, words):
    found = find.examined(script(tmp_path / "json", f"echo '{words}'"), "a test")
    assert not found.usable and "ended with code 0" in found.trouble


def test_hanging_interpreter(tmp_path, monkeypatch):
    monkeypatch.setattr(find, "LIMIT_S", 0.3)
    found = find.examined(script(tmp_path / "hang", "exec sleep 60"), "a test")
    assert "could not be run" in found.trouble and "timed out" in found.trouble


def test_named_interpreter_alone_is_looked_at(interpreter, monkeypatch):
    named = interpreter(COMPLETE)
    monkeypatch.setenv(find.VARIABLE, named)
    assert list(find.interpreters()) == [(named, find.VARIABLE)]
    assert meep(gradients=True).python == named
    # The variable is read anew, unlike what an interpreter has.
    other = interpreter(COMPLETE, "other")
    monkeypatch.setenv(find.VARIABLE, other)
    assert meep().python == other
    monkeypatch.setenv(find.VARIABLE, interpreter({}, "empty"))
    with pytest.raises(MissingSoftware, match="empty"):
        meep()


def test_without_the_variable_each_interpreter_once():
    looked = [python for python, _ in find.interpreters()]
    assert looked[0] == sys.executable
    assert len(looked) == len(set(looked))


def test_the_most_complete_is_taken(interpreter, monkeypatch):
    lesser = interpreter(COMPLETE | {"meep/adjoint/__init__.py": "import autograd"}, "lesser")
    full = interpreter(COMPLETE, "full")
    monkeypatch.setattr(find, "interpreters", lambda: iter([(lesser, "first"), (full, "second")]))
    assert meep().python == meep(gradients=True).python == full
    candidates.cache_clear()
    monkeypatch.setattr(find, "interpreters", lambda: iter([(lesser, "first")]))
    assert meep().python == lesser
    with pytest.raises(MissingSoftware, match="autograd"):
        meep(gradients=True)


def test_message_names_what_was_looked_at_and_the_remedies(interpreter, monkeypatch):
    impostor = interpreter(COMPLETE | {"meep/__init__.py": ""}, "impostor")
    monkeypatch.setattr(find, "interpreters", lambda: iter([(impostor, "a test")]))
    with pytest.raises(MissingSoftware) as caught:
        meep()
    for words in (impostor, "PyPI's task runner", "make setup-meep", "conda-forge pymeep", find.VARIABLE):
        assert words in str(caught.value)
    candidates.cache_clear()
    monkeypatch.setattr(find, "interpreters", lambda: iter([]))
    with pytest.raises(MissingSoftware, match="no interpreter to look at"):
        meep()


def test_found_once(tmp_path, monkeypatch):
    counted = tmp_path / "count"
    python = script(tmp_path / "python", f"echo x >> {counted}; echo '{json.dumps(REAL)}'")
    monkeypatch.setenv(find.VARIABLE, python)
    assert meep() == meep(gradients=True) == meep()
    assert counted.read_text() == "x\n"


def test_own_environment_does_not_lead_it_astray(interpreter, monkeypatch, tmp_path):
    (tmp_path / "astray").mkdir()
    (tmp_path / "astray" / "json.py").write_text("raise SystemError('astray')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "astray"))
    python = script(tmp_path / "plain", f'exec "{sys.executable}" -S "$@"')
    assert find.examined(python, "a test").trouble == ""
