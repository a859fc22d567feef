"""The one unit of work an executor runs: simulator, design, level, cotangents, replicate -> plain arrays."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from invdesign.clock import cpu_clock
from physics.base import Array, Cotangents, Differentiable, Fidelity, Response, Simulator, resolve_cotangents
from physics.worker import WorkerDied, WorkerTimeout

FAILURE_KINDS = ("raised", "crashed", "timed out")


@dataclass(frozen=True)
class Task:
    """One solve; with cotangents (arrays, or a picklable function of the response) also its gradient."""

    simulator: Simulator
    design: Array
    level: int
    cotangents: Cotangents | None = None
    replicate: int = 0


@dataclass(frozen=True)
class Outcome:
    """What came of a task. `error` is None when it succeeded; `failure` is one of `FAILURE_KINDS`."""

    response: dict[str, Array] | None
    cotangents: dict[str, Array] | None
    gradient: Array | None
    cpu_seconds: float
    error: str | None = None
    failure: str | None = None


def execute(task: Task) -> Outcome:
    """Runs a task; whatever the solver or the cotangents' function raises becomes part of the outcome.

    A solver's own worker that died or outlived its time limit counts as such: it may be asked again.

    A response that came before its gradient failed is handed back with the error.
    """
    start = cpu_clock()
    seen: dict[str, dict[str, Array]] = {}
    cotangents, gradient, message, failure = None, None, None, None
    try:
        cotangents, gradient = _solve(task, seen)
    except WorkerTimeout as error:
        message, failure = str(error), "timed out"
    except WorkerDied as error:
        message, failure = str(error), "crashed"
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a solver may raise anything; it is recorded, not hidden
        where = traceback.extract_tb(error.__traceback__)[-1]
        message = f"{type(error).__name__}: {error} (in {where.name}, line {where.lineno})"
        failure = "raised"
    spent = cpu_clock() - start
    return Outcome(seen.get("response"), cotangents, gradient, spent, message, failure)


def _solve(task: Task, seen: dict[str, dict[str, Array]]) -> tuple[dict[str, Array] | None, Array | None]:
    """(cotangents, gradient) of a task, None without; the response goes into `seen` as soon as it is known."""
    simulator = task.simulator
    fidelity = simulator.fidelities[task.level]
    if task.cotangents is None:
        seen["response"] = _checked(simulator.simulate(task.design, task.level, task.replicate), fidelity)
        return None, None
    if not isinstance(simulator, Differentiable):
        raise TypeError(
            f"Expected a simulator with gradients (a vjp method). Got {type(simulator).__name__}; "
            "use a strategy that needs none."
        )
    used: dict[str, Array] = {}

    def remembered(response: Response) -> Mapping[str, Array]:
        seen["response"] = _checked(response, fidelity)
        used.update(resolve_cotangents(task.cotangents or {}, response))
        return used

    response, gradient = simulator.vjp(task.design, task.level, remembered, task.replicate)
    seen.setdefault("response", _checked(response, fidelity))
    if np.shape(gradient) != np.shape(task.design) or not np.isfinite(gradient).all():
        raise FloatingPointError("The solver's gradient has the wrong shape or is not finite.")
    return dict(used), np.asarray(gradient)


def _checked(response: Mapping[str, Array], fidelity: Fidelity) -> dict[str, Array]:
    checked = {}
    for quantity in fidelity.response:
        if quantity.name not in response:
            raise KeyError(f"The solver's response lacks {quantity.name!r}.")
        dtype = np.complex128 if quantity.dtype is complex else np.float64
        array = np.asarray(response[quantity.name], dtype=dtype)
        if array.shape != quantity.shape:
            raise ValueError(f"Expected {quantity.name!r} of shape {quantity.shape}. The solver gave {array.shape}.")
        if not np.isfinite(array).all():
            raise FloatingPointError(f"The solver gave NaN or infinity in {quantity.name!r}.")
        checked[quantity.name] = array
    return checked
