"""Widths and spacings of a verified design: what was asked for, by which means, and what a referee measures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
import torch

from invdesign.export import feature_sizes
from invdesign.problem import Problem
from invdesign.records import Candidate
from invdesign.spaces.constraints import MinimumFeature, surroundings

Kind = Literal["width", "spacing"]

# Features can be judged by a constraint only where the projection has made some.
JUDGING_BETA = 64.0


@dataclass(frozen=True)
class FeatureCheck:
    """The smallest width, or spacing, of a design: as constrained and as measured.

    Args:
        kind: "width" of the structure, or "spacing" within it.
        constrained_um: what the constraints in the loop ask for; None without any.
        constraint: the largest value of these at the design's parameters, met at 0 and below; None without any, or
            for a design that was handed over as a density.
        repaired_um: what the space's repair of binarised designs guarantees; None where it does none.
        measured_um: of the design as verified, in its surroundings, by imageruler; None where it has no edge.
    """

    kind: Kind
    constrained_um: float | None
    constraint: float | None
    repaired_um: float | None
    measured_um: float | None

    @property
    def wanted_um(self) -> float | None:
        """The largest length that was asked for; None where none was."""
        return max(filter(None, (self.constrained_um, self.repaired_um)), default=None)

    @property
    def met(self) -> bool | None:
        """Whether the measured length is at least that; None where none was asked for."""
        if self.wanted_um is None:
            return None
        return self.measured_um is None or self.measured_um >= self.wanted_um * (1 - 1e-9)

    def summary(self) -> Mapping[str, object]:
        """As JSON-able values."""
        return asdict(self) | {"met": self.met}


def feature_checks(problem: Problem, candidate: Candidate) -> tuple[FeatureCheck, ...]:
    """Width and spacing of a verified design; empty where the problem's pixels have no size.

    Constraints are judged on the nominal structure, at a sharpness of 64 at least.
    """
    pixel_um = _pixel_um(problem)
    if pixel_um is None or np.ndim(candidate.design) != 2:
        return ()
    border, periodic = surroundings(problem.space)
    sizes = feature_sizes(candidate.design, pixel_um, border=border, periodic=periodic)
    constrained, values = _constrained(problem, candidate)
    kinds: tuple[tuple[Kind, float | None], ...] = (
        ("width", sizes.min_width_um),
        ("spacing", sizes.min_spacing_um),
    )
    return tuple(
        FeatureCheck(
            kind,
            constrained.get(kind),
            values.get(kind),
            getattr(problem.space, f"minimum_{kind}_um", 0.0) or None,
            measured,
        )
        for kind, measured in kinds
    )


def _pixel_um(problem: Problem) -> float | None:
    pixel = getattr(problem.space, "pixel_um", None) or getattr(problem.simulator, "pixel_um", None)
    size = getattr(problem.simulator, "size_um", None)
    return size[0] / problem.space.shape[0] if pixel is None and size is not None else pixel


def _constrained(problem: Problem, candidate: Candidate) -> tuple[dict[str, float], dict[str, float]]:
    """Lengths that constraints ask for, and the worst of their values at the design's parameters, by kind."""
    space = problem.space
    if getattr(space, "beta", JUDGING_BETA) < JUDGING_BETA:
        space = space.at(JUDGING_BETA)
    lengths: dict[str, float] = {}
    values: dict[str, float] = {}
    for constraint in problem.constraints:
        if not isinstance(constraint, MinimumFeature):
            continue
        asked = {"width": constraint.width_um, "spacing": constraint.spacing_um}
        kinds = [kind for kind, length in asked.items() if length]
        for kind in kinds:
            lengths[kind] = max(asked[kind], lengths.get(kind, 0.0))
        if candidate.theta is not None:
            with torch.no_grad():
                found = constraint.value(space, torch.as_tensor(candidate.theta, dtype=torch.float64))
            for kind, value in zip(kinds, found.tolist(), strict=True):
                values[kind] = max(value, values.get(kind, -np.inf))
    return lengths, values
