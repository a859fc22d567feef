"""A Gaussian process over architectures, and expected improvement.

Ru, Wan, Dong, Osborne, ICLR 2021 (NAS-BOWL, arXiv 2006.07556): the Weisfeiler-Lehman kernel, its height by marginal
likelihood. Candidates are random networks and mutants of the best so far, as in White, Neiswanger, Savani, AAAI 2021
(BANANAS, arXiv 1910.11858), which finds mutants to matter most.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.special import ndtr

from surrogates.architecture import Architecture
from surrogates.nas.lab import Lab
from surrogates.nas.methods.fresh import fresh
from surrogates.nas.methods.kernels import KERNELS, Kernel

Vector = NDArray[np.float64]
NOISES = (1e-3, 1e-2, 1e-1)
"""Variance of training's luck, in units of the errors' variance."""


def expected_improvement(mean: Vector, std: Vector, best: float) -> Vector:
    """Expected amount by which a normal variable is below ``best`` (Jones, Schonlau, Welch 1998, eq. 15)."""
    spread = np.maximum(std, 1e-12)
    z = (best - mean) / spread
    return spread * (z * ndtr(z) + np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi))


def posterior(gram: NDArray[np.float64], y: Vector, noise: float) -> tuple[Vector, Vector, float]:
    """Mean and standard deviation of the rows beyond the ``n`` observed first, and the log likelihood of ``y``.

    Rasmussen & Williams (2006), algorithm 2.1.

    Args:
        gram: ``(n + m) x (n + m)``.
        y: ``n``, of mean 0 and variance 1.
        noise: variance.
    """
    n = len(y)
    factor, weights, likelihood = _fitted(gram[:n, :n], y, noise)
    across = gram[n:, :n]
    variance = np.diag(gram)[n:] - np.sum(across * cho_solve((factor, True), across.T).T, axis=1)
    return across @ weights, np.sqrt(np.maximum(variance, 0)), likelihood


def _fitted(gram: NDArray[np.float64], y: Vector, noise: float) -> tuple[NDArray[np.float64], Vector, float]:
    """Cholesky factor, weights and log likelihood."""
    n = len(y)
    factor, _ = cho_factor(gram + (noise + 1e-8) * np.eye(n), lower=True, check_finite=False)
    weights = cho_solve((factor, True), y, check_finite=False)
    likelihood = -0.5 * float(y @ weights) - float(np.log(np.diag(factor)).sum()) - n / 2 * np.log(2 * np.pi)
    return factor, weights, likelihood


def predicted(
    kernels: Sequence[Kernel], seen: Sequence[Architecture], errors: Vector, asked: Sequence[Architecture]
) -> tuple[Vector, Vector]:
    """Mean and standard deviation of the errors of other networks, by the likeliest kernel and noise.

    Args:
        kernels: to choose from.
        seen, errors: ``n``; infinite errors count as the worst finite one.
        asked: ``m``.
    """
    worst = np.max(errors[np.isfinite(errors)], initial=-np.inf)
    filled = np.where(np.isfinite(errors), errors, worst if np.isfinite(worst) else 1.0)
    centre, scale = float(filled.mean()), float(filled.std()) or 1.0
    y = (filled - centre) / scale
    grams = [kernel([*seen, *asked]) for kernel in kernels]
    n = len(y)
    tried = [(gram, noise) for gram in grams for noise in NOISES]
    likeliest = max(tried, key=lambda one: _fitted(one[0][:n, :n], y, one[1])[2])
    mean, std, _ = posterior(likeliest[0], y, likeliest[1])
    return centre + scale * mean, scale * std


@dataclass(frozen=True)
class GaussianProcess:
    """Trains the network of the largest expected improvement to the last rung, time and again.

    Args:
        kernel: ``edit``, ``wl``, ``counts`` or ``paths``.
        initial: random networks first.
        random, mutants: candidates at each step, mutants of the ``parents`` best.
        networks: None to go on until the budget is spent, or nothing is left.
    """

    kernel: str = "wl"
    initial: int = 8
    random: int = 60
    mutants: int = 40
    parents: int = 4
    networks: int | None = None

    def __post_init__(self) -> None:
        if self.kernel not in KERNELS:
            raise ValueError(f"Expected a kernel among {', '.join(KERNELS)}. Got {self.kernel!r}.")
        if min(self.initial, self.random, self.parents) < 1 or self.mutants < 0:
            raise ValueError(f"Expected numbers of networks of at least 1. Got {self}.")

    @property
    def name(self) -> str:
        """With its kernel."""
        return f"Gaussian process ({self.kernel})"

    def __call__(self, lab: Lab, rng: np.random.Generator) -> None:
        """Network by network; the process is charged for its own time."""
        errors: dict[Architecture, float] = {}
        while self.networks is None or len(errors) < self.networks:
            if len(errors) < self.initial:
                chosen = fresh(lab.space, rng, errors)
            else:
                started = time.process_time()
                chosen = self._best(lab, errors, rng)
                lab.charge(time.process_time() - started)
            if chosen is None:
                return
            errors[chosen] = lab.ask(chosen).error

    def _best(self, lab: Lab, errors: dict[Architecture, float], rng: np.random.Generator) -> Architecture | None:
        parents = sorted(errors, key=errors.__getitem__)[: self.parents]
        asked: dict[Architecture, None] = {}
        for k in range(self.random + self.mutants):
            parent = parents[k % len(parents)]
            mutated = lab.space.mutate(parent, rng) if k >= self.random else lab.space.sample(rng)
            if mutated not in errors:
                asked.setdefault(mutated)
        if not asked:
            return fresh(lab.space, rng, errors)
        candidates = list(asked)
        values = np.array(list(errors.values()))
        mean, std = predicted(KERNELS[self.kernel], list(errors), values, candidates)
        return candidates[int(np.argmax(expected_improvement(mean, std, float(values.min()))))]
