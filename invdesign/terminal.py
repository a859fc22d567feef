"""What the commands share: errors that say what to do, the console, where solves run."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console

from invdesign.arrays import ContentError
from invdesign.executors import InProcess, Processes
from invdesign.experiment import ExperimentError
from invdesign.store import StoreError
from physics.base import MissingSoftware

INTERRUPTED = 130
FILE = click.Path(dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)


class UserError(click.ClickException):
    """Something the user can put right: one message, no traceback."""

    exit_code = 2


@contextmanager
def explained() -> Iterator[None]:
    """Turns errors that say what to do into messages, and an interrupt into the conventional exit code."""
    try:
        yield
    except (ExperimentError, StoreError, ContentError, MissingSoftware) as error:
        raise UserError(str(error)) from error
    except KeyboardInterrupt:
        click.echo("Interrupted.", err=True)
        sys.exit(INTERRUPTED)
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise UserError(f"{error.strerror or error}{where}. Check the path and the rights to it.") from error


def console() -> Console:
    """Standard output; wide enough for tables where it is a file."""
    plain = Console()
    return plain if plain.is_terminal else Console(width=160, highlight=False)


@contextmanager
def executor_for(workers: int | None, timeout_seconds: float | None) -> Iterator[Executor]:
    """This process, or worker processes where a number or a limit is given."""
    if workers is None and timeout_seconds is None:
        yield InProcess()
        return
    pool = Processes(workers or 1, timeout_seconds)
    finished = False
    try:
        yield pool
        finished = True
    finally:
        pool.shutdown(cancel_futures=not finished)
