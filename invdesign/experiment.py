"""Experiment files: a user's Python file with a problem, strategies and a budget."""

from __future__ import annotations

import hashlib
import importlib
import os
import pickle
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from invdesign.budget import Budget
from invdesign.problem import Problem
from invdesign.run import Strategy, strategy_name

MODULE = "invdesign.loaded"
VARIABLE = "INVDESIGN_EXPERIMENT"
T = TypeVar("T")


class ExperimentError(ValueError):
    """An experiment file that cannot be used; says what to change."""


@dataclass(frozen=True)
class Experiment:
    """What an experiment file asks for.

    Args:
        problem: what is wanted.
        strategies: name -> strategy.
        budget: of each strategy.
        seed: of each strategy.
        sha256: of the file.
    """

    problem: Problem
    strategies: Mapping[str, Strategy]
    budget: Budget
    seed: int
    sha256: str

    def check_picklable(self) -> None:
        """Raises `ExperimentError` where worker processes could not be handed the problem."""
        for what, value in (
            ("simulator", self.problem.simulator),
            ("targets", self.problem.target_loss(self.problem.reference)),
        ):
            try:
                pickle.dumps(value)
            except (pickle.PicklingError, TypeError, AttributeError) as error:
                raise ExperimentError(
                    f"Expected a problem whose {what} can be sent to worker processes. Got: {error}; define custom "
                    "losses with `def` at the top level of the file, or run without --workers."
                ) from error


def load_experiment(path: str | Path, *, search: Sequence[str | Path] = ()) -> Experiment:
    """Imports an experiment file and checks what it defines: `problem`, `strategies` or `strategy`, `budget`, `seed`.

    The file is imported as the module `invdesign.loaded`, here and in worker processes started later; its own folder
    stays on `sys.path`, so that it may import its neighbours.

    Args:
        path: the file.
        search: further folders to import neighbours from.

    Raises:
        ExperimentError: where the file is missing, raises, or defines something else than wanted.
    """
    file = Path(path).resolve()
    if not file.is_file():
        raise ExperimentError(f"Expected an experiment file at {path}. There is none.")
    for folder in reversed([str(file.parent), *(str(Path(p).resolve()) for p in search)]):
        if folder not in sys.path:
            sys.path.insert(0, folder)
    module = _import(file)
    problem = _wanted(module, "problem", Problem, file)
    budget = _wanted(module, "budget", Budget, file)
    seed = getattr(module, "seed", 0)
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ExperimentError(f"Expected `seed` in {file.name} to be an integer >= 0. Got {seed!r}.")
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    return Experiment(problem, _strategies(module, file), budget, seed, digest)


def _import(file: Path) -> ModuleType:
    os.environ[VARIABLE] = str(file)
    sys.modules.pop(MODULE, None)
    try:
        return importlib.import_module(MODULE)
    except (Exception, SystemExit) as error:
        # A user's file may raise anything.
        raise ExperimentError(_told(error, file)) from error


def _told(error: BaseException, file: Path) -> str:
    """What a file raised and in which of its lines."""
    if isinstance(error, SyntaxError) and error.filename:
        where = f"{error.filename}, line {error.lineno}"
        return f"{file.name} is not valid Python: {error.msg} ({where})."
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
    where = f", line {own[-1].lineno}: {own[-1].line}" if own else ""
    return f"{file.name} raised {type(error).__name__}: {error} ({file}{where})"


def _wanted(module: ModuleType, name: str, kind: type[T], file: Path) -> T:
    if not hasattr(module, name):
        raise ExperimentError(f"Expected {file.name} to define `{name}`, a {kind.__name__}. It does not; add it.")
    value = getattr(module, name)
    if not isinstance(value, kind):
        raise ExperimentError(
            f"Expected `{name}` in {file.name} to be a {kind.__name__}. Got a {type(value).__name__}: {value!r:.80}."
        )
    return value


def _strategies(module: ModuleType, file: Path) -> dict[str, Strategy]:
    if hasattr(module, "strategies"):
        given = module.strategies
        if not isinstance(given, Mapping) or not given:
            raise ExperimentError(
                f"Expected `strategies` in {file.name} to map names to strategies, one at least. Got {given!r:.80}."
            )
    elif hasattr(module, "strategy"):
        given = {strategy_name(module.strategy): module.strategy}
    else:
        raise ExperimentError(
            f"Expected {file.name} to define `strategies`, a mapping of names to strategies, or one `strategy`. "
            "It does neither; add one."
        )
    for name, strategy in given.items():
        if not isinstance(name, str) or not name:
            raise ExperimentError(f"Expected strategies to have names in {file.name}. Got {name!r}.")
        if not callable(strategy) or isinstance(strategy, type):
            hint = f"; write {strategy.__name__}()" if isinstance(strategy, type) else ""
            raise ExperimentError(
                f"Expected strategy {name!r} in {file.name} to be callable as strategy(problem, evaluator, rng). "
                f"Got {strategy!r:.80}{hint}."
            )
    return dict(given)
