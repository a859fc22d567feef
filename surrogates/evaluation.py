"""Figures of merit of predictions against held-out samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class PullBack:
    """From gradients in the density to gradients in the latent variables theta: projection and filter, transposed.

    Args:
        identity: tells it from all others, its settings included; what was judged by it is kept under that.
        function: ``m x *design_shape`` densities, as many gradients in them -> ``m x ...`` gradients in theta.

    Raises:
        ValueError: for an empty identity.
    """

    identity: str
    function: Callable[[Array, Array], Array]

    def __post_init__(self) -> None:
        if not isinstance(self.identity, str) or not self.identity:
            raise ValueError(f"Expected an identity that names the map and its settings. Got {self.identity!r}.")

    def __call__(self, designs: Array, gradients: Array) -> Array:
        """One gradient in theta for each in the density; ``ValueError`` for other numbers, or what is not finite."""
        found = np.asarray(self.function(designs, gradients), dtype=np.float64)
        if found.shape[:1] != (len(gradients),) or not np.isfinite(found).all():
            raise ValueError(
                f"Expected a finite gradient in theta for each of {len(gradients)} from the pull-back "
                f"{self.identity!r}. Got shape {found.shape}{'' if np.isfinite(found).all() else ', not all finite'}."
            )
        return found


@dataclass(frozen=True)
class BaselineScore:
    """As the fields of that name in ``LevelScore``; ``nan`` where the baseline has no opinion."""

    value_error: float
    gradient_cosine: float


@dataclass(frozen=True)
class LevelScore:
    """How well one level is predicted.

    Args:
        n_train, n_held_out: samples.
        value_error: root mean square error over all outputs, each in units of its training standard deviation.
        r2: 1 - squared error / squared deviation from the scored samples' own mean, pooled over the outputs.
        gradient_cosine: mean cosine, in the full density, between predicted and stored adjoint gradients; ``nan`` if
            none are stored.
        coverage_90: share of the outputs inside the 90 % interval. From ``fit``: calibrated on one half of the held-out
            groups, counted on the other, averaged over both ways.
        width_90: mean width of that interval, in units of the training standard deviation.
        baselines: name -> what a trivial predictor scores on the same samples.
        member_scale: calibrated factor on the members' disagreement.
    """

    n_train: int
    n_held_out: int
    value_error: float
    r2: float
    gradient_cosine: float
    coverage_90: float
    width_90: float
    baselines: Mapping[str, BaselineScore] = field(default_factory=dict)
    member_scale: float = float("nan")


@dataclass(frozen=True)
class TrainingReport:
    """What ``fit`` measured on held-out groups, one score a level, and what it cost."""

    levels: Mapping[int, LevelScore]
    cpu_seconds: float

    @property
    def reference(self) -> LevelScore:
        """The score at the last level."""
        return self.levels[max(self.levels)]


def value_error(predicted: Array, true: Array) -> float:
    """Root mean square difference of ``n x n_outputs`` standardised responses."""
    return float(np.sqrt(np.mean((predicted - true) ** 2)))


def r_squared(predicted: Array, true: Array) -> float:
    """Pooled over the outputs; ``nan`` where the true values do not vary."""
    spread = float(((true - true.mean(axis=0)) ** 2).sum())
    return 1 - float(((predicted - true) ** 2).sum()) / spread if spread > 0 else float("nan")


def mean_cosine(predicted: Array, true: Array) -> float:
    """Mean over ``m`` pairs of gradients (trailing axes flattened); a zero gradient counts 0; ``nan`` if m is 0."""
    if len(true) == 0:
        return float("nan")
    a, b = predicted.reshape(len(true), -1), true.reshape(len(true), -1)
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    dots = (a * b).sum(axis=1)
    return float(np.mean(np.divide(dots, norms, out=np.zeros_like(dots), where=norms > 0)))


def step_figures(predicted: Array, actual: Array) -> dict[str, float]:
    """Of improvements along steps, ``k`` each; ``nan`` without any.

    ``step_error`` is the root mean square of predicted less actual over that of the actual: 1 is what a surrogate gives
    that promises nothing. ``actual_over_predicted`` is the median over the steps for which it promises something, and
    ``nan`` where these are fewer than half.
    """
    power = float((actual**2).sum())
    hopeful = predicted > 1e-9 * np.sqrt(power)
    enough = len(actual) > 0 and hopeful.mean() >= 0.5
    return {
        "step_error": float(np.sqrt(((predicted - actual) ** 2).sum() / power)) if power > 0 else float("nan"),
        "actual_over_predicted": float(np.median(actual[hopeful] / predicted[hopeful])) if enough else float("nan"),
    }


def late_rows(groups: Array, share: float) -> NDArray[np.int64]:
    """Rows of the later samples of every run, ascending: where designs are that a search has come to.

    Args:
        groups: ``n``, the run of each sample, samples of a run in its order: so before ``symmetry.augment``, which
            puts images of early designs behind the late ones.
        share: of a run's samples, rounded up; a run of one sample keeps it.

    Raises:
        ValueError: for a share outside (0, 1].
    """
    if not 0 < share <= 1:
        raise ValueError(f"Expected a share in (0, 1]. Got {share}.")
    chosen = [
        rows[-max(1, int(np.ceil(share * len(rows) - 1e-9))) :]
        for rows in (np.flatnonzero(groups == group) for group in np.unique(groups))
    ]
    return np.sort(np.concatenate(chosen)).astype(np.int64)
