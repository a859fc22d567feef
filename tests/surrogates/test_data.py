import dataclasses

import numpy as np
import pytest

from surrogates import DataError, Dataset, LevelData, split
from surrogates.splitting import sides_of
from tests.surrogates.toy import SHAPE, Toy, dataset, level_data


def parts(**changes):
    n, m = 4, 2
    fields = {
        "designs": np.full((n, 3, 5), 0.5),
        "responses": {"t": np.ones((n, 2), complex), "loss": np.zeros((n, 1))},
        "groups": np.arange(n),
        "gradient_rows": np.array([0, 0]),
        "cotangents": {"t": np.ones((m, 2), complex)},
        "gradients": np.ones((m, 3, 5)),
    }
    return fields | changes


def test_cotangents_left_out_are_zero():
    data = LevelData(**parts())
    assert set(data.cotangents) == {"t", "loss"}
    assert not data.cotangents["loss"].any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"designs": np.full((4, 3, 5), 1.5)}, "densities in"),
        ({"designs": np.full((4, 3, 5), np.nan)}, "finite"),
        ({"designs": np.zeros((0, 3, 5))}, "non-empty"),
        ({"responses": {}}, "at least one named response"),
        ({"responses": {"t": np.ones((3, 2))}}, "shape"),
        ({"responses": {"t": np.array([[1.0, 1], [np.inf, 1], [1, 1], [1, 1]])}}, "row 1"),
        ({"groups": np.arange(3)}, "groups"),
        ({"groups": np.array([0.1, 0.5, 0.9, 1.0])}, "integers. Got 0.1"),
        ({"groups": np.array([0.0, 1.0, np.nan, 1.0])}, "finite"),
        ({"gradient_rows": np.array([0.5, 1.0])}, "integers. Got 0.5"),
        ({"gradient_rows": np.array([0, 9])}, "0..3"),
        ({"cotangents": {"u": np.ones((2, 2))}}, "Expected cotangents of"),
        ({"cotangents": {"loss": np.ones((2, 1), complex)}}, "real"),
        ({"gradients": np.ones((2, 5, 3))}, "gradients to have shape"),
        ({"gradients": np.ones((2, 3, 5), complex)}, "real"),
    ],
)
def test_contradictions_are_named(changes, message):
    with pytest.raises(DataError, match=message):
        LevelData(**parts(**changes))


def test_real_cotangents_of_a_complex_response_are_made_complex():
    data = LevelData(**parts(cotangents={"t": np.ones((2, 2))}))
    assert data.cotangents["t"].dtype == np.complex128
    assert data.key == LevelData(**parts()).key


def test_content_is_copied_and_read_only():
    fields = parts()
    data = LevelData(**fields)
    key = data.key
    fields["designs"][:] = 0.1
    assert data.designs[0, 0, 0] == 0.5
    assert LevelData(**parts()).key == key
    assert LevelData(**parts(groups=np.zeros(4))).key != key
    with pytest.raises(ValueError, match="read-only"):
        data.designs[0] = 0
    with pytest.raises(dataclasses.FrozenInstanceError):
        data.designs = fields["designs"]


def test_take_and_concat_keep_gradients_with_their_samples():
    data = level_data(Toy(), runs=4, steps=3, seed=0)
    order = np.random.default_rng(0).permutation(len(data))
    first, second = data.take(order[:5]), data.take(order[5:])
    both = first.concat(second)
    for part in (first, second, both):
        for row, gradient in zip(part.gradient_rows, part.gradients, strict=True):
            origin = np.flatnonzero((data.designs == part.designs[row]).all(axis=(1, 2)))[0]
            np.testing.assert_array_equal(gradient, data.gradients[origin])
    np.testing.assert_array_equal(both.designs, data.designs[order])


def test_concat_of_unlike_levels_is_refused():
    data = LevelData(**parts())
    other = LevelData.values_only(np.zeros((2, 3, 5)), {"u": np.zeros((2, 1))}, np.zeros(2))
    with pytest.raises(DataError, match="Got"):
        data.concat(other)
    with pytest.raises(DataError, match="one design shape"):
        Dataset({0: data, 1: LevelData.values_only(np.zeros((2, 4)), {"u": np.zeros((2, 1))}, np.zeros(2))})


def test_save_and_load(tmp_path):
    data = Dataset({3: level_data(Toy(), runs=2, steps=2, seed=0), 0: level_data(Toy(0.1), runs=2, steps=2, seed=1)})
    data.save(tmp_path / "data.npz")
    loaded = Dataset.load(tmp_path / "data.npz")
    assert list(loaded.levels) == [0, 3]
    assert loaded.reference == 3
    assert loaded.key == data.key
    assert loaded.design_shape == SHAPE


@pytest.mark.parametrize("damage", ["truncate", "text", "bits", "compression", "npy", "others", "none"])
def test_damaged_file(tmp_path, damage):
    path = tmp_path / "data.npz"
    dataset(runs=2, steps=2).save(path)
    content = path.read_bytes()
    if damage == "truncate":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "text":
        path.write_text("nothing of the sort")
    elif damage == "compression":
        method = content.rindex(b"PK\x01\x02") + 10
        path.write_bytes(content[:method] + b"\x01" + content[method + 1 :])
    elif damage in ("npy", "others", "none"):
        with path.open("wb") as file:
            if damage == "npy":
                np.save(file, np.ones(3))
            else:
                np.savez(file, **({"0/designs": np.ones((2, 2, 2))} if damage == "others" else {}))
    else:
        middle = len(content) // 2
        path.write_bytes(
            content[:middle] + bytes(255 - b for b in content[middle : middle + 200]) + content[middle + 200 :]
        )
    with pytest.raises(DataError, match=r"Dataset\.save"):
        Dataset.load(path)


