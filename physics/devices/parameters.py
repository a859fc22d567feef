"""Physical parameters of devices that corners may set, and the check at their door."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

from physics.fdfd.values import real

D = TypeVar("D")
CORNERS = {"temperature_k": (200.0, 500.0), "wavelength_shift_um": (-0.1, 0.1)}


def with_values(device: D, bounds: Mapping[str, tuple[float, float]], values: Mapping[str, Any]) -> D:
    """A dataclass with other parameters; ``ValueError`` for unknown ones and values out of bounds."""
    unknown = [name for name in values if name not in bounds]
    if unknown:
        raise ValueError(f"Expected parameters among {', '.join(bounds)}. Got {', '.join(unknown)}.")
    changes: dict[str, Any] = {name: real(name, value) for name, value in values.items()}
    for name, value in changes.items():
        lower, upper = bounds[name]
        if not lower <= value <= upper:
            raise ValueError(f"Expected {name} in [{lower}, {upper}]. Got {value}.")
    return replace(device, **changes)  # type: ignore[type-var]
