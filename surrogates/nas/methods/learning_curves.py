"""Learning curves of many networks as one Gaussian process: asymptotes alike where networks are, decays of their own.

Swersky, Snoek, Adams, arXiv 1406.3896 (2014), section 3. A curve is an asymptote and what decays towards it. Given the
asymptotes, curves are independent, so that each enters as one number and its precision, and what is solved has one row
a network, not one an epoch. Two things are added. The decay has a mean, as errors fall: that of the same mixture of
exponentials that the kernel is the covariance of. And asymptotes count only so far as curves have come (``apart``), as
networks that end far apart start alike.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
PRECISION = np.array([1e-4, 1e-4])
"""Of the mean asymptote and the mean decay, in units of the asymptotes' variance: next to nothing is known."""


@dataclass(frozen=True)
class CurvePrior:
    """What curves are like; variances in units of the asymptotes'.

    Args:
        alpha, beta: of the kernel beta^alpha / (t + t' + beta)^alpha, epochs t; beta in epochs.
        apart: 0 for curves as far apart at first as in the end, 1 for curves that start at one value.
        amplitude: variance of what decays.
        noise: of one epoch's error.
        luck: of a training's asymptote about that of its network.
    """

    alpha: float = 1.0
    beta: float = 1.0
    apart: float = 0.0
    amplitude: float = 1.0
    noise: float = 0.01
    luck: float = 0.1

    def decay(self, epochs: Vector) -> Vector:
        """The mean curve, from 1 to 0."""
        return (self.beta / (epochs + self.beta)) ** self.alpha

    def covariance(self, epochs: Vector, others: Vector) -> Matrix:
        """Of what decays (eq. 6)."""
        return self.amplitude * self.decay(epochs[:, None] + others)

    def loading(self, epochs: Vector) -> Vector:
        """How far the asymptote counts."""
        return 1 - self.apart * self.decay(epochs)


@dataclass(frozen=True, eq=False)
class _Beginning:
    """What is common to curves that have the same length.

    Args:
        inverse, log_determinant: of the covariance of the epochs, given the asymptote.
        solved: ``inverse`` times ``(loading, 1, decay)``, ``epochs x 3``.
        basis: of the mean, ``(1, decay)``.
        gain: ``inverse`` times the covariance with the last epoch.
        precision: of an asymptote that such a curve tells.
        ahead: how far the asymptote counts at the last epoch, given the curve.
        rest: variance of the last epoch, given curve and asymptote.
    """

    inverse: Matrix
    log_determinant: float
    solved: Matrix
    basis: Matrix
    gain: Vector
    precision: float
    ahead: float
    rest: float

    @classmethod
    @functools.lru_cache(maxsize=4096)
    def of(cls, prior: CurvePrior, length: int, last: int) -> _Beginning:
        """Of curves of ``length`` epochs, to be told at ``last``; none at all for length 0."""
        epochs, end = np.arange(1.0, length + 1), np.array([float(last)])
        across = prior.covariance(epochs, end)[:, 0]
        covariance = prior.covariance(epochs, epochs) + prior.noise * np.eye(length)
        inverse: Matrix = np.linalg.inv(covariance).astype(
            np.float64
        )  # no two epochs are as good as equal, as each has its noise
        loading, basis = prior.loading(epochs), np.stack([np.ones(length), prior.decay(epochs)], axis=1)
        gain = inverse @ across
        return cls(
            inverse,
            float(np.linalg.slogdet(covariance)[1]),
            inverse @ np.column_stack([loading, basis]),
            basis,
            gain,
            float(loading @ inverse @ loading),
            float(prior.loading(end)[0] - gain @ loading),
            float(prior.covariance(end, end)[0, 0] - gain @ across),
        )

    def variance(self, asymptote: Vector) -> Vector:
        """Of the last epoch given such a curve, for asymptotes of this variance before."""
        return self.ahead**2 * asymptote / (1 + self.precision * asymptote) + self.rest


@dataclass(frozen=True, eq=False)
class Forecast:
    """Of trainings' errors at the last epoch.

    Args:
        mean, std: of the error.
        told: standard deviation of the mean that there will be after the next rung: what is learned by that.
        epochs: that this takes, 0 for a training at its end.
    """

    mean: Vector
    std: Vector
    told: Vector
    epochs: NDArray[np.int64]


