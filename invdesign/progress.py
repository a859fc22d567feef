"""Progress of runs: bars on a terminal, an occasional line elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn

from invdesign.budget import Meter
from invdesign.clock import cpu_clock
from invdesign.evaluator import Evaluator

Observer = Callable[[Evaluator], None]
REFRESH_SECONDS = 0.25
LINE_SECONDS = 15.0


class Display(Protocol):
    """Something that follows strategies; a context manager."""

    def observer(self, name: str) -> Observer: ...
    def __enter__(self) -> Display: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def display(console: Console, *, quiet: bool = False) -> Display:
    """Bars where the console is a terminal, lines where it is not, nothing if quiet."""
    if quiet:
        return Silence()
    return Bars(console) if console.is_terminal else Lines(console)


def spent(meter: Meter) -> str:
    """What is spent of what, in the budget's own terms; CPU seconds always."""
    budget = meter.budget
    of = f"/{budget.cpu_seconds:g}" if budget.cpu_seconds is not None else ""
    text = f"{meter.charged_seconds:.1f}{of} CPU s"
    if budget.solves is not None:
        text += f", {meter.solves}/{budget.solves} solves"
    most = f"/{budget.reference_solves}" if budget.reference_solves is not None else ""
    return text + f", {meter.reference_solves}{most} reference solves"


def nearest(evaluator: Evaluator) -> str:
    """The best distance so far in words."""
    best = evaluator.best
    if best is None:
        return "nothing verified yet"
    return f"best {best.distance:.4g}" if best.distance > 0 else f"targets met (loss {best.loss:.4g})"


def uncharged(show: Observer) -> Observer:
    """What the display itself costs is not charged to the strategy."""

    def observe(evaluator: Evaluator) -> None:
        start = cpu_clock()
        show(evaluator)
        evaluator.ledger.exclude(cpu_clock() - start)

    return observe


class Bars:
    """One line a strategy: name, bar of the budget, stage, costs, best so far."""

    def __init__(self, console: Console) -> None:
        # No refreshing thread: its CPU time would be charged to the strategy.
        self._progress = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            TextColumn("{task.fields[best]}"),
            TextColumn("[dim]{task.fields[spent]}"),
            TextColumn("[dim]{task.fields[stage]}"),
            console=console,
            auto_refresh=False,
        )

    def observer(self, name: str) -> Observer:
        """An observer that moves the bar of the strategy of this name."""
        task = self._progress.add_task(name, total=1.0, best="", spent="", stage="starting")
        last = 0.0

        def show(evaluator: Evaluator) -> None:
            nonlocal last
            now = time.monotonic()
            done = evaluator.stage == "done"
            if done or now - last >= REFRESH_SECONDS:
                last = now
                self._show(task, evaluator, done)

        return uncharged(show)

    def _show(self, task: TaskID, evaluator: Evaluator, done: bool) -> None:
        self._progress.update(
            task,
            completed=1.0 if done else min(evaluator.meter.fraction, 1.0),
            best=nearest(evaluator),
            spent=spent(evaluator.meter),
            stage=evaluator.stage,
        )
        self._progress.refresh()

    def __enter__(self) -> Bars:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()


class Lines:
    """A line at the start and the end of a strategy, and now and then between."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def observer(self, name: str) -> Observer:
        """An observer that prints lines about the strategy of this name."""
        last = float("-inf")

        def show(evaluator: Evaluator) -> None:
            nonlocal last
            now = time.monotonic()
            if evaluator.stage == "done" or now - last >= LINE_SECONDS:
                last = now
                share = min(evaluator.meter.fraction, 1.0)
                text = f"{name}: {share:.0%}, {spent(evaluator.meter)}, {nearest(evaluator)} ({evaluator.stage})"
                self._console.print(text, markup=False, highlight=False, soft_wrap=True)

        return uncharged(show)

    def __enter__(self) -> Lines:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


class Silence:
    """Shows nothing."""

    def observer(self, name: str) -> Observer:
        """An observer that does nothing."""
        return lambda evaluator: None

    def __enter__(self) -> Silence:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None
