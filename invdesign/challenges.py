"""Specifications of the standard problems: power windows, port by port and wavelength by wavelength, and their scores.

The windows and the metric are those of invrs-gym 1.6.2 (``challenges/ceviche/defaults.py`` and ``challenge.py``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from invdesign.targets import Target, TensorResponse
from physics.base import Array, Fidelity
from physics.devices.challenges import challenge_device
from physics.devices.port_device import PortDevice

Scale = Literal["power", "db", "score"]
Window = tuple[float, float]  # least and most power; 0 and 1 are no bound at all
FREE, WEAK = (0.0, 1.0), (0.0, 1e-2)  # WEAK: at most -20 dB
HALF_LOW = 10**-0.35  # -3.5 dB
SPLIT: Window = (HALF_LOW, 1 - HALF_LOW)


@dataclass(frozen=True)
class Specification:
    """What a problem asks for.

    Args:
        bands: windows of the ports in order, a row a band; the wavelengths are shared out evenly among the bands.
        symmetry: of the design, as in :class:`~invdesign.DensitySpace`.
    """

    bands: tuple[tuple[Window, ...], ...]
    symmetry: tuple[str, ...] = ()


THROUGH: tuple[Window, ...] = (WEAK, (10**-0.05, 1.0))
SPECIFICATIONS = {
    "waveguide_bend": Specification((THROUGH,), ("diagonal",)),
    "beam_splitter": Specification(((WEAK, SPLIT, SPLIT, WEAK),), ("mirror_x", "mirror_y")),
    "power_splitter": Specification(((WEAK, (HALF_LOW, 1.0), (HALF_LOW, 1.0)),), ("mirror_y",)),
    "mode_converter": Specification((THROUGH,)),
    "wdm": Specification(((WEAK, (10**-0.3, 1.0), WEAK), (WEAK, WEAK, (10**-0.3, 1.0)))),
}
# Least width and spacing that the problems ask for, in pixels: full, lightweight.
LENGTH_PX = (8, 3)


@dataclass(frozen=True, eq=False)
class Challenge:
    """A standard problem: its device, windows and scores.

    Args:
        name: one of ``physics.devices.challenges.CHALLENGES``.
        device: the simulator.
        lower, upper: least and most power, ``ports x wavelengths``; 0 and 1 are no bound.
        symmetry: of the design.
        length_px: least width and spacing asked for, in pixels.
    """

    name: str
    device: PortDevice
    lower: Array
    upper: Array
    symmetry: tuple[str, ...]
    length_px: int

    @property
    def targets(self) -> tuple[Target, ...]:
        """The windows as bands in dB, one a port and wavelength that is bounded."""
        targets = []
        for i, port in enumerate(self.device.ports):
            for k, wavelength in enumerate(self.device.wavelength_um):
                low, high = self.lower[i, k], self.upper[i, k]
                if low > 0 or high < 1:
                    targets.append(
                        Target(
                            "s",
                            at={"port": port.name, "wavelength_um": wavelength},
                            lower=10 * np.log10(low) if low > 0 else None,
                            upper=10 * np.log10(high) if high < 1 else None,
                            scale="db",
                        )
                    )
        return tuple(targets)

    def violation_db(self, response: Mapping[str, Array]) -> float:
        """Largest violation of any window in dB; at or below 0 all are met, and it is minus the margin."""
        power = torch.from_numpy(np.abs(np.asarray(response["s"])) ** 2)
        return float(torch.amax(WorstWindow.of(self).excess(power)))

    def eval_metric(self, response: Mapping[str, Array]) -> float:
        """The problem's score in invrs-gym, on the leaderboard the higher the better; above 0 all windows are met.

        Minus the largest signed distance of a power to its window, see :meth:`WorstWindow.outside`.
        """
        power = torch.from_numpy(np.abs(np.asarray(response["s"])) ** 2)
        return -float(torch.amax(WorstWindow.of(self, "score").outside(power)))


def challenge(
    name: str, *, lightweight: bool = False, cells_um: Sequence[float] | None = None, threads: int = 4
) -> Challenge:
    """A standard problem, at 10 nm or, ``lightweight``, at 40 nm; ``cells_um`` gives other cells, a level each.

    Raises:
        ValueError: for an unknown name, and as :class:`~physics.devices.PortDevice`.
    """
    device = challenge_device(name, lightweight=lightweight, cells_um=cells_um, threads=threads)
    specification = SPECIFICATIONS[name]
    repeats = len(device.wavelength_um) // len(specification.bands)
    windows = np.repeat(np.array(specification.bands), repeats, axis=0).transpose(2, 1, 0)
    return Challenge(name, device, windows[0], windows[1], specification.symmetry, LENGTH_PX[int(lightweight)])


@dataclass(frozen=True, eq=False)
class WorstWindow:
    """A target: all windows at once, judged by the worst.

    Args:
        lower, upper: least and most power, ``ports x wavelengths``; 0 and 1 are no bound.
        scale: "power": the sum of the powers outside, smooth far from the goal, to begin with; "db": the smooth maximum
            of the excess in dB; "score": that of the distances of which `eval_metric` is minus the largest.
        softness: width of the smooth maximum, in dB or in units of the windows' widths.
        weight: in loss and distance.
    """

    lower: Array
    upper: Array
    scale: Scale = "db"
    softness: float = 0.3
    weight: float = 1.0

    @classmethod
    def of(cls, problem: Challenge, scale: Scale = "db", softness: float = 0.3) -> WorstWindow:
        """The windows of a problem."""
        return cls(problem.lower, problem.upper, scale, softness)

    def check(self, fidelity: Fidelity) -> None:
        """Raises `ValueError` unless the fidelity answers "s" of the windows' shape."""
        shape = fidelity.quantity("s").shape
        if shape != np.shape(self.lower):
            raise ValueError(f"Expected scattering parameters of shape {np.shape(self.lower)}. Got {shape}.")

    def excess(self, power: Tensor) -> Tensor:
        """By how much powers `... x ports x wavelengths` lie outside, in dB, `... x edges`; negative inside."""
        level = 10 * torch.log10(power.clamp(min=1e-12))
        low, high = torch.as_tensor(self.lower), torch.as_tensor(self.upper)
        below = (10 * torch.log10(low.clamp(min=1e-12)) - level)[..., low > 0]
        above = (level - 10 * torch.log10(high))[..., high < 1]
        return torch.cat([below, above], dim=-1)

    def outside(self, power: Tensor) -> Tensor:
        """Signed distances of powers `... x ports x wavelengths` to their windows in units of the windows' widths.

        Negative inside; bounds of 0 and 1 do not count, and an unbounded power is 1 inside (invrs-gym's
        ``elementwise_signed_psuedodistance_to_window``).
        """
        low, high = torch.as_tensor(self.lower), torch.as_tensor(self.upper)
        below = torch.where(low > 0, low - power, -1.0)
        above = torch.where(high < 1, power - high, -1.0)
        return torch.maximum(below, above) / (high - low)

    def loss(self, response: TensorResponse, fidelity: Fidelity) -> Tensor:
        """The smooth loss, `...`."""
        power = response["s"].abs() ** 2
        if self.scale != "power":
            distances = self.excess(power) if self.scale == "db" else self.outside(power).flatten(-2)
            return self.softness * torch.logsumexp(distances / self.softness, -1)
        low, high = torch.as_tensor(self.lower), torch.as_tensor(self.upper)
        below = (low - power)[..., low > 0].clamp(min=0)
        above = (power - high)[..., high < 1].clamp(min=0)
        return below.sum(-1) + above.sum(-1)

    def distance(self, response: TensorResponse, fidelity: Fidelity) -> Tensor:
        """Largest violation in dB, `...`; 0 where all windows are met."""
        return self.excess(response["s"].abs() ** 2).amax(-1).clamp(min=0)
