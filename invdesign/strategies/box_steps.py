"""Minimisation of a quadratic model in a box, by conjugate gradients on its free face."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from invdesign.strategies.descent import Vector

# A parameter within this fraction of the box's width of an edge is on it.
AT_EDGE = 1e-12


@dataclass(frozen=True)
class BoxStep:
    """A step `(size,)`, the model's gain by it, and how many products with the Hessian it took."""

    step: Vector
    gain: float
    products: int


class Model:
    """The model g.s + s.Hs / 2 at a moving s in a box that contains 0; counts products.

    Args:
        gradient: g, `(size,)`.
        product: v -> H v.
        lower, upper: edges, `(size,)`, at most and at least 0.
        products: most of them.
    """

    def __init__(
        self, gradient: Vector, product: Callable[[Vector], Vector], lower: Vector, upper: Vector, products: int
    ) -> None:
        self.gradient, self.lower, self.upper, self.room = gradient, lower, upper, products
        self._product, self._slack = product, AT_EDGE * (upper - lower)
        self.products = 0
        self.s, self.slope = np.zeros_like(gradient), gradient.copy()

    @property
    def spent(self) -> bool:
        """Whether no product is left."""
        return self.products >= self.room

    @property
    def gain(self) -> float:
        """-m(s)."""
        return float(-0.5 * self.s @ (self.gradient + self.slope))

    def free(self) -> NDArray[np.bool_]:
        """The parameters that are inside the box, or that the slope draws inside."""
        off_low, off_high = self.s > self.lower + self._slack, self.s < self.upper - self._slack
        return np.asarray((off_low | (self.slope < 0)) & (off_high | (self.slope > 0)))

    def product(self, v: Vector) -> Vector:
        """H v."""
        self.products += 1
        return self._product(v)

    def to_edge(self, p: Vector) -> float:
        """How far along p the first edge is."""
        forward, backward = p > 0, p < 0
        distances = [(self.upper - self.s)[forward] / p[forward], (self.lower - self.s)[backward] / p[backward]]
        return float(max(0.0, np.concatenate(distances).min(initial=np.inf)))

    def move(self, step: Vector, product: Vector) -> None:
        """Goes on by a step whose product is known."""
        self.s = np.clip(self.s + step, self.lower, self.upper)
        self.slope = self.slope + product


def box_step(
    gradient: Vector,
    product: Callable[[Vector], Vector],
    lower: Vector,
    upper: Vector,
    *,
    products: int,
    tolerance: float = 0.1,
) -> BoxStep:
    """A step that lowers g.s + s.Hs / 2 over lower <= s <= upper; H may be indefinite.

    Conjugate gradients on the free parameters, to the first edge or direction of negative curvature (Steihaug, SIAM J.
    Numer. Anal. 20, 626 (1983)); from there along the projected path as far as the model falls, and again on the
    parameters that are free then (Conn, Gould, Toint, "Trust-Region Methods" (2000), section 12.2; More and Toraldo,
    SIAM J. Optim. 1, 93 (1991)). The trust region is part of the box: its norm is the largest change.

    Args:
        gradient: g, `(size,)`.
        product: v -> H v.
        lower, upper: edges, `(size,)`, at most and at least 0.
        products: most products.
        tolerance: the projected gradient, over its first size, at which to stop.
    """
    model = Model(gradient, product, lower, upper, products)
    goal = tolerance * float(np.linalg.norm(np.where(model.free(), gradient, 0.0)))
    while not model.spent:
        face = model.free()
        residual = np.where(face, -model.slope, 0.0)
        size = float(residual @ residual)
        if np.sqrt(size) <= goal:
            break
        p = residual
        while not model.spent:
            h_p = model.product(p)
            curvature, edge = float(p @ h_p), model.to_edge(p)
            length = size / curvature if curvature > 0 else np.inf
            if length >= edge:
                _along_edges(model, p, h_p, min(length, float((upper - lower).max() / np.abs(p).max())), edge)
                break
            model.move(length * p, length * h_p)
            residual = np.where(face, -model.slope, 0.0)
            before, size = size, float(residual @ residual)
            if np.sqrt(size) <= goal:
                break
            p = residual + size / before * p
    return BoxStep(model.s, model.gain, model.products)


def _along_edges(model: Model, p: Vector, h_p: Vector, length: float, edge: float, tries: int = 3) -> None:
    """Moves along the projected path s + t p where that gains more than the straight piece of it, else along that."""
    straight = -(edge * float(model.slope @ p) + 0.5 * edge**2 * float(p @ h_p))
    for _ in range(tries):
        if model.spent or length <= edge:
            break
        step = np.clip(model.s + length * p, model.lower, model.upper) - model.s
        h_step = model.product(step)
        if -(float(model.slope @ step) + 0.5 * float(step @ h_step)) >= straight:
            model.move(step, h_step)
            return
        length /= 4
    model.move(edge * p, edge * h_p)
