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
    """The best point found from `start` `(d,)` within the box; what `function` raises comes through.

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
    if optimizer == "mma":
        _mma(remembered, inside, box_low, box_high, evaluations, relative_tolerance)
    elif optimizer == "lbfgsb":
        options = {"maxfun": evaluations, "maxiter": evaluations, "ftol": relative_tolerance}
        minimize(  # type: ignore[call-overload]
            remembered,
            inside,
            jac=True,
            method="L-BFGS-B",
            bounds=Bounds(box_low, box_high),
            options=options,
        )
    else:
        raise ValueError(f"Expected optimizer 'mma' or 'lbfgsb'. Got {optimizer!r}.")
    return best[1]


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
