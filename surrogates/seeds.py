"""Seeds as users give them."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

_SEEDS = 2**31 - 1


def check_seed(seed: object, wanted: str = "a seed as an integer of at least 0") -> None:
    """Raises ``TypeError`` for what is no integer, ``ValueError`` for a negative one."""
    if not isinstance(seed, Integral):
        raise TypeError(f"Expected {wanted}. Got {seed!r}.")
    if seed < 0:
        raise ValueError(f"Expected {wanted}. Got {seed}.")


def seed_from(random_state: Any) -> int:
    """An integer as it is; one drawn of a ``RandomState``, a ``Generator`` or, for None, numpy's global state.

    Raises:
        TypeError: for anything else.
        ValueError: for a negative integer.
    """
    if random_state is None or isinstance(random_state, np.random.RandomState):
        return int(check_random_state(random_state).randint(_SEEDS))
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(_SEEDS))
    check_seed(random_state, "random_state as an integer of at least 0, a RandomState, a Generator or None")
    return random_state
