"""Learning curves continued: which paused training to thaw, or which network to begin.

Swersky, Snoek, Adams, arXiv 1406.3896 (2014): one Gaussian process of all curves tells what each training, and each
network not begun, will end at. Where they choose by entropy search over a basket, here the choice has the largest
expected improvement, so far as the epochs up to the next rung will tell it, per epoch: exact, and nothing is sampled.
"""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from surrogates.architecture import Architecture
from surrogates.nas.lab import Lab, Trial
from surrogates.nas.methods.fresh import fresh
from surrogates.nas.methods.gaussian_process import expected_improvement
from surrogates.nas.methods.kernels import KERNELS, Kernel
from surrogates.nas.methods.learning_curves import CurvePrior, Curves

Vector = NDArray[np.float64]
GRID: dict[str, tuple[float, ...]] = {
    "shape": (1.0, 3.0, 10.0),
    "time": (0.01, 0.04, 0.12, 0.35),
    "apart": (0.0, 0.5, 1.0),
    "amplitude": (0.03, 0.3, 3.0, 30.0),
    "noise": (1e-3, 1e-2, 1e-1),
    "luck": (0.01, 0.1, 0.3, 1.0),
}
"""Of ``CurvePrior``, but for beta / alpha, in units of all epochs, as ``time``, and the variance of what decays at the
first epoch, which curves tell better than that before it, as ``amplitude``."""
ROUNDS, GROWTH = 2, 1.5
"""Over the coordinates; and how many times more epochs there have to be until the prior is chosen anew."""


def likeliest(
    curves: Sequence[Vector], networks: Sequence[Architecture], kernels: Sequence[Kernel], ends: Sequence[int]
) -> tuple[Kernel, CurvePrior]:
    """Kernel and prior of the largest likelihood, one coordinate of a coarse grid after the other."""
    grams = [kernel(networks) for kernel in kernels]

    @functools.cache
    def likelihood(k: int, prior: CurvePrior) -> float:
        return Curves(prior, curves, grams[k], ends).log_likelihood

    chosen, at = len(kernels) - 1, {name: values[1] for name, values in GRID.items()}
    for _ in range(ROUNDS):
        for names in (("shape", "time"), ("apart",), ("amplitude",), ("noise",), ("luck",)):
            values = itertools.product(*(GRID[name] for name in names))
            tried = [at | dict(zip(names, value, strict=True)) for value in values]
            at = max(tried, key=lambda one: likelihood(chosen, _prior(one, ends[-1])))
        chosen = max(range(len(kernels)), key=lambda k: likelihood(k, _prior(at, ends[-1])))
    return kernels[chosen], _prior(at, ends[-1])


def _prior(at: Mapping[str, float], last: int) -> CurvePrior:
    """At a place of ``GRID``."""
    alpha, beta = at["shape"], at["shape"] * at["time"] * last
    amplitude = at["amplitude"] * ((2 + beta) / beta) ** alpha
    return CurvePrior(alpha, beta, at["apart"], amplitude, at["noise"], at["luck"])


