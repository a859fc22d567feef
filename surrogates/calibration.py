"""How far to trust an ensemble: spread scaled to held-out errors, and an interval that covers most of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
INTERVAL = 0.9
MAX_RESIDUAL = 0.95


@dataclass(frozen=True, eq=False)
class Calibration:
    """Predictive covariance ``member_scale^2 * S(x) + residual``, S being the members' covariance at the design x.

    Args:
        member_scale: factor on the members' deviations; above 0, so that the spread depends on the design.
        residual: ``n_outputs x n_outputs`` covariance of what all members miss alike.
        quantile: the 90 % interval reaches this many standard deviations to either side.
    """

    member_scale: float
    residual: Array
    quantile: float

    def std(self, members: Array) -> Array:
        """``n x n_outputs`` from ``M x n x n_outputs`` member predictions."""
        return np.sqrt(self.member_scale**2 * members.var(axis=0, ddof=1) + np.diag(self.residual))


def calibrate(members: Array, true: Array) -> Calibration:
    """Fit to held-out samples.

    The mix of member spread and constant residual (at most 95 % of the variance), and their common size, maximise the
    Gaussian likelihood of the errors, output by output; the residual's correlations shrink towards none, the more so
    the fewer the samples.

    The quantile is an empirical one of error over standard deviation, pooled over samples and outputs, with the rank
    that conformal risk control would take for the share of outputs covered (Angelopoulos et al., ICLR 2024, eq. 4). The
    guarantee of that method does not carry over: the deviation is fitted to the same samples, those of a group are
    alike, and below 9 samples the rank asked for does not exist and the largest ratio stands in.

    Args:
        members: ``M x n x n_outputs`` predictions, M at least 2, standardised.
        true: ``n x n_outputs``.
    """
    error = members.mean(axis=0) - true
    n, k = error.shape
    spread = members.var(axis=0, ddof=1)
    power = np.maximum((error**2).mean(axis=0), 1e-12)
    # Members that agree to a thousandth of their error say nothing about it.
    typical = max(float(spread.mean()), 1e-6 * float(power.mean()))
    relative = spread * power.mean() / typical
    best, mix, size = np.inf, 1.0, 1.0
    for share in np.linspace(0.05, MAX_RESIDUAL, 19):
        variance = (1 - share) * relative + share * power
        scale = float((error**2 / variance).mean())
        loss = float(np.log(scale * variance).mean())
        if loss < best:
            best, mix, size = loss, float(share), scale
    covariance = error.T @ error / n
    shrinkage = k / (k + n)
    residual = size * mix * ((1 - shrinkage) * covariance + shrinkage * np.diag(power))
    residual[np.diag_indices(k)] = size * mix * power
    member_scale = float(np.sqrt(size * (1 - mix) * power.mean() / typical))
    return _with_quantile(member_scale, residual, members, error)


def conformal(members: Array, true: Array, noise: Array | None = None) -> Calibration:
    """Split-conformal calibration of a spread that held-out samples had no part in.

    The score is the normalised residual |error| / std (Lei et al., JASA 2018, section 5.2), the quantile the one of
    ``calibrate``. With the members' covariance and the noise fixed beforehand the guarantee is the full one: where
    held-out and fresh samples are exchangeable, the expected share of outputs inside the interval is at least 90 %
    (Vovk et al. 2005; Angelopoulos et al., ICLR 2024, theorem 1), from 9 samples on. Spread and noise are brought to
    the size of the held-out errors by one common factor, which the interval, a ratio to them, does not depend on.

    Args:
        members: ``M x n x n_outputs`` predictions on held-out samples, M at least 2, standardised.
        true: ``n x n_outputs``.
        noise: ``n_outputs x n_outputs`` covariance of what the members leave out; none if left out.
    """
    error = members.mean(axis=0) - true
    k = error.shape[1]
    # Members that agree to a thousandth of their error say nothing about it.
    floor = 1e-6 * max(float(members.var(axis=0, ddof=1).mean()), 1e-6 * float((error**2).mean()), 1e-18)
    residual = (np.zeros((k, k)) if noise is None else noise) + floor * np.eye(k)
    variance = Calibration(1.0, residual, 1.0).std(members) ** 2
    scale = max(float((error**2 / variance).mean()), 1e-12)
    return _with_quantile(float(np.sqrt(scale)), scale * residual, members, error)


def _with_quantile(member_scale: float, residual: Array, members: Array, error: Array) -> Calibration:
    unscaled = Calibration(member_scale, residual, 1.0)
    return Calibration(member_scale, residual, conformal_quantile(np.abs(error / unscaled.std(members))))


def conformal_quantile(scores: Array) -> float:
    """The 90 % quantile of ``n x k`` scores, pooled, with the rank that controls the expected share of the k.

    Angelopoulos et al., ICLR 2024, eq. 4; with k of 1 the rank of split-conformal prediction.
    """
    n, k = scores.shape
    rank = min(int(np.ceil((n + 1) * k * INTERVAL)), n * k)
    return float(np.sort(scores.ravel())[rank - 1])


def cross_coverage(
    members: Array, true: Array, groups: Array, method: Callable[[Array, Array], Calibration] = calibrate
) -> tuple[float, float]:
    """Coverage and mean width of the 90 % interval, calibrated on one half and counted on the other, both ways.

    ``nan`` for fewer than two samples.
    """
    parts = [
        (counted.sum(), *interval_figures(method(members[:, own], true[own]), members[:, counted], true[counted]))
        for own, counted in halves(groups)
    ]
    if not parts:
        return float("nan"), float("nan")
    weights, coverage, width = np.array(parts).T
    return float(np.average(coverage, weights=weights)), float(np.average(width, weights=weights))


def halves(groups: Array) -> list[tuple[Array, Array]]:
    """Masks of samples to calibrate on and to count, both ways; none for fewer than two samples.

    The halves hold different groups; a single group is halved in order.
    """
    unique = np.unique(groups)
    first = np.isin(groups, unique[::2]) if len(unique) > 1 else np.arange(len(groups)) < len(groups) // 2
    return [(first, ~first), (~first, first)] if first.any() and not first.all() else []


def interval_figures(calibration: Calibration, members: Array, true: Array) -> tuple[float, float]:
    """Coverage and mean width of the 90 % interval on these samples."""
    reach = calibration.quantile * calibration.std(members)
    return float((np.abs(members.mean(axis=0) - true) <= reach).mean()), float(2 * reach.mean())
