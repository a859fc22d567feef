"""An injectable cache of expensive results, so that a killed run replays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from numpy.typing import NDArray

Payload = dict[str, NDArray[Any]]


class Memo(Protocol):
    """Gives the stored payload of (kind, inputs), or computes and stores it.

    ``inputs`` is JSON-able and determines the result in full. A payload is a flat dict of numeric arrays, so npz
    without pickle can hold it; it carries its own ``cpu_seconds``, which a replay charges again.
    """

    def __call__(self, kind: str, inputs: Mapping[str, Any], compute: Callable[[], Payload]) -> Payload: ...


def no_memo(kind: str, inputs: Mapping[str, Any], compute: Callable[[], Payload]) -> Payload:
    """Always computes."""
    return compute()
