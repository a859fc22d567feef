"""Set-ups on disk: the same bits, the right key, and nothing that a folder may hold stops a solve."""

import io
import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier

import numpy as np
import pytest

from physics import sealed
from physics.devices import waveguide_bend
from physics.fdfd import Constant, Pml, Rectangle, kept, scene

CONTENT = ("exterior", "sources", "constant")


def small(**changes):
    options = {"design_um": 0.6, "pixel_um": 0.04, "cells_um": 0.04, "margin_um": 0.4, "pml_um": 0.3} | changes
    return waveguide_bend(options.pop("wavelength_um", 1.55), **options)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(sealed.FOLDER_VARIABLE, str(tmp_path / "kept"))
    return tmp_path / "kept"


@pytest.fixture
def built(monkeypatch):
    """One entry a condensation."""
    calls, condense = [], scene.condense
    monkeypatch.setattr(scene, "condense", lambda *a: calls.append(1) or condense(*a))
    return calls


def region_of(device):
    """The region of a device's first wavelength, past the cache in memory."""
    return scene._build(device.scene(0)).region


def files(folder):
    return sorted(folder.glob("*.region"))


@pytest.mark.parametrize("polarization", ["Ez", "Hz"])
def test_the_same_bits_from_disk(folder, built, polarization):
    device = replace(small(), polarization=polarization)
    first, second = region_of(device), region_of(device)
    assert len(built) == 1 and len(files(folder)) == 1
    for name in CONTENT:
        assert np.array_equal(getattr(first, name), getattr(second, name))
    assert (first.window, first.wraps, first.phase) == (second.window, second.wraps, second.phase)
    assert first.receivers is first.sources and second.receivers is second.sources
    design = np.random.default_rng(0).random(device.design_shape)
    answers = []
    for _ in range(2):
        scene._systems.clear()
        answers.append(device.vjp(design, 0, {"reflection": np.ones(1)}))
    assert np.array_equal(answers[0][0]["s"], answers[1][0]["s"])
    assert np.array_equal(answers[0][1], answers[1][1])


def test_every_ingredient_has_its_own_file(folder, built):
    device = small()
    silicon = Constant(3.48, dn_dt=1.8e-4)
    warm = replace(
        device, permittivity=(2.1, silicon), shapes=tuple(replace(s, permittivity=silicon) for s in device.shapes)
    )
    others = [
        device,
        small(wavelength_um=1.551),
        replace(device, polarization="Hz"),
        replace(device, pml=Pml(0.3, log_reflection=-20.0)),
        small(pml_um=0.34),
        small(margin_um=0.44),
        small(core_permittivity=12.2),
        small(cladding_permittivity=2.2),
        small(cells_um=0.03),
        replace(device, background=2.1 + 1e-4j),
        replace(device, shapes=(*device.shapes, Rectangle((0.4, 0.5), (0.4, 0.5), 5.0))),
        replace(device, ports=tuple(replace(port, distance_um=0.28) for port in device.ports)),
        warm,
        warm.with_parameters(temperature_k=320.0),
        device.with_parameters(wavelength_shift_um=0.01),
    ]
    for other in others:
        region_of(other)
    assert len(files(folder)) == len(built) == len(others)
    for same in (replace(device, threads=1), replace(device, source="out"), replace(device, permittivity=(2.1, 9.0))):
        region_of(same)  # the outside, with the design empty, is the same
    assert len(built) == len(others)


def corrupt(path, how):
    content = path.read_bytes()
    middle = len(content) // 2
    if how == "truncated":
        path.write_bytes(content[:middle])
    elif how == "a bit flipped":
        path.write_bytes(content[:middle] + bytes([content[middle] ^ 16]) + content[middle + 1 :])
    elif how == "longer":
        path.write_bytes(content + b"0")
    elif how == "another archive":
        with path.open("wb") as file:
            np.savez(file, other=np.ones(3))
    elif how == "another set-up":
        region_of(small(wavelength_um=1.6))
        (other,) = set(files(path.parent)) - {path}
        other.replace(path)
    else:
        path.write_bytes({"empty": b"", "text": b"no archive", "pickle": pickle.dumps([1, 2])}[how])


@pytest.mark.parametrize(
    "how",
    ["truncated", "a bit flipped", "longer", "another archive", "another set-up", "empty", "text", "pickle"],
)
def test_damaged_and_foreign_files_are_computed_again(folder, built, how):
    device = small()
    expected = region_of(device)
    (path,) = files(folder)
    corrupt(path, how)
    before = len(built)
    again, third = region_of(device), region_of(device)
    assert len(built) == before + 1  # and the file is right again
    for name in CONTENT:
        assert np.array_equal(getattr(again, name), getattr(expected, name))
        assert np.array_equal(getattr(third, name), getattr(expected, name))


def test_any_damage_is_seen(folder):
    rng, region = np.random.default_rng(0), region_of(small())
    (path,) = files(folder)
    content = path.read_bytes()
    assert kept._read(path, region.window, region.phase) is not None
    places = [*range(0, 600, 7), *range(len(content) - 900, len(content), 11), *rng.integers(0, len(content), 30)]
    for place in places:
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        assert kept._read(path, region.window, region.phase) is None


