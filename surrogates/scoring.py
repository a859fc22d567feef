"""The figures of one level from its members' predictions: what every surrogate reports alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

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


def level_score(members: Array, true: Array, calibration: Calibration, cosine: float) -> LevelScore:
    """The score of samples that nothing was fitted to.

    Args:
        members: ``M x n x n_outputs`` predictions, standardised.
        true: ``n x n_outputs``.
        calibration: as it stands.
        cosine: of the gradients, ``nan`` if none are stored.
    """
    mean = members.mean(axis=0)
    coverage, width = interval_figures(calibration, members, true)
    return LevelScore(
        n_train=0,
        n_held_out=len(true),
        value_error=value_error(mean, true),
        r2=r_squared(mean, true),
        gradient_cosine=cosine,
        coverage_90=coverage,
        width_90=width,
        member_scale=calibration.member_scale,
    )


def score_samples(predict: Members, codec: ResponseCodec, calibration: Calibration, samples: LevelData) -> LevelScore:
    """The score of a surrogate that answers by ``predict``."""
    members, true = members_on(predict, codec, samples)
    return level_score(members, true, calibration, cosine_on(predict, codec, samples))


def calibrate_and_score(
    predict: Members,
    codec: ResponseCodec,
    train_samples: LevelData,
    held_out: LevelData,
    method: Callable[[Array, Array], Calibration],
) -> tuple[Calibration, LevelScore]:
    """Calibrates on held-out samples and scores there; coverage is counted on groups not calibrated on."""
    members, true = members_on(predict, codec, held_out)
    calibration = method(members, true)
    coverage, width = cross_coverage(members, true, held_out.groups, method)
    score = replace(
        level_score(members, true, calibration, cosine_on(predict, codec, held_out)),
        n_train=len(train_samples),
        coverage_90=coverage,
        width_90=width,
        baselines=score_baselines(train_samples, held_out, codec),
    )
    return calibration, score


def members_on(predict: Members, codec: ResponseCodec, samples: LevelData) -> tuple[Array, Array]:
    """Predictions ``M x n x n_outputs`` and true responses ``n x n_outputs``, both standardised, float64."""
    with torch.no_grad():
        parts = [predict(part) for part in torch.from_numpy(samples.designs.copy()).split(_BATCH)]
    true = codec.encode(samples.tensors("responses")).numpy()
    return torch.cat(parts, dim=1).cpu().numpy().astype(np.float64), true


def cosine_on(predict: Members, codec: ResponseCodec, samples: LevelData) -> float:
    """Mean cosine of the predicted mean's gradients with the stored ones; ``nan`` if none are stored."""
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
