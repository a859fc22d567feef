"""What a structure must be, whatever its response: minimum feature sizes, connectedness; differentiable in theta."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from invdesign.spaces.border import UNKNOWN, Border, inverted
from invdesign.spaces.connectivity import has_exits, overheating
from invdesign.spaces.density import conic_filter
from invdesign.spaces.lengthscale import eroded_threshold
from invdesign.spaces.projection import slopes
from invdesign.spaces.space import DesignSpace

# The sharpness at which a penalty has half of its full weight.
HALF_WEIGHT_BETA = 32.0
# A straight edge has the squared slope 0.9 / R^2: at this decay it counts as 5e-7 of a ridge.
LEAST_DECAY = 16.0


class Constraint(Protocol):
    """Values `(..., k)` of parameters `(..., size)`; a value of 0 and below is met. Frozen, with content for keys."""

    @property
    def weight(self) -> float: ...
    def check(self, space: DesignSpace) -> None: ...
    def value(self, space: DesignSpace, theta: Tensor) -> Tensor: ...


@runtime_checkable
class Filtered(Protocol):
    """A space that cuts a conically filtered field at a threshold of its own."""

    @property
    def pixel_um(self) -> float: ...
    @property
    def filter_radius_um(self) -> float: ...
    @property
    def threshold(self) -> float: ...
    def filtered(self, theta: Tensor, margin: int = 0) -> Tensor: ...


@dataclass(frozen=True)
class MinimumFeature:
    """Least width of solid and spacing between it: the geometric constraints of Zhou, Lazarov, Wang, Sigmund.

    CMAME 293, 266 (2015), eqs. 8 to 13: where the filtered field has its ridges (and valleys), it must lie above the
    eroded (below the dilated) threshold that belongs to the length. Each value is the mean over the design of the
    squared shortfall, in units of the largest possible one, over `tolerance`, less 1.

    A space with a filter of its own is judged by that; its radius must exceed half of either length. The density of
    any other is filtered once more, with the larger length for a radius. The constraint presses; it does not measure:
    what holds of the binarised design `feature_sizes` says, and `DensitySpace(minimum_width_um=...)` guarantees.

    Args:
        width_um, spacing_um: least lengths; 0 asks for nothing.
        tolerance: mean shortfall that counts as met.
        weight: of the penalty.
        decay: how fast the ridges fade with the field's slope; by default the squared filter radius in pixels, as
            published, but at least 16, below which sound edges would count.

    Raises:
        ValueError: for lengths, tolerances or weights that make no sense.
    """

    width_um: float
    spacing_um: float = 0.0
    tolerance: float = 1e-4
    weight: float = 0.1
    decay: float | None = None

    def __post_init__(self) -> None:
        if not min(self.width_um, self.spacing_um) >= 0 or not max(self.width_um, self.spacing_um) > 0:
            raise ValueError(
                f"Expected a width_um or spacing_um above 0, none below. Got {self.width_um} and {self.spacing_um}."
            )
        _check_positive("tolerance", self.tolerance)
        _check_positive("weight", self.weight)
        if self.decay is not None:
            _check_positive("decay", self.decay)

    def check(self, space: DesignSpace) -> None:
        """Raises `ValueError` where the space's filter is too narrow for the lengths, or its pixel is unknown."""
        self._radius_um(space)
        for length in filter(None, (self.width_um, self.spacing_um)):
            eroded_threshold(length, self._radius_um(space))

    def _radius_um(self, space: DesignSpace) -> float:
        if len(space.shape) != 2 or getattr(space, "pixel_um", None) is None:
            raise ValueError(
                f"Expected a planar space with a pixel_um. Got {type(space).__name__} of shape {space.shape}."
            )
        return space.filter_radius_um if isinstance(space, Filtered) else max(self.width_um, self.spacing_um)

    def value(self, space: DesignSpace, theta: Tensor) -> Tensor:
        """`(..., k)` of theta `(..., size)`: width, then spacing, those asked for."""
        radius_um = self._radius_um(space)
        radius_px = radius_um / space.pixel_um  # type: ignore[attr-defined]
        border, periodic = surroundings(space)
        density = space.decode(theta)
        if isinstance(space, Filtered):
            field, middle = space.filtered(theta, margin=1), space.threshold
        else:
            field, middle = conic_filter(density, radius_px, border, periodic, margin=1), 0.5
        along_x, along_y = slopes(field)
        decay = max(radius_px**2, LEAST_DECAY) if self.decay is None else self.decay
        ridge = torch.exp(-decay * radius_px**2 * (along_x**2 + along_y**2))
        centre = field[..., 1:-1, 1:-1]
        values = []
        if self.width_um:
            rise = (eroded_threshold(self.width_um, radius_um) - 0.5) / 0.5 * (1 - middle)
            values.append(self._shortfall(density * ridge, middle + rise - centre, rise))
        if self.spacing_um:
            drop = (eroded_threshold(self.spacing_um, radius_um) - 0.5) / 0.5 * middle
            values.append(self._shortfall((1 - density) * ridge, centre - (middle - drop), drop))
        return torch.stack(values, -1)

    def _shortfall(self, indicator: Tensor, missing: Tensor, most: float) -> Tensor:
        return (indicator * (missing.clamp(min=0) / most) ** 2).mean((-2, -1)) / self.tolerance - 1


