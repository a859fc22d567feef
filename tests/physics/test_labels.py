"""Files of labels: what is written is read again, and what is no such file is refused."""

from __future__ import annotations

import numpy as np
import pytest

from physics.base import Quantity
from physics.tables import LabelSet, LevelLabels, read_labels


def some_labels() -> LabelSet:
    rng = np.random.default_rng(0)
    designs = (rng.random((3, 2, 4)) < 0.5).astype(float)
    stress = Quantity("stress", {"strain": (0.1, 0.2)}, "GPa")
    waves = Quantity("s", {"port": ("in", "out")}, "1", complex)
    rows, replicates = np.array([2, 0, 0]), np.array([0, 1, 0])
    responses = {"stress": rng.random((3, 2)), "s": rng.random((3, 2)) + 1j * rng.random((3, 2))}
    level = LevelLabels((stress, waves), rows, replicates, np.ones(3), responses)
    return LabelSet("some", designs, {"md": level}, {"seed": 3})


def test_round_trip(tmp_path):
    given = some_labels()
    given.save(tmp_path / "labels.npz")
    read = read_labels(tmp_path / "labels.npz")
    assert read.name == "some"
    assert read.notes == {"seed": 3}
    np.testing.assert_array_equal(read.designs, given.designs)
    before, after = given.level("md"), read.level("md")
    assert after.quantities == before.quantities
    np.testing.assert_array_equal(after.rows, before.rows)
    np.testing.assert_array_equal(after.replicates, before.replicates)
    for name in ("stress", "s"):
        np.testing.assert_allclose(after.responses[name], before.responses[name], rtol=1e-6)
    assert [file.name for file in tmp_path.iterdir()] == ["labels.npz"]


def test_a_level_is_a_simulator_with_replicates_in_order():
    given = some_labels()
    table = given.table("md")
    assert table.fidelities[0].stochastic
    found = table.simulate(given.designs[0], 0, replicate=1)
    np.testing.assert_array_equal(found["stress"], given.level("md").responses["stress"][1])
    first = given.first("md", "stress")
    np.testing.assert_array_equal(first[0], given.level("md").responses["stress"][2])
    assert np.isnan(first[1]).all()


def test_grey_designs_keep_their_densities(tmp_path):
    given = some_labels()
    grey = LabelSet("grey", given.designs * 0.3, given.levels, {})
    grey.save(tmp_path / "labels.npz")
    np.testing.assert_allclose(read_labels(tmp_path / "labels.npz").designs, grey.designs, rtol=1e-6)


def test_what_is_no_file_of_labels_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="Expected a file of labels"):
        read_labels(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("no archive")
    with pytest.raises(ValueError, match="does not read"):
        read_labels(tmp_path / "text.npz")
    some_labels().save(tmp_path / "cut.npz")
    whole = (tmp_path / "cut.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="does not read"):
        read_labels(tmp_path / "cut.npz")
    with pytest.raises(KeyError, match="one of the levels md"):
        some_labels().level("linear")
    with pytest.raises(KeyError, match="one of the quantities stress, s"):
        some_labels().first("md", "modulus")


def test_a_flipped_bit_is_damage_or_nothing(tmp_path):
    file, rng, refused = tmp_path / "flipped.npz", np.random.default_rng(0), 0
    some_labels().save(file)
    whole = file.read_bytes()
    for _ in range(300):
        damaged = bytearray(whole)
        damaged[rng.integers(len(whole))] ^= 1 << rng.integers(8)
        file.write_bytes(damaged)
        try:
            read_labels(file)
        except ValueError as error:
            refused += "does not read" in str(error)
    assert refused > 100
