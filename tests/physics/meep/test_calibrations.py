"""What the ports need to know is learnt once, kept on disk, and learnt again where the disk is damaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from physics import sealed
from physics.meep import calibrations as module
from physics.meep import meep
from physics.meep.calibrations import calibrations
from physics.meep.description import Mesh, described
from physics.meep.session import SCRIPT
from physics.worker import Program, Worker
from tests.meep import needs_meep
from tests.physics.meep.problems import bend

MESH = Mesh(0.05, 0.6, 5.0)


class Answering:
    """A worker that knows what to answer and counts its calls."""

    def __init__(self):
        self.calls = []

    def call(self, operation, arrays=None, *, time_limit_s=None, model, sources):
        self.calls.append((operation, sources))
        arrays = {f"port{i}": np.full((4, 1), 1 + 1j) for i in range(len(model["ports"]))}
        for i in set(range(len(model["ports"]))) - set(sources):
            arrays[f"port{i}"][0] = 0
        return type("Reply", (), {"arrays": arrays})()


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """Where they are kept, with nothing in it and nothing in memory."""
    monkeypatch.setenv(sealed.FOLDER_VARIABLE, str(tmp_path))
    monkeypatch.setattr(module, "_known", {})
    return tmp_path


def model(device=None, mesh=MESH):
    """Of the bend."""
    return described(device or bend(), mesh, (0,))


def ask(worker, version="1.25.0", sources=(0,), **given):
    """As a session does."""
    return calibrations(worker, version, model(**given), list(sources), 60.0)


def test_asked_once_and_read_from_disk_by_the_next_process(folder, monkeypatch):
    worker = Answering()
    first = ask(worker)
    assert ask(worker) is first
    monkeypatch.setattr(module, "_known", {})  # as in a new process
    again = ask(worker)
    assert worker.calls == [("prepare", [0])]
    assert set(again) == {"port0", "port1"}
    for name in again:
        assert np.array_equal(first[name], again[name])
    assert [path.suffix for path in folder.iterdir()] == [".ports"]


def test_damage_is_seen(folder, monkeypatch):
    worker = Answering()
    ask(worker)
    (path,) = folder.iterdir()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    for damaged in (bytes(content), content[:50], b""):
        path.write_bytes(damaged)
        monkeypatch.setattr(module, "_known", {})
        assert ask(worker)["port0"].all()
    assert len(worker.calls) == 4


def test_another_version_device_or_mesh_is_asked_for(folder):
    worker = Answering()
    ask(worker)
    ask(worker, version="1.26.0")
    ask(worker, device=bend(width_um=0.45))
    ask(worker, mesh=Mesh(0.04, 0.6, 5.0))
    assert len(worker.calls) == 4
    ask(worker, device=bend(pixel_um=0.1))  # the design is not there when ports are calibrated
    assert len(worker.calls) == 4


def test_more_sources_are_asked_for(folder):
    worker = Answering()
    ask(worker)
    ask(worker, sources=(0, 1))
    ask(worker, sources=(1,))
    assert [sources for _, sources in worker.calls] == [[0], [0, 1]]


def test_without_a_folder(folder, monkeypatch):
    monkeypatch.setenv(sealed.FOLDER_VARIABLE, "")
    worker = Answering()
    assert ask(worker)["port0"].all()
    assert not list(folder.iterdir())


@needs_meep
def test_of_meep_itself(folder, monkeypatch):
    found = meep(gradients=True)
    worker = Worker(Program("meep", found.python, str(SCRIPT)))
    try:
        first = calibrations(worker, str(found.version), model(), [0], 60.0)
    finally:
        worker.close()
    monkeypatch.setattr(module, "_known", {})
    again = calibrations(Answering(), str(found.version), model(), [0], 60.0)
    for name in first:
        assert np.array_equal(first[name], again[name])
    sent, phase, wavenumber, seeming = first["port0"]
    assert abs(phase[0]) == pytest.approx(1)
    # Between the indices of core and cladding; seeming reflection of a few per cent at cells so coarse.
    assert 2.1**0.5 < wavenumber[0].real * 1.55 < 12.1**0.5
    assert 0 < abs(seeming[0] / sent[0]) < 0.15
    assert not first["port1"][0].any()
