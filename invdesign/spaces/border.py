"""What is fixed about a design: what lies outside its four sides, and which pixels inside are not free."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from physics.base import Array, HasSurroundings, Simulator

Run = tuple[int, float]
Side = str | tuple[Run, ...]
SIDES = ("left", "right", "bottom", "top")
STATES = {"solid": 1.0, "void": 0.0}


@dataclass(frozen=True)
class Border:
    """What lies outside a design `(nx, ny)`; x grows from left to right, y from bottom to top.

    A side is "solid", "void", "continue" (unknown: the design's edge values go on), or runs of pixels along it,
    counted from its lower end, `((30, "void"), (20, "solid"), (30, "void"))`, each of a state or a solid fraction in
    [0, 1]; what a run says goes on outwards without end. A corner between two fixed sides is solid where both are.

    Args:
        left, right: the sides at the lowest and highest x, `ny` pixels long.
        bottom, top: the sides at the lowest and highest y, `nx` pixels long.

    Raises:
        ValueError: for an unknown state, an empty run or a fraction outside [0, 1].
    """

    left: Side = "continue"
    right: Side = "continue"
    bottom: Side = "continue"
    top: Side = "continue"

    def __post_init__(self) -> None:
        for name in SIDES:
            object.__setattr__(self, name, _side(name, getattr(self, name)))

    @classmethod
    def around(cls, fractions: ArrayLike, margin: int) -> Border:
        """The border of a design, from the solid fractions `(nx + 2 margin, ny + 2 margin)` of it and its frame.

        The design's own pixels, and the frame's corners, do not count.

        Raises:
            ValueError: for fractions outside [0, 1], or a frame that changes outwards, which no border can say.
        """
        frame = np.asarray(fractions, dtype=np.float64)
        if frame.ndim != 2 or margin < 1 or min(frame.shape) <= 2 * margin:
            raise ValueError(f"Expected a frame of {margin} >= 1 pixels around a design. Got shape {frame.shape}.")
        if not (np.isfinite(frame).all() and frame.min() >= -1e-9 and frame.max() <= 1 + 1e-9):
            raise ValueError(f"Expected solid fractions in [0, 1]. Got {frame.min():.4g} to {frame.max():.4g}.")
        inner = slice(margin, -margin)
        # Each strip is turned so that its first axis leads outwards.
        strips = {
            "left": frame[margin - 1 :: -1, inner] if margin > 1 else frame[:1, inner],
            "right": frame[-margin:, inner],
            "bottom": (frame[inner, margin - 1 :: -1] if margin > 1 else frame[inner, :1]).T,
            "top": frame[inner, -margin:].T,
        }
        sides = {}
        for name, strip in strips.items():
            if np.abs(strip - strip[0]).max() > 1e-6:
                raise ValueError(
                    f"Expected a frame that is the same all the way outwards. Got one that changes on the {name} side; "
                    "take a narrower margin, or write the border by hand."
                )
            sides[name] = _runs(np.clip(np.round(strip[0], 9), 0.0, 1.0))
        return cls(**sides)

    @classmethod
    def of(cls, simulator: Simulator) -> Border:
        """The border that a simulator's own structure makes: guides where they meet the design, void elsewhere.

        Raises:
            ValueError: if the simulator does not say what surrounds its design.
        """
        if not isinstance(simulator, HasSurroundings):
            raise ValueError(
                f"Expected a simulator that gives its surroundings. Got {type(simulator).__name__}; "
                "write the border by hand."
            )
        return cls.around(simulator.surroundings(1), 1)

    def check(self, shape: tuple[int, int]) -> None:
        """Raises `ValueError` where the runs do not cover the sides of a design of this shape."""
        for name in SIDES:
            side, expected = getattr(self, name), shape[1] if name in ("left", "right") else shape[0]
            if not isinstance(side, str) and sum(length for length, _ in side) != expected:
                raise ValueError(
                    f"Expected runs of {expected} pixels in all on the {name} side. "
                    f"Got {sum(length for length, _ in side)}."
                )

    def values(self, name: str, length: int) -> NDArray[np.float64] | None:
        """Solid fractions `(length,)` along a side; None where the design goes on."""
        side = getattr(self, name)
        if side == "continue":
            return None
        if isinstance(side, str):
            return np.full(length, STATES[side])
        return np.repeat([value for _, value in side], [count for count, _ in side])


def inverted(border: Border) -> Border:
    """The border of the inverse pattern: solid for void."""
    swap = {"solid": "void", "void": "solid", "continue": "continue"}
    sides: dict[str, Side] = {}
    for name in SIDES:
        side: Side = getattr(border, name)
        sides[name] = swap[side] if isinstance(side, str) else tuple((n, 1 - value) for n, value in side)
    return Border(**sides)


@dataclass(frozen=True)
class Mask:
    """Pixels of an array `shape`, as the lengths of alternating runs of False and True; hashable."""

    shape: tuple[int, ...]
    runs: tuple[int, ...]

    @classmethod
    def of(cls, pixels: ArrayLike, shape: tuple[int, ...]) -> Mask:
        """From an array of truth values.

        Raises:
            ValueError: for another shape, or values other than true and false (0 and 1).
        """
        array = np.asarray(pixels)
        if array.shape != tuple(shape) or not np.isin(array, (0, 1)).all():
            raise ValueError(f"Expected a mask of zeros and ones of shape {tuple(shape)}. Got one of {array.shape}.")
        flat = np.concatenate([[False], array.astype(bool).ravel()])
        changes = np.flatnonzero(flat[1:] != flat[:-1])
        return cls(tuple(shape), tuple(int(n) for n in np.diff([0, *changes, array.size])))

    @cached_property
    def array(self) -> NDArray[np.bool_]:
        """The pixels."""
        return np.repeat(np.arange(len(self.runs)) % 2 == 1, self.runs).reshape(self.shape)


def _side(name: str, given: object) -> Side:
    if isinstance(given, str):
        if given not in (*STATES, "continue"):
            raise ValueError(f"Expected the {name} side to be 'solid', 'void', 'continue' or runs. Got {given!r}.")
        return given
    if not isinstance(given, Sequence) or not given:
        raise ValueError(f"Expected the {name} side to be 'solid', 'void', 'continue' or runs. Got {given!r}.")
    runs = []
    for run in given:
        if not isinstance(run, Sequence) or len(run) != 2:
            raise ValueError(f"Expected runs (pixels, state) on the {name} side. Got {run!r}.")
        length, state = run
        value = STATES.get(state, -1.0) if isinstance(state, str) else float(state)
        if int(length) != length or length < 1 or not 0 <= value <= 1:
            raise ValueError(
                f"Expected runs of at least one pixel, 'solid', 'void' or a fraction in [0, 1]. Got {run!r} on {name}."
            )
        runs.append((int(length), value))
    return tuple(runs)


def _runs(values: Array) -> Side:
    """Values along a side as runs."""
    ends = [*np.flatnonzero(np.diff(values)), len(values) - 1]
    return tuple((int(n), float(values[end])) for n, end in zip(np.diff([-1, *ends]), ends, strict=True))


UNKNOWN = Border()


def surround(density: Tensor, margin: int, border: Border, periodic: tuple[bool, bool] = (False, False)) -> Tensor:
    """The array `... x nx x ny` with `margin` pixels of what surrounds it on every side; differentiable."""
    if margin == 0:
        return density
    nx, ny = density.shape[-2:]
    left, right = border.values("left", ny), border.values("right", ny)
    density = _extend(density, -2, margin, (left, right), periodic[0])
    rows = []
    for end, name in ((0, "bottom"), (-1, "top")):
        row = border.values(name, nx)
        if row is not None:
            corners = [row[0] if left is None else min(row[0], left[end])]
            corners.append(row[-1] if right is None else min(row[-1], right[end]))
            row = np.pad(row, margin, constant_values=corners) if not periodic[0] else np.pad(row, margin, mode="wrap")
        rows.append(row)
    return _extend(density, -1, margin, (rows[0], rows[1]), periodic[1])


def _extend(
    density: Tensor, axis: int, margin: int, sides: tuple[Array | None, Array | None], periodic: bool
) -> Tensor:
    """Both ends of one axis: wrapped, fixed, or continued where a side is None."""
    if periodic:
        index = torch.arange(-margin, density.shape[axis] + margin) % density.shape[axis]
        return density.index_select(axis, index)
    repeats = [-1] * density.ndim
    repeats[axis] = margin
    ends = []
    for position, values in zip((0, -1), sides, strict=True):
        edge = density.select(axis, position)
        if values is not None:
            edge = torch.from_numpy(values).to(density).expand_as(edge)
        ends.append(edge.unsqueeze(axis).expand(repeats))
    return torch.cat([ends[0], density, ends[1]], axis)
