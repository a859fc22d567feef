"""Identities of simulators from the content of their parameters."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from numbers import Real
from typing import Any


def content_hash(version: str, value: Any, without: tuple[str, ...] = ()) -> str:
    """SHA-256 of a version and of all fields of a dataclass.

    Args:
        version: of the solver.
        value: a dataclass of numbers, text, tuples and dataclasses.
        without: fields that change no answer.

    Raises:
        ValueError: for parameters of another kind.
    """
    content = {f.name: canonical(getattr(value, f.name)) for f in fields(value) if f.name not in without}
    text = json.dumps([version, content], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def canonical(value: Any) -> Any:
    """Nested parameters with every number as a float, so that 2 and 2.0, 0.0 and -0.0 are one device."""
    if is_dataclass(value) and not isinstance(value, type):
        return {"is": type(value).__name__} | {f.name: canonical(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): canonical(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [canonical(item) for item in value]
    if isinstance(value, complex):
        return {"real": value.real + 0.0, "imag": value.imag + 0.0}
    if isinstance(value, str) or value is None:
        return value
    if not isinstance(value, Real):
        raise ValueError(
            f"Expected numbers, text, tuples and dataclasses of them as parameters. Got {value!r}; make a material or "
            "a shape of your own a frozen dataclass."
        )
    return float(value) + 0.0
