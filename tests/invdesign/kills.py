"""Runs that are killed again and again, against one that is not."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import pytest

from invdesign.budget import Budget
from invdesign.evaluator import Evaluator
from invdesign.problem import Problem
from invdesign.result import Result
from invdesign.run import Strategy, run
from invdesign.store import Store


class Killed(BaseException):
    """Stands for a kill: nothing may catch it."""


def content(store: Store) -> dict[str, object]:
    """All that a store holds but times."""
    gradients = {key: len(store.gradients(key)) for key in store.evaluation_keys()}
    journal = {run["run"]: [(s, *row[:2]) for s, row in store.journal(run["run"]).items()] for run in store.runs()}
    return {"gradients": gradients, "artefacts": store.artefact_keys(), "journal": journal}


def numbers(result: Result) -> list[object]:
    """All of a result but times."""
    return [(c.label, c.loss, c.distance, c.reference_solves, c.design.tobytes()) for c in result.candidates]


def outlives_kills(
    problem: Problem, strategy: Strategy, budget: Budget, folder: Path, patiences: Sequence[int]
) -> tuple[Result, Path]:
    """Asserts that a run killed after so many looks, one kill after another, ends as if nothing had happened.

    Gives the resumed result, and the file of its store.
    """
    with Store(folder / "whole.db") as whole, Store(folder / "cut.db") as cut:
        expected = run(problem, strategy, budget=budget, store=whole, seed=3)
        for patience in patiences:
            calls = 0

            def kill(evaluator: Evaluator, patience: int = patience) -> None:
                nonlocal calls
                calls += 1
                if calls == patience:
                    raise Killed

            with pytest.raises(Killed):
                run(problem, strategy, budget=budget, store=cut, seed=3, observer=kill)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            resumed = run(problem, strategy, budget=budget, store=cut, seed=3)
        assert numbers(resumed) == numbers(expected)
        assert content(cut) == content(whole)
    return resumed, folder / "cut.db"
