"""Straight cuts anywhere in a sheet: position, length and angle of each, with a density to differentiate."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from invdesign.spaces.fitting import fit_density
from invdesign.spaces.rasterize import half_plane_fraction
from physics.base import Array, check_design
from physics.kirigami import Sheet, cut_distance, severed, without_loose

# Axes to flip for each symmetry.
FLIPS = {"mirror_x": (-2,), "mirror_y": (-1,), "rotation180": (-2, -1)}
# Of a soft edge, in pixels, at a sharpness of 1: 3 pixels at 8, 1.25 at 64.
BLUR_PX = 16.0
# Shares of its length that a cut may keep where a longer one could not be made.
SHORTER = np.linspace(1.0, 0.05, 20)


@dataclass(frozen=True)
class LineCuts:
    """Rectangular slits of one width on a sheet's raster; 1 = material, 0 = cut.

    Parameters in [0, 1], four a cut: its centre's x (the load) and y, its length, its angle. Cuts may cross each other
    and leave through the sides. A pixel's density is the share of its area that no cut takes, by exact areas but for
    corners of slits, seen through a box `1 + 16 / beta` pixels wide.

    What would be made is binary: a pixel goes where a slit takes more than half of it, and so does what no longer hangs
    on a grip. Where all cuts together leave no sheet that can be made, they are made one after the other: one that
    would sever the sheet, or come too near to another or to a side, is shortened about its centre in steps of 5 %,
    whatever the shortest length, and left out if none helps.

    Args:
        sheet: with the raster as its cells, see `Sheet.pixels`.
        cuts: how many are free; each symmetry doubles them.
        width_angstrom: of a slit, a pixel at least.
        length_angstrom: shortest and longest.
        angle_rad: lowest and highest, from y, straight across the load, towards x.
        minimum_ligament_angstrom: least distance between separate cuts, or a cut and a side it does not reach, see
            `physics.kirigami.cut_distance`.
        symmetry: of mirror_x (x to -x), mirror_y and rotation180, those that every design has.
        beta: sharpness of the edges; `at(beta)` gives the next member of a continuation.
        fit_tolerance: mean |density difference| above which `encode` refuses.

    Raises:
        ValueError: for a sheet whose cells are no pixels, no cuts, or lengths and angles that make no sense.
    """

    sheet: Sheet
    cuts: int
    width_angstrom: float
    length_angstrom: tuple[float, float]
    angle_rad: tuple[float, float] = (-math.pi / 2, math.pi / 2)
    minimum_ligament_angstrom: float = 0.0
    symmetry: tuple[str, ...] = ()
    beta: float = 8.0
    fit_tolerance: float = 0.02

    def __post_init__(self) -> None:
        names = (self.symmetry,) if isinstance(self.symmetry, str) else self.symmetry
        object.__setattr__(self, "symmetry", tuple(names))
        for name in ("length_angstrom", "angle_rad"):
            if np.shape(getattr(self, name)) != (2,):
                raise ValueError(f"Expected {name} as (lowest, highest). Got {getattr(self, name)}.")
            low, high = getattr(self, name)
            object.__setattr__(self, name, (float(low), float(high)))
        if self.sheet.cut_share != 1:
            raise ValueError(
                "Expected a sheet whose cells are pixels, from sheet.pixels(...). "
                f"Got cut_share={self.sheet.cut_share:g}."
            )
        if self.cuts < 1 or int(self.cuts) != self.cuts:
            raise ValueError(f"Expected a cut at least. Got cuts={self.cuts}.")
        if not max(self.sheet.cell_angstrom) - 1e-9 <= self.width_angstrom < math.inf:
            raise ValueError(
                f"Expected width_angstrom of a pixel's {max(self.sheet.cell_angstrom):.4g} at least. "
                f"Got {self.width_angstrom}; use finer pixels."
            )
        (short, long), (low, high) = self.length_angstrom, self.angle_rad
        if not 0 <= short <= long < math.inf or long == 0 or not -math.pi <= low <= high <= math.pi:
            raise ValueError(
                "Expected lengths ascending from 0 or above and angles ascending within [-pi, pi]. "
                f"Got {self.length_angstrom} and {self.angle_rad}."
            )
        if not (self.beta > 0 and self.minimum_ligament_angstrom >= 0 and self.fit_tolerance > 0):
            raise ValueError(
                "Expected beta and fit_tolerance above 0 and minimum_ligament_angstrom of 0 or more. "
                f"Got {self.beta}, {self.fit_tolerance} and {self.minimum_ligament_angstrom}."
            )
        for name in self.symmetry:
            if name not in FLIPS:
                raise ValueError(f"Expected symmetries among {', '.join(FLIPS)}. Got {name!r}.")

    @property
    def shape(self) -> tuple[int, int]:
        """Pixels along x and y."""
        return self.sheet.cells

    @property
    def size(self) -> int:
        """Four parameters a cut."""
        return 4 * self.cuts

    def lines(self, theta: Tensor) -> Tensor:
        """Centre x, centre y, length (angstrom) and angle (rad) of the free cuts `(..., cuts, 4)`, of `(..., size)`."""
        if theta.shape[-1:] != (self.size,):
            raise ValueError(f"Expected parameters of shape (..., {self.size}). Got {tuple(theta.shape)}.")
        (short, long), (low, high) = self.length_angstrom, self.angle_rad
        start = torch.tensor([0.0, 0.0, short, low], dtype=theta.dtype)
        span = [self.sheet.length_angstrom, self.sheet.width_angstrom, long - short, high - low]
        return start + theta.reshape(*theta.shape[:-1], self.cuts, 4) * torch.tensor(span, dtype=theta.dtype)

    def parameters(self, lines: Array) -> NDArray[np.float64]:
        """The inverse of `lines`, clipped to the bounds: `(cuts, 4)` to `(size,)`."""
        given = np.asarray(lines, dtype=np.float64)
        if given.shape != (self.cuts, 4):
            raise ValueError(f"Expected lines of shape ({self.cuts}, 4): x, y, length, angle. Got {given.shape}.")
        (short, long), (low, high) = self.length_angstrom, self.angle_rad
        span = np.array([self.sheet.length_angstrom, self.sheet.width_angstrom, long - short, high - low])
        start = np.array([0.0, 0.0, short, low])
        return np.clip((given - start) / np.where(span > 0, span, 1.0), 0.0, 1.0).ravel()

    def decode(self, theta: Tensor) -> Tensor:
        """Density in [0, 1], `(..., nx, ny)`, differentiable in theta `(..., size)`."""
        density = (1 - self._covered(self.lines(theta), 1 + BLUR_PX / self.beta)).prod(dim=-3)
        for name in self.symmetry:
            density = density * torch.flip(density, FLIPS[name])
        return density

    def _covered(self, lines: Tensor, blur_px: float) -> Tensor:
        """Share of each pixel that each slit takes, `(..., cuts, nx, ny)`."""
        px, py = self.sheet.cell_angstrom
        nx, ny = self.shape
        width = self.sheet.width_angstrom
        centre_x, centre_y, length, angle = (part[..., None, None] for part in lines.unbind(-1))
        dx = px * (torch.arange(nx, dtype=lines.dtype)[:, None] + 0.5) - centre_x
        shifts = (-width, 0.0, width) if self.sheet.periodic_y else (0.0,)
        sine, cosine = torch.sin(angle), torch.cos(angle)
        covered = lines.new_zeros(())
        for shift in shifts:
            dy = py * (torch.arange(ny, dtype=lines.dtype) + 0.5) + shift - centre_y
            along, across = sine * dx + cosine * dy, cosine * dx - sine * dy
            covered = covered + _strip(across, self.width_angstrom, px * cosine, -py * sine, blur_px) * _strip(
                along, length, px * sine, py * cosine, blur_px
            )
        return covered.clamp(0.0, 1.0)

    def binarize(self, theta: Array) -> NDArray[np.float64]:
        """What would be made, `(nx, ny)`; `valid` tells whether cuts had to be shortened for it."""
        lines = self.lines(torch.as_tensor(theta, dtype=torch.float64)).detach()
        whole = self._all_cut(lines)
        if self.makeable(whole):
            return whole
        made = np.ones(self.shape)
        for line in lines:
            for share in SHORTER:
                longer = self._cut(made, line, float(share))
                if self.makeable(longer):
                    made = longer
                    break
        return made

    def valid(self, theta: Array) -> bool:
        """Whether the cuts as they are leave a sheet that can be made."""
        return self.makeable(self._all_cut(self.lines(torch.as_tensor(theta, dtype=torch.float64)).detach()))

    def makeable(self, pattern: Array) -> bool:
        """Whether a binary pattern `(nx, ny)` holds together with ligaments as wide as asked for."""
        if severed(pattern, self.sheet):
            return False
        least = self.minimum_ligament_angstrom
        return not least or cut_distance(pattern, self.sheet) >= least - 1e-9

    def _all_cut(self, lines: Tensor) -> NDArray[np.float64]:
        """The pattern of all cuts `(cuts, 4)` in full length."""
        made = np.ones(self.shape)
        for line in lines:
            made = self._cut(made, line, 1.0)
        return made

    def _cut(self, made: Array, line: Tensor, share: float) -> NDArray[np.float64]:
        """A pattern with one more cut `(4,)`, shortened to a share of its length, and without what falls out."""
        shortened = line * torch.tensor([1.0, 1.0, share, 1.0], dtype=line.dtype)
        kept = self._covered(shortened[None], 1.0)[0] <= 0.5 + 1e-9
        for name in self.symmetry:
            kept = kept & torch.flip(kept, FLIPS[name])
        return without_loose(made * kept.numpy(), self.sheet)

    def encode(self, density: Array) -> NDArray[np.float64]:
        """Parameters `(size,)` of the member nearest to a density `(nx, ny)`.

        Every hole gives a line, the largest first, by its moments; least squares on the density do the rest. Cuts that
        cross are one hole: give parameters instead.

        Raises:
            ValueError: where that does not come within `fit_tolerance`.
        """
        pixels = check_design(density, self.shape)
        start = self.parameters(self._holes(pixels))
        best, misfit = fit_density(self.at(math.inf), pixels, start)
        if misfit > self.fit_tolerance:
            raise ValueError(
                f"Expected a density within {self.fit_tolerance:g} (mean difference of a pixel) of {self.cuts} cuts. "
                f"Got {misfit:.3g} at best; give parameters of shape ({self.size},) instead, see `parameters`."
            )
        return best

    def _holes(self, density: Array) -> NDArray[np.float64]:
        """Lines `(cuts, 4)` along the largest holes that are not images of each other; spare cuts lie in the first."""
        size = np.array([self.sheet.length_angstrom, self.sheet.width_angstrom])
        labels, count = ndimage.label(density < 0.5)
        lines: list[NDArray[np.float64]] = []
        for number in sorted(range(1, count + 1), key=lambda k: -np.count_nonzero(labels == k)):
            places = (np.argwhere(labels == number) + 0.5) * np.array(self.sheet.cell_angstrom)
            centre = places.mean(axis=0)
            images = [np.where([axis - 2 in FLIPS[name] for axis in (0, 1)], size - centre, centre)
                      for name in self.symmetry]  # fmt: skip
            if any(np.hypot(*(image - line[:2])) < self.width_angstrom for line in lines for image in images):
                continue
            spread = np.cov(places.T, bias=True) if len(places) > 1 else np.zeros((2, 2))
            values, vectors = np.linalg.eigh(spread)
            angle = math.atan2(vectors[0, 1], vectors[1, 1])
            # From y towards x, and a line has no direction.
            angle = (angle + math.pi / 2) % math.pi - math.pi / 2
            lines.append(np.array([*centre, math.sqrt(12 * values[1]), angle]))
            if len(lines) == self.cuts:
                break
        spare = lines[0].copy() if lines else np.array([*size / 2, 0.0, 0.0])
        spare[2] = self.length_angstrom[0]
        return np.array(lines + [spare] * (self.cuts - len(lines)))

    def sample(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """Parameters `(size,)`, uniform within the bounds."""
        return rng.random(self.size)

    def at(self, beta: float) -> LineCuts:
        """The same space with another sharpness of the edges; infinity is sharp."""
        return replace(self, beta=beta)

    def offset(self, shift: float) -> LineCuts:
        """The same space; `ValueError` for a shift, as the width of cuts is given."""
        if shift:
            raise ValueError(f"Expected no erosion of line cuts. Got {shift}; change width_angstrom instead.")
        return self


def _strip(distance: Tensor, width: Tensor | float, slope_x: Tensor, slope_y: Tensor, blur_px: float) -> Tensor:
    """Share of each pixel within half a width of a line, by the distance of its centre and what that gains a pixel."""
    # One unit of length for both axes; the fraction does not depend on it.
    unit = torch.sqrt(slope_x**2 + slope_y**2)
    sx, sy = slope_x / unit, slope_y / unit
    low, high = (distance - width / 2) / unit, (distance + width / 2) / unit
    return half_plane_fraction(high, sx, sy, blur_px) - half_plane_fraction(low, sx, sy, blur_px)