def test_nothing_is_unpickled(folder, built):
    """An object that would run code, in a file whose seal is right."""
    region_of(small())
    (path,) = files(folder)
    memory = io.BytesIO()
    np.savez(memory, **dict.fromkeys(("wraps", *CONTENT), np.array([{"an": "object"}], dtype=object)))
    path.write_bytes(sealed.seal(path.stem, memory.getvalue()) + memory.getvalue())
    with pytest.raises(ValueError, match="allow_pickle=False"):
        region_of(small())


def test_a_folder_that_cannot_be_made_is_a_warning(tmp_path, monkeypatch, built):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    for place in (blocked, blocked / "below"):
        monkeypatch.setenv(sealed.FOLDER_VARIABLE, str(place))
        with pytest.warns(RuntimeWarning, match="computed again"):
            region = region_of(small())
        assert np.isfinite(region.exterior).all()
    assert len(built) == 2 and blocked.read_text() == "in the way"


def test_a_failed_write_is_a_warning_and_leaves_nothing(folder, monkeypatch, built):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        with pytest.warns(RuntimeWarning, match="No space left"):
            region_of(small())
    assert list(folder.iterdir()) == []
    region_of(small())
    assert len(files(folder)) == 1 and len(built) == 2


def test_a_read_only_folder_is_read(folder, monkeypatch, built):
    region_of(small())

    def denied(*_, **__):
        raise PermissionError(13, "read-only")

    monkeypatch.setattr(Path, "touch", denied)
    region_of(small())
    assert len(built) == 1


def test_an_empty_variable_switches_off(tmp_path, monkeypatch, built):
    monkeypatch.setenv(sealed.FOLDER_VARIABLE, "")
    monkeypatch.chdir(tmp_path)
    region_of(small())
    region_of(small())
    assert len(built) == 2 and list(tmp_path.iterdir()) == []
    assert sealed.folder() is None


def test_the_default_is_in_the_users_cache(tmp_path, monkeypatch):
    monkeypatch.delenv(sealed.FOLDER_VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert sealed.folder() == tmp_path / "invdesign" / "fdfd"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert sealed.folder() == tmp_path / ".cache" / "invdesign" / "fdfd"

    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    assert sealed.folder() is None


def test_the_least_recently_used_are_dropped(folder, monkeypatch):
    region_of(small())
    (first,) = files(folder)
    size = first.stat().st_size
    region_of(small(wavelength_um=1.56))
    (second,) = set(files(folder)) - {first}
    foreign = [folder / "mine.region", folder / "notes.txt"]
    for path in foreign:
        path.write_bytes(bytes(size))
    for age, path in ((30, first), (20, second), (1000, foreign[0]), (1000, foreign[1])):
        os.utime(path, (path.stat().st_mtime - age,) * 2)
    region_of(small())  # uses the first
    monkeypatch.setenv(sealed.LIMIT_VARIABLE, str(2.5 * size / 1e6))
    region_of(small(wavelength_um=1.57))
    left = set(files(folder))
    assert first in left and second not in left and len(left) == 3
    assert all(path.exists() for path in foreign)
    monkeypatch.setenv(sealed.LIMIT_VARIABLE, "0")
    region_of(small(wavelength_um=1.58))
    assert len(files(folder)) == 2  # what was just written stays, and so does a foreign file
    monkeypatch.setenv(sealed.LIMIT_VARIABLE, "plenty")
    with pytest.raises(ValueError, match="number of megabytes"):
        region_of(small(wavelength_um=1.59))


def test_leavings_of_killed_processes_are_dropped_after_a_day(folder):
    folder.mkdir()
    old, young = (folder / f"{digit * 40}.123.456.part" for digit in "ab")
    for path in (old, young):
        path.write_bytes(b"part")
    os.utime(old, (old.stat().st_mtime - 2 * 86400,) * 2)
    region_of(small())
    assert young.exists() and not old.exists()


def test_a_file_that_another_process_drops_first_is_no_error(folder, monkeypatch):
    region_of(small())
    unlink = Path.unlink

    def twice(self, *args, **kwargs):
        unlink(self, *args, **kwargs)
        unlink(self, *args, **kwargs)

    monkeypatch.setattr(Path, "unlink", twice)
    monkeypatch.setenv(sealed.LIMIT_VARIABLE, "0")
    region_of(small(wavelength_um=1.56))
    assert len(files(folder)) == 1


WRITER = """
import sys
from tests.physics.test_kept import region_of, small
device = small(wavelength_um=(1.55,))
print(region_of(device).exterior.sum())
"""


def test_two_threads_that_both_build_at_once(folder, monkeypatch):
    together, condense = Barrier(2), scene.condense

    def slow(*args):
        region = condense(*args)
        together.wait(timeout=60)
        return region

    monkeypatch.setattr(scene, "condense", slow)
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(region_of, (small(), small()))
    assert np.array_equal(one.exterior, other.exterior)
    assert [path.suffix for path in folder.iterdir()] == [".region"]


@pytest.mark.slow
def test_two_processes_at_once(folder):
    root = Path(__file__).parents[2]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen([sys.executable, "-c", WRITER], cwd=root, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    answers = {process.communicate()[0] for process in processes}
    assert all(process.returncode == 0 for process in processes) and len(answers) == 1
    assert [path.suffix for path in folder.iterdir()] == [".region"]
    assert f"{region_of(small()).exterior.sum()}\n" in answers
