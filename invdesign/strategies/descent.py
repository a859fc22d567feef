"""Bounded gradient descent with well-kept optimisers: NLopt's MMA and SciPy's L-BFGS-B."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import nlopt
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, minimize

Vector = NDArray[np.float64]
Optimizer = Literal["mma", "lbfgsb"]


class SolveFailed(Exception):
    """A solve inside a descent failed, with the solver's message."""


def descend(
    function: Callable[[Vector], tuple[float, Vector]],
    start: Vector,
    *,
    optimizer: Optimizer,
    evaluations: int,
    relative_tolerance: float = 1e-4,
    lower: Vector | float = 0.0,
    upper: Vector | float = 1.0,
) -> Vector:
    """The best point found from `start` `(d,)` within the box.

    A `SolveFailed` of `function` ends the descent there; if nothing was found before, it comes through, as does
    whatever else `function` raises.

    MMA: Svanberg, SIAM J. Optim. 12, 555 (2002); L-BFGS-B: Byrd et al., SIAM J. Sci. Comput. 16, 1190 (1995).

    Args:
        function: theta -> (loss, gradient).
        start: where to begin.
        optimizer: "mma" or "lbfgsb".
        evaluations: most calls of `function`.
        relative_tolerance: a smaller relative change of the loss ends the descent.
        lower, upper: edges of the box.

    Raises:
        ValueError: for an unknown optimizer.
        SolveFailed: if the first solve failed.
    """
    best: tuple[float, Vector] = (np.inf, np.array(start))

    def remembered(theta: Vector) -> tuple[float, Vector]:
        nonlocal best
        loss, gradient = function(theta)
        if loss < best[0]:
            best = (loss, np.array(theta))
        return loss, gradient

    box_low = np.broadcast_to(np.asarray(lower, dtype=np.float64), start.shape)
    box_high = np.broadcast_to(np.asarray(upper, dtype=np.float64), start.shape)
    inside = np.clip(start, box_low, box_high)
    if optimizer not in ("mma", "lbfgsb"):
        raise ValueError(f"Expected optimizer 'mma' or 'lbfgsb'. Got {optimizer!r}.")
    try:
        _minimize(remembered, inside, box_low, box_high, optimizer, evaluations, relative_tolerance)
    except SolveFailed:
        if not np.isfinite(best[0]):
            raise
    return best[1]


def _minimize(
    function: Callable[[Vector], tuple[float, Vector]],
    start: Vector,
    lower: Vector,
    upper: Vector,
    optimizer: Optimizer,
    evaluations: int,
    relative_tolerance: float,
) -> None:
    if optimizer == "mma":
        _mma(function, start, lower, upper, evaluations, relative_tolerance)
        return
    minimize(
        function,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=Bounds(lower, upper),
        options={"maxfun": evaluations, "maxiter": evaluations, "ftol": relative_tolerance},
    )


def _mma(
    function: Callable[[Vector], tuple[float, Vector]],
    start: Vector,
    lower: Vector,
    upper: Vector,
    evaluations: int,
    relative_tolerance: float,
) -> None:
    solver = nlopt.opt(nlopt.LD_MMA, len(start))
    solver.set_lower_bounds(lower)
    solver.set_upper_bounds(upper)
    solver.set_maxeval(evaluations)
    solver.set_ftol_rel(relative_tolerance)

    def objective(theta: Vector, gradient: Vector) -> float:
        loss, slope = function(np.array(theta))
        if gradient.size:
            gradient[:] = slope
        return float(loss)

    solver.set_min_objective(objective)
    try:
        solver.optimize(start)
    except (nlopt.RoundoffLimited, RuntimeError) as error:
        # Out of precision near a minimum: the best point so far stands.
        if isinstance(error, RuntimeError) and "nlopt failure" not in str(error):
            raise
