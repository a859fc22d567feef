"""The figures of one level from its members' predictions: what every surrogate reports alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from surrogates.baselines import flat_arrays, score_baselines
from surrogates.calibration import Calibration, cross_coverage, interval_figures
from surrogates.data import LevelData
from surrogates.encoding import Array, ResponseCodec
from surrogates.evaluation import LevelScore, mean_cosine, r_squared, value_error

Members = Callable[[Tensor], Tensor]
"""``b x *design_shape`` designs to ``M x b x n_outputs`` standardised predictions, differentiable."""
_BATCH = 256


@dataclass(frozen=True, eq=False)
class Comparison:
    """Predictions beside the truth, both standardised.

    Args:
        members: ``M x n x n_outputs``.
        true: ``n x n_outputs``.
        cosine: mean cosine of the predicted mean's gradients with the stored ones; ``nan`` if none are stored.
    """

    members: Array
    true: Array
    cosine: float

    def score(self, calibration: Calibration) -> LevelScore:
        """Of samples that nothing was fitted to, with the calibration as it stands."""
        mean = self.members.mean(axis=0)
        coverage, width = interval_figures(calibration, self.members, self.true)
        return LevelScore(
            n_train=0,
            n_held_out=len(self.true),
            value_error=value_error(mean, self.true),
            r2=r_squared(mean, self.true),
            gradient_cosine=self.cosine,
            coverage_90=coverage,
            width_90=width,
            member_scale=calibration.member_scale,
        )

    def report(
        self,
        calibration: Calibration,
        method: Callable[[Array, Array], Calibration],
        codec: ResponseCodec,
        train: LevelData,
        held_out: LevelData,
    ) -> LevelScore:
        """Of the held-out samples calibrated on: coverage and width by ``method`` on groups it was not applied to."""
        coverage, width = cross_coverage(self.members, self.true, held_out.groups, method)
        return replace(
            self.score(calibration),
            n_train=len(train),
            coverage_90=coverage,
            width_90=width,
            baselines=score_baselines(train, held_out, codec),
        )


def compare(predict: Members, codec: ResponseCodec, samples: LevelData) -> Comparison:
    """A surrogate that answers by ``predict``, on these samples."""
    with torch.no_grad():
        parts = [predict(part) for part in torch.from_numpy(samples.designs.copy()).split(_BATCH)]
    members = torch.cat(parts, dim=1).cpu().numpy().astype(np.float64)
    return Comparison(members, codec.encode(samples.tensors("responses")).numpy(), _cosine(predict, codec, samples))


def _cosine(predict: Members, codec: ResponseCodec, samples: LevelData) -> float:
    _, _, cotangents, gradients, rows = flat_arrays(samples, codec)
    if not len(rows):
        return float("nan")
    parts = []
    for chosen in np.array_split(np.arange(len(rows)), -(-len(rows) // _BATCH)):
        designs = torch.from_numpy(samples.designs[rows[chosen]]).requires_grad_(True)
        mean = predict(designs).mean(dim=0)
        (gradient,) = torch.autograd.grad((mean * torch.from_numpy(cotangents[chosen]).to(mean)).sum(), designs)
        parts.append(gradient.flatten(1).cpu().numpy())
    return mean_cosine(np.concatenate(parts), gradients)