@dataclass(frozen=True)
class Connected:
    """Every part of the structure is joined to structure outside the design, by virtual heat, see `connectivity`.

    Values are decades of temperature above that of well connected structure. A floating pixel reads about 1, and so
    does grey that joins it less than well; narrow and tortuous structure may read some tenths. It presses and does not
    prove: what holds of a binarised design `invdesign.spaces.connectivity.floating_parts` says.

    Args:
        solid: whether no solid may float.
        void: whether no void may be enclosed.
        border: what lies outside; by default the space's own. Structure at unknown sides counts as held.
        weight: of the penalty.

    Raises:
        ValueError: if nothing is asked for, or for a weight that makes no sense.
    """

    solid: bool = True
    void: bool = False
    border: Border | None = None
    weight: float = 0.1

    def __post_init__(self) -> None:
        if not (self.solid or self.void):
            raise ValueError("Expected solid or void to be asked for. Got neither.")
        _check_positive("weight", self.weight)

    def check(self, space: DesignSpace) -> None:
        """Raises `ValueError` where the space is not planar, the border does not fit it, or a phase has no exit."""
        if len(space.shape) != 2:
            raise ValueError(f"Expected a planar space. Got shape {space.shape}.")
        border, periodic = surroundings(space)
        border = self.border or border
        border.check((space.shape[0], space.shape[1]))
        for name, asked, outside in (("solid", self.solid, border), ("void", self.void, inverted(border))):
            if asked and not has_exits(outside, periodic):
                raise ValueError(
                    f"Expected {name} somewhere outside the design, to be joined to. Got none beyond the sides of "
                    f"{border} with periods {periodic}; ask for no connected {name} there."
                )

    def value(self, space: DesignSpace, theta: Tensor) -> Tensor:
        """`(..., k)` of theta `(..., size)`: solid, then void, those asked for."""
        density = space.decode(theta)
        border, periodic = surroundings(space)
        border = self.border or border
        rows = []
        for one in density.reshape(-1, *density.shape[-2:]):
            phases = [(one, border)] if self.solid else []
            phases += [(1 - one, inverted(border))] if self.void else []
            rows.append(torch.stack([overheating(phase, outside, periodic) for phase, outside in phases]))
        return torch.stack(rows).reshape(*density.shape[:-2], -1)


def surroundings(space: DesignSpace) -> tuple[Border, tuple[bool, bool]]:
    """A space's border and periods, unknown and none where it does not say."""
    return getattr(space, "border", UNKNOWN), getattr(space, "periodic", (False, False))


def penalty(constraints: Sequence[Constraint], space: DesignSpace, theta: Tensor) -> Tensor:
    """What is added to a loss, `(...)` of theta `(..., size)`: sum of weight * share * log(1 + v^2) / 2 over v > 0.

    Quadratic just above 0 and logarithmic far above, so that a start in grey, which fails by orders of magnitude, is
    drawn on steadily. The share beta^2 / (beta^2 + 32^2) grows with the space's sharpness, as features can be judged
    only when there are some; a space without sharpness counts in full.
    """
    total = theta.new_zeros(theta.shape[:-1])
    beta = float(getattr(space, "beta", math.inf))
    share = 1.0 if math.isinf(beta) else beta**2 / (beta**2 + HALF_WEIGHT_BETA**2)
    for constraint in constraints:
        excess = constraint.value(space, theta).clamp(min=0)
        total = total + constraint.weight * share * torch.log1p(excess**2).sum(-1) / 2
    return total


def _check_positive(name: str, value: float) -> None:
    if not (value > 0 and math.isfinite(value)):
        raise ValueError(f"Expected {name} > 0. Got {value}.")
