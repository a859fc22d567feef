"""Where design loops start."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from invdesign.problem import Problem
from physics.base import Array


@runtime_checkable
class HasSamples(Protocol):
    """A space that draws its own random parameters `(size,)`, where they are not pixels."""

    def sample(self, rng: np.random.Generator) -> NDArray[np.float64]: ...


def smooth_noise(shape: tuple[int, ...], rng: np.random.Generator, correlation_px: float) -> NDArray[np.float64]:
    """A Gaussian random field of zero mean and unit spread."""
    field = gaussian_filter(rng.standard_normal(shape), correlation_px, mode="reflect")
    return (field - field.mean()) / max(field.std(), 1e-12)


def random_theta(problem: Problem, rng: np.random.Generator, contrast: float = 0.3) -> NDArray[np.float64]:
    """Parameters `(size,)` of a smooth random density about 1/2; `contrast` is the spread."""
    if isinstance(problem.space, HasSamples):
        return np.asarray(problem.space.sample(rng), dtype=np.float64)
    shape = tuple(problem.space.shape)
    correlation = max(shape) * rng.uniform(0.04, 0.12)
    field = 0.5 + contrast * smooth_noise(shape, rng, correlation)
    return np.clip(field, 0.0, 1.0).reshape(-1)


def first_theta(problem: Problem, start: Array | None, rng: np.random.Generator) -> NDArray[np.float64]:
    """Parameters to start from: an array of the design's shape or of the parameters' size, or grey with a little noise.

    Raises:
        ValueError: for an array of another shape.
    """
    if start is None:
        return random_theta(problem, rng, contrast=0.05)
    array = np.asarray(start, dtype=np.float64)
    if array.shape == (problem.space.size,):
        return np.clip(array, 0.0, 1.0)
    return np.asarray(problem.space.encode(array), dtype=np.float64)
