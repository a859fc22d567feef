"""The command `invdesign sample`: labels for many designs."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from invdesign.campaign import Campaign, Tally, asks, drawn_designs, level_called
from invdesign.experiment import Experiment, load_experiment
from invdesign.result import provenance, solvers
from invdesign.store import Store
from invdesign.terminal import FILE, FOLDER, INTERRUPTED, console, executor_for, explained
from physics.tables.labels import LabelSet

STORE, LABELS = "store.db", "labels.npz"


@click.command("sample")
@click.argument("file", type=FILE)
@click.option("--n", "count", type=click.IntRange(min=1), required=True, help="How many different designs.")
@click.option("--level", "levels", multiple=True, help="Level, or how its name begins; several times for several.")
@click.option("--replicates", type=click.IntRange(min=1), default=1, help="Of the first designs, at stochastic levels.")
@click.option("--replicated", type=click.IntRange(min=0), help="How many designs have replicates; all if not given.")
@click.option("--out", type=FOLDER, help="Folder of store and labels; samples/NAME-OF-FILE if not given.")
@click.option("--seed", type=click.IntRange(min=0), help="Of the designs; the file's if not given.")
@click.option("--workers", type=click.IntRange(min=1), help="Solve in so many processes.")
@click.option("--timeout-seconds", type=click.FloatRange(min=0, min_open=True), help="Limit of one solve.")
@click.option("--retry-failed", is_flag=True, help="Ask what failed before once more.")
@click.option("--quiet", is_flag=True, help="Print nothing but errors.")
def sample_command(
    file: Path,
    count: int,
    levels: tuple[str, ...],
    replicates: int,
    replicated: int | None,
    out: Path | None,
    seed: int | None,
    workers: int | None,
    timeout_seconds: float | None,
    retry_failed: bool,
    quiet: bool,
) -> None:
    """Labels N random designs of an experiment FILE's space at one level or several, the reference if none is given.

    Every label goes to OUT/store.db as soon as it is there; after a kill the same command goes on, and a larger N goes
    on with the same designs first. `invdesign run FILE --out OUT` finds them. At the end, or when interrupted, all
    labels are written to OUT/labels.npz, which `physics.tables.read_labels` reads.
    """
    with explained():
        experiment = load_experiment(file)
        problem = experiment.problem
        try:
            chosen = {level_called(problem, name) for name in levels} or {problem.reference_level}
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="--level") from error
        fidelities = problem.simulator.fidelities
        if replicates > 1 and not any(fidelities[level].stochastic for level in chosen):
            raise click.BadParameter(
                f"Expected a level that is stochastic. Got {', '.join(fidelities[level].name for level in chosen)} "
                "alone; drop the option.",
                param_hint="--replicates",
            )
        if replicated is not None and replicates == 1:
            raise click.BadParameter(
                "Expected --replicates K beside it, 2 or more. Got one replicate.", param_hint="--replicated"
            )
        if workers is not None or timeout_seconds is not None:
            experiment.check_picklable()
        designs = drawn_designs(problem, count, experiment.seed if seed is None else seed)
        wanted = asks(problem, sorted(chosen), len(designs), replicates, count if replicated is None else replicated)
        campaign = Campaign(problem.simulator, designs, wanted)
        folder = out or Path("samples") / file.stem
        folder.mkdir(parents=True, exist_ok=True)
        if not quiet and len(designs) < count:
            click.echo(f"The space has no more than {len(designs)} designs, as far as drawing tells.", err=True)
        with Store(folder / STORE) as store:
            interrupted = False
            try:
                with executor_for(workers, timeout_seconds) as executor, _Bar(quiet) as bar:
                    campaign.fill(store, executor, retry_failed=retry_failed, observer=bar)
            except KeyboardInterrupt:
                interrupted = True
            found = campaign.labels(store, file.stem, _notes(experiment, file, seed))
            errors = campaign.errors(store)
        found.save(folder / LABELS)
        if not quiet:
            _tell(found, errors, folder)
    if interrupted:
        click.echo("Interrupted. What had finished is kept; the same command goes on from here.", err=True)
        sys.exit(INTERRUPTED)
    if not any(fidelities[level].name in found.levels for level in chosen):
        reason = max(errors, key=lambda message: errors[message], default="The store's answers cannot be read.")
        raise click.ClickException(f"No design could be labelled: {reason} Once mended, run with --retry-failed.")


def _notes(experiment: Experiment, file: Path, seed: int | None) -> dict[str, object]:
    simulator = experiment.problem.simulator
    return dict(provenance()) | {
        "file": file.name,
        "sha256": experiment.sha256,
        "seed": experiment.seed if seed is None else seed,
        "identity": simulator.identity,
        "solvers": solvers([simulator]),
    }


def _tell(found: LabelSet, errors: dict[str, int], folder: Path) -> None:
    screen = console()
    for name, level in found.levels.items():
        designs = len(np.unique(level.rows))
        seconds = level.cpu_seconds.sum()
        line = f"{name}: {len(level.rows)} labels of {designs} designs, {seconds:.0f} CPU s"
        screen.print(line, markup=False, highlight=False)
        for quantity in level.quantities:
            if not quantity.shape:
                values = level.responses[quantity.name]
                low, middle, high = np.quantile(values, (0.05, 0.5, 0.95))
                screen.print(
                    f"  {quantity.name:24} {low:.4g} / {middle:.4g} / {high:.4g} {quantity.unit} (5, 50, 95 %)",
                    markup=False,
                    highlight=False,
                )
    for message, times in errors.items():
        screen.print(f"failed {times} times: {message}", markup=False, highlight=False)
    screen.print(f"Labels: {folder / LABELS}", markup=False, highlight=False, soft_wrap=True)


class _Bar:
    """A bar of labels, or a line now and then where nobody looks."""

    def __init__(self, quiet: bool) -> None:
        self._screen = Console(stderr=True, quiet=quiet)
        self._progress = Progress(
            TextColumn("labels"),
            BarColumn(bar_width=40),
            MofNCompleteColumn(),
            TextColumn("{task.fields[failed]}"),
            TimeRemainingColumn(),
            console=self._screen,
            disable=not self._screen.is_terminal,
        )
        self._task = self._progress.add_task("labels", failed="")
        self._told = -1

    def __call__(self, tally: Tally) -> None:
        failed = f"{tally.failed} failed" if tally.failed else ""
        self._progress.update(self._task, total=tally.wanted, completed=tally.done, failed=failed)
        if not self._screen.is_terminal:
            tenth = 10 * tally.done // max(1, tally.wanted)
            if tenth > self._told:
                self._told = tenth
                self._screen.print(f"{tally.done} of {tally.wanted} labels {failed}", highlight=False)

    def __enter__(self) -> _Bar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()
