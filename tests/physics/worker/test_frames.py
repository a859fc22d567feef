"""Frames say what they hold, and refuse what is none."""

from __future__ import annotations

import math

import numpy as np
import pytest

from physics.worker.child import frames


def round_trip(header, arrays):
    prefix, body = frames.encode(header, arrays)
    assert frames.length(prefix) == len(body)
    return frames.decode(bytes(body))


ARRAYS = {
    "float": np.linspace(0, 1, 6).reshape(2, 3),
    "complex": np.array([1 + 2j, np.nan, np.inf]),
    "single": np.float32(0.1),
    "whole": np.arange(5, dtype=np.int16),
    "flags": np.array([[True], [False]]),
    "empty": np.zeros((0, 3)),
    "scalar": np.array(3.5),
    "columns": np.asfortranarray(np.arange(12.0).reshape(3, 4)),
    "strided": np.arange(20.0)[::3],
    "swapped": np.arange(3.0).astype(">f8"),
    "text": np.array(["Ez", "Hz"]),
    "file": np.ones(2),
    "_h": np.ones(1),
    "a/b.npy": np.ones(3),
}


def test_arrays_come_back_as_they_went():
    _, found = round_trip({}, ARRAYS)
    assert set(found) == set(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].shape == np.shape(array)
        assert found[name].dtype == np.asarray(array).dtype


def test_header_is_safe_for_what_is_not_finite():
    header = {"a": [1, 2.5, None, True, "µm"], "b": {"c": math.inf, "d": -math.inf, "e": math.nan}}
    found, _ = round_trip(header, {})
    assert found["a"] == header["a"]
    assert found["b"]["c"] == math.inf
    assert found["b"]["d"] == -math.inf
    assert math.isnan(found["b"]["e"])


@pytest.mark.parametrize("header", [{"x": np.float32(1)}, {"x": {1: 2}}, {"x": [{2}]}, {"x": 1j}])
def test_header_must_be_plain(header):
    with pytest.raises(TypeError, match="header"):
        frames.encode(header)


def test_objects_are_refused():
    with pytest.raises(TypeError, match="dtype object"):
        frames.encode({}, {"x": np.array([object()])})
    with pytest.raises(TypeError, match="by name"):
        frames.encode({}, {3: np.ones(2)})


def test_what_is_no_frame_is_refused(tmp_path):
    with pytest.raises(frames.FrameError, match="starts with"):
        frames.length(b"Meep progress: 1")
    with pytest.raises(frames.FrameError, match="at most"):
        frames.length(frames.MAGIC + b"\xff" * 8)
    rng = np.random.default_rng(0)
    whole = bytes(frames.encode({"a": 1}, {"x": rng.random(50)})[1])
    for body in (b"", b"PK\x03\x04", rng.bytes(500), whole[:-40], whole[40:]):
        with pytest.raises(frames.FrameError):
            frames.decode(body)
    np.savez(tmp_path / "pickled.npz", _h=np.array([{"a": 1}], dtype=object))
    with pytest.raises(frames.FrameError, match=r"[Oo]bject arrays"):
        frames.decode((tmp_path / "pickled.npz").read_bytes())


def test_damaged_bodies_never_raise_anything_else():
    rng = np.random.default_rng(1)
    whole = bytes(frames.encode({"a": [1, 2]}, {"x": np.arange(20.0)})[1])
    refused = 0
    for _ in range(300):
        body = bytearray(whole)
        for place in rng.integers(0, len(body), 4):
            body[place] ^= int(rng.integers(1, 256))
        try:
            frames.decode(bytes(body))
        except frames.FrameError:
            refused += 1
    assert refused > 200
