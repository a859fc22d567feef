"""What a field surrogate answers, and how well."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class FieldPrediction:
    """Complex fields of ``b`` designs; everything is differentiable in the designs.

    Args:
        members: ``m x b x h x w`` complex.
        floor: least standard deviation, in the field's unit.
        quantile: |error| stays below so many standard deviations at 90 % of the held-out pixels, conformally.
    """

    members: Tensor
    floor: float
    quantile: float

    @cached_property
    def mean(self) -> Tensor:
        """``b x h x w`` complex."""
        return self.members.mean(dim=0)

    @cached_property
    def std(self) -> Tensor:
        """``b x h x w``: sqrt(var Re + var Im) over the ``m`` members, a share 1/m of it averaged over the field.

        Two members agree at many a pixel by accident; the average knows better.
        """
        m = len(self.members)
        deviation = torch.view_as_real(self.members - self.mean)
        own = (deviation**2).sum(dim=(0, -1)) / max(m - 1, 1)
        return ((1 - 1 / m) * own + own.mean(dim=(1, 2), keepdim=True) / m + self.floor**2).sqrt()

    def radius(self) -> Tensor:
        """``b x h x w``: the disc about the mean that holds the true value with a probability of 90 %."""
        return self.quantile * self.std


@dataclass(frozen=True)
class FieldScore:
    """How well fields are predicted.

    Args:
        n_train, n_held_out: samples.
        relative_error: norm of the error over norm of the field, averaged over samples.
        coverage_90: share of the pixels inside the 90 % disc.
        radius_90: mean radius of the disc over the fields' root mean square: the sharpness.
        error_spread_correlation: Spearman's, over samples, between error and predicted spread; ``nan`` below 3 samples.
        cpu_seconds: of training, 0 from ``score``.
    """

    n_train: int
    n_held_out: int
    relative_error: float
    coverage_90: float
    radius_90: float
    error_spread_correlation: float
    cpu_seconds: float = 0.0
