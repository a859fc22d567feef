"""What a response should be: bands, goals and free losses, as differentiable functions of the response."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from physics.base import Array, Fidelity, Quantity

TensorResponse = Mapping[str, Tensor]


class AnyTarget(Protocol):
    """What a problem asks of a target; a response may carry leading batch axes, which are kept."""

    @property
    def weight(self) -> float: ...
    def check(self, fidelity: Fidelity) -> None: ...
    def loss(self, response: TensorResponse, fidelity: Fidelity) -> Tensor: ...
    def distance(self, response: TensorResponse, fidelity: Fidelity) -> Tensor: ...


@dataclass(frozen=True, eq=False)
class Target:
    """A quantity in a region of its coordinates should lie in a band, or be as large or small as it can.

    Complex quantities count by their magnitude. In dB, powers (real quantities) are `10 log10 x` and amplitudes
    (complex ones) `20 log10 |x|`.

    Args:
        quantity: name of a quantity of the simulator's response.
        at: axis -> one value, a list of values, or `slice(low, high)` with both ends in; other axes are taken whole.
        lower, upper: edges of the band, numbers or arrays that broadcast against the selected values.
        weight: relative weight in loss and distance.
        scale: "linear" or "db"; edges and `softness` are in the same scale.
        goal: "maximize" or "minimize" instead of, or beside, a band.
        softness: width over which the loss goes on to press beyond an edge of the band; 0.02 or, in dB, 1 by default.
        proxies: name -> factor of quantities that stand in, times the factor, at fidelities that do not answer the
            quantity itself, the first that is there: cheap levels of a simulator may offer no more. They must have
            the axes that `at` selects on. The reference must answer the quantity.
    """

    quantity: str
    at: Mapping[str, Any] = field(default_factory=dict)
    lower: float | Array | None = None
    upper: float | Array | None = None
    weight: float = 1.0
    scale: Literal["linear", "db"] = "linear"
    goal: Literal["maximize", "minimize"] | None = None
    softness: float | None = None
    proxies: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.lower is None and self.upper is None and self.goal is None:
            raise ValueError(f"Expected a lower or upper edge or a goal for the target {self.quantity!r}. Got none.")
        for name in ("lower", "upper"):
            if (edge := getattr(self, name)) is not None:
                object.__setattr__(self, name, np.asarray(edge, dtype=np.float64))
                if not np.isfinite(getattr(self, name)).all():
                    raise ValueError(f"Expected finite band edges for {self.quantity!r}. Got {name}={edge}.")
        if self.lower is not None and self.upper is not None and np.any(self.lower > self.upper):
            raise ValueError(
                f"Expected lower <= upper for the target {self.quantity!r}. Got lower={self.lower}, "
                f"upper={self.upper}; swap them?"
            )
        if self.scale not in ("linear", "db"):
            raise ValueError(f"Expected scale 'linear' or 'db'. Got {self.scale!r}.")
        if self.goal not in (None, "maximize", "minimize"):
            raise ValueError(f"Expected goal 'maximize' or 'minimize'. Got {self.goal!r}.")
        if not (self.weight > 0 and math.isfinite(self.weight)):
            raise ValueError(f"Expected a weight > 0. Got {self.weight}.")
        if self.softness is None:
            object.__setattr__(self, "softness", 1.0 if self.scale == "db" else 0.02)
        elif not self.softness > 0:
            raise ValueError(f"Expected softness > 0. Got {self.softness}.")
        if not isinstance(self.proxies, Mapping):
            raise ValueError(
                f"Expected proxies of {self.quantity!r} as a mapping of names to factors. Got {self.proxies!r}; "
                "give {name: 1.0}."
            )
        for name, factor in self.proxies.items():
            if not (_number(factor) and factor > 0 and math.isfinite(factor)) or name == self.quantity:
                raise ValueError(
                    f"Expected proxies of {self.quantity!r} as other names with factors above 0. "
                    f"Got {name!r}: {factor}."
                )

    def answered(self, fidelity: Fidelity) -> tuple[Quantity, float]:
        """The quantity that a fidelity answers for this target, and its factor; `KeyError` if none."""
        known = {quantity.name: quantity for quantity in fidelity.response}
        if self.quantity not in known:
            for name, factor in self.proxies.items():
                if name in known:
                    return known[name], factor
        return fidelity.quantity(self.quantity), 1.0

    def indices(self, quantity: Quantity) -> tuple[list[int], ...]:
        """Chosen indices an axis; `ValueError` for an axis or a coordinate that the quantity does not have."""
        for axis in self.at:
            if axis not in quantity.coords:
                raise ValueError(
                    f"Expected the target on {quantity.name!r} to use axes among {', '.join(quantity.coords)}. "
                    f"Got {axis!r}."
                )
        return tuple(choose(axis, values, self.at.get(axis, slice(None))) for axis, values in quantity.coords.items())

    def check(self, fidelity: Fidelity) -> None:
        """Raises `ValueError` where the target does not fit what this fidelity answers."""
        try:
            quantity, _ = self.answered(fidelity)
        except KeyError as error:
            raise ValueError(error.args[0]) from None
        chosen = tuple(len(index) for index in self.indices(quantity))
        for name in ("lower", "upper"):
            edge = getattr(self, name)
            if edge is not None and np.broadcast_shapes(edge.shape, chosen) != chosen:
                raise ValueError(f"Expected {name} to broadcast to the selected shape {chosen}. Got {edge.shape}.")

    def values(self, response: TensorResponse, fidelity: Fidelity) -> Tensor:
        """The selected values in the target's scale, `... x *selected`."""
        quantity, factor = self.answered(fidelity)
        array = response[quantity.name] if factor == 1 else factor * response[quantity.name]
        for axis, index in enumerate(self.indices(quantity)):
            array = array.index_select(array.ndim - len(quantity.coords) + axis, torch.tensor(index))
        amplitude = array.is_complex()
        magnitude = array.abs() if amplitude else array
        if self.scale == "linear":
            return magnitude
        # 1e-30 keeps the logarithm and its slope finite at zero.
        return (20 if amplitude else 10) * torch.log10(magnitude.clamp(min=1e-30))

    def excess(self, values: Tensor) -> list[Tensor]:
        """By how much the values lie outside the band, an entry an edge; negative inside."""
        edges = []
        if self.lower is not None:
            edges.append(torch.as_tensor(self.lower, dtype=values.dtype) - values)
        if self.upper is not None:
            edges.append(values - torch.as_tensor(self.upper, dtype=values.dtype))
        return edges

    def loss(self, response: TensorResponse, fidelity: Fidelity) -> Tensor:
        """Smooth loss, `...`: mean softplus of the excess over each edge, plus the goal's mean."""
        values = self.values(response, fidelity)
        axes = tuple(range(values.ndim - len(self.answered(fidelity)[0].coords), values.ndim))
        width = self.softness or 1.0
        terms = [width * torch.nn.functional.softplus(e / width) for e in self.excess(values)]
        if self.goal is not None:
            terms.append(-values if self.goal == "maximize" else values)
        # torch takes the mean over no axes for one over all.
        return sum(term.mean(axes) if axes else term for term in terms) + values.new_zeros(())

    def distance(self, response: TensorResponse, fidelity: Fidelity) -> Tensor:
        """Largest excess over the band, `...`; exactly 0 where the band is met. A goal has no distance."""
        values = self.values(response, fidelity)
        batch = values.shape[: values.ndim - len(self.answered(fidelity)[0].coords)]
        worst = values.new_zeros(batch)
        for excess in self.excess(values):
            worst = torch.maximum(worst, excess.reshape(*batch, -1).amax(-1))
        return worst


