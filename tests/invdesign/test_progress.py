"""Progress shows the stage, the costs and the best so far, and costs the strategy nothing."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from invdesign import progress
from invdesign.budget import Budget
from invdesign.progress import Bars, Lines, Silence, display, uncharged
from invdesign.run import run
from invdesign.strategies import Adjoint
from tests.invdesign.noted import toy_problem


def shown(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(progress, "REFRESH_SECONDS", 0.0)
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)
    text = io.StringIO()
    with display(Console(file=text, force_terminal=terminal, width=160)) as watched:
        run(
            toy_problem(), Adjoint(starts=1, evaluations=3), budget=Budget(solves=30, cpu_seconds=500),
            observer=watched.observer("my strategy"),
        )  # fmt: skip
    return text.getvalue()


def test_lines(monkeypatch):
    lines = shown(False, monkeypatch).splitlines()
    assert all(line.startswith("my strategy: ") for line in lines)
    assert "nothing verified yet" in lines[0]
    assert "(done)" in lines[-1]
    assert "/500 CPU s" in lines[-1]
    assert "/30 solves" in lines[-1]
    assert any("sharpness 16" in line for line in lines)


def test_bars(monkeypatch):
    text = shown(True, monkeypatch)
    assert "my strategy" in text
    assert "done" in text
    assert "reference solves" in text


def test_choice_of_display():
    assert isinstance(display(Console(file=io.StringIO())), Lines)
    assert isinstance(display(Console(file=io.StringIO(), force_terminal=True)), Bars)
    assert isinstance(display(Console(), quiet=True), Silence)


def test_display_is_not_charged():
    def burn(evaluator) -> None:
        sum(i * i for i in range(200_000))

    problem, strategy = toy_problem(), Adjoint(starts=1, evaluations=3)
    plain = run(problem, strategy, budget=Budget(solves=20))
    watched = run(problem, strategy, budget=Budget(solves=20), observer=uncharged(burn))
    charged = run(problem, strategy, budget=Budget(solves=20), observer=burn)
    burnt = charged.costs.cpu_seconds - plain.costs.cpu_seconds
    assert watched.costs.cpu_seconds - plain.costs.cpu_seconds < 0.5 * burnt
