"""Learning curves continued: which paused training to thaw, or whether to begin another.

Swersky, Snoek, Adams, arXiv 1406.3896 (2014): trainings are frozen and thawed by what their curves promise. The curves
are continued by a basket of parametric families, averaged by their evidence (Domhan, Springenberg, Hutter, IJCAI 2015).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from surrogates.architecture import Architecture
from surrogates.nas.lab import Lab, Trial
from surrogates.nas.methods.fresh import fresh
from surrogates.nas.methods.gaussian_process import expected_improvement

Vector = NDArray[np.float64]
POWERS = np.geomspace(0.25, 2.0, 7)
RATES = np.geomspace(0.5, 16.0, 11)
NOISES = np.array([0.003, 0.01, 0.03, 0.1])
"""Of one epoch's error, in units of what is expected of a final one."""


def _basket(epochs: Vector, last: int) -> NDArray[np.float64]:
    """phi(t) of each family, ``families x len(epochs)``, falling: t^-p, and exp(-r t / last)."""
    return np.concatenate([epochs ** -POWERS[:, None], np.exp(-RATES[:, None] * epochs / last)])


def continued(curve: Vector, last: int, centre: float, spread: float) -> tuple[float, float]:
    """Mean and standard deviation of a curve at its last epoch.

    Of y(t) = c + a phi(t) with c and a normal, so that all but phi's number is integrated exactly (Bayesian linear
    regression, Bishop (2006), eq. 3.53 and 3.86); families and noises are weighed by their evidence.

    Args:
        curve: errors after epochs 1, 2, ...
        last: epoch asked for.
        centre, spread: what a final error is expected to be before anything is seen.
    """
    epochs = np.arange(1.0, len(curve) + 1)
    phi, end = _basket(epochs, last), _basket(np.array([float(last)]), last)[:, 0]
    prior = np.array([spread**2, (3 * spread) ** 2])
    sigma2 = np.tile((NOISES * max(abs(centre), spread)) ** 2, len(phi))
    phi, end = np.repeat(phi, len(NOISES), axis=0), np.repeat(end, len(NOISES))
    covariance = prior[0] + prior[1] * phi[:, :, None] * phi[:, None] + sigma2[:, None, None] * np.eye(len(curve))
    residual = curve - (centre + spread * phi)
    across = prior[0] + prior[1] * phi * end[:, None]
    solved = np.linalg.solve(covariance, np.stack([residual, across], axis=2))
    evidence = -0.5 * ((residual * solved[:, :, 0]).sum(axis=1) + np.linalg.slogdet(covariance)[1])
    means = centre + spread * end + (across * solved[:, :, 0]).sum(axis=1)
    variances = prior[0] + prior[1] * end**2 - (across * solved[:, :, 1]).sum(axis=1)
    weights = np.exp(evidence - evidence.max())
    weights /= weights.sum()
    mean = float(weights @ means)
    return mean, float(weights @ (np.maximum(variances, 0) + sigma2 + (means - mean) ** 2)) ** 0.5


@dataclass(frozen=True)
class FreezeThaw:
    """Each step takes the largest expected improvement of the final error per epoch: a paused network, or a new one.

    Args:
        initial: networks at the first rung before anything is predicted.
        networks: most to begin with; None for no limit but the budget and the space.
    """

    initial: int = 10
    networks: int | None = None
    name: str = "freeze-thaw"

    def __call__(self, lab: Lab, rng: np.random.Generator) -> None:
        """Step by step; curves are continued at the method's own charge.

        Raises:
            ValueError: for rungs of which one does not go on from the one below: there is no curve across them.
        """
        if not all(rung.continues(below) for below, rung in pairwise(lab.rungs)):
            keys = [rung.key for rung in lab.rungs]
            raise ValueError(f"Expected rungs that differ in rising epochs alone. Got {keys}; give those.")
        top = lab.rungs[-1].epochs
        newest: dict[Architecture, Trial] = {}
        forecasts: dict[tuple[Architecture, int], tuple[float, float]] = {}

        def begin() -> bool:
            full = self.networks is not None and len(newest) >= self.networks
            drawn = None if full else fresh(lab.space, rng, newest)
            if drawn is None:
                return False
            newest[drawn] = lab.ask(drawn, 0)
            return True

        while len(newest) < self.initial and begin():
            pass
        while newest:
            started = time.process_time()
            centre, spread = expected_final(list(newest.values()))
            paused: list[tuple[Architecture, float, float, int]] = []
            for architecture, trial in newest.items():
                if trial.rung < len(lab.rungs) - 1 and np.isfinite(trial.error):
                    key = (architecture, trial.rung)
                    if key not in forecasts:
                        forecasts[key] = continued(trial.curve, top, centre, spread)
                    epochs = lab.rungs[trial.rung + 1].epochs - lab.rungs[trial.rung].epochs
                    paused.append((architecture, *forecasts[key], epochs))
            chosen = self._chosen(lab, paused, newest, centre, spread)
            lab.charge(time.process_time() - started)
            if chosen is not None:
                newest[chosen] = lab.ask(chosen, newest[chosen].rung + 1)
            elif not begin():
                if not paused:
                    return
                likeliest = min(paused, key=lambda one: one[1])[0]
                newest[likeliest] = lab.ask(likeliest, newest[likeliest].rung + 1)

    def _chosen(
        self,
        lab: Lab,
        paused: list[tuple[Architecture, float, float, int]],
        newest: dict[Architecture, Trial],
        centre: float,
        spread: float,
    ) -> Architecture | None:
        """The network to thaw; None to begin another."""
        if not paused:
            return None
        means, stds = (np.array([one[k] for one in paused]) for k in (1, 2))
        finished = [t.error for t in newest.values() if t.rung == len(lab.rungs) - 1 and np.isfinite(t.error)]
        best = min(finished) if finished else float(np.median(means))
        gains = expected_improvement(means, stds, best) / np.array([one[3] for one in paused])
        # A new one costs all its epochs before it pays.
        another = expected_improvement(np.array([centre]), np.array([spread]), best)[0] / lab.rungs[-1].epochs
        place = int(np.argmax(gains))
        return paused[place][0] if gains[place] >= another else None


def expected_final(trials: list[Trial]) -> tuple[float, float]:
    """Mean and standard deviation of final errors as far as the newest trials tell: of the errors so far."""
    errors = np.array([trial.error for trial in trials if np.isfinite(trial.error)])
    if not len(errors):
        return 1.0, 1.0
    return float(errors.mean()), max(float(errors.std()), 0.05 * abs(float(errors.mean())), 1e-6)
