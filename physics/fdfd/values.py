"""Parameters at the door: plain numbers and tuples of them, whatever sequence they came in."""

from __future__ import annotations

from typing import Any

import numpy as np


def reals(name: str, value: Any, count: int | None = None) -> tuple[float, ...]:
    """``value`` as a tuple of float; a single number counts as one.

    Raises:
        ValueError: for text, booleans, complex and nested values, and for other than ``count`` numbers if given.
    """
    try:
        array = np.atleast_1d(np.asarray(value))
    except ValueError:  # sequences of unequal lengths
        array = np.empty(0, dtype=object)
    if array.ndim != 1 or array.dtype.kind not in "iuf" or count not in (None, len(array)):
        wanted = "real numbers" if count is None else "a real number" if count == 1 else f"{count} real numbers"
        raise ValueError(f"Expected {name} as {wanted}. Got {value!r}.")
    return tuple(float(v) for v in array)


def real(name: str, value: Any) -> float:
    """``value`` as one float; errors as :func:`reals`."""
    return reals(name, value, 1)[0]


def whole(name: str, value: Any) -> int:
    """``value`` as an int, ``ValueError`` if it is not a whole number."""
    number = real(name, value)
    if not number.is_integer():
        raise ValueError(f"Expected {name} as a whole number. Got {value!r}.")
    return int(number)