class Curves:
    """Curves, and what follows of them under a prior: likelihood and forecasts, exactly.

    Args:
        prior: what curves are like.
        curves: ``n``, errors after epochs 1, 2, ... of one training of each network.
        gram: kernel of the networks, ``n x n``, 1 on its diagonal.
        ends: epochs at which each rung ends, ascending; the last is forecast.
    """

    def __init__(self, prior: CurvePrior, curves: Sequence[Vector], gram: Matrix, ends: Sequence[int]) -> None:
        n, last = len(curves), ends[-1]
        self.prior, self.gram, self.ends = prior, gram, ends
        self.lengths = lengths = np.array([len(curve) for curve in curves])
        told, self.precisions, self.continued = np.zeros((n, 3)), np.zeros(n), np.zeros((n, 3))
        inner, self._log_determinant = np.zeros((3, 3)), 0.0
        self.end = np.array([1.0, prior.decay(np.array([float(last)]))[0]])
        for length in np.unique(lengths).tolist():
            own = _Beginning.of(prior, length, last)
            rows = np.flatnonzero(lengths == length)
            values = np.array([curves[row] for row in rows.tolist()])
            told[rows, 0], told[rows, 1:] = values @ own.solved[:, 0], own.solved[:, 0] @ own.basis
            self.precisions[rows] = own.precision
            self.continued[rows, 0], self.continued[rows, 1:] = values @ own.gain, self.end - own.gain @ own.basis
            inner[0, 0] += np.sum((values @ own.inverse) * values)
            inner[0, 1:] += values.sum(axis=0) @ own.solved[:, 1:]
            inner[1:, 1:] += len(rows) * own.basis.T @ own.solved[:, 1:]
            self._log_determinant += len(rows) * (own.log_determinant + np.log(own.precision))
        inner[1:, 0] = inner[0, 1:]
        # Columns: the curves, and the two terms of their mean, all treated alike.
        self.points = told / self.precisions[:, None]
        self.epochs = int(lengths.sum())
        spread = gram + np.diag(prior.luck + 1 / self.precisions)
        self.factor = cho_factor(spread, lower=True, check_finite=False)
        solved = cho_solve(self.factor, self.points, check_finite=False)
        inner += self.points.T @ solved - told.T @ self.points
        self._log_determinant += 2 * float(np.log(np.diag(self.factor[0])).sum())
        self._inner = inner[1:, 1:] + np.diag(PRECISION)
        self.uncertain = np.linalg.inv(self._inner)
        self.basis = self.uncertain @ inner[1:, 0]
        unexplained = float(inner[0, 0] - inner[0, 1:] @ self.basis)
        self.scale2 = max(unexplained, 1e-12 * float(inner[0, 0]), 1e-300) / self.epochs
        self.weights = solved @ np.array([1.0, *-self.basis])

    @property
    def log_likelihood(self) -> float:
        """Of the curves, the asymptotes' variance being the likeliest."""
        flat = np.linalg.slogdet(self._inner)[1] - np.log(PRECISION).sum()
        return -0.5 * float(self.epochs * (np.log(2 * np.pi * self.scale2) + 1) + self._log_determinant + flat)

    def forecast(self, across: Matrix | None = None) -> Forecast:
        """Of errors at the last epoch, without one epoch's noise.

        Args:
            across: kernel of networks not begun with those seen, ``m x n``; None for the trainings seen themselves.
        """
        n = len(self.points)
        if across is None:
            # A training that goes on keeps its luck; that of another network has its own.
            lengths, continued, precision = self.lengths, self.continued, self.precisions
            across = self.gram + self.prior.luck * np.eye(n)
        else:
            lengths, precision = np.zeros(len(across), np.int64), np.zeros(len(across))
            continued = np.tile([0.0, *self.end], (len(across), 1))
        kinds = {length: _Beginning.of(self.prior, length, self.ends[-1]) for length in {*lengths.tolist()}}
        ahead = np.array([kinds[length].ahead for length in lengths])
        rest = np.array([kinds[length].rest for length in lengths])
        back = cho_solve(self.factor, across.T, check_finite=False).T
        left = np.maximum(1 + self.prior.luck - np.sum(across * back, axis=1), 1e-12)
        mean = continued[:, 0] + continued[:, 1:] @ self.basis + ahead * (across @ self.weights)
        slope = continued[:, 1:] - ahead[:, None] * (back @ self.points[:, 1:])
        variance = ahead**2 * left + rest + np.einsum("ij,jk,ik->i", slope, self.uncertain, slope)
        # What all but a training's own curve tell of its asymptote; then that curve as it is, and after the next rung.
        others = left / np.maximum(1 - precision * left, 1e-9)
        learned, epochs = np.zeros(len(lengths)), np.zeros(len(lengths), np.int64)
        for length, kind in kinds.items():
            rows = lengths == length
            after = next((end for end in self.ends if end > length), length)
            epochs[rows] = after - length
            learned[rows] = kind.variance(others[rows])
            learned[rows] -= _Beginning.of(self.prior, after, self.ends[-1]).variance(others[rows])
        scale = self.scale2**0.5
        return Forecast(mean, scale * np.sqrt(variance), scale * np.sqrt(np.maximum(learned, 0)), epochs)
