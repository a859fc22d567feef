"""The command `invdesign`."""

from __future__ import annotations

import json
import sys
import traceback
import webbrowser
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import click
from rich.console import Console

from invdesign.budget import Budget
from invdesign.experiment import Experiment, ExperimentError, load_experiment
from invdesign.folder import Asked, RunFolder
from invdesign.result import Result
from invdesign.run import Strategy, run, run_key
from invdesign.sample import sample_command
from invdesign.store import Store, StoreError
from invdesign.tables import plain_run, print_results, runs_table
from invdesign.terminal import FILE, FOLDER, INTERRUPTED, UserError, console, executor_for, explained


def installed_version() -> str:
    """Version of the package."""
    try:
        return version("invdesign")
    except PackageNotFoundError:
        return "unknown (not installed)"


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(installed_version(), prog_name="invdesign")
def main() -> None:
    """Inverse design: from a target response to a verified structure."""


@main.command("run")
@click.argument("file", type=FILE)
@click.option("--out", required=True, type=FOLDER, help="Folder of the run; the same again resumes it.")
@click.option("--seed", type=click.IntRange(min=0), help="Instead of the file's seed.")
@click.option("--strategy", "names", multiple=True, help="Only this strategy; may be given several times.")
@click.option("--cpu-seconds", type=click.FloatRange(min=0, min_open=True), help="Instead of the file's budget.")
@click.option("--workers", type=click.IntRange(min=1), help="Solve in so many processes.")
@click.option("--timeout-seconds", type=click.FloatRange(min=0, min_open=True), help="Limit of one solve.")
@click.option("--retry-failed", is_flag=True, help="Ask what failed before once more.")
@click.option("--quiet", is_flag=True, help="Print nothing but errors.")
@click.option("--no-report", is_flag=True, help="Write no report.")
def run_command(
    file: Path,
    out: Path,
    seed: int | None,
    names: tuple[str, ...],
    cpu_seconds: float | None,
    workers: int | None,
    timeout_seconds: float | None,
    retry_failed: bool,
    quiet: bool,
    no_report: bool,
) -> None:
    """Runs the strategies of an experiment FILE one after the other.

    The store, a copy of FILE and the report go to the folder OUT. After a kill or an interrupt the same command goes on
    where it was. Every strategy is charged for all it asks, whether the store knew the answer or not.
    """
    with explained():
        experiment = load_experiment(file)
        if seed is not None:
            experiment = replace(experiment, seed=seed)
        if cpu_seconds is not None:
            experiment = replace(experiment, budget=Budget(cpu_seconds=cpu_seconds))
        chosen = _chosen(experiment, names)
        if workers is not None or timeout_seconds is not None:
            experiment.check_picklable()
        folder = RunFolder(out)
        out.mkdir(parents=True, exist_ok=True)
        with Store(folder.store) as store:
            # Before anything is written beside it: another simulator's store stays as it is.
            store.bind(experiment.problem.simulator.identity)
            folder.record(file, _asked(file, experiment, chosen))
            with executor_for(workers, timeout_seconds) as executor:
                results = _run_all(experiment, chosen, store, executor, quiet, retry_failed)
        if not quiet:
            print_results(console(), results)
        if not no_report:
            _write_report(folder, results, quiet)
        if all(result.best is None for result in results):
            errors = [record.error for result in results for record in result.records if record.error]
            because = f" The last solve that failed: {errors[-1]}" if errors else ""
            raise click.ClickException(f"No design could be verified.{because} Once mended, run with --retry-failed.")


def _asked(file: Path, experiment: Experiment, chosen: Mapping[str, Strategy]) -> Asked:
    budget, seed = experiment.budget, experiment.seed
    names = {run_key(experiment.problem, strategy, budget, seed): name for name, strategy in chosen.items()}
    return Asked(str(file.resolve()), experiment.sha256, seed, budget, tuple(chosen), names)


def _chosen(experiment: Experiment, names: tuple[str, ...]) -> dict[str, Strategy]:
    for name in names:
        if name not in experiment.strategies:
            known = ", ".join(experiment.strategies)
            raise UserError(f"Expected strategies among {known}. Got {name!r}.")
    return {name: s for name, s in experiment.strategies.items() if not names or name in names}


def _run_all(
    experiment: Experiment,
    chosen: Mapping[str, Strategy],
    store: Store,
    executor: Executor,
    quiet: bool,
    retry_failed: bool,
) -> list[Result]:
    from invdesign.progress import display

    results: list[Result] = []
    try:
        with display(Console(stderr=True), quiet=quiet) as shown:
            for name, strategy in chosen.items():
                result = run(
                    experiment.problem,
                    strategy,
                    budget=experiment.budget,
                    store=store,
                    executor=executor,
                    seed=experiment.seed,
                    retry_failed=retry_failed,
                    observer=shown.observer(name),
                )
                results.append(_labelled(result, name, store, ended=True))
    except KeyboardInterrupt:
        click.echo("Interrupted. What had finished is kept; the same command goes on from here.", err=True)
        sys.exit(INTERRUPTED)
    except (StoreError, click.ClickException):
        raise
    except Exception as error:
        # A strategy may be the user's code and raise anything.
        where = traceback.extract_tb(error.__traceback__)[-1]
        raise UserError(
            f"Strategy {name!r} raised {type(error).__name__}: {error} ({where.filename}, line {where.lineno}). What "
            "had finished is kept; mend it and run the same command again."
        ) from error
    return results