@pytest.mark.parametrize("seed", range(5))
def test_split_keeps_groups_apart_at_all_levels(seed):
    low = level_data(Toy(0.2), runs=8, steps=4, seed=2)
    high = level_data(Toy(), runs=6, steps=3, seed=3, first_group=4)
    train, held_out = split(Dataset({0: low, 1: high}), 0.25, seed)
    groups = [{int(g) for part in side.levels.values() for g in part.groups} for side in (train, held_out)]
    assert not groups[0] & groups[1]
    for level, whole in {0: low, 1: high}.items():
        assert len(train.levels[level]) + len(held_out.levels[level]) == len(whole)
    assert 0.1 < len(held_out.levels[1]) / len(high) < 0.5


def sized(*sizes, first_group=0):
    """A level with groups of these sizes."""
    groups = first_group + np.repeat(np.arange(len(sizes)), sizes)
    return LevelData.values_only(np.full((len(groups), 2, 2), 0.5), {"y": np.arange(len(groups))[:, None]}, groups)


def groups_of(part):
    return {int(group) for level in part.levels.values() for group in level.groups}


@pytest.mark.parametrize("seed", range(10))
def test_split_does_not_overshoot(seed):
    for sizes, most in (((90, 5, 5), 10), ((30, 1, 1, 1), 3), ((10, 40), 10), ((4,) * 10, 8)):
        _, held_out = split(Dataset({0: sized(*sizes)}), 0.2, seed)
        assert 1 <= len(held_out.levels[0]) <= most


@pytest.mark.parametrize("seed", range(20))
def test_no_level_is_trained_on_groups_held_out_at_another(seed):
    low, high = sized(4, first_group=3), sized(*[4] * 10)
    train, held_out = split(Dataset({0: low, 1: high}), 0.2, seed)
    assert set(train.levels) == {0, 1}
    assert not set(train.levels[0].groups) & set(held_out.levels[1].groups)
    assert len(held_out.levels[1]) == 8


def test_split_keeps_earlier_sides_and_fills_up_with_new_groups():
    small, grown = Dataset({0: sized(*[3] * 10)}), Dataset({0: sized(*[3] * 20)})
    before = sides_of(*split(small, 0.2, 0))
    train, held_out = split(grown, 0.2, 1, before)
    after = sides_of(train, held_out)
    assert {group: after[group] for group in before} == before
    assert (sum(before.values()), sum(after.values())) == (2, 4)


def test_split_in_order_goes_on_in_order():
    before = sides_of(*split(Dataset({0: sized(10)}), 0.2, 0))
    assert before == {0: False}
    train, held_out = split(Dataset({0: sized(20)}), 0.2, 1, before)
    assert set(train.levels[0].responses["y"][:, 0]) >= set(range(8))
    train, held_out = split(Dataset({0: sized(20, 10)}), 0.2, 1, before)
    assert (groups_of(train), groups_of(held_out)) == ({0}, {1})


def test_a_level_of_groups_held_out_before_is_left_out():
    train, held_out = split(Dataset({0: sized(4), 1: sized(4, 4)}), 0.5, 0, {0: True, 1: False})
    assert set(train.levels) == set(held_out.levels) == {1}
    with pytest.raises(DataError, match="train on"):
        split(Dataset({0: sized(4)}), 0.5, 0, {0: True})


def test_split_of_two_groups_leaves_one_on_each_side():
    data = level_data(Toy(), runs=2, steps=5, seed=0)
    train, held_out = split(Dataset({0: data}), 0.01, 0)
    assert len(np.unique(train.levels[0].groups)) == len(np.unique(held_out.levels[0].groups)) == 1


def test_split_of_one_group_holds_out_its_tail():
    data = level_data(Toy(), runs=1, steps=10, seed=0)
    train, held_out = split(Dataset({0: data}), 0.2, 0)
    np.testing.assert_array_equal(train.levels[0].designs, data.designs[:8])
    np.testing.assert_array_equal(held_out.levels[0].designs, data.designs[8:])


def test_split_needs_two_samples():
    with pytest.raises(DataError, match="two samples"):
        split(Dataset({0: level_data(Toy(), runs=1, steps=1, seed=0)}), 0.2, 0)


def test_samples_without_numbers_are_refused():
    for shape in ((4, 0), (4, 3, 0)):
        with pytest.raises(DataError, match="non-empty"):
            LevelData.values_only(np.zeros(shape), {"y": np.zeros(4)}, np.arange(4))
    for responses in ({"y": np.zeros((4, 0))}, {"y": np.zeros((4, 0)), "z": np.zeros((4, 2, 0))}):
        with pytest.raises(DataError, match=r"at least one number a sample. Got shapes \{'y': "):
            LevelData.values_only(np.zeros((4, 3)), responses, np.arange(4))
    # One of several may have none: conditions that there are not.
    LevelData.values_only(np.zeros((4, 3)), {"y": np.zeros(4), "conditions": np.zeros((4, 0))}, np.arange(4))


def test_only_a_dataset_is_split():
    samples = level_data(Toy(), runs=4, steps=2, seed=0)
    with pytest.raises(TypeError, match=r"a Dataset. Got LevelData; .*Dataset\({0: samples}\)"):
        split(samples, 0.2, 0)
