"""The least change to a binary pattern that gives it a minimum width and spacing.

A feature is as wide as the largest disc with which it can be drawn (Chen, Chou, Schubert, Capers, et al., imageruler:
"Validation and characterization of algorithms and software for photonics inverse design", JOSA B 41, A161 (2024)).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from invdesign.spaces.border import UNKNOWN, Border, surround
from invdesign.spaces.density import images

Pixels = NDArray[np.bool_]
Way = Literal["either", "add", "remove"]
ROUNDS = 40
# Mending either way is given up after a round that leaves more than this share of the violations before it.
STALLED = 0.95
# A feature may be drawn with a somewhat larger disc where the exact one leaves single pixels on curved edges.
LARGER_BRUSHES = 10


@dataclass(frozen=True)
class Repaired:
    """A repaired pattern.

    Args:
        pattern: truth values `(nx, ny)`, True is solid.
        changed: pixels that differ from the pattern given.
        violations: pixels that still lie in features smaller than asked for; 0 where the repair succeeded.
    """

    pattern: Pixels
    changed: int
    violations: int

    @property
    def feasible(self) -> bool:
        """Whether every feature is as large as asked for."""
        return self.violations == 0


def repair(
    pattern: Pixels,
    *,
    width_px: int,
    spacing_px: int,
    border: Border = UNKNOWN,
    periodic: tuple[bool, bool] = (False, False),
    fixed: Pixels | None = None,
    symmetries: tuple[str, ...] = (),
) -> Repaired:
    """A pattern near the given one with the widths and spacings asked for.

    Each feature that is too small is drawn anew with the disc, or taken away, whichever changes fewer pixels, until
    nothing is left to do. Should that go round in circles, solid is from there on only added, or only removed, each of
    which comes to an end; the nearest pattern without violations is given, or else the one with the fewest.

    Args:
        pattern: truth values `(nx, ny)`, True is solid.
        width_px, spacing_px: least width of solid and of void; 0 and 1 ask for nothing.
        border: what lies outside; where it is unknown edge pixels go on outwards.
        periodic: along x and y, whether the pattern is one period.
        fixed: pixels that may not change; a violation among these alone is left and not counted.
        symmetries: of the pattern, to be kept, see `invdesign.spaces.density.SYMMETRIES`.
    """
    array = np.asarray(pattern, dtype=bool)
    held = np.zeros_like(array) if fixed is None else np.asarray(fixed, dtype=bool)
    sizes = (max(int(width_px), 1), max(int(spacing_px), 1))
    found = _repaired(array.tobytes(), held.tobytes(), array.shape, sizes, border, tuple(periodic), tuple(symmetries))
    return Repaired(found.pattern.copy(), found.changed, found.violations)


# All corners of a process, and a design's verification and its check, ask for one and the same repair.
@lru_cache(maxsize=8)
def _repaired(
    pattern: bytes,
    fixed: bytes,
    shape: tuple[int, int],
    sizes: tuple[int, int],
    border: Border,
    periodic: tuple[bool, bool],
    symmetries: tuple[str, ...],
) -> Repaired:
    arrays = (np.frombuffer(given, dtype=bool).reshape(shape) for given in (pattern, fixed))
    case = _Case(next(arrays), sizes, border, periodic, next(arrays), symmetries)
    ends = [case.run("either", case.pattern)]
    for start in (ends[0][2], case.pattern):
        if min(end[0] for end in ends) > 0:
            ends += [case.run("add", start), case.run("remove", start)]
    violations, changed, best = min(ends, key=lambda end: end[:2])
    return Repaired(best, changed, violations)


@dataclass(frozen=True, eq=False)
class _Case:
    pattern: Pixels
    sizes: tuple[int, int]
    border: Border
    periodic: tuple[bool, bool]
    fixed: Pixels
    symmetries: tuple[str, ...]

    def run(self, way: Way, start: Pixels) -> tuple[int, int, Pixels]:
        """(violations left, pixels changed, pattern) after as many rounds as it takes."""
        current, seen, best = start, {start.tobytes()}, None
        for _ in range(ROUNDS if way == "either" else current.size):
            for solid in (True, False):
                current = self._mend(current, solid, way)
            left = sum(int(self.violations(current, solid).sum()) for solid in (True, False))
            found = (left, int((current != self.pattern).sum()), current)
            stalled = best is not None and left > STALLED * best[0]
            best = found if best is None else min(best, found, key=lambda end: end[:2])
            if left == 0 or current.tobytes() in seen or (way == "either" and stalled):
                break
            seen.add(current.tobytes())
        assert best is not None
        return best

    def violations(self, pattern: Pixels, solid: bool) -> Pixels:
        """Pixels of a phase in features that are too small, save where only fixed ones are concerned."""
        from imageruler import length_scale_violations_solid

        size = self.sizes[0 if solid else 1]
        if size <= 1:
            return np.zeros_like(pattern)
        inner = tuple(slice(None) if p else slice(size, -size) for p in self.periodic)
        bad = np.zeros_like(pattern)
        # By itself the pattern is judged as if every feature went on outside, but its edges are told otherwise.
        for phase, part in ((self._framed(pattern, size) == solid, inner), (pattern == solid, ...)):
            if not bad.any():
                bad = ~self.fixed
                for larger in range(size, size + LARGER_BRUSHES):
                    found = length_scale_violations_solid(
                        np.ascontiguousarray(phase), larger, self.periodic, feasibility_gap_allowance=1
                    )
                    bad = bad & found[part]
                    if not bad.any():
                        break
        return np.asarray(bad)

    def _framed(self, pattern: Pixels, size: int, wrapped: bool = False) -> Pixels:
        """The pattern in its surroundings; periodic sides are added only if `wrapped`."""
        around = surround(torch.from_numpy(pattern.astype(np.float64)), size, self.border, self.periodic).numpy() > 0.5
        if wrapped:
            return around
        cut = [slice(size, -size) if p else slice(None) for p in self.periodic]
        return np.ascontiguousarray(around[cut[0], cut[1]])

    def _mend(self, pattern: Pixels, solid: bool, way: Way) -> Pixels:
        """One round over the features of a phase that are too small."""
        bad = self.violations(pattern, solid)
        if not bad.any():
            return pattern
        size = self.sizes[0 if solid else 1]
        brush = disc(size)
        phase = self._framed(pattern, size, wrapped=True) == solid
        free = ~self._fixed_around(size)
        add, remove = np.zeros_like(phase), np.zeros_like(phase)
        labels, _ = ndimage.label(np.pad(bad, size), np.ones((3, 3)))
        may_grow = way == "either" or (way == "add") == solid
        may_shrink = way == "either" or not may_grow
        for number, place in enumerate(ndimage.find_objects(labels), start=1):
            window = tuple(slice(s.start - size + 1, s.stop + size - 1) for s in place)
            cluster = labels[window] == number
            drawn = _cover(cluster, phase[window], free[window], brush) if may_grow else None
            cost = np.inf if drawn is None else float((drawn & ~phase[window]).sum())
            if may_shrink and cluster.sum() <= cost:
                remove[window] |= cluster
            elif drawn is not None:
                add[window] |= drawn & ~phase[window]
        added, removed = (self._symmetric(self._folded(change, size)) for change in (add, remove))
        phase_here = ((pattern == solid) & ~(removed & ~self.fixed)) | (added & ~self.fixed)
        return phase_here == solid

    def _fixed_around(self, size: int) -> Pixels:
        """Fixed pixels with their surroundings; unknown surroundings follow the edge and are free."""
        sides = {
            name: side if (side := getattr(self.border, name)) == "continue" else "solid"
            for name in ("left", "right", "bottom", "top")
        }
        fixed = torch.from_numpy(self.fixed.astype(np.float64))
        return np.asarray(surround(fixed, size, Border(**sides), self.periodic).numpy() > 0.5)

    def _folded(self, framed: Pixels, size: int) -> Pixels:
        """What a framed change asks of the pattern itself: a period comes back, what continues follows the edge."""
        maps = [
            np.arange(-size, count + size) % count
            if periodic
            else np.clip(np.arange(-size, count + size), 0, count - 1)
            for count, periodic in zip(self.pattern.shape, self.periodic, strict=True)
        ]
        folded = np.zeros_like(self.pattern)
        at = np.nonzero(framed)
        folded[maps[0][at[0]], maps[1][at[1]]] = True
        return folded

    def _symmetric(self, change: Pixels) -> Pixels:
        """A change together with its images."""
        whole = torch.from_numpy(np.ascontiguousarray(change))
        return torch.stack([image(whole) for image in images(self.symmetries)]).any(0).numpy()


def disc(size_px: int) -> Pixels:
    """Pixels whose centres lie within a circle of a diameter, `size x size`; no pixel stands out alone by a width of 1.

    Above 2 the disc is opened by a plus of 3 x 3, so that every arm of it is at least that wide.
    """
    centres = np.arange(size_px) - (size_px - 1) / 2
    inside = centres[:, None] ** 2 + centres[None, :] ** 2 < (size_px / 2) ** 2
    if size_px <= 2:
        return inside
    plus = ndimage.generate_binary_structure(2, 1)
    return np.asarray(ndimage.binary_opening(np.pad(inside, 2), plus)[2:-2, 2:-2])


def _cover(cluster: Pixels, phase: Pixels, free: Pixels, brush: Pixels) -> Pixels | None:
    """Discs that cover a cluster with the fewest new pixels, one after the other; None where fixed pixels forbid it."""
    drawn, open_, size = np.zeros_like(phase), cluster.copy(), len(brush)
    blocked, missing = _touched(~phase & ~free, brush) > 0, ~phase
    covers, new = _touched(open_, brush), _touched(missing, brush)
    cost = np.where(blocked | (covers == 0), np.inf, new / np.maximum(covers, 1))
    while open_.any():
        best = np.unravel_index(np.argmin(cost), cost.shape)
        if not np.isfinite(cost[best]):
            return None
        place = tuple(slice(int(b), int(b) + size) for b in best)
        drawn[place] |= brush
        open_[place] &= ~brush
        missing[place] &= ~brush
        # Only discs that overlap the new one have changed.
        near = tuple(slice(max(int(b) - size + 1, 0), int(b) + size) for b in best)
        seen = tuple(slice(n.start, n.stop + size - 1) for n in near)
        covered = _touched(open_[seen], brush)
        cost[near] = np.where(
            blocked[near] | (covered == 0), np.inf, _touched(missing[seen], brush) / np.maximum(covered, 1)
        )
    return drawn


def _touched(pixels: Pixels, brush: Pixels) -> NDArray[np.int64]:
    """How many pixels the brush covers at each of its places within an array; its rows have no gaps."""
    rows, columns = (n - k + 1 for n, k in zip(pixels.shape, brush.shape, strict=True))
    along = np.zeros((pixels.shape[0], pixels.shape[1] + 1), dtype=np.int64)
    np.cumsum(pixels, axis=1, out=along[:, 1:])
    count = np.zeros((rows, columns), dtype=np.int64)
    for shift, (first, last) in enumerate(zip(brush.argmax(axis=1), brush.sum(axis=1), strict=True)):
        lines = along[shift : shift + rows, first : first + last + columns]
        count += lines[:, last:] - lines[:, :columns]
    return count
