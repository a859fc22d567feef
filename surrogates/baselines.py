"""Trivial predictors that a network has to beat."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from surrogates.data import LevelData
from surrogates.encoding import Array, ResponseCodec
from surrogates.evaluation import BaselineScore, mean_cosine, value_error


class MeanGradient:
    """A linear model through the mean: the Jacobian that best explains all training gradients at once.

    With one cotangent its gradient is the mean training gradient; with several, ridge regression on the cotangents
    tells them apart.

    Args:
        x: ``n x d`` designs. y: ``n x n_outputs``. v: ``m x n_outputs``. g: ``m x d``, J^T v.
    """

    def __init__(self, x: Array, y: Array, v: Array, g: Array, rows: Array) -> None:
        self.centre, self.mean = x.mean(axis=0), y.mean(axis=0)
        gram = v.T @ v
        ridge = 1e-3 * max(float(np.trace(gram)), 1e-30) / len(gram)
        self.jacobian = np.linalg.solve(gram + ridge * np.eye(len(gram)), v.T @ g)

    def values(self, x: Array) -> NDArray[Any]:
        """``n x n_outputs``."""
        return self.mean + (x - self.centre) @ self.jacobian.T

    def gradients(self, x: Array, v: Array) -> NDArray[Any]:
        """``m x d`` for ``m`` designs and cotangents."""
        return v @ self.jacobian


class NearestNeighbour:
    """Answers what the nearest training design gave; of its gradients, the one whose cotangent points most alike."""

    def __init__(self, x: Array, y: Array, v: Array, g: Array, rows: Array) -> None:
        self.x, self.y, self.v, self.g, self.rows = x, y, v, g, rows

    def values(self, x: Array) -> NDArray[Any]:
        """``n x n_outputs``."""
        return self.y[_squared_distances(x, self.x).argmin(axis=1)]

    def gradients(self, x: Array, v: Array) -> NDArray[Any]:
        """``m x d`` for ``m`` designs and cotangents; needs a training gradient at least."""
        distances = _squared_distances(x, self.x[self.rows])
        alike = v @ self.v.T
        near = distances <= distances.min(axis=1, keepdims=True) * (1 + 1e-12)
        return self.g[np.where(near, alike, -np.inf).argmax(axis=1)]


def _squared_distances(a: Array, b: Array) -> NDArray[Any]:
    return np.maximum((a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T, 0)


def score_baselines(train: LevelData, held_out: LevelData, codec: ResponseCodec) -> dict[str, BaselineScore]:
    """``mean``, ``mean_gradient`` and ``nearest`` fitted on one side of a split and scored on the other."""
    x, y, v, g, rows = flat_arrays(train, codec)
    x_test, y_test, v_test, g_test, rows_test = flat_arrays(held_out, codec)
    constant = np.broadcast_to(y.mean(axis=0), y_test.shape)
    scores = {"mean": BaselineScore(value_error(constant, y_test), float("nan"))}
    models: dict[str, MeanGradient | NearestNeighbour] = {
        "mean_gradient": MeanGradient(x, y, v, g, rows),
        "nearest": NearestNeighbour(x, y, v, g, rows),
    }
    for name, model in models.items():
        cosine = mean_cosine(model.gradients(x_test[rows_test], v_test), g_test) if len(rows) else float("nan")
        scores[name] = BaselineScore(value_error(model.values(x_test), y_test), cosine)
    return scores


def flat_arrays(data: LevelData, codec: ResponseCodec) -> tuple[Array, Array, Array, Array, Array]:
    """Designs ``n x d``, standardised responses, unit cotangents, gradients ``m x d`` and their rows."""
    y = codec.encode(data.tensors("responses")).numpy()
    v = codec.pull_back(data.tensors("cotangents")).numpy()
    norms = np.linalg.norm(v, axis=1)
    used = norms > 0
    v, norms = v[used], norms[used, None]
    x = data.designs.reshape(len(data), -1)
    g = data.gradients[used].reshape(len(v), x.shape[1])
    return x, y, v / norms, g / norms, data.gradient_rows[used]
