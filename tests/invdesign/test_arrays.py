from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import pytest

from invdesign.arrays import ContentError, content_key


def closure(offset: float) -> Callable[[float], float]:
    return lambda x: x + offset


def with_default(x: float, power: int = 1) -> float:
    return x**power


def with_another_default(x: float, power: int = 2) -> float:
    return x**power


class Loss:
    def __init__(self, weight: float) -> None:
        self.weight = weight


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (lambda r: r["t"].mean(), lambda r: r["t"].sum()),
        (lambda x: x + 1, lambda x: x + 2),
        (closure(1.0), closure(2.0)),
        (functools.partial(with_default, power=1), functools.partial(with_default, power=2)),
        (with_default, with_another_default),
        (slice(1, 2), slice(1, 3)),
        ({1, 2}, {1, 3}),
        ((1, 2), (1, 2.5)),
        (np.zeros(3), np.zeros((3, 1))),
        (np.zeros(3), np.zeros(3, np.float32)),
        ({"a": 1}, {"a": None}),
        (True, 1),
        ("1", 1),
        (1 + 2j, 1 + 3j),
    ],
)
def test_other_content_has_another_key(one: object, other: object) -> None:
    assert content_key(one) != content_key(other)
    assert content_key(one) == content_key(one)


def test_equal_content_has_one_key_whatever_its_order() -> None:
    assert content_key({"a": 1, "b": 2}) == content_key({"b": 2, "a": 1})
    assert content_key({3, 1, 2}) == content_key({2, 3, 1})
    assert content_key(closure(1.0)) == content_key(closure(1.0))


def test_what_has_no_plain_content_is_refused() -> None:
    for thing in (object(), Loss(1.0), iter([1])):
        with pytest.raises(ContentError, match="make it a dataclass"):
            content_key(thing)