@dataclass(frozen=True)
class FreezeThaw:
    """Each step goes on with, or begins, the training whose next rung promises most per epoch.

    Args:
        kernel: of the networks: ``edit``, ``wl``, ``counts`` or ``paths``.
        initial: random networks at the first rung before anything is predicted.
        random, mutants: candidates to begin at each step, mutants of the ``parents`` that promise most.
        networks: most to begin with; None for no limit but the budget and the space.
    """

    kernel: str = "wl"
    initial: int = 10
    random: int = 60
    mutants: int = 40
    parents: int = 4
    networks: int | None = None
    name: str = "freeze-thaw"

    def __post_init__(self) -> None:
        if self.kernel not in KERNELS:
            raise ValueError(f"Expected a kernel among {', '.join(KERNELS)}. Got {self.kernel!r}.")
        if min(self.initial, self.random, self.parents) < 1 or self.mutants < 0:
            raise ValueError(f"Expected numbers of networks of at least 1. Got {self}.")

    def __call__(self, lab: Lab, rng: np.random.Generator) -> None:
        """Step by step; the process is charged for its own time.

        Raises:
            ValueError: for rungs of which one does not go on from the one below: there is no curve across them.
        """
        if not all(rung.continues(below) for below, rung in itertools.pairwise(lab.rungs)):
            keys = [rung.key for rung in lab.rungs]
            raise ValueError(f"Expected rungs that differ in rising epochs alone. Got {keys}; give those.")
        newest: dict[Architecture, Trial] = {}
        ends = [rung.epochs for rung in lab.rungs]
        fitted: tuple[int, tuple[Kernel, CurvePrior]] | None = None
        while True:
            started = time.process_time()
            if len(newest) < min(self.initial, self.networks or self.initial):
                chosen = fresh(lab.space, rng, newest)
            else:
                curves = shown(newest)
                epochs = sum(len(curve) for curve in curves)
                if fitted is None or epochs >= GROWTH * fitted[0]:
                    fitted = epochs, likeliest(curves, list(newest), KERNELS[self.kernel], ends)
                chosen = self._chosen(lab, newest, curves, rng, *fitted[1])
            lab.charge(time.process_time() - started)
            if chosen is None:
                return
            newest[chosen] = lab.ask(chosen, newest[chosen].rung + 1 if chosen in newest else 0)

    def _chosen(
        self,
        lab: Lab,
        newest: Mapping[Architecture, Trial],
        seen_curves: Sequence[Vector],
        rng: np.random.Generator,
        kernel: Kernel,
        prior: CurvePrior,
    ) -> Architecture | None:
        """To go on with, or to begin; None where nothing is left."""
        seen, ends = list(newest), [rung.epochs for rung in lab.rungs]
        curves = Curves(prior, seen_curves, kernel(seen), ends)
        going = curves.forecast()
        parents = [seen[row] for row in np.argsort(going.mean, kind="stable")[: self.parents]]
        asked = [] if self.networks is not None and len(seen) >= self.networks else self._new(lab, newest, parents, rng)
        finished = [trial.error for trial in newest.values() if trial.rung == len(ends) - 1]
        best = min(finished) if np.isfinite(min(finished, default=np.inf)) else float(going.mean.min())
        gains = expected_improvement(going.mean, going.told, best) / np.maximum(going.epochs, 1)
        paused = [trial.rung < len(ends) - 1 and bool(np.isfinite(trial.error)) for trial in newest.values()]
        gains = np.where(paused, gains, -1.0)
        if asked:
            begun = curves.forecast(kernel([*seen, *asked])[len(seen) :, : len(seen)])
            gains = np.concatenate([gains, expected_improvement(begun.mean, begun.told, best) / begun.epochs])
        place = int(np.argmax(gains))
        return [*seen, *asked][place] if gains[place] >= 0 else None

    def _new(
        self,
        lab: Lab,
        newest: Mapping[Architecture, Trial],
        parents: Sequence[Architecture],
        rng: np.random.Generator,
    ) -> list[Architecture]:
        """Candidates to begin, mostly random ones and mutants."""
        drawn = [lab.space.sample(rng) for _ in range(self.random)]
        drawn += [lab.space.mutate(parents[k % len(parents)], rng) for k in range(self.mutants)]
        asked = [one for one in dict.fromkeys(drawn) if one not in newest]
        if asked:
            return asked
        other = fresh(lab.space, rng, newest)
        return [] if other is None else [other]


def shown(trials: Mapping[Architecture, Trial]) -> list[Vector]:
    """Curves, where diverged ones stay at the worst finite error of all.

    Raises:
        ValueError: for a training that has an error, and no curve.
    """
    bare = [one.key for one, trial in trials.items() if not len(trial.curve) and np.isfinite(trial.error)]
    if bare:
        raise ValueError(f"Expected the error after each epoch. Got no curve of {bare[0]}; ask a lab that has curves.")
    finite = [trial.curve[np.isfinite(trial.curve)] for trial in trials.values() if np.isfinite(trial.error)]
    worst = max((float(curve.max()) for curve in finite if len(curve)), default=1.0)
    return [
        np.where(np.isfinite(trial.curve), trial.curve, worst)
        if np.isfinite(trial.error)
        else np.full(max(len(trial.curve), 1), worst)
        for trial in trials.values()
    ]