@dataclass(frozen=True)
class CustomTarget:
    """Any differentiable torch function of the response: mapping of names to tensors -> loss over leading batch axes.

    Args:
        function: the loss. For a process pool it must be importable (a top-level function), not a lambda.
        tolerance: losses up to here count as met; None for a mere goal, which has no distance.
        weight: relative weight in loss and distance.
    """

    function: Callable[[TensorResponse], Tensor]
    tolerance: float | None = None
    weight: float = 1.0

    def check(self, fidelity: Fidelity) -> None:
        """Raises `ValueError` unless the function gives one real number for a response of this fidelity."""
        probe = {
            q.name: torch.full(q.shape, 0.5, dtype=torch.complex128 if q.dtype is complex else torch.float64)
            for q in fidelity.response
        }
        value = self.function(probe)
        if not isinstance(value, Tensor) or value.ndim != 0 or value.is_complex():
            raise ValueError(f"Expected the custom loss to give one real number as a tensor. Got {value!r}.")

    def loss(self, response: TensorResponse, fidelity: Fidelity) -> Tensor:
        """The function's value."""
        return self.function(response)

    def distance(self, response: TensorResponse, fidelity: Fidelity) -> Tensor:
        """By how much the loss exceeds the tolerance; 0 without one."""
        value = self.function(response)
        return torch.zeros_like(value) if self.tolerance is None else (value - self.tolerance).clamp(min=0)


def choose(axis: str, values: Sequence[Any], wanted: Any) -> list[int]:
    """Indices of the wanted coordinates on an axis: one value, a list, or a slice of values with both ends in."""
    if isinstance(wanted, slice):
        ends = [end for end in (wanted.start, wanted.stop) if end is not None]
        if ends and not all(map(_number, [*ends, *values])):
            raise ValueError(f"Expected a slice of numbers on an axis of numbers. Got {wanted} on {axis}.")
        low = -math.inf if wanted.start is None else wanted.start
        high = math.inf if wanted.stop is None else wanted.stop
        if wanted.start is None and wanted.stop is None:
            return list(range(len(values)))
        index = [i for i, v in enumerate(values) if low - 1e-12 <= v <= high + 1e-12]
        if not index:
            raise ValueError(f"Expected some {axis} within [{low}, {high}]. Got only {list(values)}.")
        return index
    if isinstance(wanted, (list, tuple, set)) and not wanted:
        raise ValueError(f"Expected at least one {axis} among {list(values)}. Got none.")
    listed = list(wanted) if isinstance(wanted, (list, tuple, set, np.ndarray)) else [wanted]
    index = []
    for want in listed:
        hits = [i for i, v in enumerate(values) if v == want or (_number(v) and _number(want) and abs(v - want) < 1e-9)]
        if not hits:
            raise ValueError(f"Expected {axis} among {list(values)}. Got {want!r}.")
        index += hits
    return index


def _number(value: Any) -> bool:
    return isinstance(value, (int, float, np.number))