def _labelled(result: Result, name: str, store: Store, *, ended: bool) -> Result:
    """The result under the name that the experiment gives its strategy, with where it is kept."""
    return replace(result, strategy=name, provenance={**result.provenance, "store": store.path, "ended": ended})


def _write_report(folder: RunFolder, results: list[Result], quiet: bool) -> Path:
    from invdesign.report import write_report

    page = write_report(results, folder.report)
    if not quiet:
        click.echo(f"Report: {page.resolve().as_uri()}")
    return page


@main.command("report")
@click.argument("folder", type=FOLDER)
@click.option("--open", "show", is_flag=True, help="Open it in a browser.")
def report_command(folder: Path, show: bool) -> None:
    """Writes the report of FOLDER again, from its store alone; also of a run that is not finished."""
    with explained():
        page = _write_report(RunFolder(folder), _replayed(RunFolder(folder)), quiet=False)
    if show:
        webbrowser.open(page.resolve().as_uri())


def _replayed(folder: RunFolder) -> list[Result]:
    folder.check()
    asked = folder.asked()
    experiment = folder.load()
    results = []
    with Store(folder.store) as store:
        endings = {entry["run"]: entry["ending"] for entry in store.runs()}
        for name in asked.strategies:
            strategy = experiment.strategies.get(name)
            if strategy is None:
                continue
            key = run_key(experiment.problem, strategy, asked.budget, asked.seed)
            if key not in endings:
                continue
            result = run(
                experiment.problem, strategy, budget=asked.budget, store=store, seed=asked.seed, replay_only=True
            )
            results.append(_labelled(result, name, store, ended=endings[key] is not None))
    if not results:
        raise ExperimentError(
            f"Expected a run of {', '.join(asked.strategies)} in {folder.store}. There is none; begin it with "
            f"`invdesign run {asked.file} --out {folder.path}`."
        )
    return results


@main.command("show")
@click.argument("folder", type=FOLDER)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.option("--design", is_flag=True, help="With --json: include the design's array.")
def show_command(folder: Path, as_json: bool, design: bool) -> None:
    """Shows what the store in FOLDER holds, without the experiment file."""
    with explained():
        RunFolder(folder).check()
        with Store(RunFolder(folder).store) as store:
            runs = [plain_run(entry, design=design) for entry in store.runs()]
        names = RunFolder(folder).names()
        runs = [run | {"strategy": names.get(run["run"], run["strategy"])} for run in runs]
    if as_json:
        click.echo(json.dumps({"store": str(RunFolder(folder).store), "runs": runs}, indent=2))
        return
    console().print(runs_table(runs))


@main.command("simulators")
@click.option("--json", "as_json", is_flag=True, help="As JSON, with all parameters.")
def simulators_command(as_json: bool) -> None:
    """Lists the built-in simulators."""
    from invdesign.catalogue import catalogue

    entries = [entry.described() for entry in catalogue()]
    if as_json:
        click.echo(json.dumps(entries, indent=2))
        return
    for entry in entries:
        click.secho(f"{entry['module']}.{entry['name']}", bold=True)
        click.echo(f"  {entry['summary']}")
        levels = (f"{f['name']} (cost {f['relative_cost']:.3g})" for f in entry["fidelities"])
        click.echo("  fidelities: " + ", ".join(levels))
        answers = entry["fidelities"][-1]["response"]
        click.echo("  answers:    " + ", ".join(f"{name}[{', '.join(axes)}]" for name, (axes, _, _) in answers.items()))
        click.echo("  parameters: " + ", ".join(f"{key}={value}" for key, value in entry["parameters"].items()))
        click.echo(f"  design:     {' x '.join(map(str, entry['design_shape']))} pixels\n")


@main.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def doctor_command(as_json: bool) -> None:
    """Says what is there of all optional parts, and how to get the rest."""
    from invdesign.doctor import findings

    found = findings()
    if as_json:
        click.echo(json.dumps([finding.described() for finding in found], indent=2))
        return
    colours = {"there": "green", "absent": "yellow", "trouble": "red"}
    for finding in found:
        click.echo(click.style(f"{finding.state:8}", fg=colours[finding.state]) + f"{finding.part:12}{finding.found}")
        if finding.remedy:
            click.echo(f"{'':20}for {finding.use}: {finding.remedy}")


main.add_command(sample_command)


@main.command("salvage")
@click.argument("old", type=FILE)
@click.argument("new", type=FILE)
def salvage_command(old: Path, new: Path) -> None:
    """Copies what can still be read of a damaged store OLD to a new store NEW; OLD is only read."""
    from invdesign.salvage import salvage

    with explained():
        found = salvage(old, new)
    for table, kept in found.kept.items():
        lost = found.lost[table]
        click.echo(f"{table:12} {kept:8} kept" + (f" {lost:8} lost" if lost else ""))
    click.echo(f"Wrote {new}. What was lost is computed again when a run needs it.")


if __name__ == "__main__":
    main()
