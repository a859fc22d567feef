"""Gaussian processes over several levels of fidelity: likelihood, and draws that are smooth functions of the input."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

Tensors = Mapping[str, Tensor]
_JITTER = 1e-6
_FREQUENCIES = 512


def first_guess(inputs: Tensor, n_levels: int, *, relevance: bool = False) -> dict[str, Tensor]:
    """Logarithms of lengths, variances and noises of each level, and the ratio of each level to the one below.

    Args:
        inputs: ``n x d``; lengths start at their median distance.
        n_levels: of fidelity.
        relevance: a length for each of the d inputs (``n_levels x d``) instead of one for all (``n_levels``): automatic
            relevance determination (Rasmussen & Williams 2006, section 5.1).
    """
    distance = torch.pdist(inputs[:: max(len(inputs) // 400, 1)].double())
    length = distance.median().clamp(min=1e-6) if len(distance) else torch.tensor(1.0, dtype=torch.float64)
    one = torch.ones(n_levels, dtype=torch.float64)
    return {
        "log_length": length.log() * (one[:, None].expand(-1, inputs.shape[1]).clone() if relevance else one),
        "log_variance": torch.where(torch.arange(n_levels) == 0, 0.0, math.log(0.1)).double(),
        "log_noise": math.log(1e-2) * one,
        "ratio": one.clone(),
    }


def _shares(levels: Tensor, hyper: Tensors) -> Tensor:
    """``n_levels x n``: how much of each level's own process is in a sample.

    f_0 = g_0, f_l = ratio_l f_(l-1) + g_l (Kennedy & O'Hagan, Biometrika 2000).
    """
    ratio, n_levels = hyper["ratio"], len(hyper["ratio"])
    rows = []
    for own in range(n_levels):
        factors = [torch.zeros_like(ratio[0])] * own + [torch.ones_like(ratio[0])]
        for level in range(own + 1, n_levels):
            factors.append(factors[-1] * ratio[level])
        rows.append(torch.stack(factors))
    return torch.stack(rows)[:, levels]


def gram(a: Tensor, levels_a: Tensor, b: Tensor, levels_b: Tensor, hyper: Tensors) -> Tensor:
    """``n x m`` covariances of squared exponentials, the noise left out; inputs ``n x d`` and ``m x d``."""
    shares_a, shares_b = _shares(levels_a, hyper), _shares(levels_b, hyper)
    parts = []
    for own in range(len(shares_a)):
        length = hyper["log_length"][own].exp()
        p, q = a / length, b / length
        squared = ((p**2).sum(1)[:, None] + (q**2).sum(1) - 2 * p @ q.T).clamp(min=0)
        parts.append(shares_a[own][:, None] * torch.exp(hyper["log_variance"][own] - squared / 2) * shares_b[own])
    return torch.stack(parts).sum(dim=0)


def _factor(x: Tensor, levels: Tensor, hyper: Tensors) -> Tensor:
    covariance = gram(x, levels, x, levels, hyper)
    # Relative, as rounding is: variances range over orders of magnitude while they are fitted.
    jitter = _JITTER * covariance.detach().diagonal().mean()
    return torch.linalg.cholesky(covariance + (hyper["log_noise"].exp()[levels] + jitter).diag())


def negative_log_likelihood(x: Tensor, levels: Tensor, y: Tensor, hyper: Tensors) -> Tensor:
    """Of ``n x k`` outputs that share one kernel, per number (Rasmussen & Williams 2006, eq. 2.30)."""
    factor = _factor(x, levels, hyper)
    white = torch.linalg.solve_triangular(factor, y, upper=False)
    n, k = y.shape
    return (white**2).sum() / (2 * n * k) + factor.diagonal().log().sum() / n + math.log(2 * math.pi) / 2


def most_likely(x: Tensor, levels: Tensor, y: Tensor, hyper: Tensors, iterations: int = 50) -> dict[str, Tensor]:
    """Hyperparameters that maximise the marginal likelihood, from ``hyper`` on (L-BFGS, float64).

    The first level's ratio has no effect and stays.
    """
    free = {name: value.detach().clone().requires_grad_(True) for name, value in hyper.items()}
    optimiser = torch.optim.LBFGS(list(free.values()), max_iter=iterations, line_search_fn="strong_wolfe")

    def bounded() -> dict[str, Tensor]:
        low = {"log_length": -7.0, "log_variance": -9.0, "log_noise": -12.0, "ratio": -10.0}
        high = {"log_length": 9.0, "log_variance": 7.0, "log_noise": 3.0, "ratio": 10.0}
        return {name: value.clamp(low[name], high[name]) for name, value in free.items()}

    def closure() -> float:
        optimiser.zero_grad()
        loss = negative_log_likelihood(x, levels, y, bounded())
        # A weak pull to the first guess, so that what the data says nothing about stays put.
        loss = loss + 1e-3 * sum(((value - hyper[name]) ** 2).sum() for name, value in free.items())
        loss.backward()
        return float(loss.detach())

    optimiser.step(closure)
    return {name: value.detach() for name, value in bounded().items()}


def draw(x: Tensor, levels: Tensor, y: Tensor, hyper: Tensors, members: int, seed: int) -> dict[str, Tensor]:
    """All that ``evaluate`` needs of ``members`` draws from the posterior.

    Pathwise conditioning (Wilson et al., ICML 2020): a draw of the prior as a sum of random Fourier features,
    plus the kernel's correction towards the data. Draws come in opposite pairs about the posterior mean, which their
    own mean therefore is.

    Args:
        x: ``n x d``. levels: ``n`` integers from 0. y: ``n x k``.
        hyper: as ``most_likely`` gives them.
        members: an even number.
        seed: of the draws.
    """
    if members < 2 or members % 2:
        raise ValueError(f"Expected an even number of members, 2 at least. Got {members}.")
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    n_levels, half, k = len(hyper["ratio"]), members // 2, y.shape[1]
    weights = normal(half, n_levels, _FREQUENCIES, k)
    noise = normal(half, len(x), k) * hyper["log_noise"].exp()[levels].sqrt()[:, None]
    state = {
        "x": x.detach(),
        "levels": levels,
        "frequencies": normal(n_levels, x.shape[1], _FREQUENCIES),
        "phases": 2 * math.pi * torch.rand(n_levels, _FREQUENCIES, generator=generator, dtype=torch.float64),
        "weights": torch.cat([weights, -weights]),
        **{name: value.detach() for name, value in hyper.items()},
    }
    missed = y - _prior(state, state["x"], levels) - torch.cat([noise, -noise])
    factor = _factor(x, levels, hyper).detach()
    flat = missed.permute(1, 0, 2).reshape(len(x), -1)
    state["solved"] = torch.cholesky_solve(flat, factor).reshape(len(x), members, k).permute(1, 0, 2).contiguous()
    return state


def _prior(state: Tensors, x: Tensor, levels: Tensor) -> Tensor:
    """``members x n x k`` draws of the prior."""
    shares = _shares(levels, state)
    parts = []
    for own in range(len(shares)):
        scaled = x / state["log_length"][own].exp() @ state["frequencies"][own]
        size = math.sqrt(2 / _FREQUENCIES) * (state["log_variance"][own] / 2).exp()
        waves = size * torch.cos(scaled + state["phases"][own])
        parts.append(shares[own][:, None] * (waves @ state["weights"][:, own]))
    return torch.stack(parts).sum(dim=0)


def evaluate(state: Tensors, x: Tensor, level: int) -> Tensor:
    """``members x b x k`` draws of that level at ``b x d`` inputs (float64), differentiable in them."""
    levels = torch.full((len(x),), level)
    return _prior(state, x, levels) + gram(x, levels, state["x"], state["levels"], state) @ state["solved"]
