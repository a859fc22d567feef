"""Gaussian processes over discrete designs: a kernel of coinciding tokens, and one of cheap features."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.optimize import minimize

from invdesign.strategies.bayesian_inputs import Inputs
from physics.base import Array

Real = NDArray[np.float64]

# Priors of the logarithms of the hyperparameters, (mean, spread); they keep a fit to ten points sober.
PRIORS = {
    "tokens": (np.log(0.5), 1.0),
    "rate": (np.log(0.5), 0.7),
    "cheap": (np.log(0.5), 1.0),
    "scale": (np.log(2.0), 0.7),
    "trend": (np.log(0.3), 1.0),
    "noise": (np.log(0.05), 1.0),
}
JITTER = 1e-8


@dataclass(frozen=True)
class GaussianProcess:
    """Zero-mean processes, one an output, of standardised values; hyperparameters by their posterior's maximum.

    The covariance of designs x and x' is the mean over images gx' of `exp(-r h(x, gx'))`, where h is the number of
    tokens that differ, so that the process is as symmetric as the physics, scaled to a variance v of every design;
    plus, with cheap features f, a Matern-5/2 kernel `w m(|f - f'| / (s sqrt(k)))` and a linear trend `u f.f'/k`.
    Rasmussen and Williams (2006), 4.2 and 5.4.1.

    Args:
        tokens: whether the tokens count, else cheap features alone.
        trend: whether the cheap features have a linear trend.
    """

    tokens: bool = True
    trend: bool = True

    def fit(self, inputs: Inputs, values: Array, seed: int = 0) -> FittedProcess:
        """To values `(n, m)` of n designs."""
        y = np.asarray(values, dtype=np.float64)
        centre, spread = y.mean(0), y.std(0)
        spread = np.where(spread > 1e-12, spread, 1.0)
        scaled = (y - centre) / spread
        terms = self._terms(inputs)
        parts = Parts.between(inputs, inputs)
        hyper = np.array([_posterior_mode(parts, scaled[:, k], terms) for k in range(y.shape[1])])
        return FittedProcess(inputs, scaled, centre, spread, terms, hyper)

    def _terms(self, inputs: Inputs) -> tuple[str, ...]:
        terms: tuple[str, ...] = ("tokens", "rate") if self.tokens or not inputs.cheap.shape[1] else ()
        if inputs.cheap.shape[1]:
            terms += ("cheap", "scale") + (("trend",) if self.trend else ())
        return (*terms, "noise")


@dataclass(frozen=True, eq=False)
class Parts:
    """What covariances of two sets of designs are made of.

    Args:
        differing: tokens that differ between designs and images of the others, `(g, n, m)`.
        own: tokens that differ between each design and its own images, `(g, n)` and `(g, m)`.
        distance, product: of the cheap features, `(n, m)`.
    """

    differing: Real
    own: tuple[Real, Real]
    distance: Real
    product: Real

    @classmethod
    def between(cls, a: Inputs, b: Inputs) -> Parts:
        """Numbers of differing tokens for each image of b, distances and products of cheap features."""
        images = []
        for tokens in b.tokens:
            count = np.zeros((len(a), len(b)), dtype=np.float32)
            for left, right in zip(a.tokens[0].T, tokens.T, strict=True):
                count += left[:, None] != right[None]
            images.append(count)
        k = max(a.cheap.shape[1], 1)
        squared = (a.cheap**2).sum(1)[:, None] + (b.cheap**2).sum(1) - 2 * a.cheap @ b.cheap.T
        own = [(each.tokens != each.tokens[0]).sum(-1) for each in (a, b)]
        return cls(np.stack(images), (own[0], own[1]), np.sqrt(np.maximum(squared, 0) / k), a.cheap @ b.cheap.T / k)

    def covariance(self, hyper: dict[str, float]) -> Real:
        """Of the noiseless values, `(n, m)`."""
        total = np.zeros(self.distance.shape)
        if "tokens" in hyper:
            # A design that is its own image would vary more than others.
            left, right = (np.exp(-hyper["rate"] * own).mean(0) ** -0.5 for own in self.own)
            alike = np.exp(-hyper["rate"] * self.differing).mean(0)
            total += hyper["tokens"] * left[:, None] * alike * right
        if "cheap" in hyper:
            r = np.sqrt(5) * self.distance / hyper["scale"]
            total += hyper["cheap"] * (1 + r + r**2 / 3) * np.exp(-r)
        if "trend" in hyper:
            total += hyper["trend"] * self.product
        return total


def _diagonal(inputs: Inputs, hyper: dict[str, float]) -> Real:
    """Prior variance of each design."""
    total = np.full(len(inputs), hyper.get("tokens", 0.0) + hyper.get("cheap", 0.0))
    if "trend" in hyper:
        total += hyper["trend"] * (inputs.cheap**2).mean(1)
    return total


def _posterior_mode(parts: Parts, y: Real, terms: tuple[str, ...]) -> Real:
    """Logarithms of the hyperparameters that maximise likelihood times prior."""
    means = np.array([PRIORS[name][0] for name in terms])
    spreads = np.array([PRIORS[name][1] for name in terms])

    def cost(log_hyper: Real) -> float:
        hyper = dict(zip(terms, np.exp(log_hyper), strict=True))
        gram = parts.covariance(hyper)
        gram[np.diag_indices_from(gram)] += hyper["noise"] + JITTER
        try:
            factor = cho_factor(gram, lower=True, check_finite=False)
        except np.linalg.LinAlgError:
            return 1e10
        fit = y @ cho_solve(factor, y, check_finite=False) / 2 + np.log(np.diag(factor[0])).sum()
        return float(fit + (((log_hyper - means) / spreads) ** 2).sum() / 2)

    bounds = list(zip(means - 4 * spreads, means + 4 * spreads, strict=True))
    return np.asarray(minimize(cost, means, method="L-BFGS-B", bounds=bounds, options={"maxiter": 40}).x)


@dataclass(frozen=True, eq=False)
class FittedProcess:
    """Processes conditioned on values of designs."""

    inputs: Inputs
    scaled: Real
    centre: Real
    spread: Real
    terms: tuple[str, ...]
    hyper: Real = field(repr=False)

    def _named(self, output: int) -> dict[str, float]:
        return dict(zip(self.terms, np.exp(self.hyper[output]).tolist(), strict=True))

    def predict(self, inputs: Inputs) -> tuple[Real, Real]:
        """Mean and standard deviation of the noiseless values, each `(n, m)`."""
        among, towards = Parts.between(self.inputs, self.inputs), Parts.between(self.inputs, inputs)
        means, spreads = [], []
        for output in range(len(self.hyper)):
            hyper = self._named(output)
            factor, weights = self._solved(among, output)
            cross = towards.covariance(hyper)
            half = solve_triangular(factor, cross, lower=True, check_finite=False)
            variance = np.maximum(_diagonal(inputs, hyper) - (half**2).sum(0), 1e-12)
            means.append(cross.T @ weights)
            spreads.append(np.sqrt(variance))
        return np.stack(means, 1) * self.spread + self.centre, np.stack(spreads, 1) * self.spread

    def paths(self, inputs: Inputs, count: int, rng: np.random.Generator) -> Real:
        """Joint samples of the noiseless values, `(count, n, m)`; costs n cubed."""
        among, towards = Parts.between(self.inputs, self.inputs), Parts.between(self.inputs, inputs)
        within = Parts.between(inputs, inputs)
        drawn = []
        for output in range(len(self.hyper)):
            hyper = self._named(output)
            factor, weights = self._solved(among, output)
            cross = towards.covariance(hyper)
            half = solve_triangular(factor, cross, lower=True, check_finite=False)
            values, vectors = np.linalg.eigh(within.covariance(hyper) - half.T @ half)
            root = vectors * np.sqrt(np.maximum(values, 0))
            drawn.append((cross.T @ weights)[None] + rng.standard_normal((count, len(inputs))) @ root.T)
        return np.stack(drawn, -1) * self.spread + self.centre

    def conditioned(self, inputs: Inputs, values: Array) -> FittedProcess:
        """With the same hyperparameters, on other designs and their values `(n, m)`."""
        return replace(self, inputs=inputs, scaled=(np.asarray(values) - self.centre) / self.spread)

    def believing(self, inputs: Inputs) -> FittedProcess:
        """As if these designs had been measured at their mean (Ginsbourger et al., 2010): spreads near them fall."""
        mean, _ = self.predict(inputs)
        joined = Inputs(
            np.concatenate([self.inputs.tokens, inputs.tokens], axis=1),
            np.concatenate([self.inputs.cheap, inputs.cheap]),
        )
        scaled = np.concatenate([self.scaled, (mean - self.centre) / self.spread])
        return replace(self, inputs=joined, scaled=scaled)

    def _solved(self, among: Parts, output: int) -> tuple[Real, Real]:
        hyper = self._named(output)
        gram = among.covariance(hyper)
        gram[np.diag_indices_from(gram)] += hyper["noise"] + JITTER
        factor = np.asarray(np.linalg.cholesky(gram), dtype=np.float64)
        return factor, np.asarray(cho_solve((factor, True), self.scaled[:, output], check_finite=False))
